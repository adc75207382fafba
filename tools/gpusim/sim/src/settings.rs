//! What a user can choose: `GPUSIM_*` variables.

use std::path::PathBuf;

/// How tensor-core instructions round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// The published bit-accurate models: truncation width, chaining and order of the architecture.
    Exact,
    /// f32 accumulation, for whole-model runs.
    #[default]
    Fast,
}

/// What approximate functions (`.approx`, `.full`) give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approx {
    /// The value nearest to the mathematical one.
    #[default]
    Exact,
    /// A value within the error that the PTX ISA documents, which the seed and the operands determine.
    Perturbed,
}

/// Which lanes and warps run first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Lanes with the lowest program counter first, warps in a seeded order.
    #[default]
    Lowest,
    /// Lanes and warps in a seeded random order, with short turns.
    Random,
}

/// Settings of a [`Device`](crate::Device).
#[derive(Clone, Debug)]
pub struct Settings {
    /// `GPUSIM_SEED`: the same seed gives the same run.
    pub seed: u64,
    /// `GPUSIM_SCHEDULE`: `lowest` or `random`.
    pub schedule: Schedule,
    /// `GPUSIM_CHECKS`: races, uninitialised shared memory, asynchronous operations that nobody waited for. Bounds, alignment,
    /// freed memory and divergent barriers are always checked. The switches below turn off single checks of these.
    pub checks: bool,
    /// `GPUSIM_CHECK_SHARED_RACES`: races in shared memory; on.
    pub check_shared_races: bool,
    /// `GPUSIM_CHECK_GLOBAL_RACES`: races in global memory; on.
    pub check_global_races: bool,
    /// `GPUSIM_CHECK_SHARED_INIT`: reads of shared memory that nothing has written; on.
    pub check_shared_init: bool,
    /// `GPUSIM_CHECK_GLOBAL_INIT`: also report reads of global memory that nothing has written.
    pub check_global_init: bool,
    /// `GPUSIM_CHECK_WGMMA_REGISTERS`: registers of a `wgmma` in flight that others touch; on. Where it is off, who touches
    /// one finds the products done, as ptxas sees to.
    pub check_wgmma_registers: bool,
    /// `GPUSIM_TENSOR` (or `GPUSIM_ARITHMETIC`): `exact` or `fast`.
    pub arithmetic: Arithmetic,
    /// `GPUSIM_TENSOR_ARCH`: the `sm_` number whose tensor cores the exact arithmetic follows; the module's `.target` if
    /// absent.
    pub tensor_arch: Option<u32>,
    /// `GPUSIM_APPROX`: `exact` or `perturbed`.
    pub approx: Approx,
    /// `GPUSIM_FUSE`: `on` fuses `mul` and `add` without rounding modifiers, as assemblers may; `off` rounds both.
    pub fuse: bool,
    /// `GPUSIM_THREADS`: operating-system threads that run CTAs. More than one gives up the promise that a seed
    /// determines the run, for programs whose CTAs race or add floats atomically.
    pub threads: usize,
    /// `GPUSIM_INSTRUCTION_LIMIT`: warp instructions after which a launch is given up as hanging.
    pub instruction_limit: u64,
    /// `GPUSIM_STALL_SECONDS`: how long a launch may repeat itself, or poll in vain, before it counts as a deadlock. It is no
    /// proof of one while the host or another stream may still write what the launch looks at.
    pub stall_seconds: f64,
    /// `GPUSIM_POLL_LIMIT`: warp instructions of looking at memory that nothing changes after which a launch counts as
    /// polling in vain, though it does not repeat itself exactly, because it counts its looks.
    pub poll_limit: u64,
    /// `GPUSIM_MEMORY`: nominal bytes of device memory.
    pub memory_bytes: u64,
    /// `GPUSIM_REPORT`: file that gets one JSON line of counters per launch that succeeded.
    pub report: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            seed: 0,
            schedule: Schedule::default(),
            checks: true,
            check_shared_races: true,
            check_global_races: true,
            check_shared_init: true,
            check_global_init: false,
            check_wgmma_registers: true,
            arithmetic: Arithmetic::default(),
            tensor_arch: None,
            approx: Approx::default(),
            fuse: false,
            threads: 1,
            instruction_limit: 200_000_000_000,
            stall_seconds: 3.0,
            poll_limit: 100_000_000,
            memory_bytes: 80 << 30,
            report: None,
        }
    }
}

impl Settings {
    /// Settings from `GPUSIM_*` variables; what is absent has its default.
    ///
    /// # Errors
    /// Names the variable whose value is not understood.
    pub fn from_env() -> Result<Settings, String> {
        Settings::from_lookup(|name| std::env::var(name).ok())
    }

    /// The seed with which approximate functions are perturbed, if they are.
    pub(crate) fn perturbation(&self) -> Option<u64> {
        (self.approx == Approx::Perturbed).then_some(self.seed)
    }

    /// Whether registers of a `wgmma` in flight are reported.
    pub(crate) fn check_wgmma_registers(&self) -> bool {
        self.checks && self.check_wgmma_registers
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, String> {
        let mut settings = Settings::default();
        let number = |name: &str, default: u64| match lookup(name) {
            None => Ok(default),
            Some(text) => text.trim().parse().map_err(|_| format!("{name}={text}: not a number")),
        };
        let flag = |name: &str, default: bool| match lookup(name).as_deref().map(str::trim) {
            None => Ok(default),
            Some("1" | "on" | "true") => Ok(true),
            Some("0" | "off" | "false") => Ok(false),
            Some(text) => Err(format!("{name}={text}: not on or off")),
        };
        settings.seed = number("GPUSIM_SEED", settings.seed)?;
        settings.threads = number("GPUSIM_THREADS", settings.threads as u64)?.clamp(1, 1024) as usize;
        settings.instruction_limit = number("GPUSIM_INSTRUCTION_LIMIT", settings.instruction_limit)?;
        settings.poll_limit = number("GPUSIM_POLL_LIMIT", settings.poll_limit)?;
        if let Some(text) = lookup("GPUSIM_STALL_SECONDS") {
            let seconds = text.trim().parse().ok().filter(|seconds: &f64| *seconds >= 0.0);
            settings.stall_seconds =
                seconds.ok_or_else(|| format!("GPUSIM_STALL_SECONDS={text}: not a number of seconds"))?;
        }
        settings.memory_bytes = number("GPUSIM_MEMORY", settings.memory_bytes)?;
        settings.checks = flag("GPUSIM_CHECKS", settings.checks)?;
        settings.check_shared_races = flag("GPUSIM_CHECK_SHARED_RACES", settings.check_shared_races)?;
        settings.check_global_races = flag("GPUSIM_CHECK_GLOBAL_RACES", settings.check_global_races)?;
        settings.check_shared_init = flag("GPUSIM_CHECK_SHARED_INIT", settings.check_shared_init)?;
        settings.check_global_init = flag("GPUSIM_CHECK_GLOBAL_INIT", settings.check_global_init)?;
        settings.check_wgmma_registers =
            flag("GPUSIM_CHECK_WGMMA_REGISTERS", settings.check_wgmma_registers)?;
        settings.report = lookup("GPUSIM_REPORT").filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(text) = lookup("GPUSIM_TENSOR").or_else(|| lookup("GPUSIM_ARITHMETIC")) {
            settings.arithmetic = match text.trim() {
                "exact" => Arithmetic::Exact,
                "fast" => Arithmetic::Fast,
                _ => return Err(format!("GPUSIM_TENSOR={text}: not exact or fast")),
            };
        }
        if let Some(text) = lookup("GPUSIM_TENSOR_ARCH") {
            let number =
                text.trim().trim_start_matches("sm_").trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let known =
                number.parse().ok().filter(|sm| gpusim_num::tensor::Architecture::from_sm(*sm).is_some());
            settings.tensor_arch =
                Some(known.ok_or_else(|| {
                    format!("GPUSIM_TENSOR_ARCH={text}: not an architecture from sm_70 on")
                })?);
        }
        settings.fuse = flag("GPUSIM_FUSE", settings.fuse)?;
        if let Some(text) = lookup("GPUSIM_APPROX") {
            settings.approx = match text.trim() {
                "exact" => Approx::Exact,
                "perturbed" => Approx::Perturbed,
                _ => return Err(format!("GPUSIM_APPROX={text}: not exact or perturbed")),
            };
        }
        if let Some(text) = lookup("GPUSIM_SCHEDULE") {
            settings.schedule = match text.trim() {
                "lowest" => Schedule::Lowest,
                "random" => Schedule::Random,
                _ => return Err(format!("GPUSIM_SCHEDULE={text}: not lowest or random")),
            };
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_override_defaults() {
        let settings = Settings::from_lookup(|name| match name {
            "GPUSIM_SEED" => Some("17".into()),
            "GPUSIM_ARITHMETIC" => Some("exact".into()),
            "GPUSIM_SCHEDULE" => Some("random".into()),
            "GPUSIM_CHECKS" => Some("off".into()),
            "GPUSIM_CHECK_SHARED_RACES" => Some("0".into()),
            "GPUSIM_CHECK_WGMMA_REGISTERS" => Some("off".into()),
            "GPUSIM_APPROX" => Some("perturbed".into()),
            "GPUSIM_FUSE" => Some("on".into()),
            _ => None,
        })
        .unwrap();
        assert_eq!(settings.seed, 17);
        assert_eq!(settings.arithmetic, Arithmetic::Exact);
        assert_eq!(settings.schedule, Schedule::Random);
        assert!(!settings.checks);
        assert!(!settings.check_shared_races && settings.check_global_races && settings.check_shared_init);
        assert!(!settings.check_wgmma_registers);
        assert!(settings.fuse);
        assert_eq!(settings.perturbation(), Some(17));
        assert_eq!(settings.threads, 1);
    }

    #[test]
    fn a_value_that_is_not_understood_is_named() {
        let error = Settings::from_lookup(|name| (name == "GPUSIM_SEED").then(|| "x".into())).unwrap_err();
        assert!(error.contains("GPUSIM_SEED=x"), "{error}");
    }
}
