#!/usr/bin/env bash
# Builds the simulated CUDA device: libcuda.so.1.
# The last line on stdout is the folder to put on LD_LIBRARY_PATH. All else goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

# A target folder of its own: other builds, with other flags, would otherwise rebuild each other's dependencies.
export CARGO_TARGET_DIR="$PWD/target/gpusim"
export RUSTFLAGS="-C target-cpu=native"
unset CARGO_BUILD_TARGET CARGO_ENCODED_RUSTFLAGS
cargo build --release --locked --package gpusim-cuda >&2

folder="$CARGO_TARGET_DIR/lib"
mkdir -p "$folder"
# Copied under another name and moved, so that a program that runs meanwhile keeps what it has mapped.
cmp -s "$CARGO_TARGET_DIR/release/libcuda.so" "$folder/libcuda.so.1" || {
    cp "$CARGO_TARGET_DIR/release/libcuda.so" "$folder/libcuda.so.1.$$"
    mv "$folder/libcuda.so.1.$$" "$folder/libcuda.so.1"
}
ln -sfn libcuda.so.1 "$folder/libcuda.so"
echo "$folder"
