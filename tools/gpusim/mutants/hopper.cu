// sm_90a: instructions and shapes that the other kernels leave out. The comment at each wrong one names the check that must catch it.
#include <cuda_bf16.h>
#include <cstdint>
#include <cooperative_groups.h>
#include "hopper.cuh"
__device__ __forceinline__ void cluster_sync() { asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory"); }
// wgmma with A in registers. F = 1: wgmma-register-hazard: no wgmma.fence after the registers were written.
template <int F> __device__ void rs(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) {
    __shared__ __align__(1024) __nv_bfloat16 sb[16 * 64];
    int t = threadIdx.x, lane = t % 32, warp = t / 32;
    for (int i = t; i < 16 * 64; i += 128) sb[i / 64 * 64 + ((i % 64 / 8) ^ (i / 64 % 8)) * 8 + i % 8] = b[i];
    fence_proxy_async();
    __syncthreads();
    float d[8] = {};
    uint32_t r[4][4];
    for (int k = 0; k < 4; k++) for (int j = 0; j < 4; j++) r[k][j] = *(const uint32_t*)(a + (warp * 16 + lane / 4 + j % 2 * 8) * 64 + k * 16 + lane % 4 * 2 + j / 2 * 8);
    for (float& v : d) asm volatile("" : "+f"(v)::"memory");
    if (F != 1) wgmma_fence();
    for (int k = 0; k < 4; k++)
        asm volatile("wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7}, {%8,%9,%10,%11}, %12, 1, 1, 1, 0;" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]) : "r"(r[k][0]), "r"(r[k][1]), "r"(r[k][2]), "r"(r[k][3]), "l"(descriptor_128(sb) + k * 2));
    wgmma_commit();
    wgmma_wait<0>();
    for (int j = 0; j < 8; j++) c[(warp * 16 + lane / 4 + (j / 2 % 2) * 8) * 16 + j / 4 * 8 + lane % 4 * 2 + j % 2] = d[j];
}
extern "C" __global__ void wgmma_rs(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) { rs<0>(a, b, c); }
extern "C" __global__ void wgmma_rs_no_fence(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) { rs<1>(a, b, c); }
// Half of the threads leave by arrive_drop.
extern "C" __global__ void drop(int* y) {
    __shared__ __align__(8) uint64_t bar; __shared__ int s[64];
    int t = threadIdx.x;
    if (t == 0) mbarrier_init(&bar, 64);
    __syncthreads();
    s[t] = t;
    if (t >= 32) { asm volatile("mbarrier.arrive_drop.shared::cta.b64 _, [%0];" ::"r"(at(&bar)) : "memory"); return; }
    mbarrier_arrive(&bar); mbarrier_wait(&bar, 0);
    y[t] = s[63 - t];
    s[t] = 100 + t;
    mbarrier_arrive(&bar); mbarrier_wait(&bar, 1);
    y[32 + t] = s[31 - t];
}
// Clusters of two dimensions.
extern "C" __global__ void __cluster_dims__(2, 2, 1) square(int* y) {
    uint32_t r, n, cx, cy; asm volatile("mov.u32 %0, %%cluster_ctarank; mov.u32 %1, %%cluster_nctarank; mov.u32 %2, %%cluster_ctaid.x; mov.u32 %3, %%cluster_ctaid.y;" : "=r"(r), "=r"(n), "=r"(cx), "=r"(cy));
    if (threadIdx.x == 0) y[blockIdx.y * gridDim.x + blockIdx.x] = r * 100 + n * 10 + cx * 2 + cy;
}
extern "C" __global__ void __cluster_dims__(2, 1, 1) cluster_divergent_arrive(const int* x, int* y) {
    __shared__ int s[32];
    int t = threadIdx.x;
    for (int round = 0; round < 4; round++) {
        if (t % 3 == 0) s[t] = x[t] + round; else s[t] = x[t] - round;
        asm volatile("barrier.cluster.arrive.release;" ::: "memory");
        asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
        uint32_t a; asm volatile("{.reg .u32 r; mov.u32 r, %%cluster_ctarank; xor.b32 r, r, 1; mapa.shared::cluster.u32 %0, %1, r;}" : "=r"(a) : "r"(at(s + t)));
        int v; asm volatile("ld.shared::cluster.s32 %0, [%1];" : "=r"(v) : "r"(a) : "memory");
        y[(round * 2 + blockIdx.x) * 32 + t] = v;
        asm volatile("barrier.cluster.arrive.release;" ::: "memory");
        asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
    }
}
// Prefetches, a cache policy, a box that begins outside the tensor, a tensor reduction.
extern "C" __global__ void prefetches(const __grid_constant__ TensorMap m, const float* x, float* y) {
    __shared__ __align__(128) float s[256]; __shared__ __align__(8) uint64_t bar;
    int t = threadIdx.x;
    if (t == 0) {
        asm volatile("prefetch.tensormap [%0];" ::"l"(&m) : "memory");
        asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %2}];" ::"l"(&m), "r"(0), "r"(0) : "memory");
        asm volatile("cp.async.bulk.prefetch.L2.global [%0], 64;" ::"l"(x) : "memory");
        mbarrier_init(&bar, 1); fence_mbarrier_init();
    }
    __syncthreads();
    if (t == 0) { uint64_t pol; asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(pol)); mbarrier_arrive_expect(&bar, 1024);
        asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(at(s)), "l"(&m), "r"(-4), "r"(2), "r"(at(&bar)), "l"(pol) : "memory"); }
    mbarrier_wait(&bar, 0);
    for (int i = t; i < 256; i += 32) y[i] = s[i];
    __syncthreads();
    for (int i = t; i < 256; i += 32) s[i] = 1;
    fence_proxy_async(); __syncthreads();
    if (t == 0) { asm volatile("cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&m), "r"(0), "r"(0), "r"(at(s)) : "memory"); bulk_commit(); bulk_wait(); }
}
extern "C" __global__ void programmatic(const int* x, int* y) {
    asm volatile("griddepcontrol.wait;" ::: "memory");
    y[threadIdx.x] = x[threadIdx.x] + 1;
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
extern "C" __global__ void grid_in_cluster(const int* x, int* y) { y[blockIdx.x] = cooperative_groups::this_cluster().num_blocks() * 10 + cooperative_groups::this_cluster().block_rank(); }
// Bulk stores from two buffers; with N = 2 the wait is off by one: race (bulk read).
template <int N> __device__ void two_stores(const int* x, int* y) {
    __shared__ __align__(128) int s[2][128];
    int t = threadIdx.x;
    for (int i = 0; i < 6; i++) {
        if (t == 0 && i >= 2) asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
        __syncthreads();
        s[i % 2][t] = x[i * 128 + t] + 1;
        fence_proxy_async();
        __syncthreads();
        if (t == 0) { bulk_store(y + i * 128, s[i % 2], 512); bulk_commit(); }
    }
    if (t == 0) bulk_wait();
}
extern "C" __global__ void two_stores_right(const int* x, int* y) { two_stores<1>(x, y); }
extern "C" __global__ void two_stores_off_by_one(const int* x, int* y) { two_stores<2>(x, y); }
