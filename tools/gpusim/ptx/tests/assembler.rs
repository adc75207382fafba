//! What ptxas takes is taken, what it refuses as malformed is refused. The verdicts are those of ptxas 13.0; where a
//! ptxas is found (environment variable `PTXAS`, or on the path) it is asked again.

mod common;

use std::path::PathBuf;
use std::process::Command;

const TAKEN: &[&str] = &[
    ".global .s32 a[2][2] = {{1},{3,4}};",
    ".global .u32 t; .global .u8 a[2] = {0xff(generic(t)+4), 0xff00(t+4)};",
    ".global .u32 t; .global .u64 a = 0xff(t);",
    ".global .v4 .f32 t = {1.0,2.0,3.0,0f3F800000};",
    ".global .v2 .f32 t[2] = {{1.0,2.0},{3.0,4.0}};",
    ".global .u32 t[] = {1,2,3};",
    ".global .u32 t[2] = {};",
    ".global .u32 t[2][2] = {{},{1}};",
    ".global .b32 t = 0f3F800000; .global .b64 u = 1.5; .global .f64 v = 0f3F800000;",
    ".global .u32 t = 1 ? 2 : (1<<4)|3;",
    ".global .u8 t = 300;",
    ".global .u32 t<3>;",
    ".global .u32 s; .global .u64 t = s+4+4; .global .u64 u = s+-4; .global .u64 v = generic(s)+4*2-1;",
    ".extern .shared .b8 s[][4]; .extern .shared .b8 t[0];",
    ".global .attribute(.managed) .u32 m; .global .align 4 .attribute(.managed) .u32 n;",
    "# 1 \"x\"\n.global .u32 a;",
    ".file 1 \"C:\\dir\\\"\n.global .u32 s;",
    ".visible .func f(){ret;} .visible .func g(); .alias g, f;",
    ".func f()\n.func f(){ret;}",
    ".visible .entry q() .maxnreg 32 .maxntid 3 .minnctapersm 2 { ret; }",
    ".visible .entry q() .pragma \"nounroll\"; {ret;}",
    ".visible .entry q(.param .u64 .ptr .global .align 16 a, .param .u64 .ptr b){ret;}",
];

const REFUSED: &[&str] = &[
    ".global .s32 a[2][2] = {1,2,3,4};",
    ".global .s32 a[2][2] = {1,{3,4}};",
    ".global .s32 a[2] = {1,2,3};",
    ".global .b8 a[] = \"abc\";",
    ".global .u32 t; .global .u8 a[1] = {mask(0xff, t)};",
    ".global .u32 t; .global .u8 a[1] = {0xff(t)+4};",
    ".global .u32 t = {5};",
    ".global .u32 t[2] = {1,2,};",
    ".global .f32 t = 5;",
    ".global .u32 t = 5.0;",
    ".global .f16 t = 1.0;",
    ".global .f32 t = -0f3F800000;",
    ".global .u32 s; .global .u64 t = s-4;",
    ".global .u32 s; .global .u64 t = generic(s+4);",
    ".global .b8 s[];",
    ".extern .shared .b8 s[4][];",
    ".global .pred t;",
    ".global .bf16 t;",
    ".shared .u32 t = 5;",
    ".global .u32 s[2*4];",
    ".global .u32 .align 8 s;",
    ".global .v2 .align 8 .u32 s;",
    ".global .align 3 .u32 s;",
    ".global .v8 .f32 s;",
    ".global .visible .u32 s;",
    ".global .u32 s; .global .u32 s;",
    ".func f(){ret;} .func f(){ret;}",
    ".reg .b32 x;",
    ".visible .entry q().maxntid 4*4, 1{ret;}",
    ";",
    ".version 8.4",
    ".target sm_90",
];

/// Statements of [`kernel`].
const TAKEN_BODIES: &[&str] = &[
    "{ bra L; mov.u32 %r2,1; L: mov.u32 %r1,1; } { L: mov.u32 %r1,1; }",
    "{ bra L; } L: mov.u32 %r1,1;",
    "ts: .branchtargets L<2>; brx.idx %r1, ts; L0: mov.u32 %r2,1; L1: mov.u32 %r2,1;",
    "mov.u32 %r1, 7 % 4; mov.u64 %rd2, 1<<64; mov.u64 %rd2, 1 << -1; mov.u64 %rd2, (.u64)-1; mov.u32 %r1, !0;",
    "mov.u32 %r1, WARP_SZ*2; mov.u32 %r1, -WARP_SZ; mov.u32 %r1, !WARP_SZ;",
    "mov.f32 %f1, 1.0+2.0; mov.f32 %f1, 2.; mov.f32 %f1, .5e-3; mov.f32 %f1, 1.e3; mov.f32 %f1, -1.5;",
    "ld.global.u32 %r1, [%rd1+-4]; ld.global.u32 %r1, [%rd1+4*2-4]; ld .global .u32 %r1 , [ %rd1 + 4 ] ;",
    "ld.global.u32 %r1, [%rd1].unified;",
    "setp.eq.u32 %p1|_, %r1, 1; elect.sync _|%p1, -1; @ ! %p1 mov.u32 %r1, 1;",
    ".shared .u32 a[4]; .shared .u32 b[4][2]; ld.shared.u32 %r1, a[1+1]; mov.u64 %rd2, b[2]; mov.u64 %rd2, a+4;",
    ".reg .v4 .f32 v; mov.f32 %f1, v.y; mov.f32 %f2, v.g; vadd.u32.u32.u32 %r1, %r2.b0, %r3.h1;",
    "call f; call f, (); call (), f, ();",
    "pr: .callprototype _; mov.u64 %rd2, f; call %rd2, pr; p2: .callprototype ()_() .noreturn; call %rd2, (), p2;",
    "ct: .calltargets f; mov.u64 %rd2, f; call %rd2, ct;",
    ".reg .b32 x$1; { .reg .b32 x; mov.u32 x, 1; mov.u32 x$1, 2; }",
    ".reg .b32 z; { mov.u32 z, 1; .reg .b32 z; mov.u32 z, 2; }",
    "A: B: .reg .b32 zz; bra E; mov.u32 %r1,1; E:",
    ".const .u32 s = 4; .global .u32 g = 4; .local .align 8 .b8 l[16]; .param .align 8 .b8 q[16];",
    "tex.2d.v4.f32.f32 {%f1,%f2,%f3,%f4}, [%rd1, %rd2, {%f1,%f2}];",
    "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r1+16], [%rd1, {%r2,3}], [%r4+8];",
];

const REFUSED_BODIES: &[&str] = &[
    "@%p1 { mov.u32 %r1, 1; }",
    "mov.u32 %r1, 7%4;",
    "mov.u64 %rd2, 1/0;",
    "ld.global.u32 %r1, [%rd1-4];",
    "ld.global.u32 %r1, [4+%rd1];",
    "ld.param.u64 %rd1, p[0];",
    "mov.u32 %r1, 08;",
    ".reg .b32 %r3;",
    ".reg .b32 p;",
    "A: A: ret;",
    ".reg .b32 A; A: ret;",
    "mov.f32 %f1, -0f3F800000;",
    "mov.f32 %f1, 0f3F800000+1.0;",
    "mov.u64 %rd2, 1+1.0;",
    "mov.u64 %rd1, generic(f);",
    ";",
    ".maxnreg 4;",
    ".section .debug_x { .b8 1 }",
    ".extern .shared .b8 zz[];",
    "mov.b64 %rd2, {};",
    "mov.b64 %rd2, {%r1,{%r2}};",
    "mov.b64 %rd1, {!%p1,%r1};",
    "setp.eq.u32 %p1|%p2|%p3, 1, 2;",
    "@%p1 @%p2 mov.u32 %r1, 1;",
    "@%p1 L: mov.u32 %r1, 1;",
    "mov.u32 %r1, 1",
    "ld.global.u32 %r1, [%rd1,0];",
    "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1+128, {%r2,%r3}], [%r4];",
];

fn kernel(statements: &str) -> String {
    format!(
        ".func f() {{ ret; }}\n.visible .entry k(.param .u64 p) {{ .reg .b32 %r<9>; .reg .b64 %rd<9>; \
         .reg .pred %p<9>; .reg .f32 %f<9>; ld.param.u64 %rd1,[p];\n{statements}\nret; }}"
    )
}

/// Every case: a whole text, and whether ptxas takes it.
fn cases() -> Vec<(String, bool)> {
    let whole = |text: &str| format!("{}{text}\n", common::HEAD);
    let mut cases: Vec<(String, bool)> = TAKEN.iter().map(|text| (whole(text), true)).collect();
    cases.extend(REFUSED.iter().map(|text| (whole(text), false)));
    cases.extend(TAKEN_BODIES.iter().map(|text| (whole(&kernel(text)), true)));
    cases.extend(REFUSED_BODIES.iter().map(|text| (whole(&kernel(text)), false)));
    cases.push((include_str!("everything.ptx").to_owned(), true));
    cases
}

#[test]
fn the_parser_agrees_with_the_assembler() {
    for (text, taken) in cases() {
        let found = gpusim_ptx::parse(&text);
        assert_eq!(found.is_ok(), taken, "{text}\n{:?}", found.err());
    }
}

#[test]
fn the_verdicts_are_those_of_the_assembler() {
    let ptxas = std::env::var_os("PTXAS").map_or_else(|| PathBuf::from("ptxas"), PathBuf::from);
    if Command::new(&ptxas).arg("--version").output().is_err() {
        eprintln!("skipped: no ptxas");
        return;
    }
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("case.ptx");
    for (text, taken) in cases() {
        std::fs::write(&file, &text).unwrap();
        let mut command = Command::new(&ptxas);
        command.args(["-O0", "-arch=sm_90", "-c", "-o", "/dev/null"]).arg(&file);
        let output = command.output().unwrap();
        assert_eq!(output.status.success(), taken, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
