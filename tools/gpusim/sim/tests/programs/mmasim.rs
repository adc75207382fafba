//! `mma.sync` and `wgmma` in exact arithmetic against mmasim's results, bit for bit.

use std::collections::BTreeMap;
use std::fmt::Write;

use gpusim::{Arithmetic, Device, Launch, Settings};
use serde::Deserialize;

use crate::check::compare::exact;
use crate::check::mma::{a_place, b_place, c_place};
use crate::elem::{Array, Elem};
use crate::manifest::folder;

#[derive(Deserialize)]
struct Index {
    cases: Vec<Vector>,
}

/// Operands and result of one instruction, as offsets in the file of vectors.
#[derive(Clone, Deserialize)]
pub struct Vector {
    pub instruction: String,
    pub arch: String,
    m: usize,
    n: usize,
    k: usize,
    pub inputs: u32,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
}

/// Cases of an instruction on an architecture.
pub type Groups = BTreeMap<(String, String), Vec<Vector>>;

pub fn groups() -> Groups {
    let text = std::fs::read_to_string(folder().join("mmasim.json")).expect("mmasim.json");
    let index: Index = serde_json::from_str(&text).expect("mmasim.json's format");
    let mut groups = Groups::new();
    for case in index.cases {
        groups.entry((case.instruction.clone(), case.arch.clone())).or_default().push(case);
    }
    groups
}

/// The operands and the result of a case.
pub struct Operands {
    pub wgmma: bool,
    pub a: Array,
    pub b: Array,
    pub c: Array,
    pub d: Array,
}

impl Operands {
    pub fn new(case: &Vector, blob: &[u8]) -> Operands {
        let (kind, shape) = case.instruction.split_once(' ').expect("kind and shape");
        let types: Vec<Elem> = shape.split('.').skip(1).map(Elem::named).collect();
        let array = |elem: Elem, at: usize, rows: usize, columns: usize| Array {
            elem,
            shape: vec![rows, columns],
            bytes: blob[at..at + rows * columns * elem.bytes()].to_vec(),
        };
        Operands {
            wgmma: kind == "wgmma",
            a: array(types[1], case.a, case.m, case.k),
            b: array(types[2], case.b, case.n, case.k),
            c: array(*types.get(3).unwrap_or(&types[0]), case.c, case.m, case.n),
            d: array(types[0], case.d, case.m, case.n),
        }
    }

    pub fn compare(&self, found: &Array, how: &str) -> Result<(), String> {
        exact("d", found, |i| self.d.bits(i)).map_err(|error| format!("{how}: {error}"))
    }
}

fn arch_number(arch: &str) -> u32 {
    match arch {
        "Ampere" => 80,
        "Ada Lovelace" => 89,
        "Hopper" => 90,
        _ => panic!("architecture {arch}"),
    }
}

pub fn device(arch: &str) -> Device {
    Device::new(Settings {
        arithmetic: Arithmetic::Exact,
        tensor_arch: Some(arch_number(arch)),
        check_global_init: true,
        instruction_limit: 10_000_000,
        ..Settings::default()
    })
}

/// Launches an entry with pointers to the buffers; returns the first one's contents.
pub fn run(
    device: &Device,
    ptx: &str,
    entry: &str,
    block: u32,
    buffers: &[Vec<u8>],
) -> Result<Vec<u8>, String> {
    let module = device.load(ptx).map_err(|error| format!("load: {error}"))?;
    let function = module.function(entry).ok_or("no such entry")?;
    let mut params = Vec::new();
    let mut first = None;
    for bytes in buffers {
        let at = device.alloc(bytes.len() as u64, 256).map_err(|error| error.to_string())?;
        device.write(at, bytes).map_err(|error| error.to_string())?;
        first.get_or_insert(at);
        params.extend(at.to_le_bytes());
    }
    device
        .launch(&Launch { block: [block, 1, 1], params, ..Launch::new(function) })
        .map_err(|error| format!("launch: {error}"))?;
    let mut out = buffers[0].clone();
    device.read(first.expect("a buffer"), &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

/// Entries generated here on all cases of a group: how often they were launched.
pub fn run_group(cases: &[Vector], blob: &[u8]) -> Result<usize, String> {
    let mut launches = 0;
    for case in cases {
        let operands = Operands::new(case, blob);
        let forms: &[bool] = if operands.wgmma { &[false, true] } else { &[false] };
        for &registers in forms {
            let how = format!(
                "inputs {}, a in {}",
                case.inputs,
                if registers { "registers" } else { "its usual place" }
            );
            let found = match operands.wgmma {
                true => wgmma(case, &operands, registers),
                false => mma(case, &operands),
            };
            operands.compare(&found.map_err(|error| format!("{how}: {error}"))?, &how)?;
            launches += 1;
        }
    }
    Ok(launches)
}

/// Registers by number and thread, each filled from elements of a matrix.
struct Fragment {
    registers: usize,
    /// Elements per register.
    per: usize,
    /// Bytes of a register.
    size: usize,
    threads: usize,
}

impl Fragment {
    fn of(array: &Array, threads: usize) -> Fragment {
        let size = array.elem.bytes().max(4);
        let per = size / array.elem.bytes();
        Fragment { registers: array.len() / threads / per, per, size, threads }
    }

    fn pack(&self, array: &Array, place: impl Fn(usize, usize, usize) -> (usize, usize)) -> Vec<u8> {
        let mut out = Vec::new();
        for r in 0..self.registers {
            for thread in 0..self.threads {
                for j in 0..self.per {
                    let (row, column) = place(r, thread, j);
                    let bits = array.bits(row * array.shape[1] + column);
                    out.extend(&bits.to_le_bytes()[..self.size / self.per]);
                }
            }
        }
        out
    }

    fn unpack(&self, bytes: &[u8], into: &mut Array, place: impl Fn(usize, usize, usize) -> (usize, usize)) {
        let size = self.size / self.per;
        let mut chunks = bytes.chunks_exact(size);
        for r in 0..self.registers {
            for thread in 0..self.threads {
                for j in 0..self.per {
                    let (row, column) = place(r, thread, j);
                    let at = (row * into.shape[1] + column) * size;
                    into.bytes[at..at + size].copy_from_slice(chunks.next().expect("a fragment's bytes"));
                }
            }
        }
    }
}

/// `ld` or `st` of registers `name0`, `name1`, … at `base` + thread * size.
fn moves(ptx: &mut String, op: &str, name: &str, fragment: &Fragment, base: &str) {
    for r in 0..fragment.registers {
        let offset = r * fragment.threads * fragment.size;
        let bits = 8 * fragment.size;
        match op {
            "ld" => writeln!(ptx, "ld.global.b{bits} %{name}{r}, [%{base}+{offset}];"),
            _ => writeln!(ptx, "st.global.b{bits} [%{base}+{offset}], %{name}{r};"),
        }
        .expect("writing to a string");
    }
}

fn list(name: &str, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|r| format!("%{name}{r}")).collect();
    format!("{{{}}}", names.join(", "))
}

/// Declarations and pointers: `%pd`, `%pa`, `%pb`, `%pc` point to the thread's first word of each buffer.
fn prologue(target: &str, fragments: [(&str, &Fragment, Elem); 4]) -> String {
    let mut ptx = format!(".version 8.7\n.target {target}\n.address_size 64\n.visible .entry k(");
    ptx += ".param .u64 d, .param .u64 a, .param .u64 b, .param .u64 c) {\n.reg .b32 %t;\n.reg .pred %p;\n";
    ptx += "mov.u32 %t, %tid.x;\n";
    for (name, fragment, elem) in fragments {
        let ty = match elem {
            Elem::Float(format) if format.mantissa == 52 => "f64",
            Elem::Float(format) if format.mantissa == 23 => "f32",
            _ => "b32",
        };
        let (count, size) = (fragment.registers, fragment.size);
        write!(
            ptx,
            ".reg .{ty} %{name}<{count}>;\n.reg .b64 %p{name};\nld.param.u64 %p{name}, [{name}];\n\
             mad.wide.u32 %p{name}, %t, {size}, %p{name};\n"
        )
        .expect("writing to a string");
    }
    ptx
}

fn mma(case: &Vector, operands: &Operands) -> Result<Array, String> {
    let [a, b, c, d] =
        [&operands.a, &operands.b, &operands.c, &operands.d].map(|array| Fragment::of(array, 32));
    let target = format!("sm_{}", arch_number(&case.arch));
    let mut ptx = prologue(
        &target,
        [
            ("d", &d, operands.d.elem),
            ("a", &a, operands.a.elem),
            ("b", &b, operands.b.elem),
            ("c", &c, operands.c.elem),
        ],
    );
    moves(&mut ptx, "ld", "a", &a, "pa");
    moves(&mut ptx, "ld", "b", &b, "pb");
    moves(&mut ptx, "ld", "c", &c, "pc");
    let shape = case.instruction.split_once(' ').unwrap().1.replacen('.', ".row.col.", 1);
    let registers =
        [("d", &d), ("a", &a), ("b", &b), ("c", &c)].map(|(name, f)| list(name, f.registers)).join(", ");
    // A single register may stand without braces, but need not.
    writeln!(ptx, "mma.sync.aligned.{shape} {registers};").expect("writing to a string");
    moves(&mut ptx, "st", "d", &d, "pd");
    ptx += "ret; }\n";
    let halves = c.per;
    let buffers = [
        vec![0; operands.d.bytes.len()],
        a.pack(&operands.a, |r, lane, j| a_place(a.per, r, lane, j)),
        b.pack(&operands.b, |r, lane, j| b_place(b.per, r, lane, j)),
        c.pack(&operands.c, |r, lane, j| c_place(r * halves + j, lane)),
    ];
    let bytes =
        run(&device(&case.arch), &ptx, "k", 32, &buffers).map_err(|error| format!("{error}\n{ptx}"))?;
    let mut found = operands.d.clone();
    d.unpack(&bytes, &mut found, |r, lane, j| c_place(r * d.per + j, lane));
    Ok(found)
}

/// Shared memory in core matrices of 8 rows by 16 bytes; two of them make the 32 bytes of k.
fn core_matrices(array: &Array) -> Vec<u8> {
    let width = array.shape[1] * array.elem.bytes();
    assert_eq!(width, 32);
    let mut out = vec![0; array.bytes.len()];
    for (at, byte) in array.bytes.iter().enumerate() {
        let (row, column) = (at / width, at % width);
        out[row / 8 * 256 + column / 16 * 128 + row % 8 * 16 + column % 16] = *byte;
    }
    out
}

fn wgmma(case: &Vector, operands: &Operands, registers: bool) -> Result<Array, String> {
    let (a, d) = (Fragment::of(&operands.a, 128), Fragment::of(&operands.d, 128));
    // The buffers of b, and of a in shared memory, hold words that the threads copy.
    let words = |array: &Array| array.bytes.len() / 4;
    let word = Fragment { registers: 0, per: 1, size: 4, threads: 128 };
    let b_elem = Elem::named("u32");
    let mut ptx = prologue(
        "sm_90a",
        [("d", &d, operands.d.elem), ("a", &a, operands.a.elem), ("b", &word, b_elem), ("c", &word, b_elem)],
    );
    ptx = ptx.replace("%b<0>", "%b<1>").replace("%c<0>", "%c<1>");
    let (bytes_a, bytes_b) = (operands.a.bytes.len(), operands.b.bytes.len());
    write!(
        ptx,
        ".shared .align 1024 .b8 sa[{bytes_a}];\n.shared .align 1024 .b8 sb[{bytes_b}];\n\
         .reg .b32 %w, %at, %i, %base;\n.reg .b64 %da, %db, %from;\n.reg .pred %more;\n"
    )
    .expect("writing to a string");
    for (name, count) in [("a", words(&operands.a)), ("b", words(&operands.b))] {
        if name == "a" && registers {
            continue;
        }
        write!(
            ptx,
            "mov.u32 %base, s{name};\nmad.lo.u32 %at, %t, 4, %base;\nmov.u32 %i, %t;\nmov.b64 %from, %p{name};\n\
             COPY_{name}:\nsetp.lt.u32 %more, %i, {count};\n@%more ld.global.b32 %w, [%from];\n\
             @%more st.shared.b32 [%at], %w;\nadd.u32 %i, %i, 128;\nadd.u32 %at, %at, 512;\nadd.u64 %from, %from, 512;\n\
             @%more bra COPY_{name};\n"
        )
        .expect("writing to a string");
    }
    // Leading offset 128 bytes, stride offset 256, no swizzle.
    for name in ["a", "b"] {
        write!(
            ptx,
            "mov.u32 %base, s{name};\nshr.u32 %base, %base, 4;\ncvt.u64.u32 %d{name}, %base;\n\
             or.b64 %d{name}, %d{name}, {};\n",
            (128u64 >> 4) << 16 | (256u64 >> 4) << 32
        )
        .expect("writing to a string");
    }
    moves(&mut ptx, "ld", "d", &d, "pd");
    if registers {
        moves(&mut ptx, "ld", "a", &a, "pa");
    }
    ptx += "fence.proxy.async;\nbar.sync 0;\nwgmma.fence.sync.aligned;\nsetp.eq.u32 %p, 0, 0;\n";
    let shape = case.instruction.split_once(' ').unwrap().1;
    let first = if registers { list("a", a.registers) } else { "%da".to_owned() };
    // Only 16-bit operands have transpositions, and none for a in registers.
    let turns = match (operands.a.elem.bytes(), registers) {
        (2, true) => ", 0",
        (2, false) => ", 0, 0",
        _ => "",
    };
    let result = list("d", d.registers);
    write!(
        ptx,
        "wgmma.mma_async.sync.aligned.{shape} {result}, {first}, %db, %p, 1, 1{turns};\n\
         wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n"
    )
    .expect("writing to a string");
    moves(&mut ptx, "st", "d", &d, "pd");
    ptx += "ret; }\n";
    let place = |per: usize| {
        move |r: usize, thread: usize, j: usize| {
            let (row, column) = c_place(r * per + j, thread % 32);
            (row + thread / 32 * 16, column)
        }
    };
    let a_bytes = match registers {
        true => a.pack(&operands.a, |r, thread, j| {
            let (row, column) = a_place(a.per, r, thread % 32, j);
            (row + thread / 32 * 16, column)
        }),
        false => core_matrices(&operands.a),
    };
    let buffers = [d.pack(&operands.c, place(d.per)), a_bytes, core_matrices(&operands.b), vec![0; 4]];
    let bytes =
        run(&device(&case.arch), &ptx, "k", 128, &buffers).map_err(|error| format!("{error}\n{ptx}"))?;
    let mut found = operands.d.clone();
    d.unpack(&bytes, &mut found, place(d.per));
    Ok(found)
}
