// The order of tokens: higher logits first, then lower ids.
#pragma once

#include <stdint.h>

#include "reduce.cuh"

namespace photon {

// Grows with the logit and, among equals, with falling ids; -0 equals 0, NaN counts as -inf. Never 0.
__device__ __forceinline__ uint64_t order_key(uint32_t id, float logit) {
    const uint32_t bits = __float_as_uint(isnan(logit) ? -INFINITY : logit + 0.0f);
    const uint32_t rising = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
    return static_cast<uint64_t>(rising) << 32 | static_cast<uint32_t>(~id);
}

// The token with the greatest key: its id, or 0 where nothing is above -inf.
__device__ __forceinline__ uint32_t best_token(uint64_t greatest) {
    return greatest > order_key(0, -INFINITY) ? ~static_cast<uint32_t>(greatest) : 0;
}

// Every lane gets the greatest key of the `Lanes` lanes that differ in the bits below it.
template <int Lanes> __device__ __forceinline__ uint64_t greatest_key(uint64_t key) {
    return reduce_lanes<Lanes>(key, [](uint64_t a, uint64_t b) { return max(a, b); });
}

}  // namespace photon
