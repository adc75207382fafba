// Reductions whose order depends on nothing but the number of values.
#pragma once

namespace photon {

// Every lane gets the sum (maximum) over the lanes that differ in the bits below `Width`.
template <int Width> __device__ __forceinline__ float sum_lanes(float x) {
#pragma unroll
    for (int bit = Width / 2; bit > 0; bit /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, bit);
    }
    return x;
}

template <int Width> __device__ __forceinline__ float max_lanes(float x) {
#pragma unroll
    for (int bit = Width / 2; bit > 0; bit /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, bit));
    }
    return x;
}

}  // namespace photon
