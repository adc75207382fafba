#!/usr/bin/env bash
# Regenerates src/cuda/sys/bindings.rs from csrc/photon.h; with --check compares instead.
# libclang is the system's (LIBCLANG_PATH), or comes from PyPI and stays under target/.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z "${LIBCLANG_PATH:-}" ]]; then
    folder="$PWD/target/libclang-18.1.1"
    if [[ ! -e "$folder/clang/native/libclang.so" ]]; then
        python3 -m pip install --quiet --no-deps --target "$folder" libclang==18.1.1 >&2
    fi
    export LIBCLANG_PATH="$folder/clang/native"
fi
# The wheel has the library without clang's own headers: gcc's have stdint.h and stddef.h.
export BINDGEN_EXTRA_CLANG_ARGS="${BINDGEN_EXTRA_CLANG_ARGS:--I$(gcc -print-file-name=include)}"
cargo run --quiet --locked --package photon-bindings -- "$@"
