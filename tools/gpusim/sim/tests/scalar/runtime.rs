//! What nvcc's runtime calls: `malloc`, `free`, `__assertfail`, `vprintf`.

use std::io::Write;
use std::sync::{Arc, Mutex};

use gpusim::{Launch, LaunchError};

use super::common::{HEAD, device, kernel, run_text, try_run_text, wrap};

const HEAP: &str = ".extern .func (.param .b64 r) malloc(.param .b64 n); .extern .func free(.param .b64 p);";

fn with(functions: &str, body: &str) -> String {
    format!("{HEAD}{functions}\n{}", wrap(body).trim_start_matches(HEAD))
}

fn text(name: &str, value: &str) -> String {
    let bytes: Vec<String> = value.bytes().chain([0]).map(|b| b.to_string()).collect();
    format!(".global .align 1 .b8 {name}[{}] = {{{}}};\n", bytes.len(), bytes.join(", "))
}

const MALLOC: &str = "{ .param .b64 n; .param .b64 r; st.param.b64 [n], 64; call.uni (r), malloc, (n); ld.param.b64 %d2, [r]; }";
const FREE: &str = "{ .param .b64 p; st.param.b64 [p], %d2; call.uni free, (p); }";

#[test]
fn each_lane_gets_memory_of_its_own_and_gives_it_back() {
    let body = format!(
        "{MALLOC} mul.lo.u32 %r1, %t, 7; st.u32 [%d2+60], %r1; bar.sync 0; ld.u32 %r2, [%d2+60];
        st.global.u32 [%out], %r2; {FREE}"
    );
    assert_eq!(run_text(&with(HEAP, &body), 64, &[0; 64], 64), (0..64).map(|t| t * 7).collect::<Vec<u32>>());
}

#[test]
fn memory_after_its_end_or_after_free_is_a_fault() {
    for (what, body) in [
        ("overrun", format!("{MALLOC} st.u32 [%d2+64], %t;")),
        ("use after free", format!("{MALLOC} {FREE} ld.u32 %r1, [%d2];")),
        ("double free", format!("{MALLOC} {FREE} {FREE}")),
    ] {
        let error = try_run_text(&with(HEAP, &body), 1, &[0], 1).unwrap_err();
        assert!(matches!(error, LaunchError::IllegalAddress(_)), "{what}: {error}");
    }
}

#[test]
fn a_failed_assertion_says_which() {
    let functions = [
        ".extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e);\n",
        &text("what", "n < 4"),
        &text("file", "sum.cu"),
        &text("name", "void sum(int)"),
    ]
    .concat();
    let body = "setp.lt.u32 %p1, %t, 4; @%p1 bra E; mov.u64 %d2, what; cvta.global.u64 %d2, %d2;
        mov.u64 %d3, file; cvta.global.u64 %d3, %d3; mov.u64 %d4, name; cvta.global.u64 %d4, %d4;
        { .param .b64 a; .param .b64 b; .param .b32 c; .param .b64 d; .param .b64 e; st.param.b64 [a], %d2;
        st.param.b64 [b], %d3; st.param.b32 [c], 77; st.param.b64 [d], %d4; st.param.b64 [e], 1;
        call.uni __assertfail, (a, b, c, d, e); } E:";
    let text = with(&functions, body);
    assert!(try_run_text(&text, 4, &[0], 1).is_ok());
    let error = try_run_text(&text, 5, &[0], 1).unwrap_err();
    assert!(matches!(error, LaunchError::Assert(..)), "{error}");
    let message = format!("{error:?}");
    for part in ["n < 4", "sum.cu", "77", "void sum(int)"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a kernel prints for a format and 8-byte or 4-byte arguments.
fn printed(format: &str, arguments: &[(u64, u32)]) -> String {
    let mut stores = String::new();
    let mut at = 0u32;
    for (value, bytes) in arguments {
        at = at.next_multiple_of(*bytes);
        stores += &format!("mov.b64 %d1, {value:#x}; cvt.u32.u64 %r1, %d1; ");
        stores += &match bytes {
            8 => format!("st.local.b64 [depot+{at}], %d1; "),
            _ => format!("st.local.b32 [depot+{at}], %r1; "),
        };
        at += bytes;
    }
    let ptx = format!(
        "{HEAD}.extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);\n{}
        .visible .entry k() {{ .local .align 8 .b8 depot[128]; .reg .b64 %d<9>; .reg .b32 %r<9>;
        {stores} mov.u64 %d2, depot; cvta.local.u64 %d2, %d2; mov.u64 %d3, fmt; cvta.global.u64 %d3, %d3;
        {{ .param .b64 a; .param .b64 b; .param .b32 r; st.param.b64 [a], %d3; st.param.b64 [b], %d2;
        call.uni (r), vprintf, (a, b); ld.param.b32 %r1, [r]; }} ret; }}",
        text("fmt", format)
    );
    let device = device();
    let output = Arc::new(Mutex::new(Vec::new()));
    device.set_output(Box::new(Kept(Arc::clone(&output))));
    device.launch(&Launch::new(kernel(&device, &ptx))).unwrap_or_else(|error| panic!("{format}: {error}"));
    let bytes = output.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// What the C library prints for the same.
#[test]
fn printf_formats_numbers_as_c_does() {
    let minus = |n: i64| n as u64;
    let f = |v: f64| v.to_bits();
    let cases: &[(&str, &[(u64, u32)], &str)] = &[
        ("%d|%i|%u", &[(minus(-5), 4), (minus(-2147483648), 4), (minus(-1), 4)], "-5|-2147483648|4294967295"),
        ("%5d|%-5d|%05d|%+d|% d", &[(42, 4); 5], "   42|42   |00042|+42| 42"),
        (
            "%ld|%lld|%lu",
            &[(minus(-1), 8), (1 << 40, 8), (u64::MAX, 8)],
            "-1|1099511627776|18446744073709551615",
        ),
        ("%x|%X|%#x|%08x|%o|%#o", &[(0xBEEF, 4); 6], "beef|BEEF|0xbeef|0000beef|137357|0137357"),
        ("%llx|%zu|%hd", &[(0x1234_5678_9ABC, 8), (7, 8), (3, 4)], "123456789abc|7|3"),
        ("%.3d|%6.3d", &[(7, 4), (7, 4)], "007|   007"),
        ("%c%c%%", &[(72, 4), (105, 4)], "Hi%"),
        ("%f|%.2f|%8.3f|%-8.1f|%+.1f", &[(f(1.5), 8); 5], "1.500000|1.50|   1.500|1.5     |+1.5"),
        (
            "%e|%.2E|%g|%g|%G",
            &[(f(12345.678), 8), (f(0.00012), 8), (f(1e-5), 8), (f(100000.0), 8), (f(1e10), 8)],
            "1.234568e+04|1.20E-04|1e-05|100000|1E+10",
        ),
        (
            "%f|%5.1f|%F",
            &[(f(f64::INFINITY), 8), (f(f64::NEG_INFINITY), 8), (f(f64::NAN), 8)],
            "inf| -inf|NAN",
        ),
        ("%.0f|%.0f|%.0f", &[(f(0.5), 8), (f(1.5), 8), (f(2.5), 8)], "0|2|2"),
        ("%f|%g", &[(f(-0.0), 8), (f(-0.0), 8)], "-0.000000|-0"),
        ("%d %f %d", &[(1, 4), (f(2.0), 8), (3, 4)], "1 2.000000 3"),
        ("%p", &[(0x1234, 8)], "0x1234"),
    ];
    for (format, arguments, want) in cases {
        assert_eq!(printed(format, arguments), *want, "{format}");
    }
}
