//! `ldmatrix`, `stmatrix`, `movmatrix`, by index formula.

use crate::run::{MODES, assemble, bytes, head, launch, load, registers, settings, store, vector};

/// Halves of matrices m, rows r, columns c: all different.
fn half(m: usize, r: usize, c: usize) -> u16 {
    (m * 64 + r * 8 + c) as u16 + 0x100
}

/// The element that lane `lane` holds in half `e` of register `m`.
fn fragment(m: usize, lane: usize, e: usize, transposed: bool) -> u16 {
    let (outer, inner) = (lane / 4, lane % 4 * 2 + e);
    if transposed { half(m, inner, outer) } else { half(m, outer, inner) }
}

/// Where row `r` of matrix `m` lies in shared memory: not in order, with gaps.
fn row_at(m: usize, r: usize) -> usize {
    ((m * 8 + r) * 13 % 32) * 48
}

/// Row addresses, one for each lane; lanes without a row have an address that must not be used.
fn addresses(count: usize) -> Vec<u8> {
    let at = |lane: usize| if lane < 8 * count { row_at(lane / 8, lane % 8) as u32 } else { 0x7FFF_FFF1 };
    (0..32).flat_map(|lane| at(lane).to_le_bytes()).collect()
}

/// Shared memory from and to `[%a2]`, a word for each lane in turn.
const WORDS: usize = 32 * 48 / 4;

fn move_words(to_shared: bool) -> String {
    let mut text = String::from("mov.u32 %t1, s; shl.b32 %t0, %lane, 2; add.u32 %t1, %t1, %t0; ");
    let global = if to_shared { "%a2" } else { "%a0" };
    text += &format!("mad.wide.u32 %at3, %lane, 4, {global};\n");
    for n in 0..WORDS / 32 {
        text += &if to_shared {
            format!("ld.global.b32 %t2, [%at3+{0}]; st.shared.b32 [%t1+{0}], %t2;\n", n * 128)
        } else {
            format!("ld.shared.b32 %t2, [%t1+{0}]; st.global.b32 [%at3+{0}], %t2;\n", n * 128)
        };
    }
    text + "bar.sync 0;\n"
}

#[test]
fn ldmatrix_gives_each_lane_its_elements() {
    for count in [1, 2, 4] {
        let mut image = vec![0u8; 32 * 48];
        for m in 0..count {
            for r in 0..8 {
                for c in 0..8 {
                    image[row_at(m, r) + 2 * c..][..2].copy_from_slice(&half(m, r, c).to_le_bytes());
                }
            }
        }
        for transposed in [false, true] {
            for space in ["", ".shared", ".shared::cta"] {
                let trans = if transposed { ".trans" } else { "" };
                let text = head("sm_80")
                    + &move_words(true)
                    + &load("at_row", 1, 32, "%a1", 32)
                    + &format!(".reg .b32 %x<{count}>; mov.u32 %t3, s; add.u32 %t3, %t3, %at_row0;\n")
                    + "cvt.u64.u32 %at4, %t3;\n"
                    + if space.is_empty() { "cvta.shared.u64 %at4, %at4;\n" } else { "" }
                    + &format!(
                        "ldmatrix.sync.aligned.m8n8.x{count}{trans}{space}.b16 {}, [%at4];\n",
                        vector("x", count)
                    )
                    + &store("x", count, 32, "%a0", 32)
                    + "ret;\n}\n";
                assemble(&text);
                let out = launch(settings(MODES[0]), &text, 32, [&addresses(count), &image], 128 * count)
                    .unwrap_or_else(|e| panic!("{e}"));
                for (m, lanes) in registers(32, 32, &out).iter().enumerate() {
                    for (lane, word) in lanes.iter().enumerate() {
                        for e in 0..2 {
                            assert_eq!(
                                (word >> (16 * e)) as u16,
                                fragment(m, lane, e, transposed),
                                "x{count}{trans}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn stmatrix_puts_each_element_where_ldmatrix_finds_it() {
    for count in [1, 2, 4] {
        for (transposed, space) in
            [false, true].into_iter().flat_map(|t| ["", ".shared", ".shared::cta"].map(|space| (t, space)))
        {
            let trans = if transposed { ".trans" } else { "" };
            let fragments: Vec<Vec<u64>> = (0..count)
                .map(|m| {
                    (0..32)
                        .map(|l| {
                            u64::from(fragment(m, l, 0, transposed))
                                | u64::from(fragment(m, l, 1, transposed)) << 16
                        })
                        .collect()
                })
                .collect();
            let text = head("sm_90")
                + &move_words(true)
                + &load("at_row", 1, 32, "%a1", 32)
                + "add.u64 %at2, %a1, 128;\n"
                + &load("x", count, 32, "%at2", 32)
                + "mov.u32 %t3, s; add.u32 %t3, %t3, %at_row0; cvt.u64.u32 %at4, %t3;\n"
                + if space.is_empty() { "cvta.shared.u64 %at4, %at4;\n" } else { "" }
                + &format!(
                    "stmatrix.sync.aligned.m8n8.x{count}{trans}{space}.b16 [%at4], {};\nbar.sync 0;\n",
                    vector("x", count)
                )
                + &move_words(false)
                + "ret;\n}\n";
            assemble(&text);
            let input = [addresses(count), bytes(32, &fragments)].concat();
            let out = launch(settings(MODES[0]), &text, 32, [&input, &vec![0xEE; WORDS * 4]], WORDS * 4)
                .unwrap_or_else(|e| panic!("{e}"));
            let mut expected = vec![0xEE; WORDS * 4];
            for m in 0..count {
                for r in 0..8 {
                    for c in 0..8 {
                        expected[row_at(m, r) + 2 * c..][..2].copy_from_slice(&half(m, r, c).to_le_bytes());
                    }
                }
            }
            assert_eq!(out, expected, "x{count}{trans}");
        }
    }
}

#[test]
fn movmatrix_transposes() {
    let text = head("sm_80")
        + &load("x", 1, 32, "%a1", 32)
        + ".reg .b32 %y<1>; movmatrix.sync.aligned.m8n8.trans.b16 %y0, %x0;\n"
        + &store("y", 1, 32, "%a0", 32)
        + "ret;\n}\n";
    assemble(&text);
    let input: Vec<u8> = (0..32)
        .flat_map(|l| {
            (u32::from(fragment(0, l, 0, false)) | u32::from(fragment(0, l, 1, false)) << 16).to_le_bytes()
        })
        .collect();
    let out = launch(settings(MODES[0]), &text, 32, [&input, &[]], 128).unwrap();
    for (lane, word) in registers(32, 32, &out)[0].iter().enumerate() {
        assert_eq!(
            (*word as u16, (*word >> 16) as u16),
            (fragment(0, lane, 0, true), fragment(0, lane, 1, true))
        );
    }
}

#[test]
fn a_row_that_is_not_aligned_to_sixteen_bytes_is_reported() {
    let text = head("sm_80")
        + &move_words(true)
        + "mov.u32 %t3, s; add.u32 %t3, %t3, 8; .reg .b32 %x<1>;\nldmatrix.sync.aligned.m8n8.x1.shared.b16 {%x0}, [%t3];\nret;\n}\n";
    let error = launch(settings(MODES[0]), &text, 32, [&[], &vec![0; WORDS * 4]], 4).unwrap_err();
    assert!(matches!(error, gpusim::LaunchError::Misaligned(_)), "{error}");
}
