//! Constant expressions: evaluated while they are parsed, in 64 bits, by the rules of the PTX ISA.

use crate::ast::Operand;
use crate::error::Result;
use crate::lexer::Kind;
use crate::numbers::{self, Number};
use crate::parser::Parser;

/// Parentheses, signs and conditionals inside one another.
const MAX_DEPTH: u32 = 64;

/// A constant's value and type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Constant {
    Signed(i64),
    Unsigned(u64),
    Double(f64),
    /// `0f…`, which no operator takes.
    Single(u32),
}

use Constant::{Double, Signed, Single, Unsigned};

impl Constant {
    /// The operand that this constant is.
    pub(crate) fn operand(self) -> Operand {
        match self {
            Signed(v) => Operand::Int(v.into()),
            Unsigned(v) => Operand::Int(v.into()),
            Double(v) => Operand::F64(v.to_bits()),
            Single(v) => Operand::F32(v),
        }
    }

    /// The 64 bits of an integer.
    pub(crate) fn bits(self) -> Option<u64> {
        match self {
            Signed(v) => Some(v as u64),
            Unsigned(v) => Some(v),
            Double(_) | Single(_) => None,
        }
    }
}

/// Binary operators, and how tightly they bind.
const OPERATORS: &[(&str, u8)] = &[
    ("||", 1),
    ("&&", 2),
    ("|", 3),
    ("^", 4),
    ("&", 5),
    ("==", 6),
    ("!=", 6),
    ("<=", 7),
    (">=", 7),
    ("<<", 8),
    (">>", 8),
    ("<", 7),
    (">", 7),
    ("+", 9),
    ("-", 9),
    ("*", 10),
    ("/", 10),
    ("%", 10),
];

impl Parser<'_> {
    /// A constant expression.
    pub(crate) fn constant(&mut self) -> Result<Constant> {
        self.conditional(0)
    }

    /// A constant expression that is an integer.
    pub(crate) fn integer(&mut self) -> Result<u64> {
        let at = self.position();
        match self.constant()?.bits() {
            Some(bits) => Ok(bits),
            None => Err(self.error_at(at, "an integer is expected here")),
        }
    }

    fn conditional(&mut self, depth: u32) -> Result<Constant> {
        let condition = self.binary(1, depth)?;
        if !self.take_mark(b'?') {
            return Ok(condition);
        }
        let at = self.position();
        let yes = self.conditional(depth + 1)?;
        self.expect_mark(b':')?;
        let no = self.conditional(depth + 1)?;
        let Some(test) = condition.bits() else {
            return Err(self.error_at(at, "the condition of `?:` is an integer"));
        };
        let (yes, no) = match (yes, no) {
            (Signed(_), Signed(_)) | (Double(_), Double(_)) | (Single(_), Single(_)) => (yes, no),
            _ => match (yes.bits(), no.bits()) {
                (Some(yes), Some(no)) => (Unsigned(yes), Unsigned(no)),
                _ => return Err(self.error_at(at, "the two values of `?:` are of different kinds")),
            },
        };
        Ok(if test != 0 { yes } else { no })
    }

    /// The operator at the cursor: text, precedence, tokens.
    fn operator(&self) -> Option<(&'static str, u8, usize)> {
        let Kind::Mark(first) = self.peek() else { return None };
        // Only marks that touch make an operator of two characters.
        let second = match self.peek_at(1) {
            Kind::Mark(mark) if self.touches_next() => Some(mark),
            _ => None,
        };
        OPERATORS.iter().find_map(|&(text, precedence)| match *text.as_bytes() {
            [a] => (a == first).then_some((text, precedence, 1)),
            [a, b] => (a == first && second == Some(b)).then_some((text, precedence, 2)),
            _ => None,
        })
    }

    fn binary(&mut self, least: u8, depth: u32) -> Result<Constant> {
        let mut left = self.unary(depth)?;
        while let Some((operator, precedence, tokens)) = self.operator() {
            if precedence < least {
                break;
            }
            let at = self.position();
            for _ in 0..tokens {
                self.advance();
            }
            let right = self.binary(precedence + 1, depth + 1)?;
            left = match apply(operator, left, right) {
                Ok(value) => value,
                Err(message) => return Err(self.error_at(at, message)),
            };
        }
        Ok(left)
    }

    fn unary(&mut self, depth: u32) -> Result<Constant> {
        if depth > MAX_DEPTH {
            return Err(self.error("this expression is nested too deeply"));
        }
        let at = self.position();
        match self.peek() {
            Kind::Mark(mark @ (b'+' | b'-' | b'!' | b'~')) => {
                self.advance();
                let value = self.unary(depth + 1)?;
                sign(mark, value).map_err(|message| self.error_at(at, message))
            }
            Kind::Mark(b'(') => {
                self.advance();
                if let Kind::Dotted = self.peek() {
                    return self.cast(depth);
                }
                let value = self.conditional(depth + 1)?;
                self.expect_mark(b')')?;
                Ok(value)
            }
            Kind::Number => {
                let number = numbers::value(self.text());
                self.advance();
                match number {
                    Some(Number::Signed(v)) => Ok(Signed(v)),
                    Some(Number::Unsigned(v)) => Ok(Unsigned(v)),
                    Some(Number::Single(v)) => Ok(Single(v)),
                    Some(Number::Double(v)) => Ok(Double(f64::from_bits(v))),
                    None => Err(self.error_at(at, "this number is malformed or needs more than 64 bits")),
                }
            }
            Kind::Identifier if self.text() == "WARP_SZ" => {
                self.advance();
                Ok(Signed(32))
            }
            _ => Err(self.expected("a constant")),
        }
    }

    /// What follows the parenthesis of `(.s64)` or `(.u64)`.
    fn cast(&mut self, depth: u32) -> Result<Constant> {
        let at = self.position();
        let ty = self.text();
        self.advance();
        self.expect_mark(b')')?;
        let value = self.unary(depth + 1)?;
        match (ty, value.bits()) {
            (".s64", Some(bits)) => Ok(Signed(bits as i64)),
            (".u64", Some(bits)) => Ok(Unsigned(bits)),
            _ => Err(self.error_at(at, "constants are cast from integers to .s64 or .u64 only")),
        }
    }
}

fn sign(mark: u8, value: Constant) -> std::result::Result<Constant, String> {
    Ok(match (mark, value) {
        (b'+', value) => value,
        (b'-', Signed(v)) => Signed(v.wrapping_neg()),
        (b'-', Unsigned(v)) => Unsigned(v.wrapping_neg()),
        (b'-', Double(v)) => Double(-v),
        (b'!', Signed(v)) => Signed((v == 0).into()),
        (b'!', Unsigned(v)) => Signed((v == 0).into()),
        (b'~', Signed(v)) => Unsigned(!v as u64),
        (b'~', Unsigned(v)) => Unsigned(!v),
        (mark, _) => return Err(format!("`{}` takes an integer", char::from(mark))),
    })
}

fn apply(operator: &str, left: Constant, right: Constant) -> std::result::Result<Constant, String> {
    let truth = |holds: bool| Ok(Signed(holds.into()));
    if let (Double(a), Double(b)) = (left, right) {
        return match operator {
            "+" => Ok(Double(a + b)),
            "-" => Ok(Double(a - b)),
            "*" => Ok(Double(a * b)),
            "/" => Ok(Double(a / b)),
            "<" => truth(a < b),
            ">" => truth(a > b),
            "<=" => truth(a <= b),
            ">=" => truth(a >= b),
            "==" => truth(a == b),
            "!=" => truth(a != b),
            _ => Err(format!("`{operator}` takes integers")),
        };
    }
    let (Some(a), Some(b)) = (left.bits(), right.bits()) else {
        return Err(format!("`{operator}` does not take a single-precision constant, or one of each kind"));
    };
    let signed = matches!((left, right), (Signed(_), Signed(_)));
    let (x, y) = (a as i64, b as i64);
    // The usual conversions: unsigned as soon as one side is.
    let number = |s: i64, u: u64| Ok(if signed { Signed(s) } else { Unsigned(u) });
    match operator {
        "+" => number(x.wrapping_add(y), a.wrapping_add(b)),
        "-" => number(x.wrapping_sub(y), a.wrapping_sub(b)),
        "*" => number(x.wrapping_mul(y), a.wrapping_mul(b)),
        "/" | "%" if b == 0 => Err("division by zero".into()),
        "/" => number(x.wrapping_div(y), a / b),
        "%" => number(x.wrapping_rem(y), a % b),
        "<" => truth(if signed { x < y } else { a < b }),
        ">" => truth(if signed { x > y } else { a > b }),
        "<=" => truth(if signed { x <= y } else { a <= b }),
        ">=" => truth(if signed { x >= y } else { a >= b }),
        "==" => truth(a == b),
        "!=" => truth(a != b),
        // ptxas shifts by the amount's low six bits.
        "<<" if matches!(left, Signed(_)) => Ok(Signed(x << (b & 63))),
        ">>" if matches!(left, Signed(_)) => Ok(Signed(x >> (b & 63))),
        "<<" => Ok(Unsigned(a << (b & 63))),
        ">>" => Ok(Unsigned(a >> (b & 63))),
        "&" => Ok(Unsigned(a & b)),
        "^" => Ok(Unsigned(a ^ b)),
        "|" => Ok(Unsigned(a | b)),
        "&&" => truth(a != 0 && b != 0),
        "||" => truth(a != 0 || b != 0),
        _ => Err(format!("unknown operator `{operator}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(text: &str) -> Result<Constant> {
        let mut parser = Parser::new(text)?;
        let value = parser.constant()?;
        assert_eq!(parser.peek(), Kind::End, "{text}");
        Ok(value)
    }

    fn value(text: &str) -> Constant {
        evaluate(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn operators_bind_as_in_c() {
        assert_eq!(value("1+2*3"), Signed(7));
        assert_eq!(value("(1+2)*3"), Signed(9));
        assert_eq!(value("10-3-2"), Signed(5));
        assert_eq!(value("7 % 4 << 1+1"), Signed(12));
        assert_eq!(value("1 | 2 ^ 3 & 2"), Unsigned(1));
        assert_eq!(value("1 < 2 == 1"), Signed(1));
        assert_eq!(value("0 || 1 && 0"), Signed(0));
        assert_eq!(value("-1 + +2"), Signed(1));
    }

    #[test]
    fn conditionals_associate_to_the_right() {
        assert_eq!(value("0 ? 1 : 1 ? 2 : 3"), Signed(2));
        assert_eq!(value("1 ? 5 : 7U"), Unsigned(5));
        assert_eq!(value("1 ? 0.5 : 2.0"), Double(0.5));
        assert!(evaluate("1 ? 0.5 : 2").is_err());
    }

    #[test]
    fn one_unsigned_side_makes_the_operation_unsigned() {
        assert_eq!(value("-1 < 1"), Signed(1));
        assert_eq!(value("-1 < 1U"), Signed(0));
        assert_eq!(value("-1 / 2U"), Unsigned(u64::MAX / 2));
        assert_eq!(value("-7 / 2"), Signed(-3));
        assert_eq!(value("-7 % 4"), Signed(-3));
        assert_eq!(value("0x8000000000000000 >> 63"), Unsigned(1));
        assert_eq!(value("-8 >> 1"), Signed(-4));
    }

    #[test]
    fn casts_and_negations_have_the_types_of_the_isa() {
        assert_eq!(value("(.u64)-1"), Unsigned(u64::MAX));
        assert_eq!(value("(.s64)0xFFFFFFFFFFFFFFFF"), Signed(-1));
        assert_eq!(value("~0"), Unsigned(u64::MAX));
        assert_eq!(value("!5"), Signed(0));
        assert_eq!(value("!0U"), Signed(1));
        assert!(evaluate("(.s64)1.5").is_err());
        assert!(evaluate("(.u32)1").is_err());
    }

    #[test]
    fn floating_point_expressions_are_double() {
        assert_eq!(value("1.5 * 2.0 - 1.0"), Double(2.0));
        assert_eq!(value("1.0 < 2.0"), Signed(1));
        assert_eq!(value("0fBF800000"), Single(0xbf80_0000));
        assert!(evaluate("-0f3F800000").is_err());
        assert!(evaluate("0f3F800000 + 1.0").is_err());
        assert!(evaluate("1.0 + 1").is_err());
        assert!(evaluate("~1.0").is_err());
    }

    #[test]
    fn shifts_take_six_bits_of_the_amount() {
        assert_eq!(value("1 << 65"), Signed(2));
        assert_eq!(value("1 << -1"), Signed(i64::MIN));
        assert_eq!(value("-8 >> 70"), Signed(-1));
    }

    #[test]
    fn warp_sz_is_32() {
        assert_eq!(value("WARP_SZ - 1"), Signed(31));
    }

    #[test]
    fn impossible_operations_are_errors() {
        for text in ["1/0", "1 % 0", "%r1", "1 +", "(1", "1 < < 2", "99999999999999999999"] {
            assert!(evaluate(text).is_err(), "{text}");
        }
        assert_eq!(value("0x8000000000000000 / -1"), Unsigned(0));
        assert_eq!(value("(.s64)0x8000000000000000 / -1"), Signed(i64::MIN));
    }

    #[test]
    fn depth_is_limited() {
        for (open, close) in [("(", ")"), ("-", ""), ("~", ""), ("1?2:", "")] {
            let text = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert!(evaluate(&text).unwrap_err().message.contains("deep"), "{open}");
        }
    }
}
