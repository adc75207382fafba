//! `wmma`: load, multiply, store, in all shapes, types and layouts.

use crate::elements::{bits, encode, matrix, product};
use crate::run::{MODES, assemble, head, launch, settings, vector};

/// Registers of a fragment of A or B, and of C.
fn count(kind: &str, elements: usize) -> usize {
    if kind == "f64" { elements / 32 } else { elements * bits(kind) / 1024 }
}

/// A matrix in memory with `pad` elements after each line.
fn image(kind: &str, m: &[Vec<f64>], by_rows: bool, pad: usize) -> (Vec<u8>, usize) {
    let (rows, columns) = (m.len(), m[0].len());
    let (lines, length) = if by_rows { (rows, columns) } else { (columns, rows) };
    let (width, stride) = (bits(kind), length + pad);
    let mut image = vec![0; (lines * stride * width).div_ceil(8)];
    for line in 0..lines {
        for i in 0..length {
            let value = encode(kind, if by_rows { m[line][i] } else { m[i][line] });
            let at = (line * stride + i) * width;
            for bit in 0..width {
                image[(at + bit) / 8] |= ((value >> bit & 1) as u8) << ((at + bit) % 8);
            }
        }
    }
    (image, stride)
}

/// Copies words by the lanes of a warp: `%at4` and `%at5` point to word `%t1` of input and output, `%t3` to that of shared
/// memory.
fn copy(label: &str, words: usize, load: &str, store: &str) -> String {
    format!(
        "mov.u32 %t1, %lane;\n{label}: setp.ge.u32 %p0, %t1, {words}; @%p0 bra {label}_END;
        mad.wide.u32 %at4, %t1, 4, %a1; mad.wide.u32 %at5, %t1, 4, %a0; mov.u32 %t3, s; mad.lo.u32 %t3, %t1, 4, %t3;
        {load} {store} add.u32 %t1, %t1, 32; bra {label};\n{label}_END: bar.sync 0;\n"
    )
}

fn check(shape: [usize; 3], types: [&str; 3], layouts: (bool, bool, bool), tail: &str) {
    check_in(".global", shape, types, layouts, tail);
}

/// `space` is `.global`, `.shared`, or nothing for generic addresses of global memory.
fn check_in(
    space: &str,
    shape: [usize; 3],
    [td, ta, tc]: [&str; 3],
    layouts: (bool, bool, bool),
    tail: &str,
) {
    let [m, n, k] = shape;
    let name = format!("m{m}n{n}k{k}");
    let (rows_a, rows_b, rows_c) = layouts;
    let layout = |rows: bool| if rows { "row" } else { "col" };
    let pad = |t: &str| 128 / bits(t);
    let (a, b, c) = (matrix(ta, 1, m, k), matrix(ta, 2, k, n), matrix(tc, 3, m, n));
    let ((ia, sa), (ib, sb), (ic, sc)) =
        (image(ta, &a, rows_a, pad(ta)), image(ta, &b, rows_b, pad(ta)), image(tc, &c, rows_c, pad(tc)));
    let fragment = |elements| if ta == "f16" { 8 } else { count(ta, elements) };
    let (na, nb, nc, nd) = (fragment(m * k), fragment(k * n), count(tc, m * n), count(td, m * n));
    let ty = |t: &str| match t {
        "f64" => "f64",
        "f32" => "f32",
        _ => "b32",
    };
    let mut text = head("sm_80");
    text += &format!(
        ".reg .{0} %ax<{na}>, %bx<{nb}>; .reg .{1} %cx<{nc}>; .reg .{2} %dx<{nd}>;\n",
        if ta == "f64" { "f64" } else { "b32" },
        ty(tc),
        ty(td)
    );
    let at = [
        0,
        ia.len().next_multiple_of(256),
        (ia.len().next_multiple_of(256) + ib.len()).next_multiple_of(256),
    ];
    let mut expected = product(&a, &b, &c);
    if ta == "b1" {
        for i in 0..m {
            for j in 0..n {
                expected[i][j] =
                    c[i][j] + (0..k).map(|l| f64::from(u8::from(a[i][l] != b[l][j]))).sum::<f64>();
            }
        }
    }
    let expected = image(td, &expected, rows_c, 0).0;
    let mut input = ia.clone();
    input.resize(at[1], 0);
    input.extend(&ib);
    input.resize(at[2], 0);
    input.extend(&ic);
    input.resize(input.len().next_multiple_of(256), 0);
    let shared = space == ".shared";
    let [place_a, place_b, place_c, place_d] = match shared {
        true => [0, at[1], at[2], input.len()].map(|at| format!("s+{at}")),
        false => ["%a1", "%at0", "%at1", "%a0"].map(str::to_owned),
    };
    if shared {
        text += &copy("IN", input.len() / 4, "ld.global.b32 %t2, [%at4];", "st.shared.b32 [%t3], %t2;");
    }
    text += &format!("add.u64 %at0, %a1, {}; add.u64 %at1, %a1, {};\n", at[1], at[2]);
    text += &format!(
        "wmma.load.a.sync.aligned.{}.{name}{space}.{ta} {}, [{place_a}], {sa};\n",
        layout(rows_a),
        vector("ax", na)
    );
    text += &format!(
        "wmma.load.b.sync.aligned.{}.{name}{space}.{ta} {}, [{place_b}], {sb};\n",
        layout(rows_b),
        vector("bx", nb)
    );
    text += &format!(
        "wmma.load.c.sync.aligned.{}.{name}{space}.{tc} {}, [{place_c}], {sc};\n",
        layout(rows_c),
        vector("cx", nc)
    );
    let types = if ta == "f16" { format!("{td}.{tc}") } else { format!("{td}.{ta}.{ta}.{tc}") };
    let operation = if ta == "b1" { ".xor.popc" } else { "" };
    let list =
        format!("{}, {}, {}, {}", vector("dx", nd), vector("ax", na), vector("bx", nb), vector("cx", nc));
    text += &format!(
        "wmma.mma{operation}.sync.aligned.{}.{}.{name}.{types}{tail} {list};\n",
        layout(rows_a),
        layout(rows_b)
    );
    text += &format!(
        "wmma.store.d.sync.aligned.{}.{name}{space}.{td} [{place_d}], {}, {sd};\n",
        layout(rows_c),
        vector("dx", nd),
        sd = if rows_c { n } else { m }
    );
    if shared {
        let load = format!("ld.shared.b32 %t2, [%t3+{}];", input.len());
        text += &("bar.sync 0;\n".to_owned()
            + &copy("OUT", expected.len() / 4, &load, "st.global.b32 [%at5], %t2;"));
    }
    text += "ret;\n}\n";
    assemble(&text);
    for mode in MODES {
        let out = launch(settings(mode), &text, 32, [&input, &[]], expected.len())
            .unwrap_or_else(|e| panic!("{e}\n{text}"));
        let size = bits(td) / 8;
        for (n, (got, want)) in out.chunks_exact(size).zip(expected.chunks_exact(size)).enumerate() {
            let negative_zero = |b: &[u8]| b[size - 1] == 0x80 && b[..size - 1].iter().all(|x| *x == 0);
            let same = got == want || td != "s32" && negative_zero(want) && got.iter().all(|x| *x == 0);
            assert!(same, "{name} {types} {layouts:?} {mode:?} element {n}: {got:x?} {want:x?}");
        }
    }
}

#[test]
fn load_multiply_store_gives_the_product() {
    let all = [(true, true, true), (true, false, true), (false, true, false), (false, false, true)];
    for layouts in all {
        for shape in [[16, 16, 16], [8, 32, 16], [32, 8, 16]] {
            for types in [
                ["f32", "f16", "f32"],
                ["f16", "f16", "f16"],
                ["f32", "f16", "f16"],
                ["f32", "bf16", "f32"],
                ["s32", "s8", "s32"],
                ["s32", "u8", "s32"],
            ] {
                check(shape, types, layouts, "");
            }
        }
        check([16, 16, 8], ["f32", "tf32", "f32"], layouts, "");
        check([8, 8, 4], ["f64", "f64", "f64"], layouts, "");
        check([8, 8, 4], ["f64", "f64", "f64"], layouts, ".rn");
    }
    for kind in ["s4", "u4"] {
        check([8, 8, 32], ["s32", kind, "s32"], (true, false, true), "");
    }
    check([8, 8, 128], ["s32", "b1", "s32"], (true, false, true), "");
}

#[test]
fn matrices_lie_in_shared_memory_and_at_generic_addresses_too() {
    for space in [".shared", ""] {
        for layouts in [(true, false, true), (false, true, false)] {
            for shape in [[16, 16, 16], [8, 32, 16], [32, 8, 16]] {
                for types in [
                    ["f32", "f16", "f32"],
                    ["f16", "f16", "f16"],
                    ["f32", "bf16", "f32"],
                    ["s32", "s8", "s32"],
                    ["s32", "u8", "s32"],
                ] {
                    check_in(space, shape, types, layouts, "");
                }
            }
            check_in(space, [16, 16, 8], ["f32", "tf32", "f32"], layouts, "");
            check_in(space, [8, 8, 4], ["f64", "f64", "f64"], layouts, "");
        }
        for kind in ["s4", "u4"] {
            check_in(space, [8, 8, 32], ["s32", kind, "s32"], (true, false, true), "");
        }
        check_in(space, [8, 8, 128], ["s32", "b1", "s32"], (true, false, true), "");
    }
}

#[test]
fn integer_sums_clamp_with_satfinite() {
    check([16, 16, 16], ["s32", "s8", "s32"], (true, false, true), ".satfinite");
    check([32, 8, 16], ["s32", "u8", "s32"], (true, false, true), ".satfinite");
}
