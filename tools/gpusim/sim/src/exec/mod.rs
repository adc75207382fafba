//! Running launches.

use crate::{Device, Launch, LaunchError};

/// Runs a launch to its end.
pub(crate) fn run(_device: &Device, _launch: &Launch) -> Result<(), LaunchError> {
    Err(LaunchError::InvalidConfiguration("no kernel can be loaded yet".to_owned()))
}
