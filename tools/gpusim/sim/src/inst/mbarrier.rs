//! `mbarrier.*`.

use gpusim_check::{Scope, Sem};
use gpusim_ptx::ast::{self, Operand};

use super::{Address, Entry, Flow, Inst, Lower, LowerError, Mods, Pred, Reg, Ty, operand};
use crate::exec::{Change, Exec, MbarrierAt, SharedAt, Wait, Word, checked_at, lanes};

pub(super) const TABLE: &[Entry] = &[("mbarrier", mbarrier)];

/// Waits that end in vain although they may last, of so many: the program may then do something else.
const IMPATIENCE: u32 = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Init,
    Inval,
    Expect,
    Complete,
    /// `arrive` and `arrive_drop`.
    Arrive {
        drop: bool,
        expect: bool,
        complete: bool,
    },
    /// `test_wait` and `try_wait`.
    Test {
        parity: bool,
    },
}

struct Data {
    kind: Kind,
    at: Address,
    generic: bool,
    sem: Sem,
    scope: Scope,
    /// Count, bytes, token or parity.
    value: Reg,
    state: Option<Reg>,
    done: Pred,
}

fn mbarrier(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("pending_count") {
        m.take("b64");
        m.end()?;
        let (d, a) = (cx.dst(operand(i, 0)?, Ty::U32)?, cx.src(operand(i, 1)?, Ty::B64)?);
        return Ok(Inst { d, a, ..Inst::new(super::map1(|state: u64| Word(state).pending())) });
    }
    let verbs = ["init", "inval", "complete_tx", "arrive", "arrive_drop", "test_wait", "try_wait"];
    let verb = verbs.into_iter().find(|verb| m.take(verb));
    let expect = m.take("expect_tx");
    let complete = !m.take("noComplete");
    let parity = m.take("parity");
    let kind = match verb {
        None if expect => Kind::Expect,
        Some("init") => Kind::Init,
        Some("inval") => Kind::Inval,
        Some("complete_tx") => Kind::Complete,
        Some("arrive") => Kind::Arrive { drop: false, expect, complete },
        Some("arrive_drop") => Kind::Arrive { drop: true, expect, complete },
        Some(_) => Kind::Test { parity },
        None => return Err(LowerError::Unsupported),
    };
    let shared = ["shared", "shared::cta", "shared::cluster"].into_iter().any(|space| m.take(space));
    let waits = matches!(kind, Kind::Test { .. });
    let relaxed = m.take("relaxed") || matches!(kind, Kind::Expect | Kind::Complete);
    let sem = match (relaxed, waits) {
        (true, _) => Sem::Relaxed,
        (false, true) => Sem::Acquire,
        (false, false) => Sem::Release,
    };
    m.take(if waits { "acquire" } else { "release" });
    // Without a scope PTX means `.cta`, also where the object is another CTA's. CUTLASS's cluster barriers are written so, and
    // order what they are meant to on hardware; a scope that is written down counts as written.
    let scope = if m.take("cta") { Scope::Cta } else { Scope::Cluster };
    m.take("cluster");
    m.take("b64");
    m.end()?;
    let none = Reg::NONE;
    let mut data =
        Data { kind, at: NOWHERE, generic: !shared, sem, scope, value: none, state: None, done: Pred::NONE };
    // Destination, address, value: not every kind has all of them.
    let mut next = 0;
    if let Kind::Arrive { .. } = kind {
        // Programs without a use for the state leave it out, of remote arrivals too.
        if !matches!(operand(i, 0)?, Operand::Address(_)) {
            data.state = match operand(i, 0)? {
                Operand::Sink => None,
                named => Some(cx.dst(named, Ty::B64)?),
            };
            next = 1;
        }
    } else if waits {
        data.done = cx.dst_pred(operand(i, 0)?)?;
        next = 1;
    }
    data.at = cx.address(operand(i, next)?)?;
    let ty = if waits && !parity { Ty::B64 } else { Ty::U32 };
    data.value = match i.operands.get(next + 1) {
        Some(value) => cx.src(value, ty)?,
        None => match kind {
            Kind::Inval | Kind::Arrive { expect: false, complete: true, .. } => cx.constant(1, Ty::U32),
            _ => return Err(LowerError::Invalid("an operand is missing".to_owned())),
        },
    };
    // A suspend-time hint says how long a wait may last: there is no time here.
    if i.operands.len() > next + if waits { 3 } else { 2 } {
        return Err(LowerError::Invalid("too many operands".to_owned()));
    }
    let run = if waits { run_wait } else { run_change };
    Ok(Inst { a: data.at.base, b: data.value, ..Inst::new(run).with_data(data) })
}

const NOWHERE: Address = Address { base: Reg::NONE, wide: true, offset: 0, place: None };

fn run_change(x: &mut Exec, i: &Inst) -> Flow {
    change(x, i.data()).err().unwrap_or(Flow::Next)
}

fn change(x: &mut Exec, data: &Data) -> Result<(), Flow> {
    let all = x.addresses(data.at.base, data.at.wide, data.at.offset);
    let values = x.read::<u32>(data.value);
    let mut states = [0; 32];
    let (warp, site) = (x.warp_id(), x.site());
    // Lanes that arrived in the current phase of one object, not told to the checks yet.
    let mut told: Option<(MbarrierAt, u32)> = None;
    for lane in lanes(x.mask) {
        let place = x.shared_place(lane, all[lane], data.generic, 8, 8, true)?;
        let at = place.mbarrier();
        if told.is_some_and(|(of, _)| of != at)
            && let Some((of, mask)) = told.take()
        {
            x.tell(|check| check.mbarrier_arrive(warp, mask, checked_at(of), data.sem, data.scope, site))?;
        }
        let value = values[lane];
        let change = match data.kind {
            Kind::Init => {
                init(x, lane, place, value)?;
                continue;
            }
            Kind::Inval => {
                inval(x, lane, place)?;
                continue;
            }
            Kind::Expect => Change { expect: value, ..Change::default() },
            Kind::Complete => Change { complete: value, ..Change::default() },
            Kind::Arrive { drop, expect: true, .. } => {
                Change { arrive: 1, drop, expect: value, ..Change::default() }
            }
            Kind::Arrive { drop, .. } => Change { arrive: value, drop, ..Change::default() },
            Kind::Test { .. } => Change::default(),
        };
        let (old, flips) = match x.cluster.mbarrier_change(at, change) {
            Ok(outcome) => outcome,
            Err(what) => return Err(x.misuse(lane, at, what)),
        };
        x.cluster.flight.event();
        if let Kind::Arrive { complete: false, .. } = data.kind
            && flips
        {
            let what = "an arrival with .noComplete completes its phase".to_owned();
            return Err(x.misuse(lane, at, what));
        }
        states[lane] = old.0;
        let mask = told.map_or(0, |(_, mask)| mask) | 1 << lane;
        told = Some((at, mask));
        if flips {
            told = None;
            x.tell(|check| {
                check.mbarrier_arrive(warp, mask, checked_at(at), data.sem, data.scope, site)?;
                check.mbarrier_phase_complete(checked_at(at));
                Ok(())
            })?;
        }
    }
    if let Some((of, mask)) = told {
        x.tell(|check| check.mbarrier_arrive(warp, mask, checked_at(of), data.sem, data.scope, site))?;
    }
    if let Some(state) = data.state {
        x.write(state, &states);
    }
    Ok(())
}

fn init(x: &mut Exec, lane: usize, place: SharedAt, count: u32) -> Result<(), Flow> {
    let (warp, site, at) = (x.warp_id(), x.site(), place.mbarrier());
    if let Err(what) = x.cluster.mbarrier_init(at, count) {
        return Err(x.misuse(lane, at, what));
    }
    x.tell(|check| check.mbarrier_init(warp, lane as u32, checked_at(at), site))?;
    Ok(())
}

fn inval(x: &mut Exec, lane: usize, place: SharedAt) -> Result<(), Flow> {
    let (warp, site, at) = (x.warp_id(), x.site(), place.mbarrier());
    if let Err(what) = x.cluster.mbarrier_inval(at) {
        return Err(x.misuse(lane, at, what));
    }
    x.tell(|check| check.mbarrier_inval(warp, lane as u32, checked_at(at), site))?;
    Ok(())
}

fn run_wait(x: &mut Exec, i: &Inst) -> Flow {
    wait(x, i.data()).unwrap_or_else(|flow| flow)
}

fn wait(x: &mut Exec, data: &Data) -> Result<Flow, Flow> {
    let all = x.addresses(data.at.base, data.at.wide, data.at.offset);
    let by_parity = matches!(data.kind, Kind::Test { parity: true });
    let values = if by_parity { x.read::<u32>(data.value).map(u64::from) } else { x.read::<u64>(data.value) };
    let (warp, site) = (x.warp_id(), x.site());
    let mut done = 0u32;
    let mut left = x.mask;
    while left != 0 {
        let first = left.trailing_zeros() as usize;
        let alike = |lane: &usize| (all[*lane], values[*lane]) == (all[first], values[first]);
        let same = lanes(left).filter(alike).fold(0, |m, lane| m | 1u32 << lane);
        left &= !same;
        let place = x.shared_place(first, all[first], data.generic, 8, 8, false)?;
        let at = place.mbarrier();
        if at.0 != x.cta.rank {
            let what = "only the CTA that it belongs to can wait on it".to_owned();
            return Err(x.misuse(first, at, what));
        }
        let mut complete = test(x, data, first, at, values[first])?;
        if !complete {
            let awaited = x.cluster.awaited(at, &mut x.worker.rng);
            x.landed(awaited)?;
            complete = test(x, data, first, at, values[first])?;
        }
        if complete {
            done |= same;
            x.tell(|check| check.mbarrier_wait(warp, same, checked_at(at), data.sem, data.scope, site))?;
        }
    }
    // A thread may be as late at a test as it likes: that is how a failing `test_wait`, too, lets others go first.
    let gives_up = x.worker.time_is_up && x.looked();
    let patient = x.looked() || x.worker.rng.below(IMPATIENCE) != 0;
    if gives_up {
        // Once: the next wait of the program is a wait of its own.
        x.forget_look();
    } else if done == 0 && patient {
        x.wait = Wait::Poll;
        return Ok(Flow::Wait);
    }
    x.write_pred(data.done, done);
    Ok(Flow::Next)
}

fn test(x: &mut Exec, data: &Data, lane: usize, at: MbarrierAt, value: u64) -> Result<bool, Flow> {
    let outcome = match data.kind {
        Kind::Test { parity: true } if value > 1 => Err(format!("{value} is not a parity")),
        Kind::Test { parity: true } => x.cluster.mbarrier_parity(at, value as u32),
        _ => x.cluster.mbarrier_test(at, Word(value)),
    };
    outcome.map_err(|what| x.misuse(lane, at, what))
}
