//! Every `setp` and `set` of integers: comparisons, types, boolean operators.

use super::table::{bits, check_made, signed};

fn holds(compare: &str, ty: &str, a: u64, b: u64) -> bool {
    let value = |v: u64| match ty.starts_with('s') {
        true => i128::from(signed(v, bits(ty))),
        false => i128::from(v),
    };
    let (a, b) = (value(a), value(b));
    match compare {
        "eq" => a == b,
        "ne" => a != b,
        "lt" | "lo" => a < b,
        "le" | "ls" => a <= b,
        "gt" | "hi" => a > b,
        _ => a >= b,
    }
}

/// What a type can be compared by: bits for equality, signed numbers by the six, unsigned ones by four more names.
fn comparisons(ty: &str) -> &'static [&'static str] {
    match ty.as_bytes()[0] {
        b'b' => &["eq", "ne"],
        b's' => &["eq", "ne", "lt", "le", "gt", "ge"],
        _ => &["eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"],
    }
}

const TYPES: [&str; 9] = ["b16", "b32", "b64", "s16", "s32", "s64", "u16", "u32", "u64"];
const OPERATORS: [&str; 4] = ["", ".and", ".or", ".xor"];

fn combine(op: &str, holds: bool, with: bool) -> bool {
    match op {
        "" => holds,
        ".and" => holds && with,
        ".or" => holds || with,
        _ => holds != with,
    }
}

/// The predicate operand of an operator is whether the third operand is above 99.
const PREDICATE: &str = "setp.gt.u32 %p1, %c, 99;";

#[test]
fn setp_compares_and_combines() {
    let mut texts = Vec::new();
    let mut meant = Vec::new();
    for ty in TYPES {
        for compare in comparisons(ty) {
            for op in OPERATORS {
                let with = if op.is_empty() { "" } else { ", %p1" };
                let text = format!("{PREDICATE} setp.{compare}{op}.{ty} %d, %a, %b{with};");
                texts.push((text, format!("pred {ty} {ty} u32")));
                meant.push((ty, *compare, op));
            }
        }
    }
    check_made(&texts, |n, [a, b, c]| {
        let (ty, compare, op) = meant[n];
        combine(op, holds(compare, ty, a, b), c > 99).into()
    });
}

#[test]
fn set_gives_masks_or_ones() {
    let mut texts = Vec::new();
    let mut meant = Vec::new();
    for ty in TYPES {
        for compare in comparisons(ty) {
            for (to, one) in [("u32", 0xFFFF_FFFF), ("s32", 0xFFFF_FFFF), ("f32", 0x3F80_0000)] {
                for op in OPERATORS {
                    let with = if op.is_empty() { "" } else { ", %p1" };
                    let text = format!("{PREDICATE} set.{compare}{op}.{to}.{ty} %d, %a, %b{with};");
                    texts.push((text, format!("b32 {ty} {ty} u32")));
                    meant.push((ty, *compare, op, one));
                }
            }
        }
    }
    check_made(&texts, |n, [a, b, c]| {
        let (ty, compare, op, one) = meant[n];
        if combine(op, holds(compare, ty, a, b), c > 99) { one } else { 0 }
    });
}
