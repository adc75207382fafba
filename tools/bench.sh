#!/usr/bin/env bash
# Measures the full-size presets on this machine's CPU and rewrites the tables made from the results.
# Writes docs/results/bench.json: one object per run, in the form that `photon bench --json` prints. Every configuration
# is measured once a round, so that a slow minute of the machine hits all of them; the tables show the median round.
# Usage: tools/bench.sh [NEW_TOKENS [ROUNDS]], 256 and 3 by default: the paper's DE regime (128 + 2048 tokens) cut short.
set -euo pipefail
cd "$(dirname "$0")/.."
new=${1:-256}
rounds=${2:-3}
results=docs/results/bench.json

cargo build --release --locked --quiet
photon=target/release/photon
mkdir -p "$(dirname "$results")"
runs=(
    "vanilla-600m exact 1 bf16"
    "block-600m exact 1 bf16"
    "photon-600m exact 1 bf16"
    "photon-600m hiergen 1 bf16"
    "photon-600m recgen 1 bf16"
    "vanilla-600m exact 1 int8"
    "photon-600m recgen 1 int8"
    "vanilla-600m exact 32 bf16"
    "photon-600m hiergen 32 bf16"
    "photon-600m recgen 32 bf16"
)
: >"$results.new"
for ((round = 1; round <= rounds; round++)); do
    for run in "${runs[@]}"; do
        read -r preset mode batch dtype <<<"$run"
        echo "round $round: $run" >&2
        "$photon" bench --preset "$preset" --mode "$mode" --batch "$batch" \
            --prompt-tokens 128 --new-tokens "$new" --dtype "$dtype" --json >>"$results.new"
    done
done
mv "$results.new" "$results"
python3 tools/tables.py
