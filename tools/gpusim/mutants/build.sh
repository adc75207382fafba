#!/usr/bin/env bash
# Compiles the mutation suite: build.sh FOLDER writes FOLDER/<file>.ptx for each source, and has ptxas assemble each.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
out="${1:?usage: tools/gpusim/mutants/build.sh FOLDER}"
mkdir -p "$out"
toolkit="$("$here/../../toolchain.sh" | tail -n 1)"
build() {
    local file="$1" arch="$2" ptx="$out/$1.ptx"
    # Newer than its sources and made by this toolkit: nothing to do.
    if [[ -f "$ptx" && "$ptx" -nt "$here/$file.cu" && "$ptx" -nt "$here/hopper.cuh" && "$(cat "$out/$file.by" 2>/dev/null)" == "$toolkit" ]]; then return; fi
    (cd "$here" && "$toolkit/bin/nvcc" -ptx -lineinfo -std=c++17 -arch="$arch" "$file.cu" -o "$ptx.$$" -diag-suppress 177,20054) >&2
    "$toolkit/bin/ptxas" -arch="$arch" "$ptx.$$" -o /dev/null >&2
    mv "$ptx.$$" "$ptx"
    printf '%s\n' "$toolkit" >"$out/$file.by"
}
for file in barriers memory global copies language persistent library blocks; do build "$file" sm_80; done
for file in bulk tensor cluster pipelines clusters hopper; do build "$file" sm_90a; done
