// sm_90: mbarriers and bulk copies, in rings with a producer warp. The comment at each fault names the check that must catch it.
#include "hopper.cuh"

enum Fault {
    RIGHT,
    WRONG_PARITY,        // race or uninitialised-read: the parity of the phase before is always over
    TX_TOO_SMALL,        // race (mbarrier phase not waited for), or mbarrier-misuse: the phase ends before the copy
    TX_TOO_LARGE,        // deadlock: bytes that never come
    NO_WAIT,             // race or uninitialised-read: the consumers do not wait for `full`
    NO_EMPTY_WAIT,       // race: the producer refills a stage that is being read
    EMPTY_COUNT,         // deadlock: `empty` expects more arrivals than there are consumers
    NO_INIT_BARRIER,     // mbarrier-misuse or race: other threads use mbarriers before thread 0 has made them
    ARRIVE_BEFORE_READ,  // race: the stage is given back before it is read
    NO_EXPECT,           // mbarrier-misuse: complete_tx without expect_tx (a count that goes through zero), or race
    MISALIGNED_BULK,     // misaligned: the destination is no multiple of 16
    BULK_PAST_END,       // out-of-bounds: the last copy reads past x
    NO_PROXY_FENCE,      // race (fence.proxy.async): generic stores, then a bulk store reads them
    NO_STORE_BARRIER,    // race: other threads' stores before the bulk store without a barrier
    SOURCE_REUSED,       // race (bulk read): the source is overwritten before wait_group.read
    STORE_NOT_WAITED,    // race (bulk write) or leaked-async-group: the result is read back before wait_group
    EXIT_EARLY,          // leaked-async-group: the block ends while the store may still read its shared memory
    NO_COMMIT,           // race or leaked-async-group: wait_group waits for committed groups only
};

constexpr int STAGES = 3, TILE = 128;

// The first warp group produces (one thread of it), the second consumes: y = x * 2 + 1, tile by tile.
template <Fault F>
__device__ void ring(const int* x, int* y, int tiles) {
    __shared__ __align__(128) int s[STAGES][TILE + 4];
    __shared__ __align__(8) uint64_t full[STAGES], empty[STAGES];
    int t = threadIdx.x;
    if (t == 0) {
        for (int i = 0; i < STAGES; i++) {
            mbarrier_init(full + i, 1);
            mbarrier_init(empty + i, F == EMPTY_COUNT ? 5 : 4);
        }
        fence_mbarrier_init();
    }
    if (F != NO_INIT_BARRIER) __syncthreads();
    if (t < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
        if (t == 0)
            for (int i = 0; i < tiles; i++) {
                int stage = i % STAGES, round = i / STAGES;
                if (F != NO_EMPTY_WAIT) mbarrier_wait(empty + stage, (round & 1) ^ 1);
                if (F == NO_EXPECT) mbarrier_arrive(full + stage);
                else mbarrier_arrive_expect(full + stage, F == TX_TOO_SMALL ? TILE * 4 - 16 : F == TX_TOO_LARGE ? TILE * 4 + 16 : TILE * 4);
                bulk_load(s[stage] + (F == MISALIGNED_BULK ? 2 : 0), x + i * TILE + (F == BULK_PAST_END ? 4 : 0), TILE * 4, full + stage);
            }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 160;");
        for (int i = 0; i < tiles; i++) {
            int stage = i % STAGES, round = i / STAGES;
            if (F != NO_WAIT) mbarrier_wait(full + stage, F == WRONG_PARITY ? (round & 1) ^ 1 : round & 1);
            if (F == ARRIVE_BEFORE_READ && t % 32 == 0) mbarrier_arrive(empty + stage);
            y[i * TILE + t - 128] = s[stage][t - 128] * 2 + 1;
            __syncwarp();
            if (F != ARRIVE_BEFORE_READ && t % 32 == 0) mbarrier_arrive(empty + stage);
        }
    }
}
#define RING(NAME, F) extern "C" __global__ void __launch_bounds__(256, 1) NAME(const int* x, int* y, int tiles) { ring<F>(x, y, tiles); }
RING(ring_right, RIGHT)
RING(ring_wrong_parity, WRONG_PARITY)
RING(ring_tx_too_small, TX_TOO_SMALL)
RING(ring_tx_too_large, TX_TOO_LARGE)
RING(ring_no_wait, NO_WAIT)
RING(ring_no_empty_wait, NO_EMPTY_WAIT)
RING(ring_empty_count, EMPTY_COUNT)
RING(ring_no_init_barrier, NO_INIT_BARRIER)
RING(ring_arrive_before_read, ARRIVE_BEFORE_READ)
RING(ring_no_expect, NO_EXPECT)
RING(ring_misaligned, MISALIGNED_BULK)
RING(ring_past_end, BULK_PAST_END)

// y = x + 1, staged in shared memory and stored by one thread's bulk copies, in two rounds over one buffer.
template <Fault F>
__device__ void store(const int* x, int* y, int* z) {
    __shared__ __align__(128) int s[128];
    int t = threadIdx.x;
    for (int round = 0; round < 2; round++) {
        s[t] = x[round * 128 + t] + 1;
        if (F != NO_PROXY_FENCE) fence_proxy_async();
        if (F != NO_STORE_BARRIER) __syncthreads();
        if (t == 0) {
            bulk_store(y + round * 128, s, 512);
            if (F != NO_COMMIT) bulk_commit();
            if (F != SOURCE_REUSED && !(F == EXIT_EARLY && round == 1)) bulk_wait_read();
        }
        if (F == STORE_NOT_WAITED && t == 0) z[round] = y[round * 128];
        __syncthreads();
    }
    if (F == STORE_NOT_WAITED && t == 0) bulk_wait();
    if (F == SOURCE_REUSED && t == 0) bulk_wait();
}
#define STORE(NAME, F) extern "C" __global__ void NAME(const int* x, int* y, int* z) { store<F>(x, y, z); }
STORE(store_right, RIGHT)
STORE(store_no_proxy_fence, NO_PROXY_FENCE)
STORE(store_no_barrier, NO_STORE_BARRIER)
STORE(store_source_reused, SOURCE_REUSED)
STORE(store_not_waited, STORE_NOT_WAITED)
STORE(store_exit_early, EXIT_EARLY)
STORE(store_no_commit, NO_COMMIT)

// Right: stores, a barrier, then the one issuing thread fences: the fence covers what the barrier has ordered before it.
extern "C" __global__ void store_fence_by_issuer(const int* x, int* y, int* z) {
    __shared__ __align__(128) int s[128];
    s[threadIdx.x] = x[threadIdx.x] + 1;
    __syncthreads();
    if (threadIdx.x == 0) {
        fence_proxy_async();
        bulk_store(y, s, 512);
        bulk_commit();
        bulk_wait();
        z[0] = y[0];
    }
}

// Right: a bulk reduction adds into global memory; all blocks add to one row.
extern "C" __global__ void bulk_reduce(const int* x, int* y) {
    __shared__ __align__(128) int s[128];
    s[threadIdx.x] = x[blockIdx.x * 128 + threadIdx.x];
    fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
        asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.s32 [%0], [%1], 512;" ::"l"(y), "r"(at(s)) : "memory");
        bulk_commit();
        bulk_wait();
    }
}

// Right: the mbarrier as a plain block barrier with a state token, three rounds.
extern "C" __global__ void mbarrier_tokens(const int* x, int* y) {
    __shared__ __align__(8) uint64_t bar;
    __shared__ int s[128];
    int t = threadIdx.x;
    if (t == 0) mbarrier_init(&bar, 128);
    __syncthreads();
    for (int round = 0; round < 3; round++) {
        s[t] = x[t] + round;
        uint64_t token;
        uint32_t done = 0;
        asm volatile("mbarrier.arrive.shared::cta.b64 %0, [%1];" : "=l"(token) : "r"(at(&bar)) : "memory");
        while (!done) asm volatile("{.reg .pred p; mbarrier.test_wait.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}" : "=r"(done) : "r"(at(&bar)), "l"(token) : "memory");
        y[round * 128 + t] = s[127 - t];
        __syncthreads();
    }
    if (t == 0) asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(at(&bar)) : "memory");
}

// Wrong: mbarrier-misuse: arrives at an mbarrier that nobody has initialised.
extern "C" __global__ void mbarrier_uninitialised(int* y) {
    __shared__ __align__(8) uint64_t bar;
    if (threadIdx.x == 0) mbarrier_arrive(&bar);
    y[threadIdx.x] = 1;
}
// Wrong: mbarrier-misuse: initialised again while it is in use.
extern "C" __global__ void mbarrier_overwritten(int* y) {
    __shared__ __align__(8) uint64_t bar;
    if (threadIdx.x == 0) mbarrier_init(&bar, 32);
    __syncthreads();
    if (threadIdx.x == 3) bar = 7;                      // mbarrier-misuse: an ordinary store into a live mbarrier
    __syncthreads();
    mbarrier_arrive(&bar);
    y[threadIdx.x] = 1;
}

// Right: programmatic dependent launch; launched plainly, the waits return at once.
extern "C" __global__ void dependent_launch(const int* x, int* y) {
    asm volatile("griddepcontrol.wait;" ::: "memory");
    int v = x[blockIdx.x * 32 + threadIdx.x];
    asm volatile("griddepcontrol.launch_dependents;");
    y[blockIdx.x * 32 + threadIdx.x] = v + 1;
}

// stmatrix: two warps store their halves of a tile; then each reads the other's.
enum { STMATRIX_OVERLAP = 100, STMATRIX_NO_BARRIER };
template <int F>
__device__ void stmatrix(const uint32_t* x, uint32_t* y) {
    __shared__ __align__(16) uint32_t s[64 * 4];
    int t = threadIdx.x, lane = t % 32, warp = t / 32;
    uint32_t r[4], row = at(s + (warp * 32 + lane) * 4);
    for (int k = 0; k < 4; k++) r[k] = x[warp * 128 + k * 32 + lane];
    if (F == STMATRIX_OVERLAP && warp == 0) row += 16;  // race: the last row is the other warp's first
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(row), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
    if (F != STMATRIX_NO_BARRIER) __syncthreads();      // race
    for (int k = 0; k < 4; k++) {
        int i = (1 - warp) * 128 + k * 32 + lane;
        y[warp * 128 + k * 32 + lane] = i < 4 && F == STMATRIX_OVERLAP ? 0 : s[i];
    }
}
extern "C" __global__ void stmatrix_right(const uint32_t* x, uint32_t* y) { stmatrix<RIGHT>(x, y); }
extern "C" __global__ void stmatrix_overlap(const uint32_t* x, uint32_t* y) { stmatrix<STMATRIX_OVERLAP>(x, y); }
extern "C" __global__ void stmatrix_no_barrier(const uint32_t* x, uint32_t* y) { stmatrix<STMATRIX_NO_BARRIER>(x, y); }
