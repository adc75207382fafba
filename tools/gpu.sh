#!/usr/bin/env bash
# For a machine with an NVIDIA GPU (sm_80 or later) and driver: builds the kernels for that GPU, runs on it the tests that otherwise run on the
# simulated device, under compute-sanitizer where that is installed, then the examples and the benchmarks, and writes one report.
# A clean clone needs rustup's cargo, python3 with venv and a C++ compiler; without a CUDA toolkit one is downloaded under target/.
#
#   tools/gpu.sh [--quick] [REPORT]    REPORT.json and REPORT.md, target/gpu-report by default; each step's output is REPORT.STEP.log
#   --quick                            a few minutes on the simulated device: a part of the tests, small benchmarks
#   PHOTON_LIBCUDA=DIR                 take libcuda from DIR, such as the simulated device: "$(tools/gpusim.sh | tail -1)"
#
# The exit status is 1 if anything failed, 2 for wrong arguments.
set -uo pipefail
cd "$(dirname "$0")/.."
quick=
report=target/gpu-report
for argument; do
    case "$argument" in
        --quick) quick=1 ;;
        -*) sed -n '/^#   tools/,/^# *$/p' "$0" >&2; exit 2 ;;
        *) report=$argument ;;
    esac
done
mkdir -p "$(dirname "$report")"
rm -f "$report".*.log
target=${CARGO_TARGET_DIR:-target}

root=$(tools/toolchain.sh | tail -1) || exit 1
export PATH="$root/bin:$PATH"
[[ -z "${PHOTON_LIBCUDA:-}" ]] || export LD_LIBRARY_PATH="$PHOTON_LIBCUDA${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
smi() { nvidia-smi --query-gpu="$1" --format=csv,noheader 2>/dev/null | head -1; }
if [[ -z "${PHOTON_CUDA_ARCHS:-}" ]]; then
    # One architecture compiles several times faster than all of them. Code that only Hopper has is behind the a.
    arch=$(smi compute_cap | tr -d .)
    [[ -n "${PHOTON_LIBCUDA:-}" ]] && arch=90
    [[ "$arch" == 90 ]] && arch=90a
    [[ "$arch" =~ ^[0-9]+a?$ ]] && export PHOTON_CUDA_ARCHS=$arch
fi

status=0
rows=()
# step NAME COMMAND...: runs it, keeps its output, notes the outcome.
step() {
    local name=$1 log="$report.$1.log" start=$SECONDS outcome=passed
    shift
    echo "== $name" >&2
    "$@" >"$log" 2>&1 || { outcome=failed; status=1; tail -20 "$log" >&2; }
    rows+=("$name|$outcome|$((SECONDS - start))")
    [[ $outcome == passed ]]
}
skip() { rows+=("$1|skipped: $2|0"); }
# json NAME COMMAND...: a step whose standard output is one JSON object, for the report.
models=()
json() {
    local name=$1 out="$report.$1.json"
    shift
    if step "$name" bash -c '"$@" >"$0"' "$out" "$@"; then models+=("$out"); fi
}

device=unknown
simulated=
finish() {
    python3 - "$report" "$device" "$(smi driver_version)" "$(git rev-parse --short HEAD 2>/dev/null)" "${quick:-0}" \
        "$target/cuda-bench.json" "${models[*]:-}" "${rows[@]}" <<'P'
import json, os, sys
report, device, driver, commit, quick, bench, models, *rows = sys.argv[1:]
steps = [dict(zip(("step", "outcome", "seconds"), row.split("|"))) for row in rows]
for step in steps:
    step["seconds"] = int(step["seconds"])
kernels = json.load(open(bench))["kernels"] if os.path.exists(bench) else []
models = [json.load(open(path)) for path in models.split()]
whole = {"device": device, "driver": driver, "commit": commit, "quick": quick == "1", "steps": steps, "kernels": kernels, "models": models}
json.dump(whole, open(report + ".json", "w"), indent=1)
with open(report + ".md", "w") as out:
    out.write(f"# Run on: {device}\n\nDriver {driver or 'unknown'}, commit {commit}{', quick' if quick == '1' else ''}. The seconds are those of the whole step on the host, "
              "compilation included; they are no kernel's time.\n\n")
    out.write("| step | outcome | seconds |\n| --- | --- | ---: |\n")
    for step in steps:
        out.write(f"| {step['step']} | {step['outcome']} | {step['seconds']} |\n")
    if kernels:
        out.write("\n## Kernels\n\nCUDA events, operands rotated past the L2 cache, medians; a copy is the device's own in the same run.\n\n"
                  "| kernel | median, us | GB/s | % of a copy |\n| --- | ---: | ---: | ---: |\n")
        for k in kernels:
            share = "" if k["percent_of_copy"] is None else f"{k['percent_of_copy']:.0f}"
            out.write(f"| {k['kernel']} | {k['median_us']:.2f} | {k['gb_per_s']:.1f} | {share} |\n")
    if models:
        out.write("\n## Models\n\nRandom weights; the seconds are wall seconds, launches included.\n\n"
                  "| model, mode, batch, tokens | prefill tokens/s | decode tokens/s | cache bytes a sequence | peak MB beside weights |\n"
                  "| --- | ---: | ---: | ---: | ---: |\n")
        for m in models:
            out.write(f"| {m['preset']}, {m['mode']}, {m['batch']}, {m['prompt_tokens']} + {m['new_tokens']} | {m['prefill_tokens_per_second']:.1f} | "
                      f"{m['tokens_per_second']:.1f} | {m['cache_bytes_per_sequence']} | {m['peak_bytes'] / 1e6:.1f} |\n")
P
    cat "$report.md"
    exit $status
}

rm -f "$target/cuda-bench.json"
step build cargo build --release --locked --features cuda --bins --examples || finish
# Also says on what all this runs.
step example-forward "$target/release/examples/forward" || finish
device=$(head -1 "$report.example-forward.log")
[[ "$device" == *gpusim* ]] && simulated=1
for example in engine paged recgen; do
    step "example-$example" "$target/release/examples/$example"
done

test() { cargo test --locked --features cuda --test "$@"; }
if [[ -n "$quick" ]]; then
    step cuda_ops test cuda_ops -- rows:: head:: local:: stream::caches
    PHOTON_TEST_MODELS=1..3 step cuda_model test cuda_model -- score:: greedy::tokens
    step cuda_errors test cuda_errors -- machine:: shapes::
else
    for name in cuda_ops cuda_model cuda_errors cuda_full_size; do
        step "$name" test "$name"
    done
fi

if [[ -n "$simulated" ]]; then
    skip sanitizer "the simulated device checks every launch itself"
elif ! command -v compute-sanitizer >/dev/null; then
    skip sanitizer "compute-sanitizer is not installed"
else
    binary=$(cargo test --locked --features cuda --test cuda_ops --no-run --message-format json 2>/dev/null |
        python3 -c 'import json,sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["target"]["name"] == "cuda_ops"][-1])')
    for tool in memcheck racecheck synccheck initcheck; do
        step "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$binary"
    done
fi

if [[ -n "$simulated" ]]; then
    step bench-kernels cargo test --locked --features cuda --bench cuda -- --test
    skip bench-models "seconds of a simulation say nothing about a GPU"
else
    step bench-kernels cargo bench --locked --features cuda --bench cuda -- ${quick:+--test}
    runs=("photon-600m recgen 1 de" "photon-600m recgen 32 de" "photon-600m recgen 32 pf")
    [[ -n "$quick" ]] || runs+=("photon-600m hiergen 32 de" "photon-600m exact 1 de" "block-600m exact 32 de" "vanilla-600m exact 1 de"
        "vanilla-600m exact 32 de" "vanilla-600m exact 32 pf" "photon-1.2b recgen 32 de")
    for run in "${runs[@]}"; do
        read -r preset mode batch regime <<<"$run"
        json "bench-$preset-$mode-$batch-$regime" "$target/release/photon" bench --device cuda --preset "$preset" --mode "$mode" --batch "$batch" \
            --regime "$regime" --json
    done
fi
finish
