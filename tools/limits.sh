#!/usr/bin/env bash
# Writes docs/results/limits.json and the tables of docs/limits.md: what a meta-context moves and computes, and the bounds that follow. Asks for nvcc, because
# the sizes of launches are those of the CUDA build, and for no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(tools/toolchain.sh | tail -1)
export PATH="$root/bin:$PATH" PHOTON_CUDA_ARCHS="${PHOTON_CUDA_ARCHS:-90a}"
PHOTON_WRITE_TABLES=1 cargo test --locked --package photon-limits --test page
