// sm_90a: TMA tensor copies and wgmma. The comment at each fault names the check that must catch it.
//
// c[64,16] f32 = a[64,K] . b[16,K]^T, bf16, K a multiple of 64. Tensor maps: a box 64x64, b box 16x64, 128-byte swizzle.
#include <cuda_bf16.h>
#include "hopper.cuh"

enum Fault {
    RIGHT,
    NO_WGMMA_WAIT,       // wgmma-register-hazard: the accumulators are read while wgmma may still write them
    NO_WGMMA_FENCE,      // wgmma-register-hazard: the accumulators were written by ordinary instructions before the first wgmma
    NO_WGMMA_COMMIT,     // wgmma-register-hazard: wait_group waits for committed groups only
    RELEASE_EARLY,       // race (wgmma): the stage is given back before wgmma has read it
    WRONG_SWIZZLE,       // wrong-result: the descriptor says 64-byte swizzle, the tensor map 128
    WRONG_STEP,          // wrong-result: the K step advances the descriptor by 16 bytes, not 32
    NO_FULL_WAIT,        // race or uninitialised-read: wgmma reads before the copy has landed
    NO_PROXY_FENCE,      // race (fence.proxy.async): generic stores, then wgmma reads them
    NO_BARRIER,          // race: other warps' stores before wgmma without a barrier
    STORE_NO_FENCE,      // race (fence.proxy.async): the result is staged by generic stores, then stored by TMA
    STORE_UNWAITED,      // leaked-async-group or race: exits before the TMA store has read shared memory
    MAP_MISALIGNED,      // misaligned or invalid-descriptor: the destination of a swizzled box is not aligned to its pattern
};
constexpr int STAGES = 2;
struct Shared {
    __nv_bfloat16 a[STAGES][64 * 64];
    __nv_bfloat16 b[STAGES][16 * 64];
    float c[64 * 16];
};

template <Fault F>
__device__ void gemm(const TensorMap* ma, const TensorMap* mb, const TensorMap* mc, float* c, int steps) {
    extern __shared__ __align__(1024) unsigned char raw[];
    Shared& s = *reinterpret_cast<Shared*>(raw + (F == MAP_MISALIGNED ? 64 : 0));
    __shared__ __align__(8) uint64_t full[STAGES], empty[STAGES];
    int t = threadIdx.x;
    if (t == 0) {
        for (int i = 0; i < STAGES; i++) {
            mbarrier_init(full + i, 1);
            mbarrier_init(empty + i, 128);
        }
        fence_mbarrier_init();
    }
    __syncthreads();
    if (t >= 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (t == 128)
            for (int i = 0; i < steps; i++) {
                int stage = i % STAGES;
                mbarrier_wait(empty + stage, (i / STAGES & 1) ^ 1);
                mbarrier_arrive_expect(full + stage, (64 + 16) * 128);
                tensor_load(s.a[stage], ma, i * 64, 0, full + stage);
                tensor_load(s.b[stage], mb, i * 64, 0, full + stage);
            }
        return;
    }
    asm volatile("setmaxnreg.inc.sync.aligned.u32 200;");
    float d[8] = {};
    for (int i = 0; i < steps; i++) {
        int stage = i % STAGES;
        if (F != NO_FULL_WAIT) mbarrier_wait(full + stage, i / STAGES & 1);
        uint64_t da = descriptor_128(s.a[stage], F == WRONG_SWIZZLE ? 2 : 1), db = descriptor_128(s.b[stage], F == WRONG_SWIZZLE ? 2 : 1);
        if (F != NO_WGMMA_FENCE) wgmma_fence();
        for (int k = 0; k < 4; k++) wgmma_m64n16k16(d, da + k * (F == WRONG_STEP ? 1 : 2), db + k * (F == WRONG_STEP ? 1 : 2));
        if (F != NO_WGMMA_COMMIT) wgmma_commit();
        if (F == RELEASE_EARLY) mbarrier_arrive(empty + stage);
        if (F == NO_WGMMA_WAIT) {
            for (int j = 0; j < 8; j++) d[j] += 0.0f * i;                // touches the registers
        }
        wgmma_wait<0>();
        if (F != RELEASE_EARLY) mbarrier_arrive(empty + stage);
    }
    int lane = t % 32, warp = t / 32;
    for (int j = 0; j < 8; j++) s.c[(warp * 16 + lane / 4 + (j / 2 % 2) * 8) * 16 + j / 4 * 8 + lane % 4 * 2 + j % 2] = d[j];
    if (F != STORE_NO_FENCE) fence_proxy_async();
    asm volatile("bar.sync 1, 128;" ::: "memory");
    if (t == 0) {
        tensor_store(mc, 0, 0, s.c);
        bulk_commit();
        if (F != STORE_UNWAITED) bulk_wait();
    }
}
#define GEMM(NAME, F) \
    extern "C" __global__ void __launch_bounds__(256, 1) NAME(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, const __grid_constant__ TensorMap c, int steps) { gemm<F>(&a, &b, &c, nullptr, steps); }
GEMM(tma_wgmma, RIGHT)
GEMM(tma_wgmma_no_wait, NO_WGMMA_WAIT)
GEMM(tma_wgmma_no_fence, NO_WGMMA_FENCE)
GEMM(tma_wgmma_no_commit, NO_WGMMA_COMMIT)
GEMM(tma_wgmma_release_early, RELEASE_EARLY)
GEMM(tma_wgmma_wrong_swizzle, WRONG_SWIZZLE)
GEMM(tma_wgmma_wrong_step, WRONG_STEP)
GEMM(tma_wgmma_no_full_wait, NO_FULL_WAIT)
GEMM(tma_wgmma_store_no_fence, STORE_NO_FENCE)
GEMM(tma_wgmma_store_unwaited, STORE_UNWAITED)
GEMM(tma_wgmma_misaligned, MAP_MISALIGNED)

// One step, operands written by the threads themselves in the swizzled order: K = 64.
template <Fault F>
__device__ void by_hand(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) {
    __shared__ __align__(1024) __nv_bfloat16 sa[64 * 64], sb[16 * 64];
    int t = threadIdx.x, lane = t % 32, warp = t / 32;
    for (int i = t; i < 64 * 64; i += 128) sa[i / 64 * 64 + ((i % 64 / 8) ^ (i / 64 % 8)) * 8 + i % 8] = a[i];
    for (int i = t; i < 16 * 64; i += 128) sb[i / 64 * 64 + ((i % 64 / 8) ^ (F == WRONG_SWIZZLE ? i / 64 % 4 : i / 64 % 8)) * 8 + i % 8] = b[i];
    if (F != NO_PROXY_FENCE) fence_proxy_async();
    if (F != NO_BARRIER) __syncthreads();
    float d[8] = {};
    for (float& v : d) asm volatile("" : "+f"(v)::"memory");             // else the zeros may come after the fence
    wgmma_fence();
    for (int k = 0; k < 4; k++) wgmma_m64n16k16(d, descriptor_128(sa) + k * 2, descriptor_128(sb) + k * 2);
    wgmma_commit();
    wgmma_wait<0>();
    for (int j = 0; j < 8; j++) c[(warp * 16 + lane / 4 + (j / 2 % 2) * 8) * 16 + j / 4 * 8 + lane % 4 * 2 + j % 2] = d[j];
}
#define BY_HAND(NAME, F) extern "C" __global__ void NAME(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) { by_hand<F>(a, b, c); }
BY_HAND(wgmma_by_hand, RIGHT)
BY_HAND(wgmma_no_proxy_fence, NO_PROXY_FENCE)
BY_HAND(wgmma_no_barrier, NO_BARRIER)
BY_HAND(wgmma_wrong_swizzle, WRONG_SWIZZLE)
