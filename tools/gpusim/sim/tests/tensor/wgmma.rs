//! `wgmma`: layouts in shared memory, shapes, types, groups.

use gpusim::{Arithmetic, LaunchError, Schedule, Settings};

use crate::elements::{bits, encode, matrix, pack, product, unpack};
use crate::run::{MODES, assemble, bytes, head, launch, load, registers, settings, store, vector};

/// An operand in shared memory: bytes of the swizzle (16 is none), MN-major, leading and stride offsets.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub width: usize,
    pub transposed: bool,
    pub leading: usize,
    pub stride: usize,
}

impl Layout {
    /// The offset of byte `byte` of line `line`: a row of K-major bytes, or a k of MN-major ones. Swizzles exchange the 16-byte
    /// pieces within eight lines (four pairs of 64, two fours of 32 bytes) as TMA's do.
    fn offset(&self, line: usize, byte: usize) -> usize {
        let (brick, within) = (line / 8, line % 8);
        if self.width == 16 {
            let (across, along) =
                if self.transposed { (self.leading, self.stride) } else { (self.stride, self.leading) };
            return brick * across + byte / 16 * along + within * 16 + byte % 16;
        }
        let piece = (byte % self.width / 16) ^ (within / (128 / self.width));
        let far = byte / self.width * self.leading;
        brick * self.stride + far + within * self.width + piece * 16 + byte % 16
    }

    /// A matrix of `mn` rows by `k` as it lies in memory.
    pub fn image(&self, kind: &str, rows: &[Vec<f64>]) -> Vec<u8> {
        let size = bits(kind) / 8;
        let mut image = vec![0xEE; 48 << 10];
        for (r, row) in rows.iter().enumerate() {
            for (k, value) in row.iter().enumerate() {
                let (line, element) = if self.transposed { (k, r) } else { (r, k) };
                let at = self.offset(line, element * size);
                image[at..at + size].copy_from_slice(&encode(kind, *value).to_le_bytes()[..size]);
            }
        }
        image
    }

    /// The descriptor of a matrix at a shared address.
    pub fn descriptor(&self, start: usize) -> u64 {
        let swizzle = match self.width {
            128 => 1,
            64 => 2,
            32 => 3,
            _ => 0,
        };
        let field = |value: usize| (value as u64 >> 4) & 0x3FFF;
        field(start) | field(self.leading) << 16 | field(self.stride) << 32 | swizzle << 62
    }
}

/// Copies 96 KiB from `[%a2]` to shared memory, fences, and waits for everybody.
pub const FILL: &str = "mov.u32 %t0, %lane; shl.b32 %t0, %t0, 4; mov.u32 %t1, s; add.u32 %t1, %t1, %t0;
cvt.u64.u32 %at3, %t0; add.u64 %at3, %a2, %at3; mov.u32 %t2, 0;
FILL: ld.global.v4.b32 {%t3, %t4, %t5, %t6}, [%at3]; st.shared.v4.b32 [%t1], {%t3, %t4, %t5, %t6};
add.u32 %t1, %t1, 2048; add.u64 %at3, %at3, 2048; add.u32 %t2, %t2, 1; setp.lt.u32 %p0, %t2, 48; @%p0 bra FILL;
fence.proxy.async; bar.sync 0;\n";

pub struct Case {
    pub n: usize,
    pub k: usize,
    pub types: [&'static str; 3],
    pub inner: &'static str,
    pub a: Option<Layout>,
    pub b: Layout,
    /// scale-d, imm-scale-a, imm-scale-b.
    pub scales: (bool, i32, i32),
}

impl Case {
    fn sums(&self) -> usize {
        self.n / 2 * bits(self.types[0]) / 32
    }

    /// The operands after D.
    fn operands(&self) -> String {
        let (_, a, b) = self.scales;
        let float = !matches!(self.types[1], "s8" | "u8" | "b1");
        let half = matches!(self.types[1], "f16" | "bf16");
        let mut text = if self.a.is_some() { "%da".to_owned() } else { vector("ax", 4) };
        text += ", %db, %p1";
        if float {
            text += &format!(", {a}, {b}");
        }
        if let Some(layout) = self.a.filter(|_| half) {
            text += &format!(", {}", u8::from(layout.transposed));
        }
        if half {
            text += &format!(", {}", u8::from(self.b.transposed));
        }
        text
    }

    pub fn name(&self) -> String {
        let ([d, a, b], tail) = (self.types, if self.types[1] == "b1" { ".and.popc" } else { "" });
        format!("wgmma.mma_async.sync.aligned.m64n{}k{}{}.{d}.{a}.{b}{tail}", self.n, self.k, self.inner)
    }

    /// `%a1` holds A's registers and then D's; `%a2` the image of shared memory.
    pub fn ptx(&self) -> String {
        let sums = self.sums();
        let mut text = head("sm_90a") + FILL + ".reg .b64 %da, %db;\n";
        text += &format!("mov.u64 %da, {};\n", self.a.map_or(0, |a| a.descriptor(1024)));
        text += &format!("mov.u64 %db, {};\n", self.b.descriptor(1024 + (48 << 10)));
        text += &format!("setp.ne.u32 %p1, {}, 0;\n", u8::from(self.scales.0));
        text += &load("ax", 4, 32, "%a1", 128);
        text += "add.u64 %at2, %a1, 2048;\n";
        text += &load("dx", sums, 32, "%at2", 128);
        text += "wgmma.fence.sync.aligned;\n";
        text += &format!("{} {}, {};\n", self.name(), vector("dx", sums), self.operands());
        text += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n";
        text + &store("dx", sums, 32, "%a0", 128) + "ret;\n}\n"
    }

    /// D by rows as bits, from bits; B by columns.
    pub fn run(
        &self,
        settings: Settings,
        a: &[Vec<u64>],
        shared: &[u8],
        c: &[Vec<u64>],
    ) -> Result<Vec<Vec<u64>>, LaunchError> {
        self.run_text(settings, &self.ptx(), a, shared, c)
    }

    /// The same with another text than [`Case::ptx`]; without rows, A's registers and C are zeros.
    pub fn run_text(
        &self,
        settings: Settings,
        ptx: &str,
        a: &[Vec<u64>],
        shared: &[u8],
        c: &[Vec<u64>],
    ) -> Result<Vec<Vec<u64>>, LaunchError> {
        let [td, ta, _] = self.types;
        let words = 32 / bits(ta).max(1);
        // A in registers: 16 rows for each warp, then as mma with 32 bytes along k.
        let left = pack(ta, 128, 4 * words, |thread, i| {
            let (lane, register) = (thread % 32, i / words);
            let row = thread / 32 * 16 + lane / 4 + register % 2 * 8;
            a.get(row).map_or(0, |row| row[register / 2 * 4 * words + lane % 4 * words + i % words])
        });
        // D: "row = 16·warp + lane / 4 (+ 8), column = 8·(i / 4) + 2·(lane % 4) + i % 2".
        let place = |thread: usize, i: usize| {
            let (warp, lane) = (thread / 32, thread % 32);
            (16 * warp + lane / 4 + 8 * (i / 2 % 2), 8 * (i / 4) + 2 * (lane % 4) + i % 2)
        };
        let addend = pack(td, 128, self.n / 2, |thread, i| {
            let (row, column) = place(thread, i);
            c.get(row).map_or(0, |row| row[column])
        });
        let mut input = bytes(32, &left);
        input.extend(bytes(32, &addend));
        let out = launch(settings, ptx, 128, [&input, shared], self.sums() * 512)?;
        let out = registers(32, 128, &out);
        let mut d = vec![vec![0; self.n]; 64];
        for thread in 0..128 {
            for i in 0..self.n / 2 {
                let (row, column) = place(thread, i);
                d[row][column] = unpack(td, &out, thread, i);
            }
        }
        Ok(d)
    }
}

pub fn k_major(width: usize) -> Layout {
    // Without a swizzle the two pieces of eight rows are 128 bytes apart, and eight rows 256.
    let (leading, stride) = if width == 16 { (128, 256) } else { (16, 8 * width) };
    Layout { width, transposed: false, leading, stride }
}

fn mn_major(width: usize) -> Layout {
    let (leading, stride) = if width == 16 { (4096, 128) } else { (4096, 8 * width) };
    Layout { width, transposed: true, leading, stride }
}

/// The case gives the exact product of small values.
pub fn check(case: &Case, mode: Arithmetic) {
    let [td, ta, tb] = case.types;
    let a = matrix(ta, 1, 64, case.k);
    let b = matrix(tb, 2, case.k, case.n);
    let c = matrix(td, 3, 64, case.n);
    let columns: Vec<Vec<f64>> = (0..case.n).map(|j| b.iter().map(|row| row[j]).collect()).collect();
    let (add, sa, sb) = case.scales;
    let scaled = |m: &[Vec<f64>], s: f64| -> Vec<Vec<f64>> {
        m.iter().map(|r| r.iter().map(|x| x * s).collect()).collect()
    };
    let expected =
        product(&scaled(&a, sa.into()), &scaled(&b, sb.into()), &scaled(&c, f64::from(u8::from(add))));
    let mut shared = case.a.map_or(vec![0xEE; 48 << 10], |layout| layout.image(ta, &a));
    shared.extend(case.b.image(tb, &columns));
    let code = |t: &str, m: &[Vec<f64>]| -> Vec<Vec<u64>> {
        m.iter().map(|row| row.iter().map(|x| encode(t, *x)).collect()).collect()
    };
    let d = case
        .run(settings(mode), &code(ta, &a), &shared, &code(td, &c))
        .unwrap_or_else(|error| panic!("{error}"));
    let top = 1u64 << (bits(td) - 1);
    for (i, (row, want)) in d.iter().zip(code(td, &expected)).enumerate() {
        for (j, (got, want)) in row.iter().zip(want).enumerate() {
            let zero = |x: u64| if x == top && td != "s32" { 0 } else { x };
            let (a, b) = (case.a, case.b);
            assert_eq!(zero(*got), zero(want), "{} {mode:?} A {a:?} B {b:?} row {i} column {j}", case.name());
        }
    }
}

#[test]
fn every_type_multiplies_from_shared_memory_and_from_registers() {
    let mut types =
        vec![(16, ["f32", "f16", "f16"]), (16, ["f16", "f16", "f16"]), (16, ["f32", "bf16", "bf16"])];
    types.push((8, ["f32", "tf32", "tf32"]));
    for a in ["e4m3", "e5m2"] {
        for b in ["e4m3", "e5m2"] {
            let names: [[&'static str; 3]; 2] = [["f32", a, b], ["f16", a, b]];
            types.extend(names.map(|names| (32, names)));
        }
    }
    for a in ["s8", "u8"] {
        for b in ["s8", "u8"] {
            let names: [&'static str; 3] = ["s32", a, b];
            types.push((32, names));
        }
    }
    for (k, types) in types {
        for a in [Some(k_major(128)), None] {
            for (n, scales) in [(8, (true, 1, 1)), (32, (false, 1, 1))] {
                let case = Case { n, k, types, inner: "", a, b: k_major(128), scales };
                assemble(&case.ptx());
                MODES.iter().for_each(|mode| check(&case, *mode));
            }
        }
    }
}

#[test]
fn every_layout_of_both_operands_is_understood() {
    for width in [16, 32, 64, 128] {
        for (a, b) in [
            (k_major(width), k_major(16)),
            (k_major(64), k_major(width)),
            (mn_major(width), k_major(32)),
            (k_major(16), mn_major(width)),
        ] {
            for types in [["f32", "f16", "f16"], ["f32", "bf16", "bf16"]] {
                let case = Case { n: 64, k: 16, types, inner: "", a: Some(a), b, scales: (true, 1, 1) };
                assemble(&case.ptx());
                check(&case, Arithmetic::Fast);
            }
        }
        let case = Case {
            n: 40,
            k: 8,
            types: ["f32", "tf32", "tf32"],
            inner: "",
            a: Some(k_major(width)),
            b: k_major(width),
            scales: (true, 1, 1),
        };
        check(&case, Arithmetic::Fast);
    }
}

#[test]
fn every_n_and_both_signs_of_the_operands() {
    for n in (8..=256).step_by(8) {
        let scales = [(true, 1, 1), (true, -1, 1), (false, 1, -1), (true, -1, -1)][n / 8 % 4];
        let case = Case {
            n,
            k: 16,
            types: ["f32", "bf16", "bf16"],
            inner: "",
            a: Some(k_major(128)),
            b: k_major(128),
            scales,
        };
        assemble(&case.ptx());
        check(&case, Arithmetic::Fast);
    }
}

#[test]
fn an_operand_outside_shared_memory_is_reported() {
    let b = Layout { stride: 0x3_F000, ..k_major(128) };
    let case = Case {
        n: 64,
        k: 16,
        types: ["f32", "bf16", "bf16"],
        inner: "",
        a: Some(k_major(128)),
        b,
        scales: (true, 1, 1),
    };
    let shared = vec![0; 96 << 10];
    let error =
        case.run(settings(MODES[0]), &vec![vec![0; 16]; 64], &shared, &vec![vec![0; 64]; 64]).unwrap_err();
    assert!(matches!(error, LaunchError::IllegalAddress(_)), "{error}");
}

#[test]
fn the_random_schedule_gives_the_same_result() {
    let case = Case {
        n: 16,
        k: 16,
        types: ["f32", "f16", "f16"],
        inner: "",
        a: Some(k_major(128)),
        b: k_major(128),
        scales: (false, 1, 1),
    };
    let (a, b) = (matrix("f16", 1, 64, 16), matrix("f16", 2, 16, 16));
    let columns: Vec<Vec<f64>> = (0..16).map(|j| b.iter().map(|row| row[j]).collect()).collect();
    let shared = [case.a.unwrap().image("f16", &a), case.b.image("f16", &columns)].concat();
    let zeros = vec![vec![0; 16]; 64];
    for seed in 0..5 {
        let settings = Settings { seed, schedule: Schedule::Random, ..Settings::default() };
        let d = case.run(settings, &zeros, &shared, &zeros).unwrap_or_else(|error| panic!("{error}"));
        let expected = product(&a, &b, &vec![vec![0.0; 16]; 64]);
        for (got, want) in d.iter().flatten().zip(expected.iter().flatten()) {
            assert_eq!(f64::from(f32::from_bits(*got as u32)), *want);
        }
    }
}
