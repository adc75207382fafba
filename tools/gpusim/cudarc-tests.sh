#!/usr/bin/env bash
# Runs cudarc's own driver tests on the simulated device.
#
#   tools/gpusim/cudarc-tests.sh [filter]
#
# A copy of the crate's source is unpacked under target/, unmodified, and tested with LD_LIBRARY_PATH set. The last
# lines on stdout say how many ran and what was skipped, with the reason; the exit code is 1 if a test failed.
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

# The launch tests compile CUDA C++ with NVRTC: NVIDIA's wheel, proprietary, so downloaded and never part of this
# repository.
# Of CUDA 12, because one test compiles for compute_53, which 13 has dropped.
nvrtc_version=12.8.93
nvrtc="$PWD/target/nvrtc-$nvrtc_version"
if [[ ! -e "$nvrtc/libnvrtc.so" ]]; then
    rm -rf "$nvrtc"
    python3 -m pip install --quiet --no-deps --target "$nvrtc/wheel" "nvidia-cuda-nvrtc-cu12==$nvrtc_version" >&2
    ln -s wheel/nvidia/cuda_nvrtc/lib/* "$nvrtc/"
    ln -s libnvrtc.so.12 "$nvrtc/libnvrtc.so"
fi
export LD_LIBRARY_PATH="$folder:$nvrtc:$nvrtc/wheel/nvidia/cuda_nvrtc/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

# Skipped: what times the machine.
declare -A skip=(
    [test_pinned_copy_is_faster]="times copies from pinned memory; here they are copies like all others"
    [test_default_pinned_host_reads_are_faster_than_write_combined]="times write-combined memory; here it is ordinary memory"
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
# Ignored there because it must run alone. Of the other ignored ones, three need several GPUs, and
# test_device_side_assert expects the error from the synchronisation, while here the launch itself returns it.
[[ $# -gt 0 ]] || run --ignored --exact driver::safe::core::tests::test_post_alloc_memory
grep -E '^test driver.*(ok|FAILED|ignored.*)$' "$log" | sort
for name in "${!skip[@]}"; do echo "test $name ... skipped: ${skip[$name]}"; done | sort
grep -E '^test result' "$log"
exit $status
