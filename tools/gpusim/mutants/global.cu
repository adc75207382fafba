// Order between blocks: atomics, fences, flags, locks. The comment at each fault names the check that must catch it.
#include <cooperative_groups.h>
#include <cstdint>
#include <cuda/atomic>

enum Fault {
    RIGHT,
    PLAIN_ADD,          // race: read-modify-write without atomics
    PLAIN_READ,         // race (atomic against plain): a plain load while other threads add
    NO_FENCE,           // race: the partial sum is not ordered before the ticket
    NO_BARRIER,         // race: threads of the last block read before thread 0 has drawn the ticket
    PLAIN_FLAG,         // race: a plain store and a plain polling load carry no order
    RELAXED_FLAG,       // race: relaxed operations carry no order for the data
    NO_ACQUIRE,         // race: released, but read with a relaxed load and no fence
    BLOCK_SCOPE,        // race (wider scope): the other block is outside the scope
    BLOCK_FENCE,        // race (wider scope): __threadfence_block between blocks
    NO_LOCK_ACQUIRE,    // race: the lock is taken by a relaxed exchange
    NO_LOCK_RELEASE,    // race: unlocked by a relaxed store, the protected store may be late
    NO_GRID_SYNC,       // race: reads other blocks' partial sums without a grid barrier
    TILE_OVERLAP,       // race: two blocks write one column
    NO_LOOKBACK_FENCE,  // race: the prefix is read without acquire
};

template <Fault F>
__device__ void histogram(const int* x, int* bins, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    if (F == PLAIN_ADD) bins[x[i] & 7] += 1;
    else atomicAdd(bins + (x[i] & 7), 1);
    if (F == PLAIN_READ) y[i] = bins[0] >= 0;
    else y[i] = 1;
}
#define HISTOGRAM(NAME, F) extern "C" __global__ void NAME(const int* x, int* bins, int* y, int n) { histogram<F>(x, bins, y, n); }
HISTOGRAM(histogram_atomics, RIGHT)
HISTOGRAM(histogram_plain, PLAIN_ADD)
HISTOGRAM(histogram_mixed, PLAIN_READ)

extern "C" __global__ void sum_plain(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) *y = *y + x[i];                          // race: every thread adds to one word
}
extern "C" __global__ void block_store_same_place(const int* x, int* y, int n) {
    if (threadIdx.x == 0) y[0] = blockIdx.x + x[0] * 0; // race: all blocks write, the values differ
}

// Sum over blocks; the last block to draw a ticket adds the partial sums.
template <Fault F>
__device__ void last_block(const int* x, int* part, unsigned* ticket, int* y) {
    __shared__ int s[128];
    __shared__ int last;
    int t = threadIdx.x;
    s[t] = x[blockIdx.x * 128 + t];
    __syncthreads();
    for (int half = 64; half > 0; half /= 2) {
        if (t < half) s[t] += s[t + half];
        __syncthreads();
    }
    if (t == 0) {
        part[blockIdx.x] = s[0];
        if (F == BLOCK_FENCE) __threadfence_block();
        else if (F != NO_FENCE) __threadfence();
        last = atomicAdd(ticket, 1u) == gridDim.x - 1;
        if (F != NO_FENCE && F != BLOCK_FENCE) __threadfence();
    }
    if (F != NO_BARRIER) __syncthreads();
    if (last && t == 0) {
        int sum = 0;
        for (unsigned b = 0; b < gridDim.x; b++) sum += part[b];
        y[0] = sum;
    }
    if (F == NO_BARRIER && last && t == 64) y[1] = part[0];
}
#define LAST(NAME, F) extern "C" __global__ void NAME(const int* x, int* part, unsigned* ticket, int* y) { last_block<F>(x, part, ticket, y); }
LAST(threadfence_reduction, RIGHT)
LAST(threadfence_reduction_no_fence, NO_FENCE)
LAST(threadfence_reduction_block_fence, BLOCK_FENCE)
LAST(threadfence_reduction_no_barrier, NO_BARRIER)

// Block 0 writes data and raises a flag; the others wait for it. Blocks are resident together (grid of 4).
template <Fault F>
__device__ void message(const int* x, int* data, int* flag, int* y) {
    int t = threadIdx.x;
    if (blockIdx.x == 0) {
        data[t] = x[t] * 2;
        __syncthreads();
        if (t == 0) {
            if (F == PLAIN_FLAG) *flag = 1;
            else if (F == RELAXED_FLAG) asm volatile("st.relaxed.gpu.global.s32 [%0], 1;" ::"l"(flag) : "memory");
            else if (F == BLOCK_SCOPE) asm volatile("st.release.cta.global.s32 [%0], 1;" ::"l"(flag) : "memory");
            else asm volatile("st.release.gpu.global.s32 [%0], 1;" ::"l"(flag) : "memory");
        }
    } else {
        if (t == 0) {
            int seen;
            do {
                if (F == PLAIN_FLAG) asm volatile("ld.global.s32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
                else if (F == RELAXED_FLAG || F == NO_ACQUIRE) asm volatile("ld.relaxed.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
                else asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
            } while (seen == 0);
        }
        __syncthreads();
        y[(blockIdx.x - 1) * 64 + t] = data[63 - t];
    }
}
#define MESSAGE(NAME, F) extern "C" __global__ void NAME(const int* x, int* data, int* flag, int* y) { message<F>(x, data, flag, y); }
MESSAGE(message_release_acquire, RIGHT)
MESSAGE(message_plain_flag, PLAIN_FLAG)
MESSAGE(message_relaxed_flag, RELAXED_FLAG)
MESSAGE(message_no_acquire, NO_ACQUIRE)
MESSAGE(message_block_scope, BLOCK_SCOPE)

// Right: volatile polling with fences on both sides, the old idiom.
extern "C" __global__ void message_volatile_fences(const int* x, int* data, volatile int* flag, int* y) {
    int t = threadIdx.x;
    if (blockIdx.x == 0) {
        data[t] = x[t] * 2;
        __syncthreads();
        if (t == 0) {
            __threadfence();
            *flag = 1;
        }
    } else {
        if (t == 0) {
            while (*flag == 0) {}
            __threadfence();
        }
        __syncthreads();
        y[(blockIdx.x - 1) * 64 + t] = data[63 - t];
    }
}

// A counter and a plain value under a spin lock.
template <Fault F>
__device__ void locked(int* lock, int* value, int* y) {
    if (threadIdx.x == 0) {
        int taken = 1;
        while (taken) {
            if (F == NO_LOCK_ACQUIRE) asm volatile("atom.relaxed.gpu.global.exch.b32 %0, [%1], 1;" : "=r"(taken) : "l"(lock) : "memory");
            else asm volatile("atom.acquire.gpu.global.exch.b32 %0, [%1], 1;" : "=r"(taken) : "l"(lock) : "memory");
        }
        int v = *value;
        *value = v + 3;
        y[blockIdx.x] = 1;
        if (F == NO_LOCK_RELEASE) asm volatile("st.relaxed.gpu.global.s32 [%0], 0;" ::"l"(lock) : "memory");
        else asm volatile("st.release.gpu.global.s32 [%0], 0;" ::"l"(lock) : "memory");
    }
}
#define LOCKED(NAME, F) extern "C" __global__ void NAME(int* lock, int* value, int* y) { locked<F>(lock, value, y); }
LOCKED(lock_acquire_release, RIGHT)
LOCKED(lock_no_acquire, NO_LOCK_ACQUIRE)
LOCKED(lock_no_release, NO_LOCK_RELEASE)

// Right: the classic lock: atomicCAS, fence, work, fence, atomicExch; every thread takes it, lane after lane.
extern "C" __global__ void lock_every_thread(int* lock, int* value, int* y) {
    bool done = false;
    while (!done) {
        if (atomicCAS(lock, 0, 1) == 0) {
            __threadfence();
            *(volatile int*)value = *(volatile int*)value + 1;
            __threadfence();
            atomicExch(lock, 0);
            done = true;
        }
    }
    y[blockIdx.x * blockDim.x + threadIdx.x] = 1;
}

template <Fault F>
__device__ void grid_reduce(const int* x, int* part, int* y) {
    auto grid = cooperative_groups::this_grid();
    int v = __reduce_add_sync(~0u, x[blockIdx.x * 32 + threadIdx.x]);
    if (threadIdx.x == 0) part[blockIdx.x] = v;
    if (F != NO_GRID_SYNC) grid.sync();
    if (threadIdx.x == 0) {
        int sum = 0;
        for (unsigned b = 0; b < gridDim.x; b++) sum += part[b];
        y[blockIdx.x] = sum;
    }
}
extern "C" __global__ void cooperative_reduction(const int* x, int* part, int* y) { grid_reduce<RIGHT>(x, part, y); }
extern "C" __global__ void cooperative_no_sync(const int* x, int* part, int* y) { grid_reduce<NO_GRID_SYNC>(x, part, y); }

template <Fault F>
__device__ void tiles(const int* x, int* y, int n) {
    int i = blockIdx.x * 32 + threadIdx.x;
    if (threadIdx.x < (F == TILE_OVERLAP ? 33 : 32) && i < n) y[i] = x[i] + blockIdx.x * 0 + (F == TILE_OVERLAP ? (int)blockIdx.x : 0);
}
extern "C" __global__ void tiles_apart(const int* x, int* y, int n) { tiles<RIGHT>(x, y, n); }
extern "C" __global__ void tiles_overlap(const int* x, int* y, int n) { tiles<TILE_OVERLAP>(x, y, n); }

// Inclusive scan with decoupled look-back: a word packs state (1 sum, 2 prefix) and value; 32 elements a block.
template <Fault F>
__device__ void lookback(const int* x, unsigned long long* state, int* prefix, int* y, unsigned* ticket) {
    __shared__ int block, before;
    int t = threadIdx.x;
    if (t == 0) block = atomicAdd(ticket, 1u);
    __syncthreads();
    int b = block, v = x[b * 32 + t];
    for (int d = 1; d < 32; d *= 2) {
        int w = __shfl_up_sync(~0u, v, d);
        if (t >= d) v += w;
    }
    int total = __shfl_sync(~0u, v, 31);
    if (t == 0) {
        cuda::atomic_ref<unsigned long long, cuda::thread_scope_device> mine(state[b]);
        if (b > 0) mine.store(1ull << 32 | (unsigned)total, cuda::std::memory_order_relaxed);
        int sum = 0;
        for (int p = b - 1; p >= 0;) {
            cuda::atomic_ref<unsigned long long, cuda::thread_scope_device> other(state[p]);
            unsigned long long s = other.load(F == NO_LOOKBACK_FENCE ? cuda::std::memory_order_relaxed : cuda::std::memory_order_acquire);
            if (s >> 32 == 0) continue;
            if (s >> 32 == 2) {
                sum += prefix[p];                       // written before the state became 2
                break;
            }
            sum += (int)s;
            p--;
        }
        prefix[b] = sum + total;
        mine.store(2ull << 32, cuda::std::memory_order_release);
        before = sum;
    }
    __syncthreads();
    y[b * 32 + t] = before + v;
}
#define LOOKBACK(NAME, F) extern "C" __global__ void NAME(const int* x, unsigned long long* state, int* prefix, int* y, unsigned* ticket) { lookback<F>(x, state, prefix, y, ticket); }
LOOKBACK(lookback_scan, RIGHT)
LOOKBACK(lookback_relaxed, NO_LOOKBACK_FENCE)

// Atomics of block scope on global memory that blocks share.
template <Fault F>
__device__ void count_all(int* counter, int* y) {
    if (F == BLOCK_SCOPE) atomicAdd_block(counter, 1);  // race (wider scope)
    else atomicAdd(counter, 1);
    y[blockIdx.x * 32 + threadIdx.x] = 1;
}
extern "C" __global__ void count_device_scope(int* counter, int* y) { count_all<RIGHT>(counter, y); }
extern "C" __global__ void count_block_scope(int* counter, int* y) { count_all<BLOCK_SCOPE>(counter, y); }

// Right: neighbours write neighbouring bytes of one word.
extern "C" __global__ void neighbouring_bytes(unsigned char* y) { y[blockIdx.x * 32 + threadIdx.x] = (unsigned char)threadIdx.x; }
// Wrong: four threads read, change and write one word for their own byte.
extern "C" __global__ void bytes_by_words(unsigned* y) {
    int i = threadIdx.x;
    unsigned w = y[i / 4];
    y[i / 4] = (w & ~(255u << i % 4 * 8)) | (unsigned)i << i % 4 * 8;    // race: lanes of one warp on one word
}

// Right: one atomic per warp for the lanes that want a slot, a slot for each.
extern "C" __global__ void warp_aggregated(const int* x, int* counter, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n && x[i] % 3 == 0) {
        unsigned lanes = __activemask(), lane = threadIdx.x % 32;
        int leader = __ffs(lanes) - 1, base = 0;
        if ((int)lane == leader) base = atomicAdd(counter, __popc(lanes));
        base = __shfl_sync(lanes, base, leader);
        y[base + __popc(lanes & ((1u << lane) - 1))] = x[i];
    }
}
// Right: lanes with equal keys elect one that adds for all.
extern "C" __global__ void match_any_histogram(const int* x, int* bins, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, key = x[i % n] & 7;
    unsigned same = __match_any_sync(~0u, key);
    if ((int)(threadIdx.x % 32) == __ffs(same) - 1) atomicAdd(bins + key, __popc(same));
}
// Right: a ring through global memory between two blocks, fence by fence.
extern "C" __global__ void ring_between_blocks(const int* x, int* ring, unsigned* head, unsigned* tail, int* y) {
    if (threadIdx.x) return;
    for (unsigned i = 0; i < 24; i++) {
        if (blockIdx.x == 0) {
            unsigned t;
            do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(t) : "l"(tail) : "memory"); while (i - t >= 4);
            ring[i % 4] = x[i];
            asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(head) : "memory");
        } else {
            unsigned h;
            do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(h) : "l"(head) : "memory"); while (h <= i);
            y[i] = ring[i % 4];
            asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(tail), "r"(i + 1) : "memory");
        }
    }
}
// Right: fence.acq_rel pairs with relaxed atomics.
extern "C" __global__ void fences_and_relaxed(const int* x, int* data, unsigned* flag, int* y) {
    int t = threadIdx.x;
    if (blockIdx.x == 0) {
        data[t] = x[t];
        asm volatile("fence.acq_rel.gpu;" ::: "memory");
        asm volatile("red.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(flag) : "memory");
    } else {
        unsigned seen;
        do asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory"); while (seen < 64);
        asm volatile("fence.acq_rel.gpu;" ::: "memory");
        y[t] = data[63 - t];
    }
}
