//! Instruction forms in tables: the text with `%d`, `%a`, `%b`, `%c`, their types, and what `%d` must be.

use gpusim::Launch;

use super::common::{HEAD, device, params, ptxas};

/// `%d` from `%a`, `%b`, `%c` as unsigned 64-bit numbers; what is beyond the type's width is ignored.
pub type Expected = fn(u64, u64, u64) -> u64;

/// The text, the types of `%d`, `%a`, `%b`, `%c`, and the expectation.
pub type Form<'t> = (&'t str, &'t str, Expected);

/// Values where something happens: ends of ranges, shift amounts around the widths, bytes in each place.
const EDGES: [u64; 26] = [
    0,
    1,
    2,
    5,
    0x8F,
    31,
    32,
    33,
    63,
    64,
    65,
    255,
    256,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0x8000_0001,
    0xFFFF_FFFE,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    0xFFFF_FFFF_FFFF_FFFF,
    0x8112_F355_7ABB_CCDD,
];

pub fn bits(ty: &str) -> u32 {
    match ty {
        "pred" => 1,
        _ => ty.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().expect("a width"),
    }
}

fn low(value: u64, bits: u32) -> u64 {
    value & (u64::MAX >> (64 - bits))
}

/// The value of a signed type.
pub fn signed(value: u64, bits: u32) -> i64 {
    ((value << (64 - bits)) as i64) >> (64 - bits)
}

pub fn s16(v: u64) -> i64 {
    signed(v, 16)
}

pub fn s32(v: u64) -> i64 {
    signed(v, 32)
}

pub fn s64(v: u64) -> i128 {
    i128::from(v as i64)
}

/// Numbers without a pattern, the same in each run.
pub fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        state ^ state >> 29
    })
}

/// Operands: all combinations of edges of the first two (and some of the third), then noise.
fn rows() -> Vec<[u64; 3]> {
    let mut rows = Vec::new();
    for (n, a) in EDGES.into_iter().enumerate() {
        for (m, b) in EDGES.into_iter().enumerate() {
            for k in [0, 7, 11] {
                rows.push([a, b, EDGES[(n + m + k) % EDGES.len()]]);
            }
        }
    }
    let mut noise = noise(7);
    rows.extend((0..256).map(|_| std::array::from_fn(|_| noise.next().unwrap_or(0))));
    // Widths of fields and amounts are small.
    rows.extend((0..256).map(|_| {
        let mut next = || noise.next().unwrap_or(0);
        [next(), next() % 70, next() % 70]
    }));
    rows
}

/// Runs every form on every row of operands.
pub fn check(forms: &[Form]) {
    check_rows(forms, &rows());
}

pub fn check_rows(forms: &[Form], rows: &[[u64; 3]]) {
    let texts: Vec<(&str, &str)> = forms.iter().map(|(body, types, _)| (*body, *types)).collect();
    check_texts(&texts, rows, |n, [a, b, c]| forms[n].2(a, b, c));
}

/// The same for forms made by a loop: what form `n` of the list makes of its operands is `expected`.
pub fn check_made(texts: &[(String, String)], expected: impl Fn(usize, [u64; 3]) -> u64) {
    let texts: Vec<(&str, &str)> = texts.iter().map(|(body, types)| (&**body, &**types)).collect();
    check_texts(&texts, &rows(), expected);
}

fn check_texts(forms: &[(&str, &str)], rows: &[[u64; 3]], expected: impl Fn(usize, [u64; 3]) -> u64) {
    let mut text = HEAD.to_owned();
    for (n, (body, types)) in forms.iter().enumerate() {
        let types: Vec<&str> = types.split(' ').collect();
        let mut declare = String::new();
        let mut load = String::new();
        for (name, ty) in ["d", "a", "b", "c"].into_iter().zip(&types) {
            match bits(ty) {
                1 => declare += &format!(".reg .pred %{name}; "),
                wide => declare += &format!(".reg .b{wide} %{name}; "),
            }
            let at = " abc".find(name).map_or(0, |at| 8 * at.saturating_sub(1));
            match (name, bits(ty)) {
                ("d", 1) => {}
                ("d", wide) => load += &format!("mov.b{wide} %d, 0; "),
                (_, 1) => {
                    load += &format!(
                        "ld.global.b32 %w, [%in+{at}]; and.b32 %w, %w, 1; setp.ne.b32 %{name}, %w, 0; "
                    );
                }
                (_, wide) => load += &format!("ld.global.b{wide} %{name}, [%in+{at}]; "),
            }
        }
        let store = match bits(types[0]) {
            1 => "selp.b32 %w, 1, 0, %d; st.global.b32 [%out], %w;".to_owned(),
            wide => format!("st.global.b{wide} [%out], %d;"),
        };
        text += &format!(
            ".visible .entry k{n}(.param .u64 p_out, .param .u64 p_in, .param .u32 p_n) {{
            .reg .b64 %out; .reg .b64 %in; .reg .b32 %w; .reg .b32 %n; .reg .b32 %t; .reg .pred %q;
            .reg .b32 %x<9>; .reg .b64 %y<9>; .reg .b16 %h<9>; .reg .pred %p<9>; {declare}
            mov.u32 %t, %ctaid.x; mov.u32 %w, %tid.x; mad.lo.u32 %t, %t, 128, %w;
            ld.param.u32 %n, [p_n]; setp.ge.u32 %q, %t, %n; @%q exit;
            ld.param.u64 %out, [p_out]; ld.param.u64 %in, [p_in];
            mad.wide.u32 %out, %t, 8, %out; mad.wide.u32 %in, %t, 24, %in;
            {load}
            {body}
            {store}
            ret; }}\n"
        );
    }
    let device = device();
    ptxas::collect(&text);
    let module = device.load(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(module.unsupported().is_empty(), "{:?}", module.unsupported());
    let input = device.alloc(24 * rows.len() as u64, 8).expect("memory");
    let bytes: Vec<u8> = rows.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    device.write(input, &bytes).expect("a write");
    let out = device.alloc(8 * rows.len() as u64, 8).expect("memory");
    let mut wrong = Vec::new();
    for (n, (body, types)) in forms.iter().enumerate() {
        device.fill(out, &[0], 8 * rows.len() as u64).expect("zeros");
        let mut bytes = params(&[out, input]);
        bytes.extend((rows.len() as u32).to_le_bytes());
        let function = module.function(&format!("k{n}")).expect("the kernel");
        let grid = [(rows.len() as u32).div_ceil(128), 1, 1];
        let launch = Launch { grid, block: [128, 1, 1], params: bytes, ..Launch::new(function) };
        device.launch(&launch).unwrap_or_else(|error| panic!("{body}: {error}"));
        let mut got = vec![0; 8 * rows.len()];
        device.read(out, &mut got).expect("a read");
        let types: Vec<u32> = types.split(' ').map(bits).collect();
        let width = |n: usize| types.get(n).copied().unwrap_or(64);
        let bad = rows.iter().zip(got.chunks_exact(8)).find_map(|(row, got)| {
            let got = u64::from_le_bytes(got.try_into().expect("eight bytes"));
            let [a, b, c] = std::array::from_fn(|k| low(row[k], width(k + 1)));
            let want = low(expected(n, [a, b, c]), width(0));
            (got != want).then(|| format!("{body} of {a:#x}, {b:#x}, {c:#x}: {got:#x}, not {want:#x}"))
        });
        wrong.extend(bad);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Panics unless the module loads and says that an instruction is not supported.
pub fn unsupported(instruction: &str) {
    let text = super::common::wrap(instruction);
    let module = device().load(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(module.unsupported().len(), 1, "{instruction}");
}
