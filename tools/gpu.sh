#!/usr/bin/env bash
# For a machine with an NVIDIA GPU (sm_80 or later) and driver: builds the kernels, runs on the GPU the tests that otherwise run on the simulated
# device, under compute-sanitizer where that is installed, then the examples, and writes one report.
#
#   tools/gpu.sh [REPORT]        REPORT.json and REPORT.md, target/gpu-report by default
#   PHOTON_LIBCUDA=DIR           take libcuda from DIR, such as the simulated device: "$(tools/gpusim.sh)"
#
# The exit status is 1 if anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."
report=${1:-target/gpu-report}
mkdir -p "$(dirname "$report")"

root=$(tools/toolchain.sh | tail -1) || exit 1
export PATH="$root/bin:$PATH"
[[ -z "${PHOTON_LIBCUDA:-}" ]] || export LD_LIBRARY_PATH="$PHOTON_LIBCUDA${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
device=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -1)
[[ -z "${PHOTON_LIBCUDA:-}" ]] || device="libcuda of $(basename "$PHOTON_LIBCUDA")"
device=${device:-unknown}

status=0
rows=()
# step NAME COMMAND...: runs it, keeps its log, notes the outcome.
step() {
    local name=$1 log="$report.$1.log" start=$SECONDS outcome=passed
    shift
    echo "== $name" >&2
    "$@" >"$log" 2>&1 || { outcome=failed; status=1; tail -20 "$log" >&2; }
    rows+=("$name|$outcome|$((SECONDS - start))")
}
skip() { rows+=("$1|skipped: $2|0"); }

tests=(cuda_ops cuda_model)
step build cargo build --release --locked --features cuda --examples
for test in "${tests[@]}"; do
    step "$test" cargo test --locked --features cuda --test "$test"
done
if command -v compute-sanitizer >/dev/null && [[ -z "${PHOTON_LIBCUDA:-}" ]]; then
    binary=$(cargo test --locked --features cuda --test cuda_ops --no-run --message-format json 2>/dev/null |
        python3 -c 'import json,sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["target"]["name"] == "cuda_ops"][-1])')
    for tool in memcheck racecheck synccheck initcheck; do
        step "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$binary"
    done
else
    skip sanitizer "compute-sanitizer is not installed, or the device is no GPU"
fi
for example in engine forward recgen; do
    step "example-$example" "target/release/examples/$example"
done

python3 - "$report" "$device" "$(git rev-parse --short HEAD 2>/dev/null)" "${rows[@]}" <<'P'
import json, sys
report, device, commit, *rows = sys.argv[1:]
steps = [dict(zip(("step", "outcome", "seconds"), row.split("|"))) for row in rows]
for step in steps:
    step["seconds"] = int(step["seconds"])
json.dump({"device": device, "commit": commit, "steps": steps}, open(report + ".json", "w"), indent=1)
with open(report + ".md", "w") as out:
    out.write(f"# Run on: {device}\n\nCommit {commit}. The seconds are those of the whole step on the host, compilation included; they are no kernel's time.\n\n")
    out.write("| step | outcome | seconds |\n| --- | --- | ---: |\n")
    for step in steps:
        out.write(f"| {step['step']} | {step['outcome']} | {step['seconds']} |\n")
P
cat "$report.md"
exit $status
