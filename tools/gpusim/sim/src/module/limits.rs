//! What ptxas refuses for its size, so that a driver refuses to load it.

use gpusim_ptx::ast::Function;

use crate::LoadError;

/// Parameters of a kernel.
const PARAMS: u64 = 32_764;
/// Static shared memory of a kernel; what is more has to be dynamic.
const SHARED: u64 = 48 << 10;
/// Constant variables of a module.
const CONST: u64 = 64 << 10;
/// Local variables of a function. Hardware has 512 KiB; ptxas drops much of what PTX declares.
const LOCAL: u64 = 16 << 20;

fn refuse(line: u32, message: String) -> Result<(), LoadError> {
    Err(LoadError::Syntax { line, message })
}

/// Fails if the function's variables are too large or an extent that it declares has nothing in it.
pub(super) fn check_function(
    function: &Function,
    params: u64,
    local: u64,
    shared: u64,
) -> Result<(), LoadError> {
    for (what, bytes, most) in
        [("parameter space", params, PARAMS), ("local data", local, LOCAL), ("shared data", shared, SHARED)]
    {
        if bytes > most {
            let message = format!("{} uses too much {what}: {bytes} bytes, at most {most}", function.name);
            return refuse(function.line, message);
        }
    }
    for (directive, numbers) in &function.directives {
        let extent = matches!(&**directive, "maxntid" | "reqntid" | "reqnctapercluster");
        if extent && numbers.contains(&0) {
            return refuse(function.line, format!(".{directive} of {}: a side of zero", function.name));
        }
    }
    Ok(())
}

/// Fails if the module's constant variables are too large.
pub(super) fn check_const(line: u32, bytes: u64) -> Result<(), LoadError> {
    match bytes > CONST {
        true => {
            refuse(line, format!("the module uses too much constant data: {bytes} bytes, at most {CONST}"))
        }
        false => Ok(()),
    }
}
