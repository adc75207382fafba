// CUB, libcu++ and cooperative groups, used as their manuals say, and not. The comment at each fault names the check.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cub/cub.cuh>
#include <cuda/barrier>
#include <cuda/latch>
#include <cuda/pipeline>
#include <cuda/semaphore>
namespace cg = cooperative_groups;

enum Fault {
    RIGHT,
    NO_REUSE_BARRIER,   // race: temporary storage reused without a barrier
    NO_CONSUMER_WAIT,   // race: the stage is read before consumer_wait
    NO_RELEASE_ORDER,   // race: consumer_release before the reads
    ONE_STAGE_EARLY,    // race: reads the stage that is being filled
    NO_ARRIVE_WAIT,     // race: arrives and does not wait
    COPY_NO_WAIT,       // race: cg::memcpy_async without cg::wait
};

template <cub::BlockReduceAlgorithm A, Fault F>
__device__ void cub_reduce(const int* x, int* y) {
    typedef cub::BlockReduce<int, 128, A> Reduce;
    __shared__ typename Reduce::TempStorage room;
    int v = x[blockIdx.x * 128 + threadIdx.x];
    int sum = Reduce(room).Sum(v);
    if (F != NO_REUSE_BARRIER) __syncthreads();
    int most = Reduce(room).Reduce(v, [](int a, int b) { return a > b ? a : b; }, 100);
    if (threadIdx.x == 0) { y[blockIdx.x * 2] = sum; y[blockIdx.x * 2 + 1] = most; }
}
extern "C" __global__ void cub_reduce_shuffles(const int* x, int* y) { cub_reduce<cub::BLOCK_REDUCE_WARP_REDUCTIONS, RIGHT>(x, y); }
extern "C" __global__ void cub_reduce_raking(const int* x, int* y) { cub_reduce<cub::BLOCK_REDUCE_RAKING, RIGHT>(x, y); }
extern "C" __global__ void cub_reduce_raking_commutative(const int* x, int* y) { cub_reduce<cub::BLOCK_REDUCE_RAKING_COMMUTATIVE_ONLY, RIGHT>(x, y); }
extern "C" __global__ void cub_reduce_reused(const int* x, int* y) { cub_reduce<cub::BLOCK_REDUCE_WARP_REDUCTIONS, NO_REUSE_BARRIER>(x, y); }

template <cub::BlockScanAlgorithm A, Fault F>
__device__ void cub_scan(const int* x, int* y) {
    typedef cub::BlockScan<int, 96, A> Scan;
    typedef cub::BlockLoad<int, 96, 3, cub::BLOCK_LOAD_WARP_TRANSPOSE> Load;
    typedef cub::BlockStore<int, 96, 3, cub::BLOCK_STORE_TRANSPOSE> Store;
    __shared__ union { typename Scan::TempStorage scan; typename Load::TempStorage load; typename Store::TempStorage store; } room;
    int v[3], n = 288 - 7;
    Load(room.load).Load(x, v, n, 0);
    if (F != NO_REUSE_BARRIER) __syncthreads();
    Scan(room.scan).ExclusiveSum(v, v);
    __syncthreads();
    Store(room.store).Store(y, v, n);
}
extern "C" __global__ void cub_scan_raking(const int* x, int* y) { cub_scan<cub::BLOCK_SCAN_RAKING, RIGHT>(x, y); }
extern "C" __global__ void cub_scan_warps(const int* x, int* y) { cub_scan<cub::BLOCK_SCAN_WARP_SCANS, RIGHT>(x, y); }
extern "C" __global__ void cub_scan_reused(const int* x, int* y) { cub_scan<cub::BLOCK_SCAN_RAKING, NO_REUSE_BARRIER>(x, y); }

extern "C" __global__ void cub_radix_sort(const int* x, int* y, int* index) {
    typedef cub::BlockRadixSort<int, 64, 4, int> Sort;
    __shared__ typename Sort::TempStorage room;
    int key[4], value[4];
    for (int i = 0; i < 4; i++) { key[i] = x[threadIdx.x * 4 + i]; value[i] = threadIdx.x * 4 + i; }
    Sort(room).SortBlockedToStriped(key, value);
    for (int i = 0; i < 4; i++) { y[i * 64 + threadIdx.x] = key[i]; index[i * 64 + threadIdx.x] = value[i]; }
}
template <cub::BlockHistogramAlgorithm A> __device__ void cub_histogram(const int* x, int* y) {
    typedef cub::BlockHistogram<unsigned char, 64, 4, 16, A> Histogram;
    __shared__ typename Histogram::TempStorage room;
    __shared__ int bins[16];
    unsigned char v[4];
    for (int i = 0; i < 4; i++) v[i] = x[threadIdx.x * 4 + i] & 15;
    Histogram(room).Histogram(v, bins);
    __syncthreads();
    if (threadIdx.x < 16) y[threadIdx.x] = bins[threadIdx.x];
}
extern "C" __global__ void cub_histogram_sort(const int* x, int* y) { cub_histogram<cub::BLOCK_HISTO_SORT>(x, y); }
extern "C" __global__ void cub_histogram_atomic(const int* x, int* y) { cub_histogram<cub::BLOCK_HISTO_ATOMIC>(x, y); }
extern "C" __global__ void cub_warps(const int* x, int* y) {
    typedef cub::WarpReduce<int, 16> Reduce;
    typedef cub::WarpScan<int> Scan;
    __shared__ typename Reduce::TempStorage reduce[4];
    __shared__ typename Scan::TempStorage scan[2];
    int t = threadIdx.x, v = x[t], s;
    int sum = Reduce(reduce[t / 16]).Sum(v);
    Scan(scan[t / 32]).InclusiveSum(v, s);
    y[t] = t % 16 == 0 ? sum : 0;
    y[64 + t] = s;
}

// ---- libcu++ -----------------------------------------------------------------------------------------------------------
template <Fault F>
__device__ void barrier_rounds(const int* x, int* y) {
    __shared__ cuda::barrier<cuda::thread_scope_block> bar;
    __shared__ int s[2][128];
    int t = threadIdx.x;
    if (t == 0) init(&bar, 128);
    __syncthreads();
    for (int round = 0; round < 4; round++) {
        s[round % 2][t] = x[t] * (round + 1);
        auto token = bar.arrive();
        int own = x[127 - t];
        if (F != NO_ARRIVE_WAIT) bar.wait(std::move(token));
        y[round * 128 + t] = s[round % 2][127 - t] + own;
    }
}
extern "C" __global__ void barrier_tokens(const int* x, int* y) { barrier_rounds<RIGHT>(x, y); }
extern "C" __global__ void barrier_tokens_no_wait(const int* x, int* y) { barrier_rounds<NO_ARRIVE_WAIT>(x, y); }

template <Fault F>
__device__ void staged_pipeline(const int* x, int* y, int tiles) {
    __shared__ int s[2][128];
    __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> state;
    cg::thread_block block = cg::this_thread_block();
    auto pipe = cuda::make_pipeline(block, &state);
    int t = threadIdx.x;
    auto fill = [&](int i) {
        pipe.producer_acquire();
        cuda::memcpy_async(block, s[i % 2], x + i * 128, cuda::aligned_size_t<16>(512), pipe);
        pipe.producer_commit();
    };
    fill(0);
    for (int i = 0; i < tiles; i++) {
        if (i + 1 < tiles) fill(i + 1);
        if (F != NO_CONSUMER_WAIT) pipe.consumer_wait();
        if (F == NO_RELEASE_ORDER) pipe.consumer_release();
        y[i * 128 + t] = s[F == ONE_STAGE_EARLY ? (i + 1) % 2 : i % 2][127 - t];
        if (F != NO_RELEASE_ORDER && F != NO_CONSUMER_WAIT) pipe.consumer_release();
        else if (F == NO_CONSUMER_WAIT) { pipe.consumer_wait(); pipe.consumer_release(); }
    }
}
#define PIPE(NAME, F) extern "C" __global__ void NAME(const int* x, int* y, int tiles) { staged_pipeline<F>(x, y, tiles); }
PIPE(pipeline_object, RIGHT)
PIPE(pipeline_object_no_wait, NO_CONSUMER_WAIT)
PIPE(pipeline_object_release_early, NO_RELEASE_ORDER)
PIPE(pipeline_object_wrong_stage, ONE_STAGE_EARLY)

// Half of the block produces, the other half consumes.
extern "C" __global__ void pipeline_roles(const int* x, int* y, int tiles) {
    __shared__ int s[3][64];
    __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 3> state;
    cg::thread_block block = cg::this_thread_block();
    bool producer = threadIdx.x < 64;
    auto pipe = cuda::make_pipeline(block, &state, producer ? cuda::pipeline_role::producer : cuda::pipeline_role::consumer);
    int t = threadIdx.x % 64;
    for (int i = 0; i < tiles; i++) {
        if (producer) {
            pipe.producer_acquire();
            cuda::memcpy_async(&s[i % 3][t], x + i * 64 + t, sizeof(int), pipe);
            pipe.producer_commit();
        } else {
            pipe.consumer_wait();
            y[i * 64 + t] = s[i % 3][63 - t] + 1;
            pipe.consumer_release();
        }
    }
}
extern "C" __global__ void latch_and_semaphore(const int* x, int* y) {
    typedef cuda::latch<cuda::thread_scope_block> Latch;
    typedef cuda::counting_semaphore<cuda::thread_scope_block, 4> Slots;
    __shared__ alignas(Latch) unsigned char room[2][sizeof(Latch) + sizeof(Slots)];
    Latch& latch = *reinterpret_cast<Latch*>(room[0]);
    Slots& slots = *reinterpret_cast<Slots*>(room[1]);
    __shared__ int inside, most, s[64];
    int t = threadIdx.x;
    if (t == 0) {
        new (&latch) Latch(64);
        new (&slots) Slots(2);
        inside = most = 0;
    }
    __syncthreads();
    s[t] = x[t];
    latch.arrive_and_wait();
    y[t] = s[63 - t];
    if (t % 32 == 0) {
        slots.acquire();
        int now = atomicAdd(&inside, 1) + 1;
        atomicMax(&most, now);
        atomicSub(&inside, 1);
        slots.release();
    }
    __syncthreads();
    if (t == 0) y[64] = most <= 2;
}

// ---- cooperative groups ---------------------------------------------------------------------------------------------------
extern "C" __global__ void groups_tiles(const int* x, int* y) {
    cg::thread_block block = cg::this_thread_block();
    auto tile = cg::tiled_partition<8>(block);
    int t = block.thread_rank(), v = x[t];
    int sum = cg::reduce(tile, v, cg::plus<int>());
    int scan = cg::exclusive_scan(tile, v, cg::plus<int>());
    auto odd = cg::binary_partition(tile, v % 2 == 1);
    int count = odd.size(), most = cg::reduce(odd, v, cg::greater<int>());
    y[t] = sum;
    y[128 + t] = scan;
    y[256 + t] = count * 1000 + most;
    int agg = 0;
    if (v % 3 == 0) {
        cg::coalesced_group some = cg::coalesced_threads();
        // Which lanes come together is not said; what they have in common is.
        agg = some.shfl(v, 0) % 3 == 0 && some.size() <= 11;
        some.sync();
        auto label = cg::labeled_partition(some, v % 2);
        agg += label.shfl(v, 0) % 2 * 10;
    }
    y[384 + t] = agg;
}
template <Fault F> __device__ void groups_wide(const int* x, int* y) {
    __shared__ cg::block_tile_memory<128> room;
    auto block = cg::this_thread_block(room);
    auto wide = cg::tiled_partition<64>(block);
    __shared__ int s[128];
    int t = block.thread_rank(), base = t / 64 * 64;
    s[t] = x[t];
    if (F != NO_ARRIVE_WAIT) wide.sync();
    y[t] = s[base + 63 - t % 64];
}
extern "C" __global__ void groups_of_two_warps(const int* x, int* y) { groups_wide<RIGHT>(x, y); }
extern "C" __global__ void groups_of_two_warps_no_sync(const int* x, int* y) { groups_wide<NO_ARRIVE_WAIT>(x, y); }
template <Fault F> __device__ void groups_copy(const int* x, int* y) {
    __shared__ int s[256];
    cg::thread_block block = cg::this_thread_block();
    cg::memcpy_async(block, s, x, sizeof(s));
    if (F != COPY_NO_WAIT) cg::wait(block);
    y[block.thread_rank()] = s[255 - block.thread_rank()];
    if (F == COPY_NO_WAIT) cg::wait(block);
}
extern "C" __global__ void groups_memcpy(const int* x, int* y) { groups_copy<RIGHT>(x, y); }
extern "C" __global__ void groups_memcpy_no_wait(const int* x, int* y) { groups_copy<COPY_NO_WAIT>(x, y); }
extern "C" __global__ void groups_split_barrier(const int* x, int* y) {
    __shared__ int s[128];
    cg::thread_block block = cg::this_thread_block();
    int t = block.thread_rank();
    s[t] = x[t];
    auto token = block.barrier_arrive();
    int own = x[t] * 2;
    block.barrier_wait(std::move(token));
    y[t] = s[127 - t] + own;
}
