// Reductions whose order depends on nothing but the number of values.
#pragma once

namespace photon {

// Every lane gets what `combine`, of which the order of its two arguments must not matter, makes of the lanes that differ in the bits below
// `Lanes`.
template <int Lanes, class T, class Combine> __device__ __forceinline__ T reduce_lanes(T x, Combine combine) {
#pragma unroll
    for (int bit = Lanes / 2; bit > 0; bit /= 2) {
        x = combine(x, __shfl_xor_sync(0xffffffffu, x, bit));
    }
    return x;
}

template <int Lanes, class T> __device__ __forceinline__ T sum_lanes(T x) {
    return reduce_lanes<Lanes>(x, [](T a, T b) { return a + b; });
}

template <int Lanes> __device__ __forceinline__ float max_lanes(float x) {
    return reduce_lanes<Lanes>(x, [](float a, float b) { return fmaxf(a, b); });
}

}  // namespace photon
