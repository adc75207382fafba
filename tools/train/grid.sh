#!/usr/bin/env bash
# Trains the grid of grid.json from nothing: environment, text, tokenizer, tests, runs, curves.
#
#   tools/train/grid.sh [--quick | --tiny] [--extra] [--jobs N]
#
# A run takes one thread; N of them go side by side (default 1).  What is done is not done again, and a run that was
# stopped goes on where it was; `rm -r target/train/grid/full` starts afresh, and has to where settings have changed: a
# checkpoint of others is refused.  Without an option the full grid, whose logs go to docs/results/train/ and whose curves
# to docs/figures/.  --extra trains the second seed besides.  --quick is the same grid for minutes.  --tiny is three of
# its runs for a few steps on text of Python's standard library, and needs no package archive.  Needs Python 3.11 and
# 6 GB of disk, most of it PyTorch; but for --tiny also apt-get with fetched package lists.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tools/train
budget=full jobs=1 extra=()
while [ $# -gt 0 ]; do
    case $1 in
        --quick) budget=quick ;;
        --tiny) budget=tiny ;;
        --extra) extra=(--extra) ;;
        --jobs) jobs=${2:?--jobs needs a number}; shift ;;
        *) echo "grid.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done
source $here/venv.sh
work=target/train/grid
[ "$budget" != tiny ] || work=target/train/tiny
logs=$work/$budget/logs figures=$work/$budget/figures
[ "$budget" != full ] || { logs=docs/results/train figures=docs/figures; }
mkdir -p "$work/data" "$logs"
export OMP_NUM_THREADS=1

value() { "$python" -c "import json; c = json.load(open('$here/grid.json')); print($1)"; }
if [ ! -e "$work/data/heldout.txt" ]; then
    if [ "$budget" = tiny ]; then
        "$python" $here/stand_in.py "$work/data" "$(value '",".join(c["mix"])')"
    else
        "$python" $here/data.py "$work/data"
    fi
fi
[ -e "$work/data/tokens/heldout.npy" ] || "$python" $here/tokenizer.py "$work/data" "$(value 'c["vocab_size"]')"
"$python" $here/tokenizer.py "$work/data" "$(value 'c["vocab_size"]')" --check
# The crate, where it is built, must compute what PyTorch does.
[ ! -x target/release/photon ] || export PHOTON_BIN=${PHOTON_BIN:-target/release/photon}
"$python" $here/test_grid.py
"$python" $here/test_runs.py

runs=$("$python" $here/grid.py --budget "$budget" "${extra[@]}")
xargs -P "$jobs" -I{} "$python" $here/grid_train.py {} "$work" --budget "$budget" <<<"$runs"
for run in $runs; do
    cp "$work/$budget/$run/log.jsonl" "$logs/$run.jsonl"
done
"$python" $here/curves.py "$logs" "$figures"
