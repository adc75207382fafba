#!/usr/bin/env bash
# Makes the sample model from nothing: environment, text, tokenizer, training, scores, samples, checkpoint, model card.
#
#   tools/train/run.sh [--minutes M | --until HH:MM] [--threads N]
#
# Stopped and started again it goes on where it was; `rm -r target/train/data` starts afresh.  Needs Python 3.11, a C++
# compiler (torch.compile), apt-get with fetched package lists, and 8 GB of disk, most of it PyTorch.  Linux only.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tools/train
config=$here/sample.json
work=target/train/data
mkdir -p "$work"

source $here/venv.sh
value() { "$python" -c "import json,sys; c=json.load(open('$config')); print($1)"; }
model=models/$(value 'c["name"]')

[ -e "$work/heldout.txt" ] || "$python" $here/data.py "$work"
[ -e "$work/tokens/heldout.npy" ] || "$python" $here/tokenizer.py "$work" "$(value 'c["model"]["vocab_size"]')"
"$python" $here/tokenizer.py "$work" "$(value 'c["model"]["vocab_size"]')" --check
"$python" $here/test_photon.py
if [ ! -e "$work/run/log.jsonl" ] || ! grep -q '"event": "done"' "$work/run/log.jsonl"; then
    "$python" $here/train.py "$config" "$work" "$@"
fi
"$python" $here/export.py "$config" "$work" "$model"
"$python" $here/score.py "$model" "$work" "$model/scores.json"
"$python" $here/generate.py "$model" "$work/samples.json"
"$python" $here/card.py "$config" "$work" "$model"
