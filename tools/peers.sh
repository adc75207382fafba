#!/usr/bin/env bash
# Measures the flat baseline in PyTorch, llama.cpp and here, and PHOTON beside it, in one interleaved run, and rewrites the table
# and the page made from it.
# Installs the peers under target/ (PyTorch from PyPI, llama.cpp compiled for this machine: a C and C++ compiler, half an hour
# on two cores, 6 GB of disk), checks that they compute the same model, then writes docs/results/peers.json.
# Usage: tools/peers.sh [--photon PATH] [--python PATH] [--rounds N] [--threads N]: another command line than the one built here,
# another Python that has the peers, 3 rounds and a thread per core by default.
set -euo pipefail
cd "$(dirname "$0")/.."
here=tools/peers
venv=target/peers-venv
work=target/peers
photon=
python=
options=()
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || { echo "tools/peers.sh: $1 wants a value" >&2; exit 2; }
    case $1 in
        --photon) photon=$2 ;;
        --python) python=$2 ;;
        --rounds | --threads) options+=("$1" "$2") ;;
        *) echo "tools/peers.sh: $1 is unknown; the options are --photon, --python, --rounds and --threads" >&2; exit 2 ;;
    esac
    shift 2
done

if [ -z "$python" ]; then
    python=$venv/bin/python
    if ! cmp -s "$here/requirements.txt" "$venv/installed"; then
        python3 -m venv "$venv"
        # Wheels of llama-cpp-python are compiled for no machine in particular: without bf16 products, some without AVX-512.
        CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) \
            "$venv/bin/pip" install --quiet --no-binary llama-cpp-python --requirement "$here/requirements.txt"
        cp "$here/requirements.txt" "$venv/installed"
    fi
fi
if [ -z "$photon" ]; then
    cargo build --release --locked --quiet
    photon=target/release/photon
fi

mkdir -p "$work" docs/results
"$python" $here/test_ours.py
"$python" $here/test_peers.py
"$python" $here/agree.py "$photon" "$work"
"$python" $here/compare.py "$photon" "$work/results.json" --folder "$work" "${options[@]}"
mv "$work/results.json" docs/results/peers.json
python3 tools/tables.py
python3 tools/report/report.py docs/report.md
