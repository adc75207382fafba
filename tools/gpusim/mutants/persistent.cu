// Grids whose blocks divide the work among themselves while they run. The comment at each fault names the check that must
// catch it.
#include <cooperative_groups.h>
#include <cstdint>
namespace cg = cooperative_groups;

enum Fault {
    RIGHT,
    QUEUE_PLAIN,        // race: the next tile is drawn without an atomic
    QUEUE_NO_BROADCAST, // wrong-result: each lane draws a tile of its own
    QUEUE_ONE_SLOT,     // race: the tile's number is overwritten before all threads have read it
    TAIL_LE,            // out-of-bounds: the ragged tail's mask is off by one
    FIXUP_NO_FENCE,     // race: the partial tile is not ordered before its flag
    FIXUP_RELAXED,      // race: the flag is read without acquire
    FIXUP_NO_BARRIER,   // race: thread 0 raises the flag before the other threads' partial sums
    FIXUP_WRONG_PEER,   // race: waits for another block's flag
    FIXUP_CTA_SCOPE,    // race (wider scope)
    TWO_OWNERS,         // race: both blocks of a split tile write it
    WAVE_NO_RESET,      // race or wrong-result: the second round's flags still stand
    GRID_TOO_FEW,       // race: half the blocks skip the second grid barrier's round
    LOOKBACK_TORN,      // race: state and value are written by two stores, value last
    LOOKBACK_PLAIN,     // race: plain 64-bit stores and loads
};

// y = 3 x, tiles of 64 drawn from a counter by warp, block of 128 (4 warps), n ragged.
template <Fault F>
__device__ void queue_by_warp(const int* x, int* y, int* next, int n) {
    int lane = threadIdx.x % 32;
    for (;;) {
        int tile = 0;
        if (F == QUEUE_PLAIN) { if (lane == 0) { tile = *next; *next = tile + 1; } }
        else if (F == QUEUE_NO_BROADCAST || lane == 0) tile = atomicAdd(next, 1);
        if (F != QUEUE_NO_BROADCAST) tile = __shfl_sync(~0u, tile, 0);
        if (__all_sync(~0u, tile * 64 >= n)) break;
        for (int i = tile * 64 + lane; i < tile * 64 + 64; i += 32)
            if (F == TAIL_LE ? i <= n : i < n) y[i] = x[i] * 3;
    }
}
#define QUEUE(NAME, F) extern "C" __global__ void NAME(const int* x, int* y, int* next, int n) { queue_by_warp<F>(x, y, next, n); }
QUEUE(queue_right, RIGHT)
QUEUE(queue_plain, QUEUE_PLAIN)
QUEUE(queue_no_broadcast, QUEUE_NO_BROADCAST)
QUEUE(queue_tail, TAIL_LE)

// The same by block: thread 0 draws, the block reads the number from shared memory.
template <Fault F>
__device__ void queue_by_block(const int* x, int* y, int* next, int n) {
    __shared__ int tile;
    for (;;) {
        if (threadIdx.x == 0) tile = atomicAdd(next, 1);
        __syncthreads();
        int mine = tile;
        if (F != QUEUE_ONE_SLOT) __syncthreads();
        if (mine * 128 >= n) return;
        int i = mine * 128 + threadIdx.x;
        if (i < n) y[i] = x[i] * 3;
    }
}
extern "C" __global__ void queue_block_right(const int* x, int* y, int* next, int n) { queue_by_block<RIGHT>(x, y, next, n); }
extern "C" __global__ void queue_block_one_slot(const int* x, int* y, int* next, int n) { queue_by_block<QUEUE_ONE_SLOT>(x, y, next, n); }

// Stream-K: 6 tiles of 5 steps divided among 4 blocks (7.5 steps each); a block that does not begin a tile leaves its partial
// sum in `part` and raises its flag; the one that begins the tile adds it up. y[tile] = sum over steps, elementwise over 64.
template <Fault F>
__device__ void stream_k(const int* x, int* part, int* flag, int* y) {
    constexpr int TILES = 6, STEPS = 5, ALL = TILES * STEPS;
    int t = threadIdx.x, blocks = gridDim.x, b = blockIdx.x;
    int from = b * ALL / blocks, to = (b + 1) * ALL / blocks;
    while (from < to) {
        int tile = from / STEPS, end = min(to, (tile + 1) * STEPS), sum = 0;
        bool begins = from == tile * STEPS, ends = end == (tile + 1) * STEPS;
        for (int s = from; s < end; s++) sum += x[s * 64 + t];
        if (!begins && F != TWO_OWNERS) {
            part[b * 64 + t] = sum;
            if (F != FIXUP_NO_FENCE) __threadfence();
            if (F != FIXUP_NO_BARRIER) __syncthreads();
            if (t == 0) {
                if (F == FIXUP_CTA_SCOPE) asm volatile("st.release.cta.global.s32 [%0], 1;" ::"l"(flag + b) : "memory");
                else if (F == FIXUP_NO_FENCE) asm volatile("st.relaxed.gpu.global.s32 [%0], 1;" ::"l"(flag + b) : "memory");
                else asm volatile("st.release.gpu.global.s32 [%0], 1;" ::"l"(flag + b) : "memory");
            }
        } else {
            int reached = end;
            for (int peer = b + 1; !ends && reached < (tile + 1) * STEPS && F != TWO_OWNERS; peer++) {
                int awaited = F == FIXUP_WRONG_PEER ? min(peer + 1, blocks - 1) : peer;
                if (t == 0) {
                    int seen;
                    do {
                        if (F == FIXUP_RELAXED) asm volatile("ld.relaxed.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(flag + awaited) : "memory");
                        else asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(flag + awaited) : "memory");
                    } while (!seen);
                }
                __syncthreads();
                sum += part[peer * 64 + t];
                reached = min((peer + 1) * ALL / blocks, (tile + 1) * STEPS);
            }
            y[tile * 64 + t] = sum;
        }
        from = end;
    }
}
#define STREAM(NAME, F) extern "C" __global__ void NAME(const int* x, int* part, int* flag, int* y) { stream_k<F>(x, part, flag, y); }
STREAM(stream_k_right, RIGHT)
STREAM(stream_k_no_fence, FIXUP_NO_FENCE)
STREAM(stream_k_relaxed, FIXUP_RELAXED)
STREAM(stream_k_no_barrier, FIXUP_NO_BARRIER)
STREAM(stream_k_wrong_peer, FIXUP_WRONG_PEER)
STREAM(stream_k_cta_scope, FIXUP_CTA_SCOPE)
STREAM(stream_k_two_owners, TWO_OWNERS)

// Jacobi: several rounds over two buffers with a grid barrier between rounds.
template <Fault F>
__device__ void jacobi(int* a, int* b, int n, int rounds) {
    cg::grid_group grid = cg::this_grid();
    int i = grid.thread_rank();
    for (int r = 0; r < rounds; r++) {
        if (i < n) {
            int left = i ? a[i - 1] : 0, right = i + 1 < n ? a[i + 1] : 0;
            b[i] = (left + a[i] * 2 + right) % 1000;
        }
        if (F != GRID_TOO_FEW || r != 1) grid.sync();
        int* c = a; a = b; b = c;
    }
}
extern "C" __global__ void jacobi_right(int* a, int* b, int n, int rounds) { jacobi<RIGHT>(a, b, n, rounds); }
extern "C" __global__ void jacobi_skips_a_sync(int* a, int* b, int n, int rounds) { jacobi<GRID_TOO_FEW>(a, b, n, rounds); }
// Wrong: deadlock: block 2 leaves before the grid barrier.
extern "C" __global__ void grid_sync_one_leaves(int* a) {
    if (blockIdx.x == 2) return;
    cg::this_grid().sync();
    a[blockIdx.x] = 1;
}
// A home-made grid barrier: sense by generation, as many kernels have it.
template <bool FENCE>
__device__ void home_made(const int* x, int* part, unsigned* count, volatile unsigned* generation, int* y) {
    int t = threadIdx.x;
    for (int round = 0; round < 3; round++) {
        part[blockIdx.x * 64 + t] = x[t] + blockIdx.x + round;
        __syncthreads();
        if (t == 0) {
            unsigned mine = *generation;
            if (FENCE) __threadfence();
            if (atomicAdd(count, 1u) == gridDim.x - 1) {
                if (FENCE) __threadfence();
                *count = 0;
                __threadfence();
                *generation = mine + 1;
            } else {
                while (*generation == mine) __nanosleep(100);
            }
            if (FENCE) __threadfence();
        }
        __syncthreads();
        y[(round * gridDim.x + blockIdx.x) * 64 + t] = part[(blockIdx.x + 1) % gridDim.x * 64 + 63 - t];
        __syncthreads();
        if (t == 0) {
            unsigned mine = *generation;
            if (FENCE) __threadfence();
            if (atomicAdd(count, 1u) == gridDim.x - 1) {
                atomicExch(count, 0u);
                __threadfence();
                *generation = mine + 1;
            } else {
                while (*generation == mine) {}
            }
            if (FENCE) __threadfence();
        }
        __syncthreads();
    }
}
extern "C" __global__ void grid_barrier_by_hand(const int* x, int* part, unsigned* count, unsigned* generation, int* y) { home_made<true>(x, part, count, generation, y); }
extern "C" __global__ void grid_barrier_no_fence(const int* x, int* part, unsigned* count, unsigned* generation, int* y) { home_made<false>(x, part, count, generation, y); }

// Look-back by a warp: 32 predecessors at a time, state and value in one 64-bit word.
template <Fault F>
__device__ void lookback_by_warp(const int* x, unsigned long long* state, int* y, unsigned* ticket) {
    __shared__ int block, before;
    __shared__ int sums[4];
    int t = threadIdx.x, lane = t % 32, warp = t / 32;
    if (t == 0) block = atomicAdd(ticket, 1u);
    __syncthreads();
    int b = block, v = x[b * 128 + t];
    for (int d = 1; d < 32; d *= 2) {
        int w = __shfl_up_sync(~0u, v, d);
        if (lane >= d) v += w;
    }
    if (lane == 31) sums[warp] = v;
    __syncthreads();
    int base = 0, total = 0;
    for (int w = 0; w < 4; w++) {
        if (w < warp) base += sums[w];
        total += sums[w];
    }
    auto put = [&](unsigned long long s) {
        if (F == LOOKBACK_PLAIN) state[b] = s;
        else if (F == LOOKBACK_TORN) {
            ((volatile unsigned*)(state + b))[1] = s >> 32;
            ((volatile unsigned*)(state + b))[0] = (unsigned)s;
        } else asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(state + b), "l"(s) : "memory");
    };
    if (warp == 0) {
        if (lane == 0) put((b ? 1ull : 2ull) << 32 | (unsigned)total);
        int sum = 0;
        for (int p = b - 1 - lane; b > 0; p -= 32) {
            unsigned long long s = 2ull << 32;
            if (p >= 0) do {
                if (F == LOOKBACK_PLAIN) asm volatile("ld.global.u64 %0, [%1];" : "=l"(s) : "l"(state + p) : "memory");
                else asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(s) : "l"(state + p) : "memory");
            } while (s >> 32 == 0);
            unsigned full = __ballot_sync(~0u, s >> 32 == 2);
            int upto = full ? __ffs(full) - 1 : 31;
            sum += __reduce_add_sync(~0u, lane <= upto ? (int)s : 0);
            if (full) break;
        }
        if (lane == 0) {
            if (b) put(2ull << 32 | (unsigned)(sum + total));
            before = sum;
        }
    }
    __syncthreads();
    y[b * 128 + t] = before + base + v;
}
#define LOOKBACK(NAME, F) extern "C" __global__ void NAME(const int* x, unsigned long long* state, int* y, unsigned* ticket) { lookback_by_warp<F>(x, state, y, ticket); }
LOOKBACK(lookback_warp, RIGHT)
LOOKBACK(lookback_warp_torn, LOOKBACK_TORN)
LOOKBACK(lookback_warp_plain, LOOKBACK_PLAIN)

// Hangs of several kinds; all blocks of the grid run together.
extern "C" __global__ void spin_plain_flag(int* flag, int* y) {                 // deadlock: two blocks wait for each other's flag
    if (threadIdx.x == 0) {
        volatile int* other = flag + (blockIdx.x ^ 1);
        while (*other == 0) {}
        atomicExch(flag + blockIdx.x, 1);
    }
    y[blockIdx.x * 32 + threadIdx.x] = 1;
}
extern "C" __global__ void spin_lock_twice(int* lock, int* y) {                 // deadlock: takes a lock that it holds
    for (int i = 0; i < 2; i++) while (atomicCAS(lock, 0, 1) != 0) __nanosleep(20);
    y[threadIdx.x] = 1;
}
extern "C" __global__ void spin_lock_order(int* lock, int* y) {                 // deadlock: two locks in opposite order, after a rendezvous
    if (threadIdx.x == 0) {
        int first = blockIdx.x, second = 1 - first;
        while (atomicCAS(lock + first, 0, 1) != 0) {}
        atomicAdd(lock + 2, 1);
        while (*(volatile int*)(lock + 2) < 2) {}
        while (atomicCAS(lock + second, 0, 1) != 0) {}
        atomicExch(lock + second, 0);
        atomicExch(lock + first, 0);
        y[first] = 1;
    }
}
extern "C" __global__ void spin_counting(volatile int* flag, int* y) {          // deadlock: counts while it polls a flag that nobody sets
    unsigned n = 0;
    while (*flag == 0) n++;
    y[threadIdx.x] = n;
}
extern "C" __global__ void spin_on_shared(int* y) {                             // deadlock: the one that would raise the flag waits at the barrier
    __shared__ volatile int flag;
    if (threadIdx.x == 0) flag = 0;
    __syncthreads();
    if (threadIdx.x < 32) while (flag == 0) {}
    __syncthreads();
    if (threadIdx.x == 40) flag = 1;
    y[threadIdx.x] = flag;
}
// Right: a long computation between polls, and a flag raised late.
extern "C" __global__ void spin_long(const int* x, volatile int* flag, int* y) {
    if (blockIdx.x == 0) {
        unsigned v = x[0];
        for (int i = 0; i < 60000; i++) v = v * 1664525u + 1013904223u;
        if (threadIdx.x == 0) { y[64] = (int)(v >> 8); __threadfence(); *flag = 1; }
    } else {
        while (*flag == 0) {}
        __threadfence();
        y[threadIdx.x] = 7;
    }
}
// Right: two blocks play ball with one word, many turns.
extern "C" __global__ void ping_pong(volatile int* ball, int* y) {
    if (threadIdx.x) return;
    for (int i = 0; i < 200; i++) {
        while (*ball % 2 != (int)blockIdx.x) {}
        *ball = *ball + 1;
    }
    y[blockIdx.x] = 1;
}
