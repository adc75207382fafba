//! The machine that programs are to believe they run on: drivers without a GPU, old drivers, old GPUs. A program's own words about them can be
//! tested this way; what the device computes does not change.

use std::sync::OnceLock;

/// What `GPUSIM_DEVICES`, `GPUSIM_DRIVER` and `GPUSIM_SM` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// 0 or 1 GPUs.
    pub devices: i32,
    /// The version that `cuDriverGetVersion` reports: 1000 times the CUDA release, and 10 times its minor number.
    pub version: i32,
    /// Compute capability, 90 for 9.0. Images for newer GPUs are refused.
    pub sm: u32,
}

impl Machine {
    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Machine, String> {
        let number = |name: &str, default: u32, most: u32| match lookup(name) {
            None => Ok(default),
            Some(text) => match text.trim().parse() {
                Ok(number) if number <= most => Ok(number),
                _ => Err(format!("{name}={text}: not a number up to {most}")),
            },
        };
        Ok(Machine {
            devices: number("GPUSIM_DEVICES", 1, 1)? as i32,
            version: number("GPUSIM_DRIVER", 13000, 13000)? as i32,
            sm: number("GPUSIM_SM", 90, 90)?,
        })
    }

    /// The newest major version of PTX that the driver reads: 9 came with CUDA 13, 8 with 12, 7 with 11.
    pub fn newest_ptx(&self) -> u32 {
        (self.version / 1000 - 4).max(0) as u32
    }
}

/// The machine of the environment; what is not understood is reported by `cuInit`.
pub fn machine() -> Result<Machine, String> {
    static MACHINE: OnceLock<Result<Machine, String>> = OnceLock::new();
    MACHINE.get_or_init(|| Machine::from_lookup(|name| std::env::var(name).ok())).clone()
}

/// The machine, for calls that are reached after `cuInit` has accepted it.
pub fn accepted() -> Machine {
    machine().unwrap_or(Machine { devices: 1, version: 13000, sm: 90 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_bad_ones_named() {
        let of = |name: &'static str, value: &'static str| {
            Machine::from_lookup(move |asked| (asked == name).then(|| value.into()))
        };
        assert_eq!(of("", ""), Ok(Machine { devices: 1, version: 13000, sm: 90 }));
        assert_eq!(of("GPUSIM_DEVICES", "0").map(|m| m.devices), Ok(0));
        assert_eq!(of("GPUSIM_DRIVER", "11040").map(|m| (m.version, m.newest_ptx())), Ok((11040, 7)));
        assert_eq!(of("GPUSIM_SM", "75").map(|m| m.sm), Ok(75));
        for (name, value) in [("GPUSIM_DEVICES", "2"), ("GPUSIM_DRIVER", "new"), ("GPUSIM_SM", "100")] {
            assert!(of(name, value).is_err_and(|error| error.contains(name)), "{name}={value}");
        }
    }
}
