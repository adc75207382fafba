#!/usr/bin/env bash
# Makes the fatbins of the tests with the nvcc that tools/toolchain.sh finds (13.0.88 when they were committed):
# cubins for sm_80, PTX for sm_80, sm_90a and sm_100, compressed with zstd, LZ4 and not at all; and one without PTX.
set -euo pipefail
cd "$(dirname "$0")"
nvcc="$(../../../../toolchain.sh --pinned | tail -1)/bin/nvcc"
ptx=(-gencode arch=compute_80,code='[sm_80,compute_80]' -gencode arch=compute_90a,code=compute_90a
    -gencode arch=compute_100,code=compute_100)
"$nvcc" -fatbin "${ptx[@]}" -o zstd.fatbin scale.cu
"$nvcc" -fatbin "${ptx[@]}" -Xfatbin -compress-mode=speed -o lz4.fatbin scale.cu
"$nvcc" -fatbin "${ptx[@]}" --no-compress -o plain.fatbin scale.cu
"$nvcc" -fatbin -gencode arch=compute_90,code=sm_90 -o cubin.fatbin scale.cu
"$nvcc" -fatbin -gencode arch=compute_100,code=compute_100 -o newer.fatbin scale.cu
