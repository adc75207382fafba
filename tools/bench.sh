#!/usr/bin/env bash
# Measures the full-size presets on this machine's CPU and rewrites the tables made from the results.
# Writes docs/results/bench.json: one object per run, in the form that `photon bench --json` prints.
# Usage: tools/bench.sh [NEW_TOKENS], 256 by default: the paper's DE regime (128 + 2048 tokens) cut short.
set -euo pipefail
cd "$(dirname "$0")/.."
new=${1:-256}
results=docs/results/bench.json

cargo build --release --locked --quiet
photon=target/release/photon
mkdir -p "$(dirname "$results")"
runs=(
    "vanilla-600m exact 1"
    "block-600m exact 1"
    "photon-600m exact 1"
    "photon-600m hiergen 1"
    "photon-600m recgen 1"
    "vanilla-600m exact 16"
    "photon-600m recgen 16"
)
: >"$results.new"
for run in "${runs[@]}"; do
    read -r preset mode batch <<<"$run"
    echo "$run" >&2
    "$photon" bench --preset "$preset" --mode "$mode" --batch "$batch" \
        --prompt-tokens 128 --new-tokens "$new" --dtype bf16 --json >>"$results.new"
done
mv "$results.new" "$results"
python3 tools/tables.py
