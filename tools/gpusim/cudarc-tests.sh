#!/usr/bin/env bash
# Runs cudarc's own driver tests on the simulated device.
#
#   tools/gpusim/cudarc-tests.sh [filter]
#
# A copy of the crate's source is unpacked under target/, unmodified, and tested with LD_LIBRARY_PATH set. The last
# lines on stdout say what ran and what was skipped, with the reason; the exit code is 1 if a test failed. A run
# without a filter leaves target/cudarc-tests.log, from which cudarc_table.py writes the table in README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=0.19.10

folder=$(tools/gpusim.sh)
cargo fetch --locked >&2
archive=$(ls "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/cudarc-$version.crate | head -1)
source="$PWD/target/gpusim/cudarc-$version"
rm -rf "$source"
tar -xzf "$archive" -C target/gpusim
# It is no member of this workspace.
printf '\n[workspace]\n' >> "$source/Cargo.toml"

# Every function that its sys layer names must be in the library.
missing=$(comm -23 \
    <(grep -oE 'pub unsafe fn cu[A-Za-z0-9_]+' "$source/src/driver/sys/mod.rs" | awk '{print $4}' | sort -u) \
    <(nm -D --defined-only "$folder/libcuda.so.1" | awk '{print $3}' | sort -u))
[[ -z "$missing" ]] || { echo "missing symbols: $missing" >&2; exit 1; }

# The launch tests compile CUDA C++ with NVRTC, one of them with cuda_fp16.h: NVIDIA's wheels, proprietary, so
# downloaded and never part of this repository.
# Of CUDA 12, because one test compiles for compute_53, which 13 has dropped.
nvrtc_version=12.8.93
headers_version=12.8.90
nvrtc="$PWD/target/nvrtc-$nvrtc_version"
if [[ ! -e "$nvrtc/complete" ]]; then
    rm -rf "$nvrtc"
    python3 -m venv "$nvrtc/venv" >&2
    "$nvrtc/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$nvrtc/wheel" \
        "nvidia-cuda-nvrtc-cu12==$nvrtc_version" "nvidia-cuda-runtime-cu12==$headers_version" >&2
    ln -s wheel/nvidia/cuda_nvrtc/lib/* "$nvrtc/"
    ln -s libnvrtc.so.12 "$nvrtc/libnvrtc.so"
    touch "$nvrtc/complete"
fi
export LD_LIBRARY_PATH="$folder:$nvrtc:$nvrtc/wheel/nvidia/cuda_nvrtc/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# The tests look for headers in /usr/include, and NVRTC also in the folder that they run in.
ln -s "$nvrtc"/wheel/nvidia/cuda_runtime/include/* "$source/"

# Skipped: what needs a machine that this is not.
declare -A skip=(
    [driver::safe::core::tests::test_pinned_copy_is_faster]="times copies from pinned memory; here they are copies like all others"
    [driver::safe::core::tests::test_default_pinned_host_reads_are_faster_than_write_combined]="times write-combined memory; here it is ordinary memory"
    [driver::safe::launch::tests::test_par_launch]="times two streams whose kernels overlap; here a kernel has run when its launch returns"
    [driver::safe::launch::tests::test_multi_stream_concurrent_reads]="wants one stream's kernel to start before the other's ends; here a kernel has run when its launch returns"
)
arguments=()
for name in "${!skip[@]}"; do arguments+=(--skip "$name"); done

export CARGO_TARGET_DIR="$PWD/target/gpusim"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
run() {
    (cd "$source" && cargo test --lib --no-default-features \
        --features std,driver,nvrtc,dynamic-loading,cuda-12080,f16 -- "$@") 2>&1 | tee -a "$log" >&2 || status=1
}
run "${1:-driver::}" "${arguments[@]}"
# Ignored there because they must run alone; the other ignored ones need several GPUs. The second expects a kernel's
# error from the synchronisation behind the launch, as on hardware, and not from the launch.
if [[ $# -eq 0 ]]; then
    run --ignored --exact driver::safe::core::tests::test_post_alloc_memory
    GPUSIM_ERRORS=sync run --ignored --exact driver::safe::launch::tests::test_device_side_assert
fi
{
    grep -E '^test driver.*(ok|FAILED|ignored.*)$' "$log" | sort
    for name in "${!skip[@]}"; do echo "test $name ... skipped, ${skip[$name]}"; done | sort
    grep -E '^test result' "$log"
} > target/gpusim/cudarc-tests.log
[[ $# -gt 0 ]] || cp target/gpusim/cudarc-tests.log target/cudarc-tests.log
cat target/gpusim/cudarc-tests.log
exit $status
