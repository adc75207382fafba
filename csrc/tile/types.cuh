// Storage types: conversions between f32 and pairs of bfloat16 or float16.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

namespace photon {

template <class T> struct Storage;

template <> struct Storage<__nv_bfloat16> {
    static constexpr bool bf16 = true;
    // The lower half of the word is the first element.
    static __device__ __forceinline__ uint32_t pack(float first, float second) {
        uint32_t word;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
        return word;
    }
    static __device__ __forceinline__ float2 unpack(uint32_t word) {
        return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
    }
};

template <> struct Storage<__half> {
    static constexpr bool bf16 = false;
    static __device__ __forceinline__ uint32_t pack(float first, float second) {
        uint32_t word;
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
        return word;
    }
    static __device__ __forceinline__ float2 unpack(uint32_t word) {
        return __half22float2(*reinterpret_cast<const __half2 *>(&word));
    }
};

}  // namespace photon
