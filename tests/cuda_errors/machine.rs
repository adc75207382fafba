//! Machines that cannot run the kernels.

use std::process::{Command, Output};

use cudarc::driver::sys::is_culib_present;
use photon_kernels::cuda::raw::{Kernels, RawError};
use photon_kernels::cuda::{CudaBackend, CudaOptions};

use super::{again, expect_error, model};

fn new() -> photon_kernels::Result<CudaBackend> {
    CudaBackend::new(CudaOptions::default())
}

/// The command line on this machine.
#[cfg(feature = "cli")]
fn generate(device: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    model(&[]).save(folder.path()).expect("a checkpoint");
    Command::new(env!("CARGO_BIN_EXE_photon"))
        .args(["generate", "--tokens", "1,2,3", "--max-new-tokens", "4", "--device", device, "--model"])
        .arg(folder.path())
        .args(more)
        .output()
        .expect("photon")
}

/// `--device cuda` ends with the code for "the input was fine and the machine was not", one line on standard error, and nothing on standard
/// output; `--device auto` takes the CPU.
#[cfg(feature = "cli")]
fn command_line_says(parts: &[&str]) {
    let output = generate("cuda", &[]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: no device: ") && message.lines().count() == 1, "{message:?}");
    assert!(parts.iter().all(|part| message.contains(part)), "{message:?}");
    assert!(output.stdout.is_empty());
    let output = generate("auto", &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(not(feature = "cli"))]
fn command_line_says(_: &[&str]) {}

#[test]
fn without_libcuda_there_is_no_device() {
    again::under("machine::without_libcuda_there_is_no_device", &[("LD_LIBRARY_PATH", "")], || {
        // SAFETY: only looks for the library.
        if unsafe { is_culib_present() } {
            println!("skipped: this machine has a libcuda where the loader always finds it");
            return;
        }
        assert!(!CudaBackend::present());
        expect_error!(new(), NoDevice, ["libcuda", "NVIDIA driver", "CPU"]);
        // SAFETY: there is nothing to load into.
        assert_eq!(unsafe { Kernels::load() }.err(), Some(RawError::NoDriver));
        command_line_says(&["libcuda"]);
    });
}

#[test]
fn a_driver_without_a_gpu_is_no_device() {
    again::under_simulated(
        "machine::a_driver_without_a_gpu_is_no_device",
        &[("GPUSIM_DEVICES", "0")],
        || {
            assert!(!CudaBackend::present());
            expect_error!(new(), NoDevice, ["finds no GPU", "CPU"]);
            command_line_says(&["no GPU"]);
        },
    );
}

#[test]
fn a_driver_before_cuda_12_is_too_old() {
    again::under_simulated(
        "machine::a_driver_before_cuda_12_is_too_old",
        &[("GPUSIM_DRIVER", "11080")],
        || {
            assert!(!CudaBackend::present());
            expect_error!(new(), NoDevice, ["CUDA 11.8", "CUDA 12.0", "update it"]);
            command_line_says(&["11.8"]);
        },
    );
}

#[test]
fn a_driver_that_cannot_read_the_code_is_too_old() {
    // PTX of the compiler under target/ is that of CUDA 13, and the simulated device takes no machine code.
    let test = "machine::a_driver_that_cannot_read_the_code_is_too_old";
    again::under_simulated(test, &[("GPUSIM_DRIVER", "12020")], || match new() {
        Ok(_) => println!("skipped: the kernels were compiled by CUDA 12"),
        result => expect_error!(result, NoDevice, ["CUDA 12.2", "error 222", "PHOTON_CUDA_ARCHS"]),
    });
}

#[test]
fn a_gpu_before_ampere_is_too_old() {
    again::under_simulated("machine::a_gpu_before_ampere_is_too_old", &[("GPUSIM_SM", "75")], || {
        assert!(!CudaBackend::present());
        expect_error!(new(), NoDevice, ["GPU 0", "7.5", "8.0", "CPU"]);
        command_line_says(&["7.5"]);
    });
}

#[test]
fn a_gpu_that_does_not_exist_is_no_device() {
    let result = CudaBackend::new(CudaOptions { device: 77, ..CudaOptions::default() });
    expect_error!(result, NoDevice, ["GPU 77"]);
}

#[cfg(feature = "cli")]
#[test]
fn the_command_line_refuses_f32_on_cuda_as_bad_input() {
    let output = generate("cuda", &["--dtype", "f32"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("f32") && message.contains("bf16"), "{message}");
}

#[cfg(feature = "cli")]
#[test]
fn the_command_line_says_when_memory_runs_out() {
    // Little more than nothing: the kernels themselves take none of it, the weights 300 KB.
    let test = "machine::the_command_line_says_when_memory_runs_out";
    again::under_simulated(test, &[("GPUSIM_MEMORY", "100000")], || {
        let output = generate("cuda", &[]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("out of memory on the GPU") && message.contains("smaller"), "{message}");
    });
}

#[cfg(feature = "cli")]
#[test]
fn the_command_line_measures_nothing_on_a_simulated_device_unless_asked() {
    if !again::simulated() {
        println!("skipped: this machine has a GPU");
        return;
    }
    let bench = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_photon"))
            .args(["bench", "--preset", "photon-600m", "--regime", "de"])
            .args(more)
            .output()
            .expect("photon");
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(output.stdout.is_empty(), "{more:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let message = bench(&["--device", "cuda", "--json"]);
    assert!(message.contains("Simulated") && message.contains("--simulated"), "{message}");
    assert!(bench(&["--simulated"]).contains("--simulated belongs to --device cuda"));
    assert!(bench(&["--device", "cuda", "--simulated", "--threads", "2"]).contains("--threads 2"));
    assert!(bench(&["--device", "cuda", "--simulated", "--dtype", "f32"]).contains("f32"));
}
