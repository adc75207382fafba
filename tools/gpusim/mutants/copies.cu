// cp.async pipelines, ldmatrix and mma on sm_80. The comment at each fault names the check that must catch it.
#include <cstdint>

enum Fault {
    RIGHT,
    NO_WAIT,            // race (cp.async not waited for) or uninitialised-read
    WAIT_ONE_LESS,      // race: wait_group 1 leaves the stage that is read in flight
    NO_COMMIT,          // race: an uncommitted copy is in no group that wait_group counts
    NO_BARRIER,         // race: waited for by its own thread, read by another without a barrier
    OVERWRITE_EARLY,    // race: the next copy into a stage starts while other warps still read it
    WRONG_SWIZZLE,      // wrong-result: written with one permutation, read with another
    WRONG_STAGE,        // race or wrong-result: reads the stage that is being filled
    NO_TAIL_MASK,       // out-of-bounds: the last tile reads past the source
    MISALIGNED_COPY,    // misaligned: 16-byte copy to an 8-byte boundary
    EXIT_UNWAITED,      // leaked-async-group: the kernel ends with copies in flight
    LDMATRIX_OVERLAP,   // race: another warp writes the last row of the tile that ldmatrix reads
    LDMATRIX_NO_SYNC,   // race: other lanes' stores before ldmatrix without __syncwarp
    LDMATRIX_MISALIGNED,// misaligned: a row address that is no multiple of 16
    LDMATRIX_PAST_END,  // out-of-bounds: the last rows lie past the array
    MMA_IN_BRANCH,      // convergence-required: mma.sync with half a warp
    MBARRIER_NO_WAIT,   // race: reads before the mbarrier's phase is over
    MBARRIER_INC,       // deadlock: arrive without .noinc needs no count of its own, with count 64 it never comes
};

__device__ __forceinline__ uint32_t at(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void copy16(void* to, const void* from) { asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at(to)), "l"(from) : "memory"); }
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// 64 threads stream `tiles` tiles of 256 words through STAGES stages; each tile is reversed within itself.
template <Fault F, int STAGES>
__device__ void pipeline(const int* x, int* y, int tiles) {
    __shared__ __align__(16) int s[STAGES][256 + 4];
    int t = threadIdx.x;
    auto swizzle = [](int chunk) { return chunk ^ (chunk >> 3 & 7); };
    auto fill = [&](int tile) {
        if (tile < tiles || F == NO_TAIL_MASK) copy16(&s[tile % STAGES][swizzle(t) * 4 + (F == MISALIGNED_COPY ? 2 : 0)], x + tile * 256 + t * 4);
        if (F != NO_COMMIT) commit();
    };
    for (int i = 0; i < STAGES - 1; i++) fill(i);
    for (int i = 0; i < tiles; i++) {
        if (F == EXIT_UNWAITED && i == tiles - 1) return;
        if (F == WAIT_ONE_LESS) wait<STAGES - 1>();
        else if (F != NO_WAIT) wait<STAGES - 2>();
        if (F != NO_BARRIER) __syncthreads();
        if (F == OVERWRITE_EARLY) fill(i + STAGES);     // the stage that is read below
        int chunk = 63 - t, stage = F == WRONG_STAGE ? (i + 1) % STAGES : i % STAGES;
        int4 v = *reinterpret_cast<int4*>(&s[stage][(F == WRONG_SWIZZLE ? chunk ^ (chunk >> 2 & 7) : swizzle(chunk)) * 4]);
        *reinterpret_cast<int4*>(y + i * 256 + t * 4) = make_int4(v.w, v.z, v.y, v.x);
        if (F == NO_BARRIER) __syncthreads();           // keeps the refill below apart, so that the fault is alone
        if (F != OVERWRITE_EARLY) fill(i + STAGES - 1);
    }
    if (F != EXIT_UNWAITED) asm volatile("cp.async.wait_all;" ::: "memory");
}
#define PIPELINE(NAME, F, S) extern "C" __global__ void NAME(const int* x, int* y, int tiles) { pipeline<F, S>(x, y, tiles); }
PIPELINE(pipeline_double, RIGHT, 2)
PIPELINE(pipeline_triple, RIGHT, 3)
PIPELINE(pipeline_five, RIGHT, 5)
PIPELINE(pipeline_no_wait, NO_WAIT, 3)
PIPELINE(pipeline_wait_one_less, WAIT_ONE_LESS, 3)
PIPELINE(pipeline_no_commit, NO_COMMIT, 3)
PIPELINE(pipeline_no_barrier, NO_BARRIER, 3)
PIPELINE(pipeline_overwrite_early, OVERWRITE_EARLY, 3)
PIPELINE(pipeline_wrong_swizzle, WRONG_SWIZZLE, 3)
PIPELINE(pipeline_wrong_stage, WRONG_STAGE, 3)
PIPELINE(pipeline_no_tail_mask, NO_TAIL_MASK, 3)
PIPELINE(pipeline_misaligned, MISALIGNED_COPY, 3)
PIPELINE(pipeline_exit_unwaited, EXIT_UNWAITED, 3)

// Copies with zero fill: 10 valid bytes of 16; and 4- and 8-byte copies.
extern "C" __global__ void copy_zero_fill(const int* x, int* y) {
    __shared__ __align__(16) int s[128];
    int t = threadIdx.x;
    s[t] = s[t + 32] = s[t + 64] = s[t + 96] = -1;
    __syncwarp();
    if (t < 8) asm volatile("cp.async.cg.shared.global [%0], [%1], 16, 12;" ::"r"(at(s + t * 4)), "l"(x + t * 4) : "memory");
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, 4;" ::"r"(at(s + 32 + t * 2)), "l"(x + t * 2) : "memory");
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at(s + 96 + t)), "l"(x + t), "r"(t % 2 * 4) : "memory");
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncwarp();
    for (int k = 0; k < 4; k++) y[k * 32 + t] = s[k * 32 + t];
}

// Arrival on an mbarrier when a thread's copies have landed (sm_80): every thread waits for the phase, then reads others' data.
template <Fault F>
__device__ void by_mbarrier(const int* x, int* y) {
    __shared__ __align__(16) int s[256];
    __shared__ __align__(8) uint64_t bar;
    int t = threadIdx.x;
    if (t == 0) asm volatile("mbarrier.init.shared.b64 [%0], 64;" ::"r"(at(&bar)) : "memory");
    __syncthreads();
    for (int round = 0; round < 3; round++) {
        copy16(s + t * 4, x + round * 256 + t * 4);
        if (F == MBARRIER_INC) asm volatile("cp.async.mbarrier.arrive.shared.b64 [%0];" ::"r"(at(&bar)) : "memory");
        else asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(at(&bar)) : "memory");
        if (F != MBARRIER_NO_WAIT) {
            uint32_t done = 0;
            while (!done)
                asm volatile("{.reg .pred p; .reg .b64 st; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}" : "=r"(done) : "r"(at(&bar)), "r"(round & 1) : "memory");
        }
        for (int k = 0; k < 4; k++) y[round * 256 + k * 64 + t] = s[255 - (k * 64 + t)];
        __syncthreads();
    }
}
#define BYBAR(NAME, F) extern "C" __global__ void NAME(const int* x, int* y) { by_mbarrier<F>(x, y); }
BYBAR(copy_mbarrier, RIGHT)
BYBAR(copy_mbarrier_no_wait, MBARRIER_NO_WAIT)
BYBAR(copy_mbarrier_counted_twice, MBARRIER_INC)

// Two warps, each loads its own 16x8 half tile with ldmatrix after writing it.
template <Fault F>
__device__ void matrices(const uint32_t* x, uint32_t* y) {
    __shared__ __align__(16) uint32_t s[64 * 4];
    int t = threadIdx.x, lane = t % 32, warp = t / 32;
    for (int k = 0; k < 4; k++) s[warp * 128 + k * 32 + lane] = x[warp * 128 + k * 32 + lane];
    if (F != LDMATRIX_NO_SYNC) __syncwarp();
    uint32_t r[4], row = at(s + (warp * 32 + lane) * 4);
    if (F == LDMATRIX_OVERLAP && warp == 0) row += 16;                   // the last row is the other warp's first
    if (F == LDMATRIX_MISALIGNED) row += 8;
    if (F == LDMATRIX_PAST_END) row += warp * 64;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
    for (int k = 0; k < 4; k++) y[warp * 128 + k * 32 + lane] = r[k];
}
#define MATRICES(NAME, F) extern "C" __global__ void NAME(const uint32_t* x, uint32_t* y) { matrices<F>(x, y); }
MATRICES(ldmatrix_right, RIGHT)
MATRICES(ldmatrix_overlap, LDMATRIX_OVERLAP)
MATRICES(ldmatrix_no_syncwarp, LDMATRIX_NO_SYNC)
MATRICES(ldmatrix_misaligned, LDMATRIX_MISALIGNED)
MATRICES(ldmatrix_past_end, LDMATRIX_PAST_END)

// All elements 1: d = c + 16.
template <Fault F>
__device__ void mma_ones(const float* x, float* y) {
    int t = threadIdx.x;
    float d[4] = {x[t], x[t], x[t], x[t]};
    uint32_t one = 0x3f803f80u;
    auto mma = [&] {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, {%0,%1,%2,%3};" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(one));
    };
    if (F == MMA_IN_BRANCH) {
        if (x[t] < 16.0f) mma();
    } else {
        mma();
    }
    for (int k = 0; k < 4; k++) y[k * 32 + t] = d[k];
}
extern "C" __global__ void mma_converged(const float* x, float* y) { mma_ones<RIGHT>(x, y); }
extern "C" __global__ void mma_in_branch(const float* x, float* y) { mma_ones<MMA_IN_BRANCH>(x, y); }
