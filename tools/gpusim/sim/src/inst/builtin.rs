//! Functions that nvcc's code calls and nobody defines: `vprintf`, `malloc`, `free`, `__assertfail`.

use std::io::Write;

use gpusim_ptx::ast::{self, Operand};

use super::{Flow, Inst, Lower, LowerError, Place, operand};
use crate::exec::{Exec, FaultKind, MemSpace};

/// Offsets in the caller's frame of parameters and result.
struct Call {
    params: Vec<u32>,
    result: Option<u32>,
}

/// Lowers a call of the undefined function `name`.
pub(super) fn lower(cx: &mut Lower, i: &ast::Instruction, name: &str) -> Result<Inst, LowerError> {
    let frame = |cx: &Lower, operand: &Operand| match operand {
        Operand::Name(name) => match cx.places.get(name) {
            Some(Place::Local(at)) => Ok(*at),
            _ => Err(LowerError::Unresolved(name.clone())),
        },
        _ => Err(LowerError::Unsupported),
    };
    let (run, count): (super::Run, usize) = match name {
        "vprintf" => (vprintf, 2),
        "malloc" => (malloc, 1),
        "free" => (free, 1),
        "__assertfail" => (assertfail, 5),
        _ => return Err(LowerError::UnsupportedBecause(format!("function {name} is not defined"))),
    };
    let params: Result<Vec<u32>, _> =
        cx.elements(operand(i, 2)?).iter().map(|operand| frame(cx, operand)).collect();
    let params = params?;
    let result = match cx.elements(operand(i, 0)?).first() {
        Some(operand) => Some(frame(cx, operand)?),
        None => None,
    };
    if params.len() != count {
        return Err(LowerError::Invalid(format!("{name} takes {count} parameters")));
    }
    Ok(Inst::new(run).with_data(Call { params, result }))
}

fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 != 0)
}

/// A parameter of a lane's call.
fn param<const N: usize>(x: &mut Exec, lane: usize, at: u32) -> Result<[u8; N], Flow> {
    let host = x.local(lane, x.warp.frame[lane] + at, N as u32)?;
    // SAFETY: `local` checked N bytes.
    Ok(unsafe { host.cast::<[u8; N]>().read_unaligned() })
}

fn set_result(x: &mut Exec, lane: usize, at: Option<u32>, bytes: &[u8]) -> Result<(), Flow> {
    let Some(at) = at else { return Ok(()) };
    let host = x.local(lane, x.warp.frame[lane] + at, bytes.len() as u32)?;
    // SAFETY: `local` checked the bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), host, bytes.len()) };
    Ok(())
}

/// Bytes at a generic address of a lane.
fn bytes(x: &mut Exec, lane: usize, at: u64, count: u32) -> Result<Vec<u8>, Flow> {
    let mask = std::mem::replace(&mut x.mask, 1 << lane);
    let host = x.host(MemSpace::Generic, at, count, false);
    x.mask = mask;
    // SAFETY: `host` checked the bytes.
    Ok(unsafe { std::slice::from_raw_parts(host?, count as usize) }.to_vec())
}

/// A string that ends with a zero.
fn string(x: &mut Exec, lane: usize, at: u64) -> Result<Vec<u8>, Flow> {
    let mut text = Vec::new();
    while text.len() < 4096 {
        match bytes(x, lane, at + text.len() as u64, 1)?[0] {
            0 => break,
            byte => text.push(byte),
        }
    }
    Ok(text)
}

fn flow(done: Result<(), Flow>) -> Flow {
    done.err().unwrap_or(Flow::Next)
}

fn vprintf(x: &mut Exec, i: &Inst) -> Flow {
    let call = i.data::<Call>();
    flow(lanes(x.mask).try_for_each(|lane| {
        let format = u64::from_le_bytes(param(x, lane, call.params[0])?);
        let arguments = u64::from_le_bytes(param(x, lane, call.params[1])?);
        let format = string(x, lane, format)?;
        let (text, count) = print(x, lane, &format, arguments)?;
        // A closed output is nothing that a kernel learns of.
        let _ = x.launch.device.output().write_all(&text);
        set_result(x, lane, call.result, &i32::to_le_bytes(count))
    }))
}

/// The next argument of a `printf`, of `size` bytes.
fn argument(x: &mut Exec, lane: usize, at: &mut u64, size: u64) -> Result<u64, Flow> {
    *at = at.next_multiple_of(size);
    let value = bytes(x, lane, *at, size as u32)?;
    *at += size;
    Ok(value.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
}

/// The text of a `printf`, and the number of its arguments.
fn print(x: &mut Exec, lane: usize, format: &[u8], arguments: u64) -> Result<(Vec<u8>, i32), Flow> {
    let mut text = Vec::new();
    let (mut at, mut count) = (arguments, 0);
    let mut rest = format.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            text.push(byte);
            continue;
        }
        let mut spec = Spec::default();
        let conversion = loop {
            match rest.next() {
                Some(b'-') => spec.left = true,
                Some(b'+') => spec.plus = true,
                Some(b' ') => spec.space = true,
                Some(b'#') => spec.alternate = true,
                Some(b'*') => {
                    let value = argument(x, lane, &mut at, 4)? as i32;
                    count += 1;
                    match spec.precision.as_mut() {
                        // A negative precision is none.
                        Some(_) if value < 0 => spec.precision = None,
                        Some(precision) => *precision = (value as usize).min(1000),
                        None => {
                            spec.left |= value < 0;
                            spec.width = (value.unsigned_abs() as usize).min(1000);
                        }
                    }
                }
                Some(b'0') if spec.width == 0 && spec.precision.is_none() => spec.zero = true,
                Some(digit @ b'0'..=b'9') => {
                    let field = spec.precision.as_mut().unwrap_or(&mut spec.width);
                    *field = (*field * 10 + usize::from(digit - b'0')).min(1000);
                }
                Some(b'.') => spec.precision = Some(0),
                Some(b'l' | b'j' | b'z' | b't') => spec.long = true,
                Some(b'h') => {}
                other => break other,
            }
        };
        let size = match conversion {
            Some(b'f' | b'F' | b'e' | b'E' | b'g' | b'G' | b'a' | b'A' | b's' | b'p') => 8,
            _ if spec.long => 8,
            _ => 4,
        };
        let mut next = |x: &mut Exec| -> Result<u64, Flow> {
            count += 1;
            argument(x, lane, &mut at, size)
        };
        match conversion {
            Some(b'%') => text.push(b'%'),
            Some(b'd' | b'i') => {
                let value = next(x)?;
                let value = if size == 8 { value as i64 } else { i64::from(value as i32) };
                spec.number(&mut text, value < 0, value.unsigned_abs().to_string());
            }
            Some(b'u') => spec.number(&mut text, false, next(x)?.to_string()),
            Some(b'x') => spec.number(&mut text, false, format!("{}{:x}", spec.prefix("0x"), next(x)?)),
            Some(b'X') => spec.number(&mut text, false, format!("{}{:X}", spec.prefix("0X"), next(x)?)),
            Some(b'o') => spec.number(&mut text, false, format!("{}{:o}", spec.prefix("0"), next(x)?)),
            Some(b'p') => spec.number(&mut text, false, format!("{:#x}", next(x)?)),
            Some(b'c') => spec.pad(&mut text, vec![next(x)? as u8]),
            Some(b's') => {
                let at = next(x)?;
                let mut value = string(x, lane, at)?;
                value.truncate(spec.precision.unwrap_or(usize::MAX));
                spec.pad(&mut text, value);
            }
            Some(kind @ (b'f' | b'F' | b'e' | b'E' | b'g' | b'G')) => {
                let value = f64::from_bits(next(x)?);
                let digits = float(kind, value.abs(), spec.precision.unwrap_or(6));
                spec.zero &= value.is_finite();
                spec.precision = None;
                spec.number(&mut text, value.is_sign_negative(), digits);
            }
            other => {
                let name = other.map_or("at its end".to_owned(), |byte| format!("%{}", char::from(byte)));
                return Err(x.fault(FaultKind::Unsupported, "printf", format!("format {name}")));
            }
        }
    }
    Ok((text, count))
}

/// The digits of a magnitude as C writes them.
fn float(kind: u8, value: f64, precision: usize) -> String {
    if !value.is_finite() {
        let name = if value.is_nan() { "nan" } else { "inf" };
        return if kind.is_ascii_uppercase() { name.to_uppercase() } else { name.to_owned() };
    }
    let scientific = |precision: usize| {
        let text = format!("{value:.precision$e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        (digits.to_owned(), exponent)
    };
    let text = match kind {
        b'f' | b'F' => format!("{value:.precision$}"),
        b'e' | b'E' => {
            let (digits, exponent) = scientific(precision);
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        _ => {
            let precision = precision.max(1);
            let (digits, exponent) = scientific(precision - 1);
            let trim = |text: String| match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            };
            if exponent < -4 || exponent >= precision as i32 {
                format!("{}e{}{:02}", trim(digits), if exponent < 0 { '-' } else { '+' }, exponent.abs())
            } else {
                let places = (precision as i32 - 1 - exponent).max(0) as usize;
                trim(format!("{value:.places$}"))
            }
        }
    };
    if kind.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

/// A conversion specification.
#[derive(Default)]
struct Spec {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    long: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn prefix(&self, prefix: &'static str) -> &'static str {
        if self.alternate { prefix } else { "" }
    }

    fn pad(&self, text: &mut Vec<u8>, value: Vec<u8>) {
        let fill = vec![b' '; self.width.saturating_sub(value.len())];
        let (first, second) = if self.left { (value, fill) } else { (fill, value) };
        text.extend(first);
        text.extend(second);
    }

    fn number(&self, text: &mut Vec<u8>, negative: bool, digits: String) {
        let sign = match negative {
            true => "-",
            false if self.plus => "+",
            false if self.space => " ",
            false => "",
        };
        let least = match self.precision {
            Some(precision) => precision,
            None if self.zero && !self.left => self.width.saturating_sub(sign.len()),
            None => 0,
        };
        let zeros = "0".repeat(least.saturating_sub(digits.len()));
        self.pad(text, format!("{sign}{zeros}{digits}").into_bytes());
    }
}

fn malloc(x: &mut Exec, i: &Inst) -> Flow {
    let call = i.data::<Call>();
    flow(lanes(x.mask).try_for_each(|lane| {
        let size = u64::from_le_bytes(param(x, lane, call.params[0])?);
        let heap = x.launch.device.limits().heap_bytes;
        let mut memory = x.launch.device.memory_mut();
        let ptr = memory.alloc_heap(size, heap).unwrap_or(0);
        drop(memory);
        set_result(x, lane, call.result, &ptr.to_le_bytes())
    }))
}

fn free(x: &mut Exec, i: &Inst) -> Flow {
    let call = i.data::<Call>();
    flow(lanes(x.mask).try_for_each(|lane| {
        let ptr = u64::from_le_bytes(param(x, lane, call.params[0])?);
        if ptr == 0 {
            return Ok(());
        }
        let freed = x.launch.device.memory_mut().free_heap(ptr);
        // What has been freed must not be found through an old list of regions.
        x.worker.refresh(x.launch);
        freed.map_err(|error| {
            x.mask = 1 << lane;
            x.fault(FaultKind::IllegalAddress, "wrong free", error.to_string())
        })
    }))
}

fn assertfail(x: &mut Exec, i: &Inst) -> Flow {
    let call = i.data::<Call>();
    let lane = x.mask.trailing_zeros() as usize;
    let text = |x: &mut Exec, n: usize| -> Result<String, Flow> {
        let at = u64::from_le_bytes(param(x, lane, call.params[n])?);
        Ok(String::from_utf8_lossy(&string(x, lane, at)?).into_owned())
    };
    let message = (|| {
        let (assertion, file, function) = (text(x, 0)?, text(x, 1)?, text(x, 3)?);
        let line = u32::from_le_bytes(param(x, lane, call.params[2])?);
        Ok(format!("{file}:{line}: {function}: assertion `{assertion}` failed"))
    })();
    match message {
        Ok(message) => x.fault(FaultKind::Assert, "assert", message),
        Err(flow) => flow,
    }
}
