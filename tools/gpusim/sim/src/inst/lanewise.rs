//! Instructions that run lane by lane through a closure with settings: for the forms that inner loops do not hold.

use gpusim_ptx::ast::Operand;

use super::{Flow, Inst, Lower, LowerError, Reg, Ty};
use crate::exec::Exec;

/// The most sources that an instruction here has.
const SOURCES: usize = 5;

/// What computes one lane's result from the bits of its sources, each cut to its type.
type Function = Box<dyn Fn(&[u64; SOURCES]) -> u64 + Send + Sync>;

struct Lanewise {
    /// A register, whether it has 64 bits, and the bits that count.
    sources: Vec<(Reg, bool, u64)>,
    wide: bool,
    f: Function,
}

/// Whether the register of an operand has 64 bits; it may be wider than the type it is used as.
pub(super) fn is_wide(cx: &Lower, operand: &Operand, ty: Ty) -> bool {
    cx.type_of(operand).map_or(ty.bits(), Ty::bits).max(ty.bits()) > 32
}

fn resolve(cx: &mut Lower, sources: &[(&Operand, Ty)]) -> Result<Vec<(Reg, bool, u64)>, LowerError> {
    let each = |(operand, ty): &(&Operand, Ty)| {
        let wide = is_wide(cx, operand, *ty);
        Ok((cx.src_of_any_width(operand, *ty)?, wide, u64::MAX >> (64 - ty.bits())))
    };
    sources.iter().map(each).collect()
}

/// `d = f(sources)`; the result's low bits, as many as `ty` has, are written.
pub(super) fn lanewise(
    cx: &mut Lower,
    (d, ty): (&Operand, Ty),
    sources: &[(&Operand, Ty)],
    f: impl Fn(&[u64; SOURCES]) -> u64 + Send + Sync + 'static,
) -> Result<Inst, LowerError> {
    let keep = u64::MAX >> (64 - ty.bits());
    let wide = is_wide(cx, d, ty);
    let d = cx.dst(d, ty)?;
    let data = Lanewise { sources: resolve(cx, sources)?, wide, f: Box::new(move |s| f(s) & keep) };
    Ok(Inst { d, ..Inst::new(run) }.with_data(data))
}

/// A predicate from `f(sources)`, combined and written as `Exec::write_test` does.
pub(super) fn test_lanes(
    cx: &mut Lower,
    sources: &[(&Operand, Ty)],
    f: impl Fn(&[u64; SOURCES]) -> bool + Send + Sync + 'static,
) -> Result<Inst, LowerError> {
    let data = Lanewise { sources: resolve(cx, sources)?, wide: false, f: Box::new(move |s| f(s).into()) };
    Ok(Inst::new(run_test).with_data(data))
}

/// The bits of all sources in all lanes.
fn gather(x: &Exec, data: &Lanewise) -> [[u64; SOURCES]; 32] {
    let mut values = [[0; SOURCES]; 32];
    for (n, (reg, wide, keep)) in data.sources.iter().enumerate() {
        if *wide {
            let source = x.read::<u64>(*reg);
            (0..32).for_each(|lane| values[lane][n] = source[lane] & keep);
        } else {
            let source = x.read::<u32>(*reg);
            (0..32).for_each(|lane| values[lane][n] = u64::from(source[lane]) & keep);
        }
    }
    values
}

fn run(x: &mut Exec, i: &Inst) -> Flow {
    let data = i.data::<Lanewise>();
    let values = gather(x, data);
    let mut result = [0u64; 32];
    for lane in (0..32).filter(|lane| x.mask >> lane & 1 != 0) {
        result[lane] = (data.f)(&values[lane]);
    }
    if data.wide {
        x.write(i.d, &result)
    } else {
        x.write(i.d, &result.map(|v| v as u32))
    }
    Flow::Next
}

fn run_test(x: &mut Exec, i: &Inst) -> Flow {
    let data = i.data::<Lanewise>();
    let values = gather(x, data);
    let bits = (0..32)
        .filter(|lane| x.mask >> lane & 1 != 0)
        .fold(0, |bits, lane| bits | u32::from((data.f)(&values[lane]) != 0) << lane);
    x.write_test(i, bits);
    Flow::Next
}
