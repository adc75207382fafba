//! `mma.sync`: every shape and type.

use gpusim::Settings;

use crate::elements::{bits, encode, matrix, pack, product, unpack};
use crate::run::{MODES, assemble, bytes, head, launch, load, registers, settings, store, vector};

/// A form of the instruction.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub shape: [usize; 3],
    /// D, A, B, C.
    pub types: [&'static str; 4],
    /// Between layouts and types, and at the end.
    pub inner: &'static str,
    pub tail: &'static str,
    pub target: &'static str,
}

impl Form {
    pub fn name(&self) -> String {
        let ([m, n, k], [d, a, b, c]) = (self.shape, self.types);
        format!("mma.sync.aligned.m{m}n{n}k{k}.row.col{}.{d}.{a}.{b}.{c}{}", self.inner, self.tail)
    }

    /// Elements of a lane: D, A, B, C.
    fn elements(&self) -> [usize; 4] {
        let [m, n, k] = self.shape;
        [m * n / 32, m * k / 32, n * k / 32, m * n / 32]
    }

    fn registers(&self) -> [usize; 4] {
        let count = self.elements();
        std::array::from_fn(|i| (count[i] * bits(self.types[i])).div_ceil(32.max(bits(self.types[i]))))
    }

    /// A kernel that loads A, B and C, and stores D.
    pub fn ptx(&self) -> String {
        let [d, a, b, c] = self.registers();
        let word = if self.types[0] == "f64" { 64 } else { 32 };
        let mut text = head(self.target);
        let size = 32 * word / 8;
        text += "mov.u64 %at2, %a1;\n";
        for (name, count) in [("a", a), ("b", b), ("c", c)] {
            let name = format!("{name}x");
            text += &load(&name, count, word, "%at2", 32);
            text += &format!("add.u64 %at2, %at2, {};\n", count * size);
        }
        text += &format!(".reg .b{word} %dx<{d}>;\n");
        text += &format!(
            "{} {}, {}, {}, {};\n",
            self.name(),
            vector("dx", d),
            vector("ax", a),
            vector("bx", b),
            vector("cx", c)
        );
        text + &store("dx", d, word, "%a0", 32) + "ret;\n}\n"
    }

    /// D as bits, from A, B and C as bits; matrices by rows.
    pub fn run(&self, settings: Settings, [a, b, c]: [&[Vec<u64>]; 3]) -> Vec<Vec<u64>> {
        let [m, n, _] = self.shape;
        let [_, ta, tb, tc] = self.types;
        let count = self.elements();
        let word = if self.types[0] == "f64" { 64 } else { 32 };
        let left = pack(ta, 32, count[1], |lane, i| {
            let (row, column) = place_a(self.shape, bits(ta), lane, i);
            a[row][column]
        });
        let right = pack(tb, 32, count[2], |lane, i| {
            let (row, column) = place_b(self.shape, bits(tb), lane, i);
            b[row][column]
        });
        let addend = pack(tc, 32, count[3], |lane, i| {
            let (row, column) = place_c(m, lane, i);
            c[row][column]
        });
        let input: Vec<u8> = [left, right, addend].iter().flat_map(|list| bytes(word, list)).collect();
        let out = self.registers()[0] * 32 * word / 8;
        let result =
            launch(settings, &self.ptx(), 32, [&input, &[]], out).unwrap_or_else(|error| panic!("{error}"));
        let result = registers(word, 32, &result);
        let mut d = vec![vec![0; n]; m];
        for lane in 0..32 {
            for i in 0..count[0] {
                let (row, column) = place_c(m, lane, i);
                d[row][column] = unpack(self.types[0], &result, lane, i);
            }
        }
        d
    }
}

/// Row and column of element `i` of A: "Matrix Fragments" of the PTX ISA, shape by shape.
fn place_a([m, _, k]: [usize; 3], bits: usize, lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let upper = |first: bool| if first { group } else { group + 8 };
    match (m, k, bits) {
        (8, 4, 64) => (group, thread),
        (8, 16, 8) => (group, thread * 4 + i),
        (8, 32, 4) => (group, thread * 8 + i),
        (8, 128, 1) => (group, thread * 32 + i),
        (16, 4, _) => (upper(i == 0), thread),
        (16, 8, 16) => (upper(i < 2), thread * 2 + (i & 1)),
        (16, 8, _) => (upper(i == 0 || i == 2), if i < 2 { thread } else { thread + 4 }),
        (16, 16, 16) => {
            (upper(i < 2 || (4..6).contains(&i)), thread * 2 + (i & 1) + if i >= 4 { 8 } else { 0 })
        }
        (16, 16, 64) => (
            upper(i.is_multiple_of(2)),
            if i.is_multiple_of(2) { i * 2 + thread } else { i * 2 - 2 + thread },
        ),
        (16, 16, 8) => (upper(i < 4), thread * 4 + (i & 3)),
        (16, 32, 8) => {
            (upper(i < 4 || (8..12).contains(&i)), thread * 4 + (i & 3) + if i >= 8 { 16 } else { 0 })
        }
        (16, 32, 4) => (upper(i < 8), thread * 8 + (i & 7)),
        (16, 64, 4) => {
            (upper(i < 8 || (16..24).contains(&i)), thread * 8 + (i & 7) + if i >= 16 { 32 } else { 0 })
        }
        (16, 128, 1) => (upper(i < 32), thread * 32 + (i & 31)),
        (16, 256, 1) => {
            (upper(i < 32 || (64..96).contains(&i)), thread * 32 + (i & 31) + if i >= 64 { 128 } else { 0 })
        }
        _ => panic!("no layout of A for {m} rows, k {k}, {bits} bits"),
    }
}

/// Row and column of element `i` of B.
fn place_b([m, _, k]: [usize; 3], bits: usize, lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = match (m, k, bits) {
        (_, 4, _) => thread,
        (_, 8, 16) => thread * 2 + i,
        (_, 8, _) => {
            if i == 0 {
                thread
            } else {
                thread + 4
            }
        }
        (_, 16, 16) => thread * 2 + (i & 1) + if i >= 2 { 8 } else { 0 },
        (_, 16, 64) => thread + i * 4,
        (_, 16, 8) => thread * 4 + i,
        (_, 32, 8) => thread * 4 + (i & 3) + if i >= 4 { 16 } else { 0 },
        (_, 32, 4) => thread * 8 + i,
        (_, 64, 4) => thread * 8 + (i & 7) + if i >= 8 { 32 } else { 0 },
        (_, 128, 1) => thread * 32 + i,
        (_, 256, 1) => thread * 32 + (i & 31) + if i >= 32 { 128 } else { 0 },
        _ => panic!("no layout of B for k {k}, {bits} bits"),
    };
    (row, group)
}

/// Row and column of element `i` of C and D.
pub fn place_c(m: usize, lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    if m == 8 {
        (group, thread * 2 + i)
    } else {
        (if i < 2 { group } else { group + 8 }, thread * 2 + (i & 1))
    }
}

/// All forms but m8n8k4 of halves.
pub fn forms() -> Vec<Form> {
    let mut forms = Vec::new();
    let mut add = |shape, types, inner, tail, target| forms.push(Form { shape, types, inner, tail, target });
    for shape in [[16, 8, 8], [16, 8, 16]] {
        add(shape, ["f32", "f16", "f16", "f32"], "", "", "sm_80");
        add(shape, ["f16", "f16", "f16", "f16"], "", "", "sm_80");
        add(shape, ["f32", "bf16", "bf16", "f32"], "", "", "sm_80");
    }
    add([16, 8, 8], ["f32", "f16", "f16", "f32"], "", "", "sm_75");
    for k in [4, 8] {
        add([16, 8, k], ["f32", "tf32", "tf32", "f32"], "", "", "sm_80");
    }
    for a in ["e4m3", "e5m2"] {
        for b in ["e4m3", "e5m2"] {
            for k in [16, 32] {
                let names: [[&'static str; 4]; 2] = [["f32", a, b, "f32"], ["f16", a, b, "f16"]];
                for types in names {
                    add([16, 8, k], types, "", "", "sm_89");
                    add([16, 8, k], types, "", "", "sm_90");
                }
            }
        }
    }
    for inner in ["", ".satfinite"] {
        for (types, shapes) in [
            (["s8", "u8"], [[8, 8, 16], [16, 8, 16], [16, 8, 32]]),
            (["s4", "u4"], [[8, 8, 32], [16, 8, 32], [16, 8, 64]]),
        ] {
            for shape in shapes {
                for a in types {
                    for b in types {
                        add(shape, ["s32", a, b, "s32"], inner, "", "sm_80");
                    }
                }
            }
        }
    }
    for k in [[8, 8, 128], [16, 8, 128], [16, 8, 256]] {
        for tail in [".xor.popc", ".and.popc"] {
            add(k, ["s32", "b1", "b1", "s32"], "", tail, "sm_80");
        }
    }
    add([8, 8, 4], ["f64"; 4], "", "", "sm_80");
    for k in [4, 8, 16] {
        add([16, 8, k], ["f64"; 4], "", "", "sm_90");
    }
    forms
}

#[test]
fn every_form_multiplies_and_adds() {
    for form in forms() {
        assemble(&form.ptx());
        let ([m, n, k], [td, ta, tb, tc]) = (form.shape, form.types);
        let (a, b, c) = (matrix(ta, 1, m, k), matrix(tb, 2, k, n), matrix(tc, 3, m, n));
        let expected = if ta == "b1" {
            // Counts of pairs in which the bits differ, or both are set.
            let and = form.tail == ".and.popc";
            let count = |x: f64, y: f64| f64::from(u8::from(if and { x * y == 1.0 } else { x != y }));
            let sum = |i: usize, j: usize| c[i][j] + (0..k).map(|l| count(a[i][l], b[l][j])).sum::<f64>();
            (0..m).map(|i| (0..n).map(|j| sum(i, j)).collect()).collect()
        } else {
            product(&a, &b, &c)
        };
        let code = |t: &str, matrix: &[Vec<f64>]| -> Vec<Vec<u64>> {
            matrix.iter().map(|row| row.iter().map(|x| encode(t, *x)).collect()).collect()
        };
        let (a, b, c, expected) = (code(ta, &a), code(tb, &b), code(tc, &c), code(td, &expected));
        for mode in MODES {
            let d = form.run(settings(mode), [&a, &b, &c]);
            // A sum of zeros may have either sign.
            let plain = |m: &[Vec<u64>]| -> Vec<Vec<u64>> {
                let top = 1u64 << (bits(td) - 1);
                m.iter()
                    .map(|row| row.iter().map(|x| if *x == top && td != "s32" { 0 } else { *x }).collect())
                    .collect()
            };
            assert_eq!(plain(&d), plain(&expected), "{} {mode:?} {}", form.name(), form.target);
        }
    }
}

#[test]
fn integer_sums_wrap_and_with_satfinite_clamp() {
    for (inner, value) in [("", (0x7FFF_FFF0u32).wrapping_add(32 * 127 * 127)), (".satfinite", 0x7FFF_FFFF)] {
        let form =
            Form { shape: [16, 8, 32], types: ["s32", "s8", "s8", "s32"], inner, tail: "", target: "sm_80" };
        let full = |rows: usize, columns: usize, x: u64| vec![vec![x; columns]; rows];
        let d =
            form.run(settings(MODES[0]), [&full(16, 32, 127), &full(32, 8, 127), &full(16, 8, 0x7FFF_FFF0)]);
        assert_eq!(d, full(16, 8, value.into()));
        let low = if inner.is_empty() { (0x8000_0010u32).wrapping_sub(32 * 128 * 127) } else { 0x8000_0000 };
        let d =
            form.run(settings(MODES[0]), [&full(16, 32, 0x80), &full(32, 8, 127), &full(16, 8, 0x8000_0010)]);
        assert_eq!(d, full(16, 8, low.into()));
    }
}

#[test]
fn not_a_number_infinities_and_zeros_spread_along_rows_and_columns() {
    let types = [["f32", "f16", "f16", "f32"], ["f16", "f16", "f16", "f16"], ["f32", "bf16", "bf16", "f32"]];
    for types in types {
        let form = Form { shape: [16, 8, 16], types, inner: "", tail: "", target: "sm_80" };
        let [td, ta, ..] = types;
        let (infinity, nan) = if ta == "f16" { (0x7C00, 0x7E01) } else { (0x7F80, 0x7FC1) };
        let sign = 0x8000;
        let one = encode(ta, 1.0);
        let (mut a, mut b) = (vec![vec![one; 16]; 16], vec![vec![one; 8]; 16]);
        a[0][3] = nan;
        a[1][0] = infinity;
        a[2][15] = infinity | sign;
        (a[3][1], a[3][9]) = (infinity, infinity | sign);
        b[5][6] = 0;
        a[4][5] = infinity;
        let c = vec![vec![encode(td, 0.0); 8]; 16];
        let (out_nan, out_infinity, out_sign) =
            if td == "f16" { (0x7FFF, 0x7C00, 0x8000) } else { (0x7FFF_FFFF, 0x7F80_0000, 0x8000_0000) };
        for mode in MODES {
            let d = form.run(settings(mode), [&a, &b, &c]);
            for j in 0..8 {
                let finite = if j == 6 { 15.0 } else { 16.0 };
                assert_eq!(d[0][j], out_nan, "{mode:?}");
                assert_eq!(d[1][j], out_infinity);
                assert_eq!(d[2][j], out_infinity | out_sign);
                assert_eq!(d[3][j], out_nan);
                assert_eq!(d[4][j], if j == 6 { out_nan } else { out_infinity });
                assert_eq!(d[5][j], encode(td, finite));
            }
        }
    }
}

#[test]
fn tf32_ignores_the_lower_thirteen_bits() {
    let form = Form {
        shape: [16, 8, 8],
        types: ["f32", "tf32", "tf32", "f32"],
        inner: "",
        tail: "",
        target: "sm_80",
    };
    let one = 0x3F80_1FFF;
    for mode in MODES {
        let d = form
            .run(settings(mode), [&vec![vec![one; 8]; 16], &vec![vec![one; 8]; 8], &vec![vec![0; 8]; 16]]);
        assert_eq!(d, vec![vec![u64::from(8f32.to_bits()); 8]; 16]);
    }
}

#[test]
fn the_architecture_of_the_exact_arithmetic_can_be_chosen() {
    // 2^0 + 2^-24 + 2^-24 in one step: 24 fraction bits keep both small ones, but two steps of eight (k 0..8 and 8..16) cut
    // each of them off. Hopper adds all sixteen at once with 25 bits.
    let form = Form {
        shape: [16, 8, 16],
        types: ["f32", "f16", "f16", "f32"],
        inner: "",
        tail: "",
        target: "sm_80",
    };
    let tiny = 0x0001; // 2^-24
    let mut a = vec![vec![0; 16]; 16];
    (a[0][0], a[0][1], a[0][8]) = (0x3C00, tiny, tiny);
    let b = vec![vec![0x3C00; 8]; 16];
    let c = vec![vec![0; 8]; 16];
    let with = |arch| {
        let settings = Settings { tensor_arch: arch, ..settings(MODES[1]) };
        form.run(settings, [&a, &b, &c])[0][0]
    };
    assert_eq!(with(Some(80)), u64::from(1f32.to_bits()));
    assert_eq!(with(Some(90)), u64::from(1f32.to_bits()) + 1);
    assert_eq!(with(None), with(Some(80)), "the module's target is sm_80");
}

/// Row and column of element `i` of m8n8k4 of halves, in the quad pair's matrices.
fn volta(operand: &str, by_rows: bool, kind: &str, lane: usize, i: usize) -> (usize, usize) {
    let upper = if lane < 16 { 0 } else { 4 };
    match (operand, by_rows, kind) {
        ("a", true, _) => (lane % 4 + upper, i),
        ("a", false, _) => (i % 4 + upper, lane % 4),
        ("b", true, _) => (lane % 4, i + upper),
        ("b", false, _) => (i, lane % 4 + upper),
        (_, _, "f16") => (lane % 4 + upper, i),
        _ => ((lane & 1) + (i & 2) + upper, (i & 4) + (lane & 2) + (i & 1)),
    }
}

#[test]
fn m8n8k4_of_halves_multiplies_in_each_quad_pair() {
    for (rows_a, rows_b) in [(true, true), (true, false), (false, true), (false, false)] {
        for (td, tc) in [("f32", "f32"), ("f16", "f16"), ("f32", "f16")] {
            let layout = |rows: bool| if rows { "row" } else { "col" };
            let name =
                format!("mma.sync.aligned.m8n8k4.{}.{}.{td}.f16.f16.{tc}", layout(rows_a), layout(rows_b));
            let count = |t: &str| if t == "f16" { 4 } else { 8 };
            let mut text = head("sm_80") + "mov.u64 %at2, %a1;\n";
            for (register, n) in [("ax", 2), ("bx", 2), ("cx", count(tc))] {
                text += &load(register, n, 32, "%at2", 32);
                text += &format!("add.u64 %at2, %at2, {};\n", n * 128);
            }
            let d = count(td);
            text += &format!(".reg .b32 %dx<{d}>;\n{name} {}, ", vector("dx", d));
            text += &format!("{}, {}, {};\n", vector("ax", 2), vector("bx", 2), vector("cx", count(tc)));
            text += &(store("dx", d, 32, "%a0", 32) + "ret;\n}\n");
            assemble(&text);
            let quad = |lane: usize| lane % 16 / 4;
            let matrices: Vec<_> = (0..4)
                .map(|q| (matrix("f16", q, 8, 4), matrix("f16", q + 4, 4, 8), matrix(tc, q + 8, 8, 8)))
                .collect();
            let left = pack("f16", 32, 4, |lane, i| {
                let (r, c) = volta("a", rows_a, "f16", lane, i);
                encode("f16", matrices[quad(lane)].0[r][c])
            });
            let right = pack("f16", 32, 4, |lane, i| {
                let (r, c) = volta("b", rows_b, "f16", lane, i);
                encode("f16", matrices[quad(lane)].1[r][c])
            });
            let addend = pack(tc, 32, 8, |lane, i| {
                let (r, c) = volta("c", true, tc, lane, i);
                encode(tc, matrices[quad(lane)].2[r][c])
            });
            let input: Vec<u8> = [left, right, addend].iter().flat_map(|list| bytes(32, list)).collect();
            for mode in MODES {
                let out = launch(settings(mode), &text, 32, [&input, &[]], d * 128).unwrap();
                let out = registers(32, 32, &out);
                for lane in 0..32 {
                    let (a, b, c) = &matrices[quad(lane)];
                    let expected = product(a, b, c);
                    for i in 0..8 {
                        let (row, column) = volta("c", true, td, lane, i);
                        let got = unpack(td, &out, lane, i);
                        assert_eq!(got, encode(td, expected[row][column]), "{name} lane {lane} {i} {mode:?}");
                    }
                }
            }
        }
    }
}
