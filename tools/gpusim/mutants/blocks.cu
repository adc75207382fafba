// Within blocks and between them: what ordinary kernels do with constants, shared memory, atomics and partial warps. The comment at each
// wrong one names the check that must catch it.
#include <cuda/atomic>
#include <cuda_fp16.h>
#include <cooperative_groups.h>
#include <cstdint>
__constant__ int coefficients[8] = {1, 2, 3, 4, 5, 6, 7, 8};
extern "C" __global__ void constants(const int* x, int* y) { int s = 0; for (int i = 0; i < 8; i++) s += coefficients[(i + threadIdx.x) % 8] * x[threadIdx.x]; y[threadIdx.x] = s + coefficients[x[threadIdx.x] % 8]; }
// Wrong: barrier-divergence: two named barriers in opposite order.
extern "C" __global__ void barriers_crossed(int* y) {
    if (threadIdx.x < 32) { asm volatile("bar.sync 1, 64;"); asm volatile("bar.sync 2, 64;"); }
    else { asm volatile("bar.sync 2, 64;"); asm volatile("bar.sync 1, 64;"); }
    y[threadIdx.x] = 1;
}
// Wrong: barrier-divergence, race or uninitialised-read: half of the warps leave out the barrier.
extern "C" __global__ void barrier_by_warp(const int* x, int* y) {
    __shared__ int s[64];
    s[threadIdx.x] = x[threadIdx.x];
    if (threadIdx.x < 32) __syncthreads();
    y[threadIdx.x] = s[63 - threadIdx.x];
}
extern "C" __global__ void shared_flags(const int* x, int* y) {
    __shared__ int s[32]; __shared__ int flag;
    int t = threadIdx.x;
    if (t == 0) flag = 0;
    __syncthreads();
    cuda::atomic_ref<int, cuda::thread_scope_block> f(flag);
    if (t < 32) { s[t] = x[t] * 2; __syncwarp(); if (t == 0) f.store(1, cuda::std::memory_order_release); }
    else { while (f.load(cuda::std::memory_order_acquire) == 0) {} y[t - 32] = s[63 - t]; }
}
extern "C" __global__ void shared_lock(int* y) {
    __shared__ int lock, value;
    if (threadIdx.x == 0) lock = value = 0;
    __syncthreads();
    bool done = false;
    while (!done) if (atomicCAS(&lock, 0, 1) == 0) { __threadfence_block(); value = value + 1; __threadfence_block(); atomicExch(&lock, 0); done = true; }
    __syncthreads();
    y[threadIdx.x] = value;
}
extern "C" __global__ void wide_atomics(int* y) {
    __shared__ unsigned long long u; __shared__ double d; __shared__ float f; __shared__ __half2 h;
    if (threadIdx.x == 0) { u = 0; d = 0; f = 0; h = __floats2half2_rn(0, 0); }
    __syncthreads();
    atomicAdd(&u, 1ull << 33); atomicAdd(&d, 0.5); atomicAdd(&f, 0.25f); atomicAdd(&h, __floats2half2_rn(1, 2));
    atomicMax(&u, 5ull);
    __syncthreads();
    y[threadIdx.x] = (int)(u >> 33) + (int)d * 100 + (int)f * 10000 + (int)__high2float(h) * 1000000;
}
// Wrong: uninitialised-read: one thread skips its store.
extern "C" __global__ void predicate_uninit(const int* x, int* y) {
    __shared__ int s[64];
    if (x[threadIdx.x] != 17) s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = s[63 - threadIdx.x];
}
// Wrong: race: one element past `a` is the first of `b`, which lies in the same shared memory: no bound is crossed.
extern "C" __global__ void overrun_neighbour(const int* x, int* y) {
    extern __shared__ int raw[];
    int* a = raw; int* b = raw + 64;
    int t = threadIdx.x;
    b[t] = 7;
    a[t] = x[t];
    if (t == 63) a[t + 1] = x[t];
    __syncthreads();
    y[t] = b[t] + a[t];
}
extern "C" __global__ void big_shared(const int* x, int* y) {
    extern __shared__ int raw[];
    for (int i = threadIdx.x; i < 40000; i += 1024) raw[i] = x[0] + i;
    __syncthreads();
    y[threadIdx.x] = raw[39999 - threadIdx.x];
}
// Wrong: race or read-only-write: ld.global.nc of what another block writes.
extern "C" __global__ void nc_while_written(const int* __restrict__ x, int* w, int* y) {
    if (blockIdx.x == 0) w[threadIdx.x] = 5;
    else y[threadIdx.x] = __ldg(x + threadIdx.x);
}
// Wrong: out-of-bounds: the last vector lies past the end.
extern "C" __global__ void read_vector_past(const float4* x, float* y) { float4 v = x[threadIdx.x]; y[threadIdx.x] = v.x + v.w; }
extern "C" __global__ void shuffled_pred_loop(const int* x, int* y, int n) {
    // warps with ragged trip counts; full-mask collectives inside a uniform loop, partial work inside
    int t = blockIdx.x * blockDim.x + threadIdx.x, sum = 0;
    for (int base = 0; base < n; base += gridDim.x * blockDim.x) {
        int i = base + t;
        int v = i < n ? x[i] : 0;
        for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
        if (threadIdx.x % 32 == 0) sum += v;
    }
    if (threadIdx.x % 32 == 0) atomicAdd(y, sum);
}
extern "C" __global__ void early_return_then_shfl(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned m = __activemask();
    int v = x[i];
    for (int o = 16; o; o >>= 1) v += __shfl_down_sync(m, v, o);
    if (threadIdx.x % 32 == 0 && i + 32 <= n) y[i / 32] = v;
}
// Right: as in CUDA's sample threadFenceReduction, whose last block resets the counter by a plain store.
extern "C" __global__ void retirement(const int* x, int* part, unsigned* count, int* y) {
    __shared__ bool last; __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[blockIdx.x * 64 + t];
    __syncthreads();
    for (int h = 32; h; h >>= 1) { if (t < h) s[t] += s[t + h]; __syncthreads(); }
    if (t == 0) { *(volatile int*)(part + blockIdx.x) = s[0]; __threadfence(); last = atomicInc(count, gridDim.x) == gridDim.x - 1; }
    __syncthreads();
    if (last) { int v = 0; for (int i = t; i < gridDim.x; i += 64) v += *(volatile int*)(part + i); s[t] = v; __syncthreads(); for (int h = 32; h; h >>= 1) { if (t < h) s[t] += s[t + h]; __syncthreads(); } if (t == 0) { y[0] = s[0]; *count = 0; } }
}
extern "C" __global__ void spin_backoff(int* lock, int* y) {
    if (threadIdx.x == 0) { unsigned ns = 8; while (atomicCAS(lock, 0, 1) != 0) { __nanosleep(ns); if (ns < 256) ns *= 2; } __threadfence(); y[0] += 1; __threadfence(); atomicExch(lock, 0); }
}
extern "C" __global__ void clock_wait(int* y) { long long a = clock64(); while (clock64() - a < 200000) {} y[threadIdx.x] = 1; }
// Wrong: race: the blocks write different values.
extern "C" __global__ void two_writers(int* y) { y[0] = blockIdx.x; }
