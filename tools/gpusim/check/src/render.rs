//! Reports: a finding with the names that only the owner of the program knows, as text.

use std::fmt;

use crate::ids::{AccessKind, Engine, SiteId, Space, StrongOp};
use crate::report::{Check, Finding, Party};

/// A place in the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line of the PTX text, from 1.
    pub ptx_line: u32,
    /// The instruction as written, or its opcode.
    pub instruction: String,
    /// File and line of the source, with line information.
    pub source: Option<(String, u32)>,
}

/// The program and launch that findings are about.
pub trait Program {
    /// Name of the kernel.
    fn kernel(&self) -> &str;
    /// CTAs of the grid.
    fn grid(&self) -> [u32; 3];
    /// Threads of a CTA.
    fn block(&self) -> [u32; 3];
    /// Where a site is.
    fn place(&self, site: SiteId) -> Place;
}

/// A failed check with everything that a user needs to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which check.
    pub check: Check,
    /// Name of the kernel.
    pub kernel: String,
    /// CTA of the thread that failed.
    pub cta: [u32; 3],
    /// The thread in its CTA.
    pub thread: [u32; 3],
    /// Its instruction.
    pub place: Place,
    /// What happened, in a sentence.
    pub message: String,
    /// The other access of a race: CTA, thread, what it did, where.
    pub earlier: Option<([u32; 3], [u32; 3], String, Place)>,
    /// What would have helped.
    pub hint: Option<String>,
}

/// Splits a linear index into x, y, z.
pub(crate) fn unlinear(index: u32, extent: [u32; 3]) -> [u32; 3] {
    let (x, y) = (extent[0].max(1), extent[1].max(1));
    [index % x, index / x % y, index / x / y]
}

impl Report {
    /// A report of the interpreter's own: `cta` and `thread` are linear.
    pub fn new(
        program: &dyn Program,
        check: Check,
        cta: u32,
        thread: u32,
        site: SiteId,
        message: String,
    ) -> Report {
        Report {
            check,
            kernel: program.kernel().to_owned(),
            cta: unlinear(cta, program.grid()),
            thread: unlinear(thread, program.block()),
            place: program.place(site),
            message,
            earlier: None,
            hint: None,
        }
    }

    /// The report of a finding.
    pub fn of(finding: &Finding, program: &dyn Program) -> Report {
        let by = finding.by();
        let (message, race) = match finding {
            Finding::Race(race) => {
                (format!("{} at {}", describe(&race.now), at(race.space, race.address)), Some(race))
            }
            Finding::Uninitialised { space, address, .. } => {
                (format!("{} of a byte that nobody wrote, at {}", describe(by), at(*space, *address)), None)
            }
            Finding::Address { check, space, address, size, .. } => {
                let what = if *check == Check::Misaligned { "is not aligned to" } else { "has no room for" };
                let place = at(*space, *address);
                (format!("{}: {place} {what} {size} bytes", describe(by)), None)
            }
            Finding::ReadOnly { space, address, .. } if by.kind.writes() => (
                format!(
                    "{} at {}, which the launch reads by ld.global.nc: such loads may keep the old value",
                    describe(by),
                    at(*space, *address)
                ),
                None,
            ),
            Finding::ReadOnly { space, address, .. } => (
                format!(
                    "ld.global.nc at {}, which the launch has written: such loads may find the old value",
                    at(*space, *address)
                ),
                None,
            ),
            Finding::Mbarrier { space, address, .. } => {
                (format!("no initialised mbarrier at {}", at(*space, *address)), None)
            }
        };
        let mut report = Report::new(program, finding.check(), by.cta, by.thread, by.site, message);
        if let Some(race) = race {
            let old = &race.earlier;
            let cta = unlinear(old.cta, program.grid());
            let thread = unlinear(old.thread, program.block());
            report.earlier = Some((cta, thread, describe(old), program.place(old.site)));
            report.hint = Some(race.missing.hint().to_owned());
        }
        report
    }
}

fn at(space: Space, address: u64) -> String {
    match space {
        Space::Global => format!("global address {address:#x}"),
        Space::Shared { rank: 0 } => format!("shared address {address:#x}"),
        Space::Shared { rank } => format!("shared address {address:#x} of CTA rank {rank}"),
    }
}

fn describe(party: &Party) -> String {
    let scope = |scope: crate::ids::Scope| format!("{scope:?}").to_lowercase();
    let what = match party.kind {
        AccessKind::Read => "read".to_owned(),
        AccessKind::Write => "write".to_owned(),
        AccessKind::Strong { op: StrongOp::Load, scope: s, .. } => format!("strong read (.{})", scope(s)),
        AccessKind::Strong { op: StrongOp::Store, scope: s, .. } => format!("strong write (.{})", scope(s)),
        AccessKind::Strong { scope: s, .. } => format!("atomic (.{})", scope(s)),
    };
    match party.engine {
        Engine::Thread => what,
        Engine::CpAsync => format!("{what} by cp.async"),
        Engine::BulkRead | Engine::BulkWrite | Engine::Tx => format!("{what} by a bulk copy"),
        Engine::Wgmma => format!("{what} by wgmma"),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTX line {}", self.ptx_line)?;
        if let Some((file, line)) = &self.source {
            write!(f, " ({file}:{line})")?;
        }
        if !self.instruction.is_empty() {
            write!(f, ": {}", self.instruction)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let triple = |t: &[u32; 3]| format!("({},{},{})", t[0], t[1], t[2]);
        writeln!(f, "{}: {}", self.check, self.message)?;
        writeln!(f, "  kernel {}, CTA {}, thread {}", self.kernel, triple(&self.cta), triple(&self.thread))?;
        write!(f, "  at {}", self.place)?;
        if let Some((cta, thread, what, place)) = &self.earlier {
            writeln!(f)?;
            writeln!(f, "  against an earlier {what} by CTA {}, thread {}", triple(cta), triple(thread))?;
            write!(f, "  at {place}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}
