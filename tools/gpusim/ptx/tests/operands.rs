//! Instructions and operands.

mod common;

use common::{body_error, instruction, mnemonic, module, name, operands};
use gpusim_ptx::ast::{Address, Operand};

fn address(base: Operand, offset: i64, coordinates: Vec<Operand>) -> Operand {
    Operand::Address(Box::new(Address { base, offset, coordinates }))
}

#[test]
fn modifiers_keep_their_order_and_spelling() {
    for text in [
        "ld.global.nc.L1::no_allocate.L2::128B.v4.b32",
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile::gather4.mbarrier::complete_tx::bytes.cta_group::1",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
        "ldmatrix.sync.aligned.m8n8.x4.trans.shared::cta.b16",
        "cp.async.bulk.tensor.3d.im2col::w::128.shared::cta.global",
        "fence.proxy.tensormap::generic.acquire.gpu",
        "tcgen05.mma.cta_group::1.kind::mxf8f6f4.block_scale.scale_vec::1X",
        "_warpsync.x",
        "ret",
    ] {
        assert_eq!(mnemonic(&instruction(&format!("{text} a;"))), text);
    }
    assert_eq!(mnemonic(&instruction("ld .global\n.u32 a, [b];")), "ld.global.u32");
}

#[test]
fn a_directive_is_no_modifier() {
    assert!(body_error("ret\n.reg .b32 x;").message.contains(".reg"));
}

#[test]
fn guards_may_be_negated() {
    assert_eq!(instruction("@%p1 bra a;").guard, Some(("%p1".into(), false)));
    assert_eq!(instruction("@ ! %p1 bra a;").guard, Some(("%p1".into(), true)));
    assert_eq!(instruction("bra a;").guard, None);
    assert!(body_error("@%p1 { ret; }").message.contains("instruction"));
}

#[test]
fn names_are_registers_special_registers_symbols_and_labels() {
    assert_eq!(operands("x %r1, sym, $L__BB0_1;"), ["%r1", "sym", "$L__BB0_1"].map(name));
    assert_eq!(operands("x %tid.x, %nctaid.z;"), ["%tid.x", "%nctaid.z"].map(name));
    assert_eq!(operands("x %clusterid.y, %cluster_ctaid.w;"), ["%clusterid.y", "%cluster_ctaid.w"].map(name));
    assert_eq!(operands("x %clock64, %pm0, WARP_SZ;"), [name("%clock64"), name("%pm0"), Operand::Int(32)]);
}

#[test]
fn components_have_an_index() {
    let component = |index| Operand::Component("%v".into(), index);
    assert_eq!(operands("x %v.x, %v.y, %v.z, %v.w;"), [0, 1, 2, 3].map(component));
    assert_eq!(operands("x %v.r, %v.g, %v.b, %v.a;"), [0, 1, 2, 3].map(component));
    assert_eq!(operands("vadd.u32 %r1, %r2.b0, %r3.h1;")[1..], ["%r2.b0", "%r3.h1"].map(name));
    body_error("x %v.u32;");
}

#[test]
fn integers_are_constant_expressions() {
    let ints = [-1, 0xffff_ffff, 7, 2, 1 << 63].map(Operand::Int);
    assert_eq!(operands("x -1, 0xffffffff, 1+2*3, 0 ? 1 : 2, 0x8000000000000000;"), ints);
    assert_eq!(
        operands("x (1+2)*3, (.u64)-1, ~0U, !0;"),
        [9, u64::MAX.into(), u64::MAX.into(), 1].map(Operand::Int)
    );
}

#[test]
fn floats_keep_their_bits() {
    let found = operands("x 0f7fC00001, 0d7FF0000000000001, -1.5, .5;");
    let doubles = [0x7ff0_0000_0000_0001, (-1.5f64).to_bits(), 0.5f64.to_bits()].map(Operand::F64);
    assert_eq!(found[0], Operand::F32(0x7fc0_0001));
    assert_eq!(found[1..], doubles);
}

#[test]
fn addresses_have_a_base_and_an_offset() {
    let bases = [("%rd1", name("%rd1")), ("sym", name("sym")), ("4096", Operand::Int(4096))];
    for (text, base) in bases {
        assert_eq!(operands(&format!("x [{text}];")), [address(base, 0, vec![])]);
    }
    for (text, offset) in [("+4", 4), ("+-4", -4), ("+0", 0), ("+4*2-12", -4), (" + WARP_SZ", 32)] {
        assert_eq!(operands(&format!("x [%rd1{text}];")), [address(name("%rd1"), offset, vec![])], "{text}");
    }
    for text in ["x [%rd1-4];", "x [4+%rd1];", "x [];", "x [%rd1;", "x [1.5];", "x [a[1]];"] {
        body_error(text);
    }
}

#[test]
fn tensor_addresses_have_coordinates() {
    let two = vec![name("%r1"), Operand::Int(-3)];
    assert_eq!(operands("x [%rd1, {%r1, -3}];"), [address(name("%rd1"), 0, two)]);
    let found = operands("x [%r0+16], [map, {%r1}], [%r4], {%h1, %h2}, %h3;");
    assert_eq!(found.len(), 5);
    assert_eq!(found[1], address(name("map"), 0, vec![name("%r1")]));
    let coordinates = vec![name("smp"), Operand::Vector(vec![name("%f1")])];
    assert_eq!(operands("x [tex, smp, {%f1}];"), [address(name("tex"), 0, coordinates)]);
    body_error("x [%rd1+4, {%r1}];");
    body_error("x [%rd1, 4];");
}

#[test]
fn unified_addresses_leave_a_modifier() {
    assert_eq!(mnemonic(&instruction("ld.global.u32 %r1, [%rd1].unified;")), "ld.global.u32.unified");
}

#[test]
fn vectors_hold_names_numbers_and_sinks() {
    let expected = Operand::Vector(vec![name("%r1"), Operand::Sink, Operand::Int(-2), Operand::F32(0)]);
    assert_eq!(operands("x {%r1, _, -2, 0f00000000};"), [expected]);
    for text in ["x {};", "x {{%r1}};", "x {!%p1};", "x {%r1,};", "x {%r1;"] {
        body_error(text);
    }
}

#[test]
fn pairs_negations_and_sinks() {
    let pair = |a, b| Operand::Pair(Box::new(a), Box::new(b));
    let not = Operand::Not(Box::new(name("%p3")));
    assert_eq!(operands("setp.lt.and.u32 %p1|%p2, %r1, 0, !%p3;")[0], pair(name("%p1"), name("%p2")));
    assert_eq!(operands("setp.lt.and.u32 %p1|_, %r1, 0, !%p3;")[3], not);
    assert_eq!(operands("elect.sync _|%p1, -1;")[0], pair(Operand::Sink, name("%p1")));
    for text in ["x %p1|%p2|%p3;", "_ %r1;", "@_ ret;", ".reg .b32 _;"] {
        body_error(text);
    }
}

#[test]
fn symbols_outside_brackets_may_have_an_offset() {
    assert_eq!(operands("mov.u64 %rd1, sym+4;")[1], Operand::Offset("sym".into(), 4));
    assert_eq!(operands("mov.u64 %rd1, sym+-4;")[1], Operand::Offset("sym".into(), -4));
}

#[test]
fn array_elements_are_places_in_memory_or_their_addresses() {
    let text = ".global .u32 a[4]; .global .v2 .f64 b[4][3]; .global .u32 c;
        .entry k() { .shared .b16 s[9]; ld.global.u32 %r1, a[2]; mov.u64 %rd1, b[1+1]; ld.shared.u16 %h, s[3]; }";
    let code = module(text).functions.remove(0).body.unwrap().code;
    assert_eq!(code[0].operands[1], address(name("a"), 8, vec![]));
    assert_eq!(code[1].operands[1], Operand::Offset("b".into(), 96));
    assert_eq!(code[2].operands[1], address(name("s"), 6, vec![]));
    body_error("ld.global.u32 %r1, unknown[0];");
    body_error(".shared .u32 s; ld.shared.u32 %r1, s[0];");
}

#[test]
fn calls_have_both_lists_in_every_form() {
    let list = |names: &[&str]| Operand::List(names.iter().map(|n| name(n)).collect());
    type Form = (&'static str, &'static [&'static str], &'static [&'static str], Option<&'static str>);
    let forms: &[Form] = &[
        ("call f;", &[], &[], None),
        ("call.uni f, ();", &[], &[], None),
        ("call.uni\nf,\n(\na,\nb\n);", &[], &["a", "b"], None),
        ("call (r), f;", &["r"], &[], None),
        ("call (), f, (a);", &[], &["a"], None),
        ("call.uni (r), f, (a, b), proto;", &["r"], &["a", "b"], Some("proto")),
        ("call f, targets;", &[], &[], Some("targets")),
    ];
    for (text, returns, params, label) in forms {
        let mut expected = vec![list(returns), name("f"), list(params)];
        expected.extend(label.map(name));
        assert_eq!(operands(text), expected, "{text}");
    }
    assert_eq!(operands("call f, (5, %r1);")[2], Operand::List(vec![Operand::Int(5), name("%r1")]));
    for text in ["call;", "call (r) f;", "call f, (a;", "call f, (a,);", "call f, (a), p, q;", "call 5;"] {
        body_error(text);
    }
}

#[test]
fn operands_are_separated_by_commas_and_end_with_a_semicolon() {
    for text in
        ["mov.u32 %r1 %r2;", "mov.u32 %r1, ;", "mov.u32 %r1, %r2", "mov.u32 , %r1;", "mov.u32 %r1, %r2,;"]
    {
        body_error(text);
    }
    assert!(operands("ret;").is_empty());
}

#[test]
fn errors_in_a_body_name_line_and_column() {
    let error = body_error("ret;\n  mov.u32 %r1, ?;");
    assert_eq!((error.line, error.column), (7, 16));
}

#[test]
fn printed_instructions_read_as_one_would_write_them() {
    for text in [
        "@!%p1 ld.global.nc.v2.b32 {%r1, _}, [%rd1+-4];",
        "call.uni f;",
        "call (r), f, (a, 5), proto;",
        "setp.eq.u32 %p1|%p2, %v.x, !%p3;",
        "x [map, {%r1, 2}], [tex, smp, {%f1}], sym+8, 0f3F800000, 0d3FF0000000000000;",
    ] {
        let expected = match text {
            "call.uni f;" => "call.uni f, ();",
            other => other,
        };
        assert_eq!(instruction(text).to_string(), expected);
    }
}
