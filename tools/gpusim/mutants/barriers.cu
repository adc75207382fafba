// Barriers of blocks and warps, right and wrong. Each wrong kernel is the right one with a single fault; the comment at
// the fault names the check that must catch it.

enum Fault {
    RIGHT,
    NO_BARRIER_AFTER_STORE,   // race: no barrier between a warp's store and another warp's load
    NO_BARRIER_IN_TREE,       // race: a warp runs ahead of the others' partial sums
    BARRIER_IN_BRANCH,        // barrier-divergence, race or uninitialised-read: half of warp 0 waits, the other half reads ahead
    BARRIER_TWO_PLACES,       // barrier-divergence: the halves of a warp wait at different bar.sync of the same barrier
    NO_SYNCWARP,              // race: lanes read what other lanes of the warp wrote
    NO_SYNCWARP_BEFORE_WRITE, // race: write after read between lanes
    SYNCWARP_HALF,            // race: the mask leaves out the lanes that are read
    SYNCWARP_FOREIGN,         // convergence-required: the mask does not name the caller
    NAMED_NO_WAIT,            // race: the consumer does not wait at the named barrier
    NAMED_WRONG_ID,           // barrier-divergence: producer and consumer use different barriers
    NAMED_WRONG_COUNT,        // barrier-divergence: the barrier counts more threads than come
    NAMED_COUNTS_DIFFER,      // barrier-divergence: one barrier, two participant counts
    NAMED_ARRIVE_EARLY,       // race: the producer arrives before its stores
    SHUFFLE_AS_BARRIER,       // race: a shuffle orders nothing in memory
    SHUFFLE_ABSENT_LANES,     // convergence-required or deadlock: lanes of the mask are elsewhere
};

template <Fault F>
__device__ void reduce(const float* x, float* y) {
    __shared__ float part[256];
    int t = threadIdx.x;
    part[t] = x[blockIdx.x * 256 + t];
    if (F != NO_BARRIER_AFTER_STORE) __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (t < half) part[t] += part[t + half];
        if (F != NO_BARRIER_IN_TREE) __syncthreads();
    }
    if (t == 0) y[blockIdx.x] = part[0];
}

template <Fault F>
__device__ void branch(const float* x, float* y) {
    __shared__ float s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    if (F == BARRIER_IN_BRANCH) {
        if (t >= 16) asm volatile("bar.sync 0;" ::: "memory");
    } else if (F == BARRIER_TWO_PLACES) {
        if (t >= 16) asm volatile("bar.sync 0; // upper" ::: "memory");
        else { asm volatile("bar.sync 0; // lower" ::: "memory"); y[64 + t] = 0; }
    } else {
        asm volatile("bar.sync 0;" ::: "memory");
    }
    y[t] = s[63 - t];
}

// Plain (weak) accesses that the compiler keeps where they are; volatile ones would count as strong, and not race.
__device__ __forceinline__ int get(const int* p) {
    int v;
    asm volatile("ld.shared.s32 %0, [%1];" : "=r"(v) : "r"((unsigned)__cvta_generic_to_shared(p)) : "memory");
    return v;
}
__device__ __forceinline__ void put(int* p, int v) { asm volatile("st.shared.s32 [%0], %1;" ::"r"((unsigned)__cvta_generic_to_shared(p)), "r"(v) : "memory"); }

template <Fault F>
__device__ void warp_scan(const int* x, int* y) {
    __shared__ int s[4][32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    put(&s[warp][lane], x[threadIdx.x]);
    if (F != NO_SYNCWARP) __syncwarp(F == SYNCWARP_HALF ? (lane < 16 ? 0xffffu : 0xffff0000u) : F == SYNCWARP_FOREIGN && lane == 5 ? ~32u : ~0u);
    for (int d = 1; d < 32; d *= 2) {
        int v = lane >= d ? get(&s[warp][lane - d]) : 0;
        if (F == SHUFFLE_AS_BARRIER) asm volatile("{.reg .b32 r; shfl.sync.idx.b32 r, %0, 0, 31, -1;}" ::"r"(v) : "memory");
        else if (F != NO_SYNCWARP_BEFORE_WRITE) __syncwarp();
        put(&s[warp][lane], get(&s[warp][lane]) + v);
        __syncwarp();
    }
    y[threadIdx.x] = get(&s[warp][lane]);
}

// Warps 0 and 1 produce, 2 and 3 consume, through two named barriers ("full" 1, "empty" 2).
template <Fault F>
__device__ void named(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
    constexpr int full = F == NAMED_WRONG_ID ? 3 : 1, count = F == NAMED_WRONG_COUNT ? 160 : 128;
    if (t < 64) {
        for (int i = 0; i < 4; i++) {
            if (i > 0) asm volatile("bar.sync 2, 128;" ::: "memory");
            if (F == NAMED_ARRIVE_EARLY) asm volatile("bar.arrive 1, 128;" ::: "memory");
            s[t] = x[i * 64 + t] * 3;
            if (F == NAMED_COUNTS_DIFFER) asm volatile("bar.arrive 1, 64;" ::: "memory");
            else if (F != NAMED_ARRIVE_EARLY) asm volatile("bar.arrive %0, %1;" ::"n"(full), "n"(count) : "memory");
        }
    } else {
        for (int i = 0; i < 4; i++) {
            if (F != NAMED_NO_WAIT) asm volatile("bar.sync 1, %0;" ::"n"(count) : "memory");
            y[i * 64 + t - 64] = s[127 - t];
            if (i < 3) asm volatile("bar.arrive 2, 128;" ::: "memory");
        }
        if (F == NAMED_NO_WAIT) asm volatile("bar.sync 1, 128;" ::: "memory");
    }
}

template <Fault F>
__device__ void shuffle(const int* x, int* y) {
    int t = threadIdx.x, v = x[t];
    if (F == SHUFFLE_ABSENT_LANES) {
        if (t < 20) v = __shfl_xor_sync(~0u, v, 16);
        else y[32 + t] = v;
    } else {
        v = __shfl_xor_sync(~0u, v, 16);
    }
    y[t] = v;
}

#define REDUCE(NAME, F) extern "C" __global__ void NAME(const float* x, float* y) { reduce<F>(x, y); }
REDUCE(reduce_shared, RIGHT)
REDUCE(reduce_no_barrier_after_store, NO_BARRIER_AFTER_STORE)
REDUCE(reduce_no_barrier_in_tree, NO_BARRIER_IN_TREE)
#define BRANCH(NAME, F) extern "C" __global__ void NAME(const float* x, float* y) { branch<F>(x, y); }
BRANCH(reverse_shared, RIGHT)
BRANCH(barrier_in_branch, BARRIER_IN_BRANCH)
BRANCH(barrier_two_places, BARRIER_TWO_PLACES)
#define SCAN(NAME, F) extern "C" __global__ void NAME(const int* x, int* y) { warp_scan<F>(x, y); }
SCAN(warp_synchronous_scan, RIGHT)
SCAN(warp_scan_no_syncwarp, NO_SYNCWARP)
SCAN(warp_scan_no_syncwarp_before_write, NO_SYNCWARP_BEFORE_WRITE)
SCAN(warp_scan_half_mask, SYNCWARP_HALF)
SCAN(warp_scan_foreign_mask, SYNCWARP_FOREIGN)
SCAN(warp_scan_shuffle_as_barrier, SHUFFLE_AS_BARRIER)
#define NAMED(NAME, F) extern "C" __global__ void NAME(const int* x, int* y) { named<F>(x, y); }
NAMED(named_barriers, RIGHT)
NAMED(named_no_wait, NAMED_NO_WAIT)
NAMED(named_wrong_id, NAMED_WRONG_ID)
NAMED(named_wrong_count, NAMED_WRONG_COUNT)
NAMED(named_counts_differ, NAMED_COUNTS_DIFFER)
NAMED(named_arrive_early, NAMED_ARRIVE_EARLY)
#define SHUFFLE(NAME, F) extern "C" __global__ void NAME(const int* x, int* y) { shuffle<F>(x, y); }
SHUFFLE(shuffle_all_lanes, RIGHT)
SHUFFLE(shuffle_absent_lanes, SHUFFLE_ABSENT_LANES)

// Right: whole warps leave before the others' barrier, which counts the threads that are left.
extern "C" __global__ void early_exit(const int* x, int* y) {
    __shared__ int s[64];
    if (threadIdx.x >= 64) return;
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = s[63 - threadIdx.x];
}

// Right: lanes of one warp take turns in divergent code; barrier.sync (not aligned) lets each half arrive on its own.
extern "C" __global__ void unaligned_barrier(const int* x, int* y) {
    __shared__ int s[64];
    int t = threadIdx.x;
    if (t % 2) {
        s[t] = x[t] + 1;
        asm volatile("barrier.sync 0;" ::: "memory");
    } else {
        s[t] = x[t] + 2;
        asm volatile("barrier.sync 0;" ::: "memory");
    }
    y[t] = s[63 - t];
}

// Right: votes and reductions carried by the barrier itself.
extern "C" __global__ void barrier_votes(const int* x, int* y) {
    int v = x[threadIdx.x];
    int count = __syncthreads_count(v & 1), all = __syncthreads_and(v < 1000), any = __syncthreads_or(v == 77);
    y[threadIdx.x] = count * 100 + all * 10 + any;
}
