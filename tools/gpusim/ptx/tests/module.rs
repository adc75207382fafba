//! Module-level directives and variables.

mod common;

use common::{module, module_error, variable};
use gpusim_ptx::ast::{Init, Linkage, Space, Type};
use gpusim_ptx::parse;

fn ints(init: &[Init]) -> Vec<i128> {
    init.iter().map(|i| if let Init::Int(v) = i { *v } else { panic!("{i:?}") }).collect()
}

#[test]
fn version_targets_and_address_size_are_kept() {
    let m = parse(".version 7.10 .target sm_90a, debug .address_size 32").unwrap();
    assert_eq!(m.version, (7, 10));
    assert_eq!(m.targets, ["sm_90a", "debug"]);
    assert_eq!(m.address_size, 32);
}

#[test]
fn address_size_is_64_unless_given() {
    assert_eq!(parse(".version 9.0\n.target sm_80").unwrap().address_size, 64);
}

#[test]
fn a_module_begins_with_version_and_has_one_target() {
    for text in ["", ".target sm_90", ".version 8.0", ".version 8 .target sm_90", ".version x .target sm_90"]
    {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(module_error(".target sm_80").message.contains("second"));
    assert!(module_error(".version 8.0").message.contains("second"));
    assert!(module_error(".address_size 48").message.contains("32 or 64"));
}

#[test]
fn files_are_kept_with_their_index() {
    let m = module(".file 1 \"a.cu\"\n.file 2 \"C:\\b.cu\", 123, 456\n");
    assert_eq!(m.files, [(1, "a.cu".to_string()), (2, "C:\\b.cu".to_string())]);
}

#[test]
fn debug_sections_and_pragmas_are_skipped() {
    let m = module(
        ".section .debug_info\n{\n.b32 12\nx: .b8 1,2,3\n.b64 .debug_abbrev+4\n{}\n.b32 y-x\n}\n
         .section\t.debug_loc\t{\t}\n.pragma \"nounroll\";\n.global .u32 a;",
    );
    assert_eq!(m.variables.len(), 1);
    assert!(module_error(".section .debug_info {").message.contains("not closed"));
}

#[test]
fn linkage_space_type_alignment_and_dimensions_are_kept() {
    let v = variable(".visible .global .align 16 .v4 .f32 x[3][2];");
    assert_eq!((v.linkage, v.space, v.ty, v.vector), (Linkage::Visible, Space::Global, Type::F32, 4));
    assert_eq!((v.name.as_str(), v.align, v.line), ("x", Some(16), 4));
    assert_eq!(v.dims, [3, 2]);
    let linkages = [("", Linkage::Internal), (".extern", Linkage::Extern), (".weak", Linkage::Weak)];
    for (text, linkage) in linkages.into_iter().chain([(".common", Linkage::Common)]) {
        assert_eq!(variable(&format!("{text} .global .u32 x;")).linkage, linkage);
    }
    let spaces = [(".const", Space::Const), (".shared", Space::Shared), (".local", Space::Local)];
    for (text, space) in spaces {
        assert_eq!(variable(&format!("{text} .b8 x;")).space, space);
    }
}

#[test]
fn every_type_of_a_variable_is_known() {
    use Type::*;
    let types = [
        ("b8", B8),
        ("b16", B16),
        ("b32", B32),
        ("b64", B64),
        ("b128", B128),
        ("u8", U8),
        ("u16", U16),
        ("u32", U32),
        ("u64", U64),
        ("s8", S8),
        ("s16", S16),
        ("s32", S32),
        ("s64", S64),
        ("f16", F16),
        ("f16x2", F16x2),
        ("f32", F32),
        ("f64", F64),
        ("texref", Opaque),
        ("surfref", Opaque),
        ("samplerref", Opaque),
    ];
    for (text, ty) in types {
        assert_eq!(variable(&format!(".global .{text} x;")).ty, ty, "{text}");
    }
    assert!(module_error(".global .pred x;").message.contains("registers"));
    assert!(module_error(".global .f17 x;").message.contains(".f17"));
}

#[test]
fn dynamic_shared_memory_has_dimension_zero() {
    let v = variable(".extern .shared .align 1024 .b8 smem[];");
    assert_eq!((v.linkage, v.space, v.dims.as_slice()), (Linkage::Extern, Space::Shared, &[0u64][..]));
    assert!(module_error(".shared .b8 smem[];").message.contains("without a size"));
}

#[test]
fn several_names_and_ranges_share_a_declaration() {
    let m = module(".global .align 8 .b8 a[8], b, c<2>;");
    let names: Vec<_> = m.variables.iter().map(|v| (v.name.as_str(), v.dims.len(), v.align)).collect();
    assert_eq!(names, [("a", 1, Some(8)), ("b", 0, Some(8)), ("c0", 0, Some(8)), ("c1", 0, Some(8))]);
}

#[test]
fn attributes_are_accepted_before_the_type() {
    assert_eq!(variable(".global .attribute(.managed) .align 4 .u32 x;").name, "x");
    assert_eq!(variable(".global .align 4 .attribute(.unified(19,95)) .f32 x;").name, "x");
}

#[test]
fn attributes_of_a_declaration_stand_once_and_in_order() {
    for text in [
        ".v2 .v2 .u32",
        ".v2 .align 8 .u32",
        ".u32 .align 8",
        ".align 8 .align 8 .u32",
        ".u32 .f32",
        ".align 3 .u32",
        "",
    ] {
        module_error(&format!(".global {text} x;"));
    }
}

#[test]
fn integers_are_kept_with_sign_and_radix_resolved() {
    let v = variable(".const .align 4 .s32 x[5] = {-1, 0xFF, 0b101, 017, (1<<4)|3};");
    assert_eq!(ints(&v.init), [-1, 255, 5, 15, 19]);
    let v = variable(".global .u64 x = 18446744073709551615;");
    assert_eq!(ints(&v.init), [u64::MAX.into()]);
}

#[test]
fn short_byte_arrays_may_end_early() {
    let v = variable(".global .align 1 .b8 name[12] = {104, 105, 0};");
    assert_eq!((ints(&v.init).as_slice(), v.dims.as_slice()), (&[104, 105, 0][..], &[12u64][..]));
    assert!(variable(".global .b8 x[4] = {};").init.is_empty());
}

#[test]
fn an_open_dimension_is_as_long_as_its_initialiser() {
    assert_eq!(variable(".global .u32 x[] = {1, 2, 3};").dims, [3]);
    let v = variable(".global .s32 x[][2] = {{-1, 0}, {0}, {1, 1}};");
    assert_eq!((v.dims.as_slice(), ints(&v.init)), (&[3u64, 2][..], vec![-1, 0, 0, 0, 1, 1]));
}

#[test]
fn short_rows_are_filled_with_zeros() {
    let v = variable(".global .u32 x[2][2][2] = {{{1}, {}}, {{}, {4}}};");
    assert_eq!(ints(&v.init), [1, 0, 0, 0, 0, 0, 4]);
    let v = variable(".global .v2 .u32 x[2] = {{1}, {2, 3}};");
    assert_eq!(ints(&v.init), [1, 0, 2, 3]);
}

#[test]
fn floats_are_kept_by_value_and_nans_by_bits() {
    let value = |text: &str| match variable(text).init.remove(0) {
        Init::Float(v) => v.to_bits(),
        other => panic!("{other:?}"),
    };
    assert_eq!(value(".global .f32 x = 0f3FC00000;"), 1.5f64.to_bits());
    assert_eq!(value(".global .f32 x = 0f80000000;"), (-0.0f64).to_bits());
    assert_eq!(value(".global .f64 x = 0dC000000000000000;"), (-2f64).to_bits());
    assert_eq!(value(".global .f64 x = -0.1;"), (-0.1f64).to_bits());
    assert_eq!(ints(&variable(".global .f32 x = 0f7F800001;").init), [0x7f80_0001]);
    // As ptxas stores it: the bits of the f32, zeros above.
    assert_eq!(ints(&variable(".global .f64 x = 0f3F800000;").init), [0x3f80_0000]);
}

#[test]
fn symbols_may_be_generic_offset_and_masked() {
    let v = variable(".global .align 8 .u64 x[4] = {a, a+8, generic(a), generic(a)+-4};");
    let symbols: Vec<_> = v
        .init
        .iter()
        .map(|i| match i {
            Init::Symbol { name, offset, generic, mask } => (name.as_str(), *offset, *generic, *mask),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected =
        [("a", 0, false, None), ("a", 8, false, None), ("a", 0, true, None), ("a", -4, true, None)];
    assert_eq!(symbols, expected);
    let v = variable(".global .u8 x[3] = {1, 0XFF00(generic(a)+16), 0xFF(a)};");
    assert!(
        matches!(&v.init[1], Init::Symbol { name, offset: 16, generic: true, mask: Some(0xff00) } if name == "a")
    );
    assert!(matches!(&v.init[2], Init::Symbol { offset: 0, generic: false, mask: Some(0xff), .. }));
}

#[test]
fn initialisers_that_do_not_fit_are_errors() {
    for text in [
        ".global .u32 x[2] = {1, 2, 3};",
        ".global .u32 x[2][2] = {1, 2, 3, 4};",
        ".global .u32 x[2][2] = {1, {3, 4}};",
        ".global .u32 x[2][2] = {{1}, {2}, {3}};",
        ".global .u32 x = {5};",
        ".global .u32 x[2] = {1, 2,};",
        ".global .u32 x[2] = 1;",
        ".global .f32 x = 5;",
        ".global .u32 x = 5.0;",
        ".global .u32 x = 0f3F800000;",
        ".global .f16 x = 1.0;",
        ".global .u64 x = s-4;",
        ".global .b8 x[4] = \"abc\";",
        ".shared .u32 x = 5;",
        ".global .v2 .f32 x[2] = {1.0, 2.0, 3.0, 4.0};",
    ] {
        assert_eq!(module_error(text).line, 4, "{text}");
    }
}

#[test]
fn a_few_bytes_of_text_cannot_fill_the_memory() {
    for text in [
        ".global .u8 x[2][4000000000] = {{1}, {2}};",
        ".global .u8 x[9000000000000000000][9000000000000000000] = {{1}, {2}};",
        ".global .u8 x<4000000000>;",
        ".visible .entry k() { .reg .b32 %r<4000000000>; }",
        ".visible .entry k() { l: .branchtargets a<4000000000>; }",
    ] {
        module_error(text);
    }
}

#[test]
fn a_variable_is_declared_once() {
    assert!(module_error(".global .u32 x;\n.global .u32 x;").message.contains("twice"));
}

#[test]
fn aliases_are_kept() {
    let m = module(".visible .func f() { ret; }\n.visible .func g();\n.alias g, f;");
    assert_eq!(m.aliases, [("g".to_string(), "f".to_string())]);
}

#[test]
fn errors_name_the_place_and_what_was_found() {
    let error = module_error(".global .u32 x = 1\n  .global .u32 y;");
    assert_eq!((error.line, error.column), (5, 3));
    assert_eq!(error.to_string(), "line 5, column 3: expected `;`, found `.global`");
    assert!(module_error("mov.u32 a, b;").message.contains("directive"));
}
