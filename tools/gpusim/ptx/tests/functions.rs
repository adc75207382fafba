//! Functions, scopes, labels and the directives of bodies.

mod common;

use common::{body, body_error, function, module, module_error, name};
use gpusim_ptx::ast::{Linkage, Location, Operand, Space, Type};

#[test]
fn kernels_have_parameters_with_layout_and_pointer_attributes() {
    let f = function(
        ".visible .entry k(.param .u64 .ptr .global .align 16 a, .param .u64 .ptr b, .param .u64 .ptr .align 1 c,
         .param .align 8 .b8 d[24], .param .f32 e) { ret; }",
    );
    assert!(f.entry);
    assert_eq!((f.linkage, f.name.as_str(), f.line), (Linkage::Visible, "k", 4));
    let pointers: Vec<_> = f.params.iter().map(|p| p.pointer).collect();
    assert_eq!(pointers, [Some((Some(Space::Global), 16)), Some((None, 4)), Some((None, 1)), None, None]);
    let d = &f.params[3];
    assert_eq!((d.ty, d.align, d.dims.as_slice(), d.space), (Type::B8, Some(8), &[24u64][..], Space::Param));
}

#[test]
fn functions_have_returns_and_prototypes_have_no_body() {
    let m = module(
        ".extern .func  (.param .b32 func_retval0) vprintf\n(\n.param .b64 a,\n.param .b64 b\n)\n;\n
         .func (.reg .u32 r) f (.reg .u32 n, .param .b8 v[]) .noreturn { ret; }\n.func g;\n.func h { ret; }",
    );
    let f = &m.functions;
    assert_eq!((f[0].linkage, f[0].returns.len(), f[0].params.len()), (Linkage::Extern, 1, 2));
    assert!(f[0].body.is_none() && f[1].body.is_some());
    assert_eq!((f[1].returns[0].space, f[1].params[0].space), (Space::Reg, Space::Reg));
    assert_eq!(f[1].params[1].dims, [0]);
    assert_eq!(f[1].directives, [("noreturn".to_string(), vec![])]);
    assert!(f[2].body.is_none() && f[2].params.is_empty());
    assert!(f[3].body.is_some());
}

#[test]
fn a_function_may_be_declared_often_and_defined_once() {
    assert_eq!(module(".func f(); .func f(); .func f() { ret; }").functions.len(), 3);
    assert!(module_error(".func f() { ret; } .func f() { ret; }").message.contains("twice"));
}

#[test]
fn performance_directives_keep_their_numbers() {
    let f = function(
        ".entry k() .maxntid 128, 2, 1 .minnctapersm 2 .maxnreg 64 .reqntid 4 .reqnctapercluster 2, 1, 1
         .explicitcluster .maxclusterrank 8 .blocksareclusters .pragma \"nounroll\"; { ret; }",
    );
    let expected: &[(&str, &[u64])] = &[
        ("maxntid", &[128, 2, 1]),
        ("minnctapersm", &[2]),
        ("maxnreg", &[64]),
        ("reqntid", &[4]),
        ("reqnctapercluster", &[2, 1, 1]),
        ("explicitcluster", &[]),
        ("maxclusterrank", &[8]),
        ("blocksareclusters", &[]),
    ];
    let found: Vec<_> = f.directives.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
    assert_eq!(found, expected);
}

#[test]
fn performance_directives_have_their_count_of_numbers_and_stand_once() {
    for text in [
        ".maxntid",
        ".maxntid 1, 2, 3, 4",
        ".maxnreg 1, 2",
        ".noreturn 1",
        ".maxnreg 4 .maxnreg 4",
        ".lt",
        ".maxntid 1,",
    ] {
        module_error(&format!(".entry k() {text} {{ ret; }}"));
    }
}

#[test]
fn a_prototype_may_end_without_semicolon() {
    let m = module(".func f()\n.func g() .noreturn .global .u32 x;\n.extern .func h()");
    assert_eq!((m.functions.len(), m.variables.len()), (3, 1));
    assert!(m.functions.iter().all(|f| f.body.is_none()));
    module_error(".func f() x");
}

#[test]
fn register_ranges_are_expanded() {
    let b =
        body(".reg .b32 %r<3>, x;\n.reg .pred %p<1>;\n.reg .v4 .f32 %v;\n.reg .b128 q;\n.reg .b16 none<0>;");
    let found: Vec<_> = b.registers.iter().map(|(n, t, v)| (n.as_str(), *t, *v)).collect();
    let expected = [
        ("%r0", Type::B32, 1),
        ("%r1", Type::B32, 1),
        ("%r2", Type::B32, 1),
        ("x", Type::B32, 1),
        ("%p0", Type::Pred, 1),
        ("%v", Type::F32, 4),
        ("q", Type::B128, 1),
    ];
    assert_eq!(found, expected);
}

#[test]
fn bodies_declare_variables_of_every_space() {
    let b = body(
        ".local .align 16 .b8 __local_depot0[32];\n.shared .align 4 .f32 s[8], t;\n.param .b32 q;\n
         .global .u32 g = 4;\n.const .u32 c = 5;",
    );
    let found: Vec<_> = b.variables.iter().map(|v| (v.name.as_str(), v.space)).collect();
    let expected = [
        ("__local_depot0", Space::Local),
        ("s", Space::Shared),
        ("t", Space::Shared),
        ("q", Space::Param),
        ("g", Space::Global),
        ("c", Space::Const),
    ];
    assert_eq!(found, expected);
    assert_eq!(b.variables[4].init.len(), 1);
}

#[test]
fn a_name_is_declared_once_in_a_scope() {
    for text in [".reg .b32 %r<3>;\n.reg .b32 %r2;", ".reg .b32 p;", "a: a: ret;", ".reg .b32 a; a: ret;"] {
        assert!(body_error(text).message.contains("declared twice"), "{text}");
    }
}

#[test]
fn labels_point_at_what_follows() {
    let b = body("a:\n$L__BB0_1: ret;\nexit;\nend:");
    assert_eq!(b.labels, [("a".to_string(), 0), ("$L__BB0_1".to_string(), 0), ("end".to_string(), 2)]);
}

#[test]
fn nested_registers_and_variables_are_renamed() {
    let b = body(
        ".reg .b32 x;\n.param .b32 param0;
         { .reg .b32 x, %t<2>; .param .b32 param0; st.param.b32 [param0], x; mov.u32 %t1, %y; }
         { .param .b32 param0; st.param.b32 [param0+4], x; { .reg .b32 x; mov.b32 x, param0; } }
         mov.u32 x, x;",
    );
    let registers: Vec<_> = b.registers.iter().map(|r| r.0.as_str()).collect();
    assert_eq!(registers, ["x", "x$1", "%t0$1", "%t1$1", "x$3"]);
    let variables: Vec<_> = b.variables.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(variables, ["param0", "param0$1", "param0$2"]);
    let code: Vec<_> = b.code.iter().map(ToString::to_string).collect();
    let expected = [
        "st.param.b32 [param0$1], x$1;",
        "mov.u32 %t1$1, %y;",
        "st.param.b32 [param0$2+4], x;",
        "mov.b32 x$3, param0$2;",
        "mov.u32 x, x;",
    ];
    assert_eq!(code, expected);
}

#[test]
fn nested_guards_and_components_are_renamed() {
    let b = body("{ .reg .pred p; .reg .v2 .b32 v; @!p mov.b32 v.y, v.x; setp.eq.u32 p|q, !p, 1; }");
    let code: Vec<_> = b.code.iter().map(ToString::to_string).collect();
    assert_eq!(code, ["@!p$1 mov.b32 v$1.y, v$1.x;", "setp.eq.u32 p$1|q, !p$1, 1;"]);
}

#[test]
fn a_name_means_the_outer_one_until_it_is_shadowed() {
    let b = body(".reg .b32 z; { mov.u32 z, 1; .reg .b32 z; mov.u32 z, 2; }");
    let targets: Vec<_> = b.code.iter().map(|i| i.operands[0].clone()).collect();
    assert_eq!(targets, [name("z"), name("z$1")]);
}

#[test]
fn nested_labels_are_renamed_before_and_behind_them() {
    let b = body(
        "{ again: @p bra done; bra again; done: }
         { again: { bra done; bra out; } bra again; done: }
         out: ret;",
    );
    let labels: Vec<_> = b.labels.iter().map(|(n, i)| (n.as_str(), *i)).collect();
    let expected = [("again$1", 0), ("done$1", 2), ("again$2", 2), ("done$2", 5), ("out", 5)];
    assert_eq!(labels, expected);
    let targets: Vec<_> = b.code.iter().filter_map(|i| i.operands.first().cloned()).collect();
    assert_eq!(targets, ["done$1", "again$1", "done$2", "out", "again$2"].map(name));
}

#[test]
fn renamed_names_keep_clear_of_names_that_look_like_them() {
    let b = body(".reg .b32 x$1; { .reg .b32 x; mov.u32 x, x$1; }");
    let Operand::Name(inner) = &b.code[0].operands[0] else { panic!() };
    assert_ne!(inner, "x$1");
    assert_eq!(b.code[0].operands[1], name("x$1"));
}

#[test]
fn scopes_start_anew_in_every_function() {
    let m = module(
        ".func f() { .reg .b32 a; { .reg .b32 b; } } .func g() { .reg .b32 a; { .reg .b32 b; mov.u32 b, a; } }",
    );
    assert_eq!(m.functions[1].body.as_ref().unwrap().code[0].to_string(), "mov.u32 b$1, a;");
}

#[test]
fn depth_of_scopes_is_limited_and_ends_are_checked() {
    let text = format!("{}{}", "{".repeat(100_000), "}".repeat(100_000));
    assert!(body_error(&text).message.contains("deeply"));
    assert!(module_error(".entry k() { {").message.contains("not closed"));
    assert!(module_error(".entry k() { } }").message.contains("directive"));
    assert!(body(&format!("{}{}", "{".repeat(100), "}".repeat(100))).code.is_empty());
}

#[test]
fn every_instruction_has_the_last_location() {
    let b = body(
        "ret;\n.loc 1 20 3\nret;\nret;
         .loc\t2 5 7, function_name $L__info_string0+3, inlined_at 1 20 3
         ret;\n.loc 1 2 3, function_name .debug_str, inlined_at 2 5 7\nret;",
    );
    let found: Vec<_> = b.code.iter().map(|i| i.location.map(|l| (l.file, l.line, l.column))).collect();
    assert_eq!(found, [None, Some((1, 20, 3)), Some((1, 20, 3)), Some((2, 5, 7)), Some((1, 2, 3))]);
    let one = Location { file: 1, line: 20, column: 3 };
    assert_eq!(b.code[1].location, Some(one));
    let lines: Vec<_> = b.code.iter().map(|i| i.line).collect();
    assert_eq!(lines, [6, 8, 9, 11, 13]);
}

#[test]
fn target_lists_are_kept_and_renamed_with_their_scope() {
    let b = body(
        "ts: .branchtargets a, b, c<2>;\nbrx.idx %r1, ts;
         { ts: .branchtargets a, x; brx.idx %r2, ts; a: x: ret; }
         cs: .calltargets f, g;\ncall %rd1, (p), cs;",
    );
    let found: Vec<_> = b.targets.iter().map(|(n, t)| (n.as_str(), t.join(" "))).collect();
    let expected =
        [("ts", "a b c0 c1".to_string()), ("ts$1", "a$1 x$1".to_string()), ("cs", "f g".to_string())];
    assert_eq!(found, expected);
    assert_eq!(b.code[0].operands[1], name("ts"));
    assert_eq!(b.code[1].operands[1], name("ts$1"));
    assert!(b.labels.iter().all(|(n, _)| !n.starts_with("ts") && n != "cs"));
}

#[test]
fn call_prototypes_are_functions_without_body() {
    let b = body(
        "p0: .callprototype (.param .b32 _) _ (.param .b64 _, .param .align 8 .b8 _[16]) .noreturn;
         p1 : .callprototype _;\np2: .callprototype ()_();",
    );
    let (label, f) = &b.prototypes[0];
    assert_eq!((label.as_str(), f.returns.len(), f.params.len()), ("p0", 1, 2));
    assert_eq!((f.params[1].align, f.params[1].dims.as_slice()), (Some(8), &[16u64][..]));
    assert_eq!(f.directives[0].0, "noreturn");
    assert_eq!(b.prototypes[1].1.params.len() + b.prototypes[2].1.params.len(), 0);
}

#[test]
fn directives_that_no_body_holds_are_errors() {
    for text in [".maxnreg 4;", ".extern .shared .b8 z[];", ".section .debug { }", ".version 8.0", ";", "5;"]
    {
        body_error(text);
    }
    assert!(body(".pragma \"nounroll\";\n.file 3 \"x\"").code.is_empty());
}
