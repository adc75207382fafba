//! `ld`, `st`, `ldu`, `prefetch` and its like.

use gpusim_check::Scope;
use gpusim_ptx::ast::{self, Space};

use super::lanes::{apart4, together4};
use super::{Address, Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Run, Ty, operand, vectorised};
use crate::exec::{Access, Exec, MemSpace, Stored, Strong};

pub(super) const TABLE: &[Entry] = &[
    ("ld", ld),
    ("ldu", ld),
    ("st", st),
    ("prefetch", hint),
    ("prefetchu", hint),
    ("applypriority", hint),
    ("discard", hint),
];

/// The state space among the modifiers; generic if there is none.
pub(crate) fn space(m: &mut Mods) -> MemSpace {
    m.find(|name| {
        Some(match name {
            "global" => MemSpace::Global,
            "shared" | "shared::cta" | "shared::cluster" => MemSpace::Shared,
            "local" => MemSpace::Local,
            "param" | "param::entry" | "param::func" => MemSpace::Param,
            "const" => MemSpace::Const,
            _ => return None,
        })
    })
    .unwrap_or(MemSpace::Generic)
}

/// Crosses out cache operators, eviction priorities and prefetch sizes, which change no value. True if a cache policy
/// operand follows.
pub(crate) fn cache_hints(m: &mut Mods) -> bool {
    let known = |name: &str| {
        let hint = matches!(name, "ca" | "cg" | "cs" | "lu" | "cv" | "wb" | "wt" | "nc" | "unified");
        (hint || (name.starts_with("L1::") || name.starts_with("L2::")) && name != "L2::cache_hint")
            .then_some(())
    };
    while m.find(known).is_some() {}
    m.take("L2::cache_hint")
}

/// Strength and scope of a load or store.
fn strength(m: &mut Mods) -> Result<Option<Strong>, LowerError> {
    let strong =
        |acquire, release, scope| Some(Strong { atomic: false, acquire, release, scope, element: 0 });
    m.take("weak");
    if m.take("volatile") {
        return Ok(strong(false, false, Scope::Sys));
    }
    if m.take("mmio") {
        m.take("relaxed");
        m.take("sys");
        return Ok(strong(false, false, Scope::Sys));
    }
    let (relaxed, acquire, release) = (m.take("relaxed"), m.take("acquire"), m.take("release"));
    if !(relaxed || acquire || release) {
        return Ok(None);
    }
    Ok(strong(acquire, release, m.needed_scope()?))
}

/// A decoded load or store.
struct Memory {
    space: MemSpace,
    access: Access,
    elements: Vec<Reg>,
    /// Whether the elements of a store are 64-bit registers of which the lower bits count.
    from_wide: bool,
    wide: bool,
    offset: i64,
    base: Reg,
    ty: Ty,
    /// `.nc`: the data does not change while the kernel runs.
    read_only: bool,
}

/// What loads and stores have in common; `value` is the number of the register operand.
fn decode(cx: &mut Lower, i: &ast::Instruction, store: bool) -> Result<Memory, LowerError> {
    let mut m = Mods::of(i);
    let mut space = space(&mut m);
    let strong = strength(&mut m)?;
    let read_only = m.take("nc");
    cache_hints(&mut m);
    let vector = m.vector();
    let ty = m.ty()?;
    m.end()?;
    let (address, value) =
        if store { (operand(i, 0)?, operand(i, 1)?) } else { (operand(i, 1)?, operand(i, 0)?) };
    let list = cx.elements(value);
    if list.len() != vector.unwrap_or(1) {
        return Err(LowerError::Invalid(format!(
            "{} elements, {} expected",
            list.len(),
            vector.unwrap_or(1)
        )));
    }
    // A store takes the lower bits of a wider register.
    let wide_source = |cx: &Lower, e: &ast::Operand| cx.type_of(e).is_some_and(|ty| ty.bits() == 64);
    let from_wide = store && ty.bits() <= 32 && list.iter().any(|e| wide_source(cx, e));
    if from_wide && !list.iter().all(|e| wide_source(cx, e)) {
        return Err(LowerError::UnsupportedBecause("a store of registers of different widths".into()));
    }
    let source = if from_wide { Ty::B64 } else { ty };
    let elements: Result<Vec<Reg>, _> =
        list.iter().map(|e| if store { cx.src(e, source) } else { cx.dst(e, ty) }).collect();
    let Address { base, wide, offset, place } = cx.address(address)?;
    if space == MemSpace::Param {
        // Parameters of calls and of device functions lie in the frame; only those of kernels in the parameter space.
        let entry = cx.functions[cx.current].entry;
        let symbol = cx.space(&Address { base, wide, offset, place });
        let framed = matches!(place, Some(super::Place::Local(_)));
        if symbol == Some(Space::Local) || (symbol.is_none() && !entry) || framed {
            space = MemSpace::Local;
        }
    }
    let bytes = ty.bytes() * list.len() as u32;
    let strong = strong.map(|strong| Strong { element: ty.bytes(), ..strong });
    let access = Access { bytes, align: bytes, reads: !store, writes: store, strong };
    Ok(Memory { space, access, elements: elements?, from_wide, wide, offset, base, ty, read_only })
}

fn inst(memory: Memory, run: Run) -> Inst {
    let (a, imm) = (memory.base, memory.offset);
    let d = memory.elements[0];
    let space = SPACES.iter().position(|space| *space == memory.space).unwrap_or(0) as u32;
    let strong = u32::from(memory.access.strong.is_some());
    let aux = u32::from(memory.wide) | strong << 1 | space << 4 | memory.access.bytes << 8;
    let outer = if strong == 0 { run } else { run_strong };
    let outer = if memory.read_only { RUN_READ_ONLY } else { outer };
    Inst { d, a, imm, aux, ..Inst::new(outer).with_regs(memory.elements).with_data((memory.access, run)) }
}

/// A strong access: its data and what the checks know of it change together.
fn run_strong(x: &mut Exec, i: &Inst) -> Flow {
    let _held = x.hold();
    let (access, run) = i.data::<(Access, Run)>();
    // SAFETY: lowering made the instruction for this CPU.
    match unsafe { run(x, i) } {
        Flow::Next if access.reads => x.polled(),
        flow => flow,
    }
}

const RUN_READ_ONLY: Run = run_read_only;

/// A load by `.nc`.
fn run_read_only(x: &mut Exec, i: &Inst) -> Flow {
    let (access, run) = *i.data::<(Access, Run)>();
    let at = x.addresses(i.a, i.aux & 1 != 0, i.imm);
    // SAFETY: lowering made the instruction for this CPU.
    match unsafe { run(x, i) } {
        Flow::Next => x.observe_read_only(&at, access.bytes).err().unwrap_or(Flow::Next),
        flow => flow,
    }
}

/// By the number in bits 4 to 7 of `aux`.
const SPACES: [MemSpace; 8] = [
    MemSpace::Generic,
    MemSpace::Global,
    MemSpace::Shared,
    MemSpace::Local,
    MemSpace::Param,
    MemSpace::Const,
    MemSpace::Generic,
    MemSpace::Generic,
];

/// Where the memory operand of a load or store lies in the host's memory. It lives in registers and on the stack of one inlined
/// function, so its size costs nothing that a box would save.
#[allow(clippy::large_enum_variant)]
enum Hosts {
    /// From here on, lane after lane.
    Dense(u64),
    Each([u64; 32]),
}

/// The host addresses of the memory operand of a load.
#[inline(always)]
fn hosts(x: &mut Exec, i: &Inst) -> Result<Hosts, Flow> {
    let (space, access) = access(i, false);
    let at = x.addresses(i.a, i.aux & 1 != 0, i.imm);
    if let Some(host) = x.find_coalesced(space, &at, access) {
        return x.tell_coalesced(space, &at, access, host, None).map(|()| Hosts::Dense(host));
    }
    x.locate(space, &at, access).map(Hosts::Each)
}

/// The same of a store; `stored` gives the bytes of a lane.
#[inline(always)]
fn store_hosts(x: &mut Exec, i: &Inst, stored: Stored) -> Result<Hosts, Flow> {
    let (space, access) = access(i, true);
    let at = x.addresses(i.a, i.aux & 1 != 0, i.imm);
    if let Some(host) = x.find_coalesced(space, &at, access) {
        return x.tell_coalesced(space, &at, access, host, Some((i, stored))).map(|()| Hosts::Dense(host));
    }
    x.locate_store(space, &at, access, i, stored).map(Hosts::Each)
}

impl Hosts {
    /// One address per lane.
    #[inline(always)]
    fn each(self, bytes: u32) -> [u64; 32] {
        match self {
            Hosts::Dense(host) => std::array::from_fn(|lane| host + lane as u64 * u64::from(bytes)),
            Hosts::Each(hosts) => hosts,
        }
    }
}

#[inline(always)]
fn access(i: &Inst, store: bool) -> (MemSpace, Access) {
    let bytes = i.aux >> 8;
    let weak = Access { bytes, align: bytes, reads: !store, writes: store, strong: None };
    let access = if i.aux & 2 == 0 { weak } else { i.data::<(Access, Run)>().0 };
    (SPACES[(i.aux >> 4 & 7) as usize], access)
}

/// The words that all lanes access, as the compiler makes vectors of: `N` of each lane, lane after lane.
type Block<M, const N: usize> = [[M; N]; 32];

macro_rules! dense_load {
    ($x:ident, $host:ident, $regs:ident, $memory:ty, $lane:ty, $n:literal) => {{
        // SAFETY: every lane's address was checked, and they are neighbours.
        let block = unsafe { ($host as *const Block<$memory, $n>).read_unaligned() };
        for n in 0..$n {
            let mut values = [<$lane>::default(); 32];
            for lane in 0..32 {
                values[lane] = block[lane][n] as $lane;
            }
            $x.write($regs[n], &values);
        }
        return Flow::Next;
    }};
}

macro_rules! dense_store {
    ($x:ident, $host:ident, $regs:ident, $memory:ty, $lane:ty, $n:literal) => {{
        let mut block: Block<$memory, $n> = [[0; $n]; 32];
        for n in 0..$n {
            let values = $x.read::<$lane>($regs[n]);
            for lane in 0..32 {
                block[lane][n] = values[lane] as $memory;
            }
        }
        // SAFETY: as for loads.
        unsafe { ($host as *mut Block<$memory, $n>).write_unaligned(block) };
        return Flow::Next;
    }};
}

macro_rules! load {
    ($memory:ty, $lane:ty) => {
        vectorised(
            #[inline(always)]
            |x, i| {
                let hosts = match hosts(x, i) {
                    Ok(hosts) => hosts,
                    Err(flow) => return flow,
                };
                let size = size_of::<$memory>() as u64;
                let regs = i.regs();
                if let Hosts::Dense(host) = hosts {
                    match regs.len() {
                        1 => dense_load!(x, host, regs, $memory, $lane, 1),
                        2 => dense_load!(x, host, regs, $memory, $lane, 2),
                        4 if size == 4 && size_of::<$lane>() == 4 => {
                            // SAFETY: every lane's address was checked, and they are neighbours.
                            let block = unsafe { (host as *const Block<u32, 4>).read_unaligned() };
                            regs.iter().zip(&apart4(&block)).for_each(|(reg, words)| x.write(*reg, words));
                            return Flow::Next;
                        }
                        4 if size < 4 => dense_load!(x, host, regs, $memory, $lane, 4),
                        _ => {}
                    }
                }
                let hosts = hosts.each(i.aux >> 8);
                for (n, reg) in regs.iter().enumerate() {
                    let mut values = [<$lane>::default(); 32];
                    for lane in 0..32 {
                        let at = hosts[lane].wrapping_add(n as u64 * size) as *const $memory;
                        // SAFETY: `locate` gives addresses inside live memory, for lanes that do not execute too.
                        values[lane] = unsafe { at.read_unaligned() } as $lane;
                    }
                    x.write(*reg, &values);
                }
                Flow::Next
            },
        )
    };
}

macro_rules! store {
    ($memory:ty, $lane:ty) => {
        vectorised(
            #[inline(always)]
            |x, i| {
                let stored: Stored = |x, i, lane| {
                    let mut bytes = [0; 32];
                    for (to, reg) in bytes.chunks_exact_mut(size_of::<$memory>()).zip(i.regs()) {
                        to.copy_from_slice(&(x.read_lane::<$lane>(*reg, lane) as $memory).to_le_bytes());
                    }
                    bytes
                };
                let hosts = match store_hosts(x, i, stored) {
                    Ok(hosts) => hosts,
                    Err(flow) => return flow,
                };
                let size = size_of::<$memory>() as u64;
                let mask = x.mask;
                let regs = i.regs();
                if let Hosts::Dense(host) = hosts {
                    match regs.len() {
                        1 => dense_store!(x, host, regs, $memory, $lane, 1),
                        2 => dense_store!(x, host, regs, $memory, $lane, 2),
                        4 if size == 4 && size_of::<$lane>() == 4 => {
                            let words: [[u32; 32]; 4] = std::array::from_fn(|n| x.read(regs[n]));
                            // SAFETY: as for loads.
                            unsafe { (host as *mut Block<u32, 4>).write_unaligned(together4(&words)) };
                            return Flow::Next;
                        }
                        4 if size < 4 => dense_store!(x, host, regs, $memory, $lane, 4),
                        _ => {}
                    }
                }
                let hosts = hosts.each(i.aux >> 8);
                for (n, reg) in regs.iter().enumerate() {
                    let values = x.read::<$lane>(*reg);
                    for lane in 0..32 {
                        if mask >> lane & 1 != 0 {
                            let at = hosts[lane].wrapping_add(n as u64 * size) as *mut $memory;
                            // SAFETY: `locate` gives addresses inside live memory.
                            unsafe { at.write_unaligned(values[lane] as $memory) };
                        }
                    }
                }
                Flow::Next
            },
        )
    };
}

fn ld(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let memory = decode(cx, i, false)?;
    let wide = |n: usize| cx.type_of(&cx.elements(&i.operands[0])[n]).is_some_and(|ty| ty.bits() > 32);
    // A narrow load into a 64-bit register extends to all of it.
    let to_wide = memory.ty.bits() <= 32 && (0..memory.elements.len()).any(wide);
    let run = match (memory.ty, to_wide) {
        (Ty::B8 | Ty::U8, false) => load!(u8, u32),
        (Ty::S8, false) => load!(i8, i32),
        (Ty::S16, false) => load!(i16, i32),
        (Ty::B16 | Ty::U16 | Ty::F16 | Ty::Bf16, false) => load!(u16, u32),
        (Ty::B8 | Ty::U8, true) => load!(u8, u64),
        (Ty::S8, true) => load!(i8, i64),
        (Ty::B16 | Ty::U16, true) => load!(u16, u64),
        (Ty::S16, true) => load!(i16, i64),
        (Ty::B32 | Ty::U32, true) => load!(u32, u64),
        (Ty::S32, true) => load!(i32, i64),
        (Ty::B128, _) => run_ld128,
        (ty, _) if ty.bits() == 32 => load!(u32, u32),
        (ty, _) if ty.bits() == 64 => load!(u64, u64),
        _ => return Err(LowerError::Unsupported),
    };
    Ok(inst(memory, run))
}

fn st(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let memory = decode(cx, i, true)?;
    let run = match (memory.ty.bits(), memory.from_wide) {
        (8, false) => store!(u8, u32),
        (16, false) => store!(u16, u32),
        (32, false) => store!(u32, u32),
        (8, true) => store!(u8, u64),
        (16, true) => store!(u16, u64),
        (32, true) => store!(u32, u64),
        (64, _) => store!(u64, u64),
        (128, _) => run_st128,
        _ => return Err(LowerError::Unsupported),
    };
    Ok(inst(memory, run))
}

fn run_ld128(x: &mut Exec, i: &Inst) -> Flow {
    let hosts = match hosts(x, i) {
        Ok(hosts) => hosts.each(i.aux >> 8),
        Err(flow) => return flow,
    };
    for half in 0..2 {
        // SAFETY: `locate` gives addresses inside live memory, for lanes that do not execute too.
        let values = hosts.map(|at| unsafe { ((at + 8 * half) as *const u64).read_unaligned() });
        x.write(Reg(i.d.0 + 2 * half as u32), &values);
    }
    Flow::Next
}

fn run_st128(x: &mut Exec, i: &Inst) -> Flow {
    let stored: Stored = |x, i, lane| {
        let mut bytes = [0; 32];
        for (half, to) in bytes.as_chunks_mut::<8>().0.iter_mut().take(2).enumerate() {
            *to = x.read_lane::<u64>(Reg(i.d.0 + 2 * half as u32), lane).to_le_bytes();
        }
        bytes
    };
    let hosts = match store_hosts(x, i, stored) {
        Ok(hosts) => hosts.each(i.aux >> 8),
        Err(flow) => return flow,
    };
    let halves = [x.read::<u64>(i.d), x.read::<u64>(Reg(i.d.0 + 2))];
    for lane in (0..32).filter(|lane| x.mask >> lane & 1 != 0) {
        for (half, values) in halves.iter().enumerate() {
            // SAFETY: `locate` gives addresses inside live memory.
            unsafe { ((hosts[lane] + 8 * half as u64) as *mut u64).write_unaligned(values[lane]) };
        }
    }
    Flow::Next
}

/// Hints to caches: the address is not even checked, as on hardware.
fn hint(_: &mut Lower, _: &ast::Instruction) -> Result<Inst, LowerError> {
    Ok(Inst::new(|_, _| Flow::Next))
}
