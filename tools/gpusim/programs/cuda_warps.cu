// CUDA C programs for the simulated device: warp intrinsics and atomics of every kind.
#include <cstdint>
#include <cuda/atomic>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

// y[r * 32 + lane], one warp; rows in the order of cuda_programs.py.
extern "C" __global__ void warp_intrinsics(const unsigned* x, unsigned* y) {
    unsigned lane = threadIdx.x, v = x[lane], full = ~0u;
    int r = 0;
    auto put = [&](unsigned value) { y[r++ * 32 + lane] = value; };
    put(__shfl_sync(full, v, 5));
    put(__shfl_sync(full, v, lane * 7, 8));
    put(__shfl_up_sync(full, v, 3));
    put(__shfl_up_sync(full, v, 2, 16));
    put(__shfl_down_sync(full, v, 9));
    put(__shfl_down_sync(full, v, 1, 4));
    put(__shfl_xor_sync(full, v, 21));
    put(__shfl_xor_sync(full, v, 3, 8));
    put(__ballot_sync(full, v & 1));
    put(__any_sync(full, v == x[7]));
    put(__all_sync(full, v & 1));
    put(__match_any_sync(full, v & 3));
    int same;
    put(__match_all_sync(full, v & 0x10000, &same));
    put(same);
    put(__reduce_add_sync(full, v));
    put(__reduce_min_sync(full, v));
    put(__reduce_max_sync(full, v));
    put(__reduce_min_sync(full, (int)v));
    put(__reduce_max_sync(full, (int)v));
    put(__reduce_and_sync(full, v | 0xffu));
    put(__reduce_or_sync(full, v & 0xf0f0u));
    put(__reduce_xor_sync(full, v));
    if (lane % 3 == 0) put(__activemask()); else put(0);
    // Divergent halves with their own masks.
    unsigned mine = lane < 11 ? 0x7ffu : ~0x7ffu;
    put(lane < 11 ? __reduce_add_sync(0x7ffu, lane) : __reduce_add_sync(~0x7ffu, lane * 2));
    put(__shfl_sync(full, v, __ffs(mine) - 1));
    unsigned below;
    asm("mov.u32 %0, %%lanemask_lt;" : "=r"(below));
    put(__popc(__ballot_sync(full, v & 2) & below));
    double d = __longlong_as_double(((long long)v << 32) | lane);
    put((unsigned)(__double_as_longlong(__shfl_xor_sync(full, d, 1)) >> 32));
    put((unsigned)__half2float(__shfl_down_sync(full, __float2half((float)lane), 4)));
}

// Every lane of every block hits the same words. Integer results are order-free; `old` values are summed.
extern "C" __global__ void atomics_integers(unsigned* w, unsigned long long* l, unsigned* old, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned v = i * 2654435761u;
    atomicAdd(w + 0, v);
    atomicSub(w + 1, v);
    atomicMin(w + 2, v);
    atomicMax(w + 3, v);
    atomicMin((int*)w + 4, (int)v);
    atomicMax((int*)w + 5, (int)v);
    atomicAnd(w + 6, v | 0x80000001u);
    atomicOr(w + 7, v & 0x00ffff00u);
    atomicXor(w + 8, v);
    atomicInc(w + 9, 999u);
    atomicDec(w + 10, 999u);
    atomicAdd(l + 0, (unsigned long long)v << 20);
    atomicMin(l + 1, (unsigned long long)v << 9);
    atomicMax(l + 2, (unsigned long long)v << 9);
    atomicMin((long long*)l + 3, (long long)v - 0x80000000ll);
    atomicMax((long long*)l + 4, (long long)v - 0x80000000ll);
    atomicAnd(l + 5, ~((unsigned long long)i << 13));
    atomicOr(l + 6, (unsigned long long)i << 29);
    atomicXor(l + 7, (unsigned long long)v * v);
    atomicAdd_block(w + 11, 1u);
    atomicAdd_system(w + 12, 2u);
    unsigned ticket = atomicAdd(w + 13, 1u);
    old[ticket] = 1;                                    // each ticket is drawn once
    unsigned seen = 0, expect;                          // a compare-and-swap loop: add 3
    do { expect = seen; seen = atomicCAS(w + 14, expect, expect + 3); } while (seen != expect);
    unsigned long long wide = 0, want;
    do { want = wide; wide = atomicCAS(l + 8, want, want + 5); } while (wide != want);
    atomicExch(w + 15, 42u);
    atomicExch(l + 9, 4242ull);
}

extern "C" __global__ void atomics_cas16(unsigned short* h, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned short seen = 0, expect;
    do { expect = seen; seen = atomicCAS(h, expect, (unsigned short)(expect + 1)); } while (seen != expect);
}

extern "C" __global__ void atomics_floats(float* f, double* d, __half2* h, __nv_bfloat162* b, __half* h1, __nv_bfloat16* b1, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float v = (float)(i % 8 - 3);                       // small integers: every order gives the same sum
    atomicAdd(f, v);
    atomicAdd(d, (double)v * 0.5);
    atomicAdd(h, __floats2half2_rn(v, -v));
    atomicAdd(b, __floats2bfloat162_rn(v, 1.0f));
    atomicAdd(h1, __float2half(v));
    atomicAdd(b1, __float2bfloat16(v));
}

// sm_90: vector reductions.
extern "C" __global__ void atomics_vectors(float4* f4, float2* f2, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float v = (float)(i % 8 - 3);
#if __CUDA_ARCH__ >= 900
    atomicAdd(f4, make_float4(v, 1, -v, 2));
    atomicAdd(f2, make_float2(v, 3));
#endif
}

extern "C" __global__ void atomics_shared(const unsigned* x, unsigned* counts, unsigned long long* big, float* sum, int n) {
    __shared__ unsigned bins[64];
    __shared__ unsigned long long word;
    __shared__ float total;
    if (threadIdx.x < 64) bins[threadIdx.x] = 0;
    if (threadIdx.x == 0) { word = 0; total = 0; }
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        atomicAdd(&bins[x[i] % 64], 1u);
        atomicMax(&word, (unsigned long long)x[i]);
        atomicAdd(&total, 1.0f);
    }
    __syncthreads();
    if (threadIdx.x < 64) atomicAdd(counts + threadIdx.x, bins[threadIdx.x]);
    if (threadIdx.x == 0) { atomicMax(big, word); atomicAdd(sum, total); }
}

// Message passing with scoped atomics: the last block sees what every other block wrote.
extern "C" __global__ void last_block(const int* x, int* part, unsigned* tickets, int* total, int n) {
    __shared__ int last;
    int s = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i];
    s = __reduce_add_sync(~0u, s);
    if (threadIdx.x == 0) {
        part[blockIdx.x] = s;
        cuda::atomic_ref<unsigned, cuda::thread_scope_device> t(*tickets);
        last = t.fetch_add(1, cuda::std::memory_order_acq_rel) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        int sum = 0;
        for (unsigned b = 0; b < gridDim.x; b++) sum += part[b];
        *total = sum;
    }
}
