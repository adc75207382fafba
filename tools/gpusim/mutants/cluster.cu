// sm_90: clusters of four blocks and distributed shared memory. The comment at each fault names the check that must catch it.
#include "hopper.cuh"

enum Fault {
    RIGHT,
    NO_FIRST_SYNC,   // race (cluster barrier) or uninitialised-read: a peer's shared memory before it is written
    NO_LAST_SYNC,    // use-after-free or out-of-bounds: a block ends while peers still read its shared memory
    ARRIVE_RELAXED,  // race (cluster barrier): a relaxed arrive releases nothing
    BLOCK_BARRIER,   // race (cluster barrier): __syncthreads reaches one block only
    BAD_RANK,        // out-of-bounds: a rank that the cluster does not have
    PAST_END,        // out-of-bounds: past the peer's shared memory
    NO_MBARRIER_WAIT,// race or uninitialised-read: reads what a peer's st.async writes without waiting
    FEW_BYTES,       // deadlock: expects more bytes than the peer sends
};

__device__ __forceinline__ uint32_t rank() { uint32_t r; asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r; }
__device__ __forceinline__ uint32_t peer(const void* p, uint32_t r) { uint32_t a; asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(a) : "r"(at(p)), "r"(r)); return a; }
__device__ __forceinline__ int load_peer(uint32_t a) { int v; asm volatile("ld.shared::cluster.s32 %0, [%1];" : "=r"(v) : "r"(a) : "memory"); return v; }
__device__ __forceinline__ void cluster_sync() { asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory"); }

template <Fault F>
__device__ void reduce(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[blockIdx.x * 64 + t];
    if (F == ARRIVE_RELAXED) asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
    else if (F == BLOCK_BARRIER) __syncthreads();
    else if (F != NO_FIRST_SYNC) cluster_sync();
    int sum = 0;
    for (uint32_t r = 0; r < 4; r++) sum += load_peer(peer(s + 63 - t, F == BAD_RANK ? r + 1 : r) + (F == PAST_END ? 65536 * 3 + 40000 : 0));
    y[blockIdx.x * 64 + t] = sum;
    if (F != NO_LAST_SYNC) cluster_sync();
}
#define REDUCE(NAME, F) extern "C" __global__ void __cluster_dims__(4, 1, 1) NAME(const int* x, int* y) { reduce<F>(x, y); }
REDUCE(cluster_reduction, RIGHT)
REDUCE(cluster_no_first_sync, NO_FIRST_SYNC)
REDUCE(cluster_no_last_sync, NO_LAST_SYNC)
REDUCE(cluster_arrive_relaxed, ARRIVE_RELAXED)
REDUCE(cluster_block_barrier, BLOCK_BARRIER)
REDUCE(cluster_bad_rank, BAD_RANK)
REDUCE(cluster_past_end, PAST_END)

// Each block sends 64 words to its right neighbour with st.async; the neighbour's mbarrier counts the bytes.
template <Fault F>
__device__ void send(const int* x, int* y) {
    __shared__ __align__(16) int s[64];
    __shared__ __align__(8) uint64_t bar;
    int t = threadIdx.x;
    if (t == 0) {
        mbarrier_init(&bar, 1);
        fence_mbarrier_init();
        mbarrier_arrive_expect(&bar, F == FEW_BYTES ? 260 : 256);
    }
    cluster_sync();
    uint32_t to = (rank() + 1) % 4;
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(peer(s + t, to)), "r"(x[blockIdx.x * 64 + t]), "r"(peer(&bar, to)) : "memory");
    if (F != NO_MBARRIER_WAIT) {
        asm volatile("{.reg .pred p;\nAGAIN_%=:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], 0;\n@!p bra AGAIN_%=;\n}" ::"r"(at(&bar)) : "memory");
    }
    y[blockIdx.x * 64 + t] = s[63 - t];
    cluster_sync();
}
#define SEND(NAME, F) extern "C" __global__ void __cluster_dims__(4, 1, 1) NAME(const int* x, int* y) { send<F>(x, y); }
SEND(cluster_send, RIGHT)
SEND(cluster_send_no_wait, NO_MBARRIER_WAIT)
SEND(cluster_send_few_bytes, FEW_BYTES)

// Right: block 0 loads once and multicasts to all four; every block waits on its own mbarrier.
extern "C" __global__ void __cluster_dims__(4, 1, 1) cluster_multicast(const int* x, int* y) {
    __shared__ __align__(128) int s[64];
    __shared__ __align__(8) uint64_t bar;
    int t = threadIdx.x;
    if (t == 0) {
        mbarrier_init(&bar, 1);
        fence_mbarrier_init();
        mbarrier_arrive_expect(&bar, 256);
    }
    cluster_sync();
    if (rank() == 0 && t == 0)
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], 256, [%2], %3;" ::"r"(at(s)), "l"(x), "r"(at(&bar)), "h"((uint16_t)15) : "memory");
    mbarrier_wait(&bar, 0);
    y[blockIdx.x * 64 + t] = s[t] + (int)rank();
    cluster_sync();
}

// Right: remote arrivals: every block arrives at block 0's mbarrier after writing into block 0's shared memory.
extern "C" __global__ void __cluster_dims__(4, 1, 1) cluster_remote_arrive(const int* x, int* y) {
    __shared__ int s[4];
    __shared__ __align__(8) uint64_t bar;
    if (threadIdx.x == 0) {
        mbarrier_init(&bar, 4);
        fence_mbarrier_init();
    }
    cluster_sync();
    if (threadIdx.x == 0) {
        asm volatile("st.shared::cluster.s32 [%0], %1;" ::"r"(peer(s + rank(), 0)), "r"(x[blockIdx.x]) : "memory");
        asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(peer(&bar, 0)) : "memory");
    }
    if (rank() == 0) {
        asm volatile("{.reg .pred p;\nAGAIN_%=:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], 0;\n@!p bra AGAIN_%=;\n}" ::"r"(at(&bar)) : "memory");
        y[threadIdx.x] = s[threadIdx.x % 4] + s[3];
    }
    cluster_sync();
}
