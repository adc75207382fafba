// sm_90a: clusters again: tensor copies to several blocks, reductions through distributed shared memory, the cluster group of
// cooperative groups. The comment at each fault names the check that must catch it.
#include <cooperative_groups.h>
#include "hopper.cuh"
namespace cg = cooperative_groups;

enum Fault {
    RIGHT,
    MULTICAST_NO_EMPTY,    // race or mbarrier-misuse: refills before all blocks have given the stage back
    MULTICAST_LOCAL_EMPTY, // race: waits for its own block's consumers only
    MULTICAST_MASK,        // deadlock: the mask leaves out a block that waits
    MULTICAST_BYTES,       // deadlock: each block expects both halves, but only one is sent
    EXIT_EARLY,            // use-after-free or race: a block exits while its peer still uses its shared memory
    NO_CLUSTER_SYNC,       // uninitialised-read or race
    ATOMIC_PLAIN,          // race: remote read-modify-write without atomics
    MAP_RANK,              // deadlock or race: the wrong block's mbarrier
    DEFAULT_SCOPES,        // as CUTLASS has it: no scope written, which means .cta, though the other block is outside
    WAIT_CTA,              // race: the wait acquires at block scope what a remote thread released
};
__device__ __forceinline__ uint32_t rank() { uint32_t r; asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r; }
__device__ __forceinline__ uint32_t peer(const void* p, uint32_t r) { uint32_t a; asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(a) : "r"(at(p)), "r"(r)); return a; }
__device__ __forceinline__ void cluster_sync() { asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ __forceinline__ void arrive_remote(uint64_t* b, uint32_t r) { asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(peer(b, r)) : "memory"); }
__device__ __forceinline__ void wait_cluster(uint64_t* b, uint32_t parity) {
    asm volatile("{.reg .pred p;\nAGAIN_%=:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], %1;\n@!p bra AGAIN_%=;\n}" ::"r"(at(b)), "r"(parity) : "memory");
}
__device__ __forceinline__ void tensor_multicast(void* to, const TensorMap* map, int x, int y, uint64_t* b, uint16_t mask) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(at(to)), "l"(map), "r"(x), "r"(y), "r"(at(b)), "h"(mask) : "memory");
}

// Two blocks share tiles of 16 x 32 floats: each loads one half of every tile for both. Each writes all of it to its own y.
template <Fault F>
__device__ void shared_tiles(const TensorMap* map, float* y, int n) {
    constexpr int STAGES = 2;
    __shared__ __align__(128) float s[STAGES][16 * 32];
    __shared__ __align__(8) uint64_t full[STAGES], empty[STAGES];
    int t = threadIdx.x;
    uint32_t r = rank();
    if (t == 0) {
        for (int i = 0; i < STAGES; i++) { mbarrier_init(full + i, 1); mbarrier_init(empty + i, F == MULTICAST_LOCAL_EMPTY ? 1 : 2); }
        fence_mbarrier_init();
    }
    cluster_sync();
    if (t < 32) {
        if (t == 0)
            for (int i = 0; i < n; i++) {
                int stage = i % STAGES;
                if (F == DEFAULT_SCOPES) asm volatile("{.reg .pred p;\nAGAIN_%=:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra AGAIN_%=;\n}" ::"r"(at(empty + stage)), "r"((i / STAGES & 1) ^ 1) : "memory");
                else if (F != MULTICAST_NO_EMPTY) wait_cluster(empty + stage, (i / STAGES & 1) ^ 1);
                mbarrier_arrive_expect(full + stage, 2048);
                if (F != MULTICAST_BYTES || r == 0)
                    tensor_multicast(s[stage] + r * 8 * 32, map, 0, i * 16 + r * 8, full + stage, F == MULTICAST_MASK && r == 1 ? 2 : 3);
            }
    } else {
        for (int i = 0; i < n; i++) {
            int stage = i % STAGES;
            mbarrier_wait(full + stage, i / STAGES & 1);
            for (int e = t - 32; e < 512; e += 32) y[(r * n + i) * 512 + e] = s[stage][e];
            __syncwarp();
            if (t == 32) {
                if (F == MULTICAST_LOCAL_EMPTY) mbarrier_arrive(empty + stage);
                else if (F == DEFAULT_SCOPES) for (uint32_t p = 0; p < 2; p++) asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(peer(empty + stage, p)) : "memory");
                else for (uint32_t p = 0; p < 2; p++) arrive_remote(empty + stage, F == MAP_RANK ? 0 : p);
            }
        }
    }
    if (F != EXIT_EARLY) cluster_sync();
}
#define SHARE(NAME, F) extern "C" __global__ void __cluster_dims__(2, 1, 1) NAME(const __grid_constant__ TensorMap x, float* y, int n) { shared_tiles<F>(&x, y, n); }
SHARE(multicast_ring, RIGHT)
SHARE(multicast_ring_default_scopes, DEFAULT_SCOPES)
SHARE(multicast_ring_no_empty, MULTICAST_NO_EMPTY)
SHARE(multicast_ring_local_empty, MULTICAST_LOCAL_EMPTY)
SHARE(multicast_ring_mask, MULTICAST_MASK)
SHARE(multicast_ring_bytes, MULTICAST_BYTES)
SHARE(multicast_ring_exit_early, EXIT_EARLY)
SHARE(multicast_ring_wrong_rank, MAP_RANK)

// Histogram over a cluster of four: bins are divided among the blocks, atomics go to the owner's shared memory.
template <Fault F>
__device__ void histogram(const int* x, int* y) {
    __shared__ int bins[8];
    cg::cluster_group cluster = cg::this_cluster();
    int t = threadIdx.x;
    if (t < 8) bins[t] = 0;
    if (F != NO_CLUSTER_SYNC) cluster.sync();
    else __syncthreads();
    int v = x[blockIdx.x * 64 + t] % 32;
    int* owner = cluster.map_shared_rank(bins, v / 8);
    if (F == ATOMIC_PLAIN) owner[v % 8] += 1;
    else atomicAdd(owner + v % 8, 1);
    cluster.sync();
    if (t < 8) y[blockIdx.x * 8 + t] = bins[t];
}
#define HISTOGRAM(NAME, F) extern "C" __global__ void __cluster_dims__(4, 1, 1) NAME(const int* x, int* y) { histogram<F>(x, y); }
HISTOGRAM(cluster_histogram, RIGHT)
HISTOGRAM(cluster_histogram_no_sync, NO_CLUSTER_SYNC)
HISTOGRAM(cluster_histogram_plain, ATOMIC_PLAIN)

// Each block stores its sum into every other block's array, arrives there, waits for four arrivals.
template <Fault F>
__device__ void all_reduce(const int* x, int* y) {
    __shared__ int sums[4];
    __shared__ __align__(8) uint64_t bar;
    int t = threadIdx.x;
    if (t == 0) { mbarrier_init(&bar, 4); fence_mbarrier_init(); }
    cluster_sync();
    int v = __reduce_add_sync(~0u, x[blockIdx.x * 32 + t]);
    if (t < 4) {
        asm volatile("st.shared::cluster.s32 [%0], %1;" ::"r"(peer(sums + rank(), t)), "r"(v) : "memory");
        arrive_remote(&bar, t);
    }
    if (F == WAIT_CTA) mbarrier_wait(&bar, 0);
    else wait_cluster(&bar, 0);
    if (t == 0) y[blockIdx.x] = sums[0] + sums[1] + sums[2] + sums[3];
    if (F != EXIT_EARLY) cluster_sync();
}
#define REDUCE(NAME, F) extern "C" __global__ void __cluster_dims__(4, 1, 1) NAME(const int* x, int* y) { all_reduce<F>(x, y); }
REDUCE(cluster_all_reduce, RIGHT)
REDUCE(cluster_all_reduce_cta_wait, WAIT_CTA)
// Right: whoever leaves has received all that is sent to it, and nobody reads its memory; but its peers' stores need it to have
// been there, which the first barrier has seen to.
REDUCE(cluster_all_reduce_leaves, EXIT_EARLY)

// Right: st.async of vectors, received, added up with generic accesses, sent on.
extern "C" __global__ void __cluster_dims__(2, 1, 1) async_exchange(const int* x, int* y) {
    __shared__ __align__(16) int in[2][128];
    __shared__ __align__(8) uint64_t bar[2];
    int t = threadIdx.x;
    uint32_t other = rank() ^ 1;
    if (t == 0) {
        for (int i = 0; i < 2; i++) { mbarrier_init(bar + i, 1); mbarrier_arrive_expect(bar + i, 512); }
        fence_mbarrier_init();
    }
    cluster_sync();
    int v[4];
    for (int i = 0; i < 4; i++) v[i] = x[blockIdx.x * 128 + t * 4 + i];
    for (int round = 0; round < 2; round++) {
        asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(peer(in[round] + t * 4, other)), "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3]), "r"(peer(bar + round, other)) : "memory");
        wait_cluster(bar + round, 0);
        for (int i = 0; i < 4; i++) v[i] += in[round][(t * 4 + i + 1) % 128];
    }
    for (int i = 0; i < 4; i++) y[blockIdx.x * 128 + t * 4 + i] = v[i];
    cluster_sync();
}
// Right: the slots are filled by st.async, read, and filled again by generic stores of their owner after a barrier: no proxy is
// crossed on the way, as st.async is a generic access in PTX's memory model.
extern "C" __global__ void __cluster_dims__(2, 1, 1) async_then_generic(const int* x, int* y) {
    __shared__ __align__(16) int in[32];
    __shared__ __align__(8) uint64_t bar;
    int t = threadIdx.x;
    uint32_t other = rank() ^ 1;
    in[t] = -1;
    if (t == 0) {
        mbarrier_init(&bar, 1);
        mbarrier_arrive_expect(&bar, 128);
        fence_mbarrier_init();
    }
    cluster_sync();
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(peer(in + t, other)), "r"(x[blockIdx.x * 32 + t]), "r"(peer(&bar, other)) : "memory");
    wait_cluster(&bar, 0);
    int v = in[31 - t];
    __syncwarp();
    in[t] = v + 1;
    __syncwarp();
    y[blockIdx.x * 32 + t] = in[(t + 1) % 32];
    cluster_sync();
}
