//! Every form that takes or gives a carry, in every type: its value, and the carry that it leaves.

use super::table::{bits, check_made, signed};

/// The parts of an instruction that matter: `add`, `sub`, `mad.lo`, `mad.hi`, and whether it takes a carry.
struct Meant {
    op: &'static str,
    takes: bool,
    ty: &'static str,
    /// Whether the carry is looked at, rather than the value.
    carry: bool,
}

/// The adder's result with its carry above it.
fn sum(meant: &Meant, a: u64, b: u64, c: u64) -> u128 {
    let bits = bits(meant.ty);
    let low = |v: u128| v & ((1 << bits) - 1);
    // The carry that is taken is that of `c + c`.
    let carry = if meant.takes { u128::from(c >> (bits - 1)) } else { u128::from(meant.op == "sub") };
    let product = match meant.ty.starts_with('s') {
        true => (i128::from(signed(a, bits)) * i128::from(signed(b, bits))) as u128,
        false => u128::from(a) * u128::from(b),
    };
    let (x, y) = match meant.op {
        "add" => (a.into(), b.into()),
        "sub" => (a.into(), low(!u128::from(b))),
        "mad.lo" => (low(product), c.into()),
        _ => (low(product >> bits), c.into()),
    };
    x + y + carry
}

#[test]
fn sums_differences_and_products_take_and_give_carries() {
    let mut texts = Vec::new();
    let mut meant = Vec::new();
    for ty in ["u32", "s32", "u64", "s64"] {
        let name = if bits(ty) == 32 { 'x' } else { 'y' };
        for op in ["add", "sub", "mad.lo", "mad.hi"] {
            for takes in [false, true] {
                let (opcode, part) = op.split_at(3);
                let opcode = if takes { format!("{opcode}c{part}") } else { op.to_owned() };
                let operands = if op.starts_with("mad") { "%a, %b, %c" } else { "%a, %b" };
                let before = format!("add.cc.{ty} %{name}1, %c, %c;");
                let value = format!("{before} {opcode}.cc.{ty} %d, {operands};");
                let carry = format!("{before} {opcode}.cc.{ty} %{name}2, {operands}; addc.{ty} %d, 0, 0;");
                let types = format!("{ty} {ty} {ty} {ty}");
                if takes {
                    texts.push((format!("{before} {opcode}.{ty} %d, {operands};"), types.clone()));
                    meant.push(Meant { op, takes, ty, carry: false });
                }
                texts.extend([(value, types.clone()), (carry, types)]);
                meant.push(Meant { op, takes, ty, carry: false });
                meant.push(Meant { op, takes, ty, carry: true });
            }
        }
    }
    check_made(&texts, |n, [a, b, c]| {
        let sum = sum(&meant[n], a, b, c);
        if meant[n].carry { (sum >> bits(meant[n].ty)) as u64 } else { sum as u64 }
    });
}
