#!/usr/bin/env bash
# Installs what the tests need, then runs them all. Needs: rustup's cargo (rust-toolchain.toml names the version), python3 with venv,
# a C++ compiler for nvcc. Downloads come from crates.io and PyPI: MMA-Sim's kernels, a CUDA toolkit (the pinned one compiles them), PyTorch for
# the training tools (5.5 GB installed), and the package with the evaluation's tasks (86 MB). Nothing is written outside target/.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

step "dependencies"
cargo fetch --locked
cuda=$(tools/toolchain.sh | tail -1)
export PATH="$cuda/bin:$PATH"

step "formatting"
cargo fmt --all --check

step "lints"
# Nothing runs here: the kernels need not be compiled.
export PHOTON_CUDA_ARCHS=none
cargo clippy --locked --workspace --all-targets -- -D warnings
cargo clippy --locked --no-default-features --lib -- -D warnings
cargo clippy --locked --all-targets --features cuda -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet --workspace

# The simulated device takes the PTX that is always there; one architecture's machine code is looked at.
export PHOTON_CUDA_ARCHS=90a

step "benchmarks build and run once"
cargo test --locked --benches >/dev/null

step "bindings of the kernels' parameters are those of csrc/photon.h"
tools/bindings.sh --check

step "tests of the library"
cargo test --locked

step "the simulated device: MMA-Sim's kernels"
tools/gpusim/programs/bitexact.py kernels target/mmasim-kernels

step "the simulated device: tests of its parts"
cargo test --locked --package gpusim-ptx --package gpusim-num --package gpusim-check --package gpusim

step "the simulated device: libcuda.so.1"
LD_LIBRARY_PATH="$(tools/gpusim.sh | tail -1)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
cargo test --locked --package gpusim-cuda

step "the CUDA kernels and backend on the simulated device"
cargo test --locked --features cuda --test cuda_ops --test cuda_model --test cuda_graphs --test cuda_errors --test cuda_full_size --test cuda_code --test cuda_traffic
cargo test --locked --package photon-limits
for example in engine forward paged recgen; do
    cargo run --quiet --locked --features cuda --profile test --example "$example"
done

step "benchmarks of the CUDA kernels: results, at small shapes"
cargo test --locked --features cuda --bench cuda -- --test

step "the simulated device: cudarc's own driver tests"
tools/gpusim/cudarc-tests.sh
tools/gpusim/cudarc_table.py --check

step "the report: its parts, the committed page, and all of it in small"
tools/report/test_report.py
python3 tools/peers/test_ours.py
tools/report.sh --only-write --check
python3 tools/tables.py --check
python3 tools/train/test_grid_tables.py
# What is there would not be made again: a second run is to test as the first did.
rm -rf target/train/tiny target/report/tiny
cargo build --locked --profile test
PHOTON_BIN=target/debug/photon tools/report.sh --tiny

step "training: the models, and what their latents are worth"
# grid.sh has run the grid's own tests above, and installed PyTorch.
for test in test_photon test_latent_swap; do
    OMP_NUM_THREADS=1 target/train-venv/bin/python "tools/train/$test.py"
done

step "done"
