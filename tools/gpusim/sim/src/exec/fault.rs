//! What stops a launch.

/// The kind of a fault: which [`LaunchError`](crate::LaunchError) it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    IllegalAddress,
    Misaligned,
    Check,
    Trap,
    Assert,
    Deadlock,
    InstructionLimit,
    Unsupported,
}

/// A fault of the instruction being executed.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub kind: FaultKind,
    /// In a few words: `out of bounds`, `race`.
    pub title: String,
    /// In a sentence.
    pub message: String,
    /// Lanes concerned; 0 if it is no lane's fault.
    pub lanes: u32,
    /// Further lines of the report.
    pub details: Vec<String>,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, title: &str, message: impl Into<String>) -> Fault {
        Fault { kind, title: title.to_owned(), message: message.into(), lanes: 0, details: Vec::new() }
    }

    pub(crate) fn at(mut self, lanes: u32) -> Fault {
        self.lanes = lanes;
        self
    }

    pub(crate) fn detail(mut self, line: impl Into<String>) -> Fault {
        self.details.push(line.into());
        self
    }
}
