// Ways to shared memory: asynchronous copies from global memory, 16 or 8 bytes a lane, and stores of pairs.
#pragma once

#include <stdint.h>

namespace photon {

__device__ __forceinline__ uint32_t shared_address(const void *p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// The first `bytes` (0 to 16) of 16 bytes at `global`; the others become zero. Reads nothing beyond them.
__device__ __forceinline__ void copy_16(uint32_t shared, const void *global, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes) : "memory");
}

// The same with 8 bytes, which is how far apart rows may begin. Those go through L1, as PTX has it.
__device__ __forceinline__ void copy_8(uint32_t shared, const void *global, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared), "l"(global), "r"(bytes) : "memory");
}

__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `Pending` of the groups committed by this thread are unfinished.
template <int Pending> __device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

// Two floats in one store. nvcc makes two of some float2 stores, whose lanes then meet in banks where those of the pair do not.
__device__ __forceinline__ void store_pair(uint32_t shared, float first, float second) {
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(shared), "f"(first), "f"(second) : "memory");
}

}  // namespace photon
