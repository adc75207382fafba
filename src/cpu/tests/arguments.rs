//! Bad arguments: an error that names the argument, never a panic.

use super::*;
use crate::backend::{Attention, RowMap};
use crate::error::{Error, Result};
use crate::sampling::{Draw, Sampling};

#[track_caller]
fn refused<T>(result: Result<T>, name: &str) {
    match result {
        Err(Error::Argument(message)) => {
            assert!(message.contains(name) && !message.contains('\n'), "{message:?} does not name {name:?}");
        }
        Err(other) => panic!("{other} is no argument error"),
        Ok(_) => panic!("{name} was accepted"),
    }
}

#[test]
fn options_that_cannot_work_are_refused() {
    refused(CpuBackend::new(CpuOptions { threads: Some(0), ..CpuOptions::default() }), "threads");
    refused(CpuBackend::new(CpuOptions { dtype: Dtype::F16, ..CpuOptions::default() }), "dtype");
}

#[test]
fn misshapen_weights_are_refused() {
    let b = backend(Isa::best(), Dtype::F32, 1);
    let (w, odd) = (tensor("w", &[2, 3], &[0.0; 6]), tensor("odd", &[2, 2], &[0.0; 4]));
    let (short, flat) = (tensor("short", &[2], &[0.0; 2]), tensor("flat", &[6], &[0.0; 6]));
    fn spec<'a>(
        weights: &'a [&'a Tensor],
        norm: Option<(&'a Tensor, f64)>,
        bias: Option<&'a Tensor>,
    ) -> LinearSpec<'a> {
        LinearSpec { norm, weights, bias, layout: Layout::Plain }
    }
    refused(b.linear(spec(&[], None, None)), "weights");
    refused(b.linear(spec(&[&w, &odd], None, None)), "odd");
    refused(b.linear(spec(&[&flat], None, None)), "flat");
    refused(b.linear(spec(&[&w], Some((&short, 1e-5)), None)), "short");
    refused(b.linear(spec(&[&w], None, Some(&flat))), "flat");
    refused(b.table(&flat), "flat");
}

#[test]
fn rows_beyond_a_buffer_are_refused() {
    let b = backend(Isa::best(), Dtype::F32, 1);
    let linear = plain(&b, 4, 3, &[0.0; 12]);
    let (x, mut out) = (b.buffer(6).unwrap(), b.buffer(8).unwrap());
    let dense = RowMap::DENSE;
    refused(b.project(&linear, &x, dense, 3, &mut out, dense, 4), "x holds 6");
    refused(b.project(&linear, &x, RowMap::from(1), 2, &mut out, dense, 4), "x holds 6");
    refused(b.project(&linear, &x, dense, 2, &mut out, RowMap::from(1), 4), "out holds 8");
    refused(b.project(&linear, &x, dense, 2, &mut out, dense, usize::MAX), "out");
    refused(b.project(&linear, &x, dense, 2, &mut out, RowMap::blocks(0, 0, 1), 4), "out");
    refused(b.project(&linear, &x, dense, 2, &mut out, RowMap::every(0, usize::MAX), 4), "out");
    refused(b.project(&linear, &x, RowMap::List(&[0]), 2, &mut out, dense, 4), "x lists 1");
    refused(b.project(&linear, &x, RowMap::List(&[0, usize::MAX]), 2, &mut out, dense, 4), "x");
    refused(b.project_add(&linear, &x, 3, &mut out), "h holds");
    refused(b.project_add(&linear, &x, 2, &mut b.buffer(7).unwrap()), "x holds 7");
    refused(b.gate_up(&linear, &x, 2, &mut b.buffer(3).unwrap()), "out holds 3");
    refused(b.gate_up(&plain(&b, 3, 3, &[0.0; 9]), &x, 2, &mut out), "3 outputs");
    refused(b.read(&x, 5, &mut [0.0; 2]), "buffer holds 6");
    refused(b.write(&[0.0; 2], &mut out, usize::MAX), "buffer holds 8");
    refused(b.copy(&x, dense, &mut out, dense, 3, 3), "source");
    refused(b.copy(&x, dense, &mut out, RowMap::from(2), 2, 3), "target");
}

#[test]
fn outputs_that_overlap_are_refused() {
    let b = backend(Isa::best(), Dtype::F32, 1);
    let linear = plain(&b, 4, 3, &[0.0; 12]);
    let (x, mut out) = (b.buffer(30).unwrap(), b.buffer(100).unwrap());
    let mut to = |map, width| b.project(&linear, &x, RowMap::DENSE, 5, &mut out, map, width);
    refused(to(RowMap::DENSE, 3), "overlap");
    refused(to(RowMap::every(0, 0), 4), "overlap");
    refused(to(RowMap::blocks(0, 3, 2), 4), "overlap");
    refused(to(RowMap::List(&[5, 4, 3, 9, 4]), 4), "overlap");
    to(RowMap::List(&[5, 4, 3, 9, 1]), 4).unwrap();
    to(RowMap::every(1, 2), 2).unwrap();
    to(RowMap::blocks(0, 5, 0), 4).unwrap();
}

#[test]
fn ids_outside_the_vocabulary_are_refused() {
    let b = backend(Isa::best(), Dtype::F32, 1);
    let (table, head) = (b.table(&tensor("t", &[4, 2], &[0.0; 8])).unwrap(), plain(&b, 4, 2, &[0.0; 8]));
    let (h, mut out, mut ids) = (b.buffer(4).unwrap(), b.buffer(4).unwrap(), b.ids(2).unwrap());
    let dense = RowMap::DENSE;
    b.write_ids(&[3, 4], &mut ids, 0).unwrap();
    refused(b.embed(&table, &ids, dense, &mut out, dense, 2), "token id 4");
    let draw = Draw { sampling: Sampling::GREEDY, sequence: 0, position: 0, forced: Some(4) };
    refused(b.sample(&head, &h, dense, &[draw], &mut ids, dense), "token id 4");
    refused(b.log_probs(&head, &h, dense, &[4], &mut [0.0]), "token id 4");
    refused(b.log_probs(&head, &h, dense, &[1, 1], &mut [0.0]), "out holds 1");
}

#[test]
fn passes_that_do_not_fit_are_refused() {
    let b = backend(Isa::best(), Dtype::F32, 1);
    let (width, d) = (HEADS.packed(), 3);
    let linear = plain(&b, width, d, &vec![0.0; width * d]);
    let (x, mut packed) = (b.buffer(6 * d).unwrap(), b.buffer(6 * width).unwrap());
    let mut out = b.buffer(6 * HEADS.query_width()).unwrap();
    let mut qkv = |heads, n, layer, attention: &mut Attention<'_, CpuBackend>| {
        b.qkv(&linear, heads, 1e4, &x, n, layer, attention, &mut packed)
    };
    refused(qkv(HEADS, 5, 0, &mut Attention::Chunks { window: 3 }), "multiple of window");
    refused(qkv(HEADS, 5, 0, &mut Attention::Chunks { window: 0 }), "window");
    refused(qkv(HEADS, 9, 0, &mut Attention::Chunks { window: 3 }), "x holds");
    let window = || Attention::Chunks { window: 3 };
    refused(qkv(Heads { query: 3, ..HEADS }, 3, 0, &mut window()), "heads.query is 3");
    refused(qkv(Heads { kv: 0, ..HEADS }, 3, 0, &mut window()), "heads.kv");
    refused(qkv(Heads { head_dim: 9, ..HEADS }, 3, 0, &mut window()), "head_dim is 9");
    refused(qkv(Heads { head_dim: 12, ..HEADS }, 3, 0, &mut window()), "outputs of linear");

    let mut local = b.local(2, HEADS, 2, 4).unwrap();
    let mut step = |n, layer, position, rows| {
        let local = &mut local;
        qkv(HEADS, n, layer, &mut Attention::Step { local, position, rows })
    };
    refused(step(2, 2, 0, 1), "layer is 2");
    refused(step(2, 0, 4, 1), "position is 4");
    refused(step(2, 0, usize::MAX, 1), "position");
    refused(step(3, 0, 0, 1), "at most 2 chunks");
    refused(step(3, 0, 0, 2), "multiple of rows");
    refused(step(3, 0, 0, 0), "rows");

    let mut caches = [b.cache(2, HEADS, 0).unwrap(), b.cache(2, HEADS, 0).unwrap()];
    let mut stream = |n, layer, lanes: &[usize], rows: &[usize]| {
        qkv(HEADS, n, layer, &mut Attention::Stream { caches: &mut caches, lanes, rows })
    };
    refused(stream(3, 0, &[0], &[2]), "sum of rows");
    refused(stream(3, 0, &[0], &[2, 1]), "number of lanes");
    refused(stream(0, 0, &[0], &[0]), "rows of a sequence");
    refused(stream(3, 2, &[1], &[3]), "layer is 2");
    refused(stream(3, 0, &[2], &[3]), "lanes[0] is 2");
    refused(stream(3, 0, &[1, 0], &[2, 1]), "lanes[1] is 0");
    refused(stream(3, 0, &[1, 1], &[2, 1]), "lanes[1] is 1");
    refused(stream(usize::MAX, 0, &[0], &[usize::MAX]), "x");
    let mut attention = Attention::Stream { caches: &mut caches, lanes: &[1], rows: &[3] };
    refused(b.attend(HEADS, &packed, 3, 0, &mut attention, &mut out), "qkv comes before attend");
    refused(b.commit(&mut attention), "never appended");
    let mut other = [b.cache(1, Heads { head_dim: 2, ..HEADS }, 0).unwrap()];
    let mut attention = Attention::Stream { caches: &mut other, lanes: &[0], rows: &[3] };
    refused(b.attend(HEADS, &packed, 3, 0, &mut attention, &mut out), "made for");
}
