#!/usr/bin/env bash
# Makes docs/report.md from nothing: trains the grid of small models, evaluates them, measures the full-size ones, draws, writes.
#
#   tools/report.sh [--quick | --tiny] [--rounds N]
#   tools/report.sh --only-write [--check]
#
# What is done is not done again, but by --tiny, which is a test and does all anew.  Without an option everything in full:
# results go to docs/results/, figures to docs/figures/.  The models are measured last; that wants a quiet machine, and the
# page says how long it took.  It has 4 rounds, of which tools/report/plan.json caps those of what takes long; --rounds N is
# another number.  --quick does all of it once in small, --tiny in a few steps with small models for the throughput too; both
# write to target/report/.  --only-write draws and writes out of the results that are there, the curves of training too;
# --check only compares docs/report.md with them.  PHOTON_BIN is the program where it is built already.  Needs cargo and
# Python 3.11; PyTorch comes from PyPI, but --only-write needs Matplotlib alone and --check nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
budget=full rounds='' write_only='' check=''
while [ $# -gt 0 ]; do
    case $1 in
        --quick) budget=quick ;;
        --tiny) budget=tiny ;;
        --rounds) rounds=${2:?--rounds needs a number}; shift ;;
        --only-write) write_only=yes ;;
        --check) check=--check ;;
        *) echo "report.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done
if [ -n "$check" ] && [ -z "$write_only" ]; then
    echo "report.sh: --check belongs to --only-write" >&2
    exit 2
fi
[ -n "$rounds" ] || { rounds=1; [ "$budget" != full ] || rounds=4; }
here=tools/report
grid=target/train/grid
[ "$budget" != tiny ] || grid=target/train/tiny
if [ "$budget" = full ]; then
    results=docs/results figures=docs/figures logs=docs/results/train page=docs/report.md
else
    results=target/report/$budget figures=$results/figures logs=$grid/$budget/logs page=$results/report.md
fi
# A test of old results would pass whatever has become of the program.  The downloaded text and tokenizer stay.
[ "$budget" != tiny ] || [ -n "$write_only" ] || rm -rf "$results" "${grid:?}/tiny"
mkdir -p "$results" "$figures"

if [ -z "$write_only" ]; then
    train=() evaluate=() measure=()
    case $budget in
        quick) train=(--quick) evaluate=(--questions 50 --windows 32) ;;
        tiny) train=(--tiny) evaluate=(--questions 5 --windows 4) measure=(--models "$grid/tiny") ;;
    esac
    if [ -z "${PHOTON_BIN:-}" ]; then
        cargo build --release --locked --quiet
        export PHOTON_BIN=target/release/photon
    fi
    tools/train/grid.sh "${train[@]}" --jobs "$(nproc)"
    python3 tools/eval/fetch.py
    python3 $here/quality.py "$results/quality.json" "$grid/$budget" "$grid/data/heldout.txt" --photon "$PHOTON_BIN" --budget "$budget" \
        "${evaluate[@]}"
    python3 $here/compare.py "$results/compare.json" --photon "$PHOTON_BIN" --budget "$budget" --rounds "$rounds" \
        "${measure[@]}"
fi

if [ -z "$check" ]; then
    python=target/train-venv/bin/python
    if ! "$python" -c 'import matplotlib' 2>/dev/null; then
        python=target/report-venv/bin/python
        [ -x "$python" ] || python3 -m venv target/report-venv
        "$python" -m pip install --quiet "$(grep ^matplotlib tools/train/requirements.txt)"
    fi
    "$python" $here/figures.py "$results" "$logs" "$figures" --budget "$budget"
    ! compgen -G "$logs/*.jsonl" >/dev/null || "$python" tools/train/curves.py "$logs" "$figures" >/dev/null
fi
python3 $here/report.py "$page" --budget "$budget" --results "$results" --logs "$logs" --figures "$figures" $check
[ -n "$check" ] || echo "$page"
