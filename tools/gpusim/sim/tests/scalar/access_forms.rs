//! `ld`, `ldu` and `st` of every space, vector and type: which bytes, and how they fill a register.

use super::common::{HEAD, device, kernel, params, upload, words};
use super::forms::expand;
use gpusim::Launch;

/// Bytes of which some have their top bit set, in every position of an element.
fn byte(n: usize) -> u8 {
    (n * 73 + 0x83) as u8
}

/// Bits and whether the type is signed, and elements.
fn shape(form: &str) -> (usize, bool, usize) {
    let count = |v: &str| form.split('.').any(|part| part == v);
    let ty = form.rsplit('.').next().unwrap_or_default();
    let bits = ty.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().expect("a width");
    (
        bits,
        ty.starts_with('s'),
        if count("v2") {
            2
        } else if count("v4") {
            4
        } else {
            1
        },
    )
}

/// Registers for the elements: wider ones than integers need, as PTX allows; floats have to fit.
fn registers(form: &str, count: usize) -> String {
    let class = match form.rsplit('.').next() {
        Some("f32") => "r",
        Some("b128") => "q",
        _ => "d",
    };
    let names: Vec<String> = (0..count).map(|n| format!("%{class}{}", 20 + n)).collect();
    if count == 1 { names.concat() } else { format!("{{{}}}", names.join(", ")) }
}

/// Where the 32 bytes of a space lie, by the name that a form has for it.
fn address(form: &str) -> &'static str {
    match form
        .split('.')
        .find(|part| ["global", "local", "const"].contains(part) || part.starts_with("shared"))
    {
        Some("global") => "%in",
        Some("local") => "%local",
        Some("const") => "%const",
        Some(_) => "%shared",
        None => "%generic",
    }
}

/// Runs `body` with one thread. The bytes lie at `%in`, in constant memory, and in shared and local memory once `FILL` ran.
fn run(body: &str, slots: usize) -> Vec<u64> {
    let list: Vec<String> = (0..32).map(|n| byte(n).to_string()).collect();
    let text = format!(
        "{HEAD}.const .align 16 .b8 c[32] = {{{}}};
        .visible .entry k(.param .u64 p_out, .param .u64 p_in) {{
        .reg .b32 %r<40>; .reg .b64 %d<40>; .reg .b128 %q<40>; .shared .align 16 .b8 s[32]; .local .align 16 .b8 l[32];
        .reg .b64 %out; .reg .b64 %in; .reg .b64 %generic; .reg .b64 %shared; .reg .b64 %local; .reg .b64 %const;
        ld.param.u64 %out, [p_out]; ld.param.u64 %generic, [p_in];
        cvta.to.global.u64 %out, %out; cvta.to.global.u64 %in, %generic;
        mov.u64 %shared, s; mov.u64 %local, l; mov.u64 %const, c;
        {body} ret; }}",
        list.join(", ")
    );
    let device = device();
    let function = kernel(&device, &text);
    let input: Vec<u32> =
        (0..8).map(|w| u32::from_le_bytes(std::array::from_fn(|n| byte(4 * w + n)))).collect();
    let (out, input) = (upload(&device, &vec![0xDEAD_BEEF; 2 * slots]), upload(&device, &input));
    device
        .launch(&Launch { block: [1, 1, 1], params: params(&[out, input]), ..Launch::new(function) })
        .unwrap_or_else(|error| panic!("{error}"));
    words(&device, out, 2 * slots).chunks(2).map(|w| u64::from(w[1]) << 32 | u64::from(w[0])).collect()
}

fn copy(to: &str, from: &str) -> String {
    (0..4).map(|n| format!("ld.b64 %d1, [{from}+{0}]; st.{to}.b64 [%{to}+{0}], %d1;\n", 8 * n)).collect()
}

const FORMS: [&str; 3] = [
    "{|.global|.shared|.shared::cta|.shared::cluster|.local|.const}{|.v2|.v4}.{b8|u8|s8|b16|u16|s16|b32|u32|s32|f32}",
    "{|.global|.shared|.shared::cta|.shared::cluster|.local|.const}{|.v2}.{b64|u64|s64|f64}",
    "{|.global|.shared|.local|.const}.b128",
];

#[test]
fn loads_fill_registers_with_the_bytes_of_their_type() {
    let mut forms: Vec<String> = FORMS.iter().flat_map(|p| expand(&format!("ld{p}"))).collect();
    forms.extend(expand("ldu.global{|.v2|.v4}.{b8|u8|s8|b16|u16|s16|b32|u32|s32|f32}"));
    forms.extend(expand("ldu.global{|.v2}.{b64|u64|s64|f64}"));
    let mut body = copy("shared", "%generic") + &copy("local", "%generic");
    for (n, form) in forms.iter().enumerate() {
        let (bits, _, count) = shape(form);
        // Not at the beginning: an offset that every width divides.
        body += &format!("{form} {}, [{}+16];\n", registers(form, count), address(form));
        for e in 0..count {
            let at = 32 * n + 8 * e;
            body += &match form.rsplit('.').next() {
                Some("f32") => format!("cvt.u64.u32 %d2, %r{}; st.global.b64 [%out+{at}], %d2;\n", 20 + e),
                Some("b128") => {
                    format!("mov.b128 {{%d2, %d3}}, %q20; st.global.v2.b64 [%out+{at}], {{%d2, %d3}};\n")
                }
                _ => format!("st.global.b64 [%out+{at}], %d{};\n", 20 + e),
            };
        }
        assert!(bits * count <= 128);
    }
    let got = run(&body, 4 * forms.len());
    let mut wrong = Vec::new();
    for (form, got) in forms.iter().zip(got.chunks(4)) {
        let (bits, sign, count) = shape(form);
        let (bits, count) = if bits == 128 { (64, 2) } else { (bits, count) };
        for e in 0..count {
            let bytes = (0..bits / 8).map(|n| u64::from(byte(16 + e * bits / 8 + n)) << (8 * n));
            let value = bytes.fold(0, |value, byte| value | byte);
            let want = if sign { super::table::signed(value, bits as u32) as u64 } else { value };
            if got[e] != want {
                wrong.push(format!("{form}, element {e}: {:#x}, not {want:#x}", got[e]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn stores_write_the_low_bytes_of_their_elements_and_no_others() {
    let forms: Vec<String> =
        FORMS.iter().flat_map(|p| expand(&format!("st{}", p.replace("|.const", "")))).collect();
    let value = |e: usize| 0x8192_A3B4_C5D6_E7F8u64.rotate_left(8 * e as u32);
    let mut body = String::new();
    for e in 0..4 {
        body += &format!("mov.b64 %d{0}, {1}; cvt.u32.u64 %r{0}, %d{0};\n", 20 + e, value(e) as i64);
    }
    body += "mov.b128 %q20, {%d20, %d21};\n";
    for (n, form) in forms.iter().enumerate() {
        let (_, _, count) = shape(form);
        let at = address(form);
        let space =
            form.split('.').nth(1).filter(|s| at != "%generic" && !s.starts_with('v')).unwrap_or("global");
        let (space, base) = if at == "%generic" { ("global", "%in") } else { (space, at) };
        for k in 0..4 {
            body += &format!("st.{space}.b64 [{base}+{}], 0;\n", 8 * k);
        }
        body += &format!("{form} [{at}+16], {};\n", registers(form, count));
        for k in 0..4 {
            body += &format!(
                "ld.{space}.b64 %d2, [{base}+{0}]; st.global.b64 [%out+{1}], %d2;\n",
                8 * k,
                32 * n + 8 * k
            );
        }
    }
    let got = run(&body, 4 * forms.len());
    let mut wrong = Vec::new();
    for (form, got) in forms.iter().zip(got.chunks(4)) {
        let (bits, _, count) = shape(form);
        let (bits, count) = if bits == 128 { (64, 2) } else { (bits, count) };
        let mut bytes = [0u8; 32];
        for e in 0..count {
            bytes[16 + e * bits / 8..][..bits / 8].copy_from_slice(&value(e).to_le_bytes()[..bits / 8]);
        }
        let want: Vec<u64> =
            bytes.chunks(8).map(|b| b.iter().rev().fold(0, |w, byte| w << 8 | u64::from(*byte))).collect();
        if got != want {
            wrong.push(format!("{form}: {got:x?}, not {want:x?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
