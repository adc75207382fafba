//! Embeddings, norms, draws and log-probabilities.

use super::*;
use crate::backend::RowMap;
use crate::sampling::{Draw, Sampling};

fn greedy(forced: Option<u32>) -> Draw {
    Draw { sampling: Sampling::GREEDY, sequence: 0, position: 0, forced }
}

#[test]
fn log_probabilities_agree_with_f64_and_do_not_depend_on_the_batch() {
    let mut random = Random(30);
    for backend in backends() {
        let (k, v, m) = (20, 333, 150);
        let (w, x) = (random.short(k * v), random.values(k * m));
        let (head, h) = (plain(&backend, v, k, &w), buffer(&backend, &x));
        let targets: Vec<u32> =
            (0..m).map(|i| if i % 5 == 2 { u32::MAX } else { random.below(v) as u32 }).collect();
        let mut out = vec![f32::NAN; m];
        backend.log_probs(&head, &h, RowMap::DENSE, &targets, &mut out).unwrap();
        for (i, &target) in targets.iter().enumerate() {
            let mut alone = [f32::NAN];
            backend.log_probs(&head, &h, RowMap::from(i), &[target], &mut alone).unwrap();
            assert_eq!(alone[0].to_bits(), out[i].to_bits());
            if target == u32::MAX {
                assert_eq!(out[i], 0.0);
                continue;
            }
            let logits = product(&multiplied(&backend, &x[i * k..(i + 1) * k]), &w, v);
            let want = logits[target as usize] - logits.iter().map(|x| x.exp()).sum::<f64>().ln();
            close(&out[i..=i], &[want], 2e-6, "log probability");
        }
    }
}

#[test]
fn greedy_draws_take_the_best_and_forced_ones_what_they_must() {
    let mut random = Random(31);
    for backend in backends() {
        let (k, v, m) = (20, 99, 80);
        let (w, x) = (random.short(k * v), random.values(2 * k * m));
        let (head, h) = (plain(&backend, v, k, &w), buffer(&backend, &x));
        let draws: Vec<Draw> = (0..m).map(|i| greedy((i % 7 == 3).then_some(i as u32))).collect();
        let mut ids = backend.ids(3 * m).unwrap();
        let (from, to) = (RowMap::every(1, 2), RowMap::every(2, 3));
        backend.sample(&head, &h, from, &draws, &mut ids, to).unwrap();
        let mut got = vec![0; 3 * m];
        backend.read_ids(&ids, 0, &mut got).unwrap();
        for i in 0..m {
            let logits = product(&multiplied(&backend, &x[(2 * i + 1) * k..(2 * i + 2) * k]), &w, v);
            let best = (0..v).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
            let want = if i % 7 == 3 { i } else { best };
            assert_eq!(got[3 * i..3 * i + 3], [0, 0, want as u32]);
        }
    }
}

#[test]
fn nan_logits_do_not_panic() {
    for backend in backends() {
        let head = plain(&backend, 5, 3, &[1.0; 15]);
        let h = buffer(&backend, &[f32::NAN; 3]);
        let mut ids = backend.ids(1).unwrap();
        backend.sample(&head, &h, RowMap::DENSE, &[greedy(None)], &mut ids, RowMap::DENSE).unwrap();
        let mut out = [0.0];
        backend.log_probs(&head, &h, RowMap::DENSE, &[2], &mut out).unwrap();
    }
}

#[test]
fn embeddings_norms_copies_and_fills_land_where_their_maps_say() {
    let mut random = Random(32);
    for backend in backends() {
        let (v, d) = (9, 6);
        let w = random.short(v * d);
        let table = backend.table(&tensor("t", &[v, d], &w)).unwrap();
        let mut ids = backend.ids(4).unwrap();
        backend.write_ids(&[8, 0, 3, 5], &mut ids, 0).unwrap();
        let mut out = backend.buffer(8 * d).unwrap();
        backend.embed(&table, &ids, RowMap::from(1), &mut out, RowMap::blocks(1, 2, 4), 3).unwrap();
        let row = |id: usize| w[id * d..(id + 1) * d].to_vec();
        let zero = vec![0.0; d];
        let want = [&zero, &row(0), &row(3), &zero, &zero, &row(5), &zero, &zero].map(Clone::clone).concat();
        assert_eq!(contents(&backend, &out), want);

        let gain = random.values(d);
        let vector = backend.vector(&tensor("g", &[d], &gain)).unwrap();
        let mut normed = buffer(&backend, &[f32::NAN; 18]);
        backend
            .norm(&vector, 1e-5, &out, RowMap::List(&[5, 1]), 2, &mut normed, RowMap::every(0, 2))
            .unwrap();
        let got = contents(&backend, &normed);
        close(&got[..d], &rms_norm(&wide(&row(5)), &gain, 1e-5), 1e-6, "norm");
        close(&got[2 * d..], &rms_norm(&wide(&row(0)), &gain, 1e-5), 1e-6, "norm");
        assert!(got[d..2 * d].iter().all(|x| x.is_nan()));

        backend.fill(&vector, &mut normed, RowMap::from(1), 1).unwrap();
        assert_eq!(contents(&backend, &normed)[d..2 * d], gain);
        backend.copy(&normed, RowMap::from(1), &mut out, RowMap::List(&[7]), 1, d).unwrap();
        assert_eq!(contents(&backend, &out)[7 * d..], gain);
    }
}
