//! Loads and stores of every type and vector in every space: what is stored is loaded again.

use super::common::{run_text, wrap};
use super::table::{Expected, check_rows, noise, signed};

const TYPES: [(&str, usize); 14] = [
    ("b8", 8),
    ("u8", 8),
    ("s8", 8),
    ("b16", 16),
    ("u16", 16),
    ("s16", 16),
    ("b32", 32),
    ("u32", 32),
    ("s32", 32),
    ("f32", 32),
    ("b64", 64),
    ("u64", 64),
    ("s64", 64),
    ("f64", 64),
];

/// Types with the vectors of at most sixteen bytes that PTX has of them.
fn shapes() -> impl Iterator<Item = (&'static str, usize, usize)> {
    TYPES
        .into_iter()
        .flat_map(|(ty, bits)| [1, 2, 4].map(|count| (ty, bits, count)))
        .filter(|s| s.1 * s.2 <= 128)
}

fn vector(count: usize) -> String {
    if count == 1 { String::new() } else { format!("v{count}.") }
}

fn list(names: &[String]) -> String {
    if names.len() == 1 { names[0].clone() } else { format!("{{{}}}", names.join(", ")) }
}

/// What a register of at least 16 bits has after a store and a load of operand 0, 1 or 2.
fn kept(ty: &str, operand: usize) -> Expected {
    match (ty, operand) {
        ("b8" | "u8", 0) => |a, _, _| a & 0xFF,
        ("b8" | "u8", 1) => |_, b, _| b & 0xFF,
        ("b8" | "u8", _) => |_, _, c| c & 0xFF,
        ("s8", 0) => |a, _, _| signed(a & 0xFF, 8) as u64,
        ("s8", 1) => |_, b, _| signed(b & 0xFF, 8) as u64,
        ("s8", _) => |_, _, c| signed(c & 0xFF, 8) as u64,
        (_, 0) => |a, _, _| a,
        (_, 1) => |_, b, _| b,
        _ => |_, _, c| c,
    }
}

fn rows() -> Vec<[u64; 3]> {
    let mut noise = noise(3);
    (0..96).map(|_| std::array::from_fn(|_| noise.next().unwrap_or(0))).collect()
}

/// Stores `%a`, `%b`, `%c`, `%a` by `st` and loads each element of the vector by `ld`.
fn round_trips(setup: &str, at: &str, st: &str, ld: &str, most: usize) {
    let mut forms = Vec::new();
    for (ty, bits, count) in shapes().filter(|(_, bits, count)| bits * count <= most) {
        let register = bits.max(16);
        let types = vec![format!("b{register}"); 4].join(" ");
        let spare = ["h", "", "x", "", "", "", "y"][register / 8 - 2];
        let sources: Vec<String> = ["%a", "%b", "%c", "%a"].map(String::from)[..count].to_vec();
        for element in 0..count {
            let to: Vec<String> = (0..count)
                .map(|n| if n == element { "%d".into() } else { format!("%{spare}{}", n + 1) })
                .collect();
            let v = vector(count);
            // The row that the result goes to must not hold the rest.
            let clear = if at == "%out" { "mov.b64 %y8, 0; st.global.b64 [%out], %y8;" } else { "" };
            let body = format!(
                "{setup} {st}.{v}{ty} [{at}], {}; {ld}.{v}{ty} {}, [{at}]; {clear}",
                list(&sources),
                list(&to)
            );
            forms.push((body, types.clone(), kept(ty, element % 3)));
        }
    }
    let forms: Vec<_> = forms.iter().map(|(body, types, e)| (body.as_str(), types.as_str(), *e)).collect();
    check_rows(&forms, &rows());
}

const SHARED: &str =
    ".shared .align 16 .b8 s[2048]; mov.u32 %x8, s; mov.u32 %x7, %tid.x; mad.lo.u32 %x8, %x7, 16, %x8;";

#[test]
fn shared_memory_keeps_every_type_and_vector() {
    round_trips(SHARED, "%x8", "st.shared", "ld.shared", 128);
    round_trips(SHARED, "%x8", "st.shared::cta", "ld.shared::cta", 128);
    round_trips(SHARED, "%x8", "st.volatile.shared", "ld.volatile.shared", 128);
    let generic = format!("{SHARED} cvt.u64.u32 %y8, %x8; cvta.shared.u64 %y8, %y8;");
    round_trips(&generic, "%y8", "st", "ld", 128);
}

#[test]
fn local_memory_keeps_every_type_and_vector() {
    round_trips(".local .align 16 .b8 l[16];", "l", "st.local", "ld.local", 128);
    let generic = ".local .align 16 .b8 l[32]; mov.u64 %y8, l; cvta.local.u64 %y8, %y8;";
    round_trips(generic, "%y8+16", "st", "ld", 128);
}

/// A row has eight bytes of global memory.
#[test]
fn global_memory_keeps_every_type_and_vector() {
    round_trips("", "%out", "st.global", "ld.global", 64);
    round_trips("", "%out", "st", "ld", 64);
    round_trips("", "%out", "st.global.cs", "ld.global.cs", 64);
    round_trips("", "%out", "st.relaxed.gpu.global", "ld.acquire.gpu.global", 64);
    round_trips("", "%out", "st.release.sys.global", "ld.relaxed.sys.global", 64);
    round_trips("", "%out", "st.release.gpu", "ld.acquire.gpu", 64);
    round_trips("", "%out", "st.global.gpu.relaxed", "ld.global.gpu.acquire", 64);
}

/// The loads of every form from `at`, each followed by a store of the same form to its sixteen bytes of the output.
fn copies(load: impl Fn(usize, &str, &str) -> String) -> String {
    copies_by("st.global", load)
}

fn copies_by(store: &str, load: impl Fn(usize, &str, &str) -> String) -> String {
    let mut body = String::new();
    for (n, (ty, bits, count)) in shapes().enumerate() {
        let name = ["h", "", "r", "", "", "", "d"][bits.max(16) / 8 - 2];
        let registers: Vec<String> = (10..10 + count).map(|r| format!("%{name}{r}")).collect();
        let form = format!("{}{ty}", vector(count));
        body += &load(n, &form, &list(&registers));
        body += &format!("{store}.{form} [%d0+{}], {};\n", 16 * n, list(&registers));
    }
    body
}

/// Each form must have copied its bytes of `source` and no more.
fn copied(text: &str, source: &[u32; 4]) {
    let out = run_text(text, 1, source, 4 * shapes().count());
    let bytes = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    for (n, (ty, bits, count)) in shapes().enumerate() {
        let mut expected = bytes(&[0xDEAD_BEEF; 4]);
        let size = bits * count / 8;
        expected[..size].copy_from_slice(&bytes(source)[..size]);
        assert_eq!(bytes(&out[4 * n..4 * n + 4]), expected, "{}{ty}", vector(count));
    }
}

const SOURCE: [u32; 4] = [0x8182_8384, 0x0506_0708, 0xF1F2_F3F4, 0x7F80_0001];

#[test]
fn sixteen_bytes_of_global_memory_are_loaded_and_stored_in_every_form() {
    copied(&wrap(&copies(|_, form, to| format!("ld.global.{form} {to}, [%d1]; "))), &SOURCE);
    let streaming = copies_by("st.global.cs", |_, form, to| format!("ld.global.cs.{form} {to}, [%d1]; "));
    copied(&wrap(&streaming), &SOURCE);
    copied(&wrap(&copies(|_, form, to| format!("ld.global.nc.{form} {to}, [%d1]; "))), &SOURCE);
    copied(&wrap(&copies(|_, form, to| format!("ld.global.cv.{form} {to}, [%d1]; "))), &SOURCE);
}

#[test]
fn constants_are_loaded_in_every_form() {
    let table: Vec<String> = SOURCE.iter().flat_map(|w| w.to_le_bytes()).map(|b| b.to_string()).collect();
    let body = copies(|_, form, to| format!("ld.const.{form} {to}, [table+16]; "));
    let zeros = "0, ".repeat(16);
    let text = wrap(&body).replacen(
        ".visible",
        &format!(".const .align 16 .b8 table[32] = {{{zeros}{}}};\n.visible", table.join(", ")),
        1,
    );
    copied(&text, &SOURCE);
}

/// A function for each form takes sixteen bytes, and returns what it loads of them.
#[test]
fn parameters_and_results_of_functions_are_passed_in_every_form() {
    let mut functions = String::new();
    for (n, (ty, bits, count)) in shapes().enumerate() {
        let registers: Vec<String> = (0..count).map(|r| format!("%v{r}")).collect();
        let (form, registers) = (format!("{}{ty}", vector(count)), list(&registers));
        functions += &format!(
            ".func (.param .align 16 .b8 r[16]) f{n}(.param .align 16 .b8 p[16]) {{ .reg .b{} %v<4>;
            ld.param.{form} {registers}, [p]; st.param.{form} [r], {registers}; ret; }}\n",
            bits.max(16)
        );
    }
    let body = copies(|n, form, to| {
        format!(
            "{{ .param .align 16 .b8 a[16]; .param .align 16 .b8 q[16]; st.param.v4.b32 [a], {{%r1, %r2, %r3, %r4}};
            call.uni (q), f{n}, (a); ld.param.{form} {to}, [q]; }}\n"
        )
    });
    let text = wrap(&format!("ld.global.v4.b32 {{%r1, %r2, %r3, %r4}}, [%d1];\n{body}"));
    copied(&text.replacen(".visible", &format!("{functions}.visible"), 1), &SOURCE);
}
