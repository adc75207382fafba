//! Which modes are compared.

use photon_kernels::config::ModelType;
use photon_kernels::generate::Mode;
use photon_kernels::{Config, Error, Result};

use crate::args;

/// The modes of `--mode` and `--refresh`, in the order in which they are reported: exact, hiergen, recgen with each
/// refresh, recgen without. Nothing asked for means all that the model has.
pub fn list(asked: &[args::Mode], refresh: &[usize], config: &Config) -> Result<Vec<Mode>> {
    let wanted = |mode| match asked {
        [] => mode == args::Mode::Exact || config.model_type != ModelType::Vanilla,
        asked => asked.contains(&mode),
    };
    let mut modes = Vec::new();
    modes.extend(wanted(args::Mode::Exact).then_some(Mode::Exact));
    modes.extend(wanted(args::Mode::Hiergen).then_some(Mode::HierGen));
    let mut refresh = refresh.to_vec();
    refresh.sort_unstable();
    refresh.dedup();
    if wanted(args::Mode::Recgen) {
        modes.extend(refresh.iter().map(|&k| Mode::RecGen { refresh: Some(k) }));
        modes.push(Mode::RecGen { refresh: None });
    } else if let Some(k) = refresh.first() {
        return Err(Error::argument(format!(
            "--refresh {k} belongs to --mode recgen, which is not among the modes; add it or leave --refresh out"
        )));
    }
    for mode in &modes {
        mode.settle(config)?;
    }
    Ok(modes)
}

/// A mode as it is reported: in JSON its name and its refresh.
#[derive(Clone, Copy, serde::Serialize)]
#[serde(into = "Fields")]
pub struct Named(Mode);

#[derive(serde::Serialize)]
struct Fields {
    mode: &'static str,
    refresh: Option<usize>,
}

impl From<Mode> for Named {
    fn from(mode: Mode) -> Self {
        Named(mode)
    }
}

impl From<Named> for Fields {
    fn from(Named(mode): Named) -> Self {
        match mode {
            Mode::Exact => Fields { mode: "exact", refresh: None },
            Mode::HierGen => Fields { mode: "hiergen", refresh: None },
            Mode::RecGen { refresh } => Fields { mode: "recgen", refresh },
        }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use photon_kernels::presets::preset;

    use super::*;

    #[test]
    fn nothing_asked_for_means_every_mode_of_the_model() {
        let photon = preset("photon-600m").unwrap();
        let recgen = |refresh| Mode::RecGen { refresh };
        let all = [Mode::Exact, Mode::HierGen, recgen(None)];
        assert_eq!(list(&[], &[], &photon).unwrap(), all);
        assert_eq!(list(&[], &[], &preset("vanilla-600m").unwrap()).unwrap(), [Mode::Exact]);
        let some = list(&[args::Mode::Recgen, args::Mode::Exact], &[4, 1, 4], &photon).unwrap();
        assert_eq!(some, [Mode::Exact, recgen(Some(1)), recgen(Some(4)), recgen(None)]);
    }

    #[test]
    fn modes_that_the_model_lacks_and_refresh_without_recgen_are_refused() {
        let says = |result: Result<Vec<Mode>>, part: &str| {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        };
        let vanilla = preset("vanilla-600m").unwrap();
        says(list(&[args::Mode::Hiergen], &[], &vanilla), "vanilla");
        says(list(&[], &[2], &vanilla), "--refresh 2");
        says(list(&[args::Mode::Exact], &[2], &preset("photon-600m").unwrap()), "--refresh 2");
    }
}
