// Where rows lie.
#pragma once

#include "../photon.h"

namespace photon {

__device__ __forceinline__ int64_t place(const photon_rows &rows, int i) {
    if (rows.list != nullptr) {
        return rows.list[i];
    }
    // One division of 32 bits: a pass has fewer than 2^31 rows.
    const int block = static_cast<uint32_t>(i) / static_cast<uint32_t>(rows.len);
    return rows.start + block * rows.stride + (i - block * static_cast<int>(rows.len));
}

}  // namespace photon
