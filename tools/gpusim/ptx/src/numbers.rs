//! Numeric literals.

/// A literal's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// An integer that is signed: it fits i64 and has no suffix `U`.
    Signed(i64),
    /// An integer with suffix `U`, or one beyond i64.
    Unsigned(u64),
    /// `0f…`: bits of an f32.
    Single(u32),
    /// `0d…` or decimal: bits of an f64.
    Double(u64),
}

/// Bytes of the literal that `bytes` begins with. Only digits that the radix has are taken, so that a caller sees a
/// malformed literal by the letter or digit that follows it.
pub(crate) fn length(bytes: &[u8]) -> usize {
    let count = |from: usize, test: fn(&u8) -> bool| {
        bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|b| test(b)).count())
    };
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let suffixed = |end: usize| end + usize::from(matches!(at(end), b'U' | b'u'));
    if at(0) == b'0' {
        match at(1) {
            b'x' | b'X' => {
                let digits = count(2, u8::is_ascii_hexdigit);
                return if digits == 0 { 1 } else { suffixed(2 + digits) };
            }
            b'b' | b'B' => {
                let digits = count(2, |b| matches!(b, b'0' | b'1'));
                return if digits == 0 { 1 } else { suffixed(2 + digits) };
            }
            b'f' | b'F' => return if count(2, u8::is_ascii_hexdigit) == 8 { 10 } else { 1 },
            b'd' | b'D' => return if count(2, u8::is_ascii_hexdigit) == 16 { 18 } else { 1 },
            _ => {}
        }
    }
    let mut end = count(0, u8::is_ascii_digit);
    let mut real = false;
    let exponent = |end: usize| {
        let sign = usize::from(matches!(at(end + 1), b'+' | b'-'));
        let digits = count(end + 1 + sign, u8::is_ascii_digit);
        if matches!(at(end), b'e' | b'E') && digits > 0 { 1 + sign + digits } else { 0 }
    };
    if at(end) == b'.' {
        let fraction = count(end + 1, u8::is_ascii_digit);
        let behind = end + 1 + fraction;
        if fraction == 0 && (end == 0 || (is_name(at(behind)) && exponent(behind) == 0)) {
            // A modifier, or a dot alone.
            return if end == 0 { 0 } else { suffixed(end) };
        }
        real = true;
        end = behind;
    }
    if end > 0 && exponent(end) > 0 {
        real = true;
        end += exponent(end);
    }
    if real || end == 0 { end } else { suffixed(end) }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$')
}

/// The value of a literal that [`length`] measured; None if it needs more than 64 bits or has a digit that is not octal.
pub(crate) fn value(text: &str) -> Option<Number> {
    let lower = text.as_bytes().get(1).map(u8::to_ascii_lowercase);
    let prefixed = text.starts_with('0');
    if prefixed && lower == Some(b'f') {
        return u32::from_str_radix(text.get(2..)?, 16).ok().map(Number::Single);
    }
    if prefixed && lower == Some(b'd') {
        return u64::from_str_radix(text.get(2..)?, 16).ok().map(Number::Double);
    }
    let hexadecimal = prefixed && lower == Some(b'x');
    if !hexadecimal && text.contains(['.', 'e', 'E']) {
        return text.parse::<f64>().ok().map(|v| Number::Double(v.to_bits()));
    }
    let digits = text.trim_end_matches(['U', 'u']);
    let magnitude = match lower {
        _ if hexadecimal => u64::from_str_radix(digits.get(2..)?, 16),
        Some(b'b') if prefixed => u64::from_str_radix(digits.get(2..)?, 2),
        _ if prefixed && digits.len() > 1 => u64::from_str_radix(&digits[1..], 8),
        _ => digits.parse(),
    }
    .ok()?;
    Some(match i64::try_from(magnitude) {
        Ok(signed) if digits.len() == text.len() => Number::Signed(signed),
        _ => Number::Unsigned(magnitude),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Number> {
        assert_eq!(length(text.as_bytes()), text.len(), "{text}");
        value(text)
    }

    #[test]
    fn integers_have_four_radices() {
        assert_eq!(read("255"), Some(Number::Signed(255)));
        assert_eq!(read("0xfF"), Some(Number::Signed(255)));
        assert_eq!(read("0377"), Some(Number::Signed(255)));
        assert_eq!(read("0b11111111"), Some(Number::Signed(255)));
        assert_eq!(read("0"), Some(Number::Signed(0)));
    }

    #[test]
    fn integers_are_signed_unless_they_cannot_be_or_say_otherwise() {
        assert_eq!(read("0x7fffffffffffffff"), Some(Number::Signed(i64::MAX)));
        assert_eq!(read("0x8000000000000000"), Some(Number::Unsigned(1 << 63)));
        assert_eq!(read("1U"), Some(Number::Unsigned(1)));
        assert_eq!(read("0xFU"), Some(Number::Unsigned(15)));
        assert_eq!(read("18446744073709551615"), Some(Number::Unsigned(u64::MAX)));
        assert_eq!(read("18446744073709551616"), None);
        assert_eq!(read("08"), None);
    }

    #[test]
    fn hexadecimal_floats_keep_their_bits() {
        assert_eq!(read("0f3F800000"), Some(Number::Single(0x3f80_0000)));
        assert_eq!(read("0F7fC00001"), Some(Number::Single(0x7fc0_0001)));
        assert_eq!(read("0dBFF8000000000000"), Some(Number::Double((-1.5f64).to_bits())));
    }

    #[test]
    fn decimal_floats_are_doubles() {
        assert_eq!(read("1.5"), Some(Number::Double(1.5f64.to_bits())));
        assert_eq!(read("1e3"), Some(Number::Double(1000f64.to_bits())));
        assert_eq!(read("0.25E-2"), Some(Number::Double(0.0025f64.to_bits())));
        assert_eq!(read("2."), Some(Number::Double(2f64.to_bits())));
        assert_eq!(read("1.e3"), Some(Number::Double(1000f64.to_bits())));
        assert_eq!(read(".5"), Some(Number::Double(0.5f64.to_bits())));
        assert_eq!(read(".5e-3"), Some(Number::Double(0.0005f64.to_bits())));
    }

    #[test]
    fn a_modifier_after_a_number_is_no_fraction() {
        assert_eq!(length(b"12.u32"), 2);
        assert_eq!(length(b"12.2d"), 4);
        assert_eq!(length(b".u32"), 0);
        assert_eq!(length(b".e1"), 0);
        assert_eq!(length(b".2d"), 2);
    }
}
