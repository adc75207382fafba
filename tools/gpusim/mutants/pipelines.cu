// sm_90a: what else pipelines are made of: rings with wgmma, tensor maps changed in memory, named barriers between warp
// groups, elected lanes, dependent grids, libcu++'s TMA. The comment at each fault names the check that must catch it.
#include <cuda_bf16.h>
#include <cuda/barrier>
#include <cuda/ptx>
#include "hopper.cuh"

enum Fault {
    RIGHT,
    STAGE_EARLY,         // mbarrier-misuse or race: the producer waits with the parity of the round before, a stage too early
    PARITY_NO_FLIP,      // deadlock or race: the consumer never flips its phase bit
    TX_OF_ONE,           // mbarrier-misuse: expects the bytes of one of two copies
    TX_OF_THREE,         // deadlock
    LEFT_IN_FLIGHT,      // race: wait_group 1 before the stage of this step is given back
    READ_BEFORE_WAIT,    // wgmma-register-hazard: accumulators stored with a group in flight
    NO_ACQUIRE_FENCE,    // race (tensormap proxy): the changed map is used without fence.proxy.tensormap
    COUNT_SHORT,         // barrier-divergence, uninitialised-read or race: bar.sync counts half of those that come
    NO_ELECT,            // mbarrier-misuse: every lane of the producer warp arrives
    STORE_NO_FENCE,      // race (fence.proxy.async)
    STORE_NO_BARRIER,    // race
    BOX_OUT_OF_STAGE,    // out-of-bounds: the copy's box is larger than what is left of shared memory
    COORDINATE_PAST,     // wrong-result: the box starts past the tensor's end, which reads zeros
    SWIZZLE_XOR,         // wrong-result: the reader swizzles with the wrong rows
};

// Tiles of 64 x 64 bf16, swizzled by 128 bytes, through a ring of three stages with a phase bit that flips; the consumers
// untangle the swizzle by hand. y = x as f32, rows of 64, `tiles` tiles one below the other.
template <Fault F>
__device__ void tiles(const TensorMap* map, float* y, int n) {
    constexpr int STAGES = 3;
    extern __shared__ __align__(1024) unsigned char raw[];
    __nv_bfloat16(*s)[64 * 64] = reinterpret_cast<__nv_bfloat16(*)[64 * 64]>(raw);
    __shared__ __align__(8) uint64_t full[STAGES], empty[STAGES];
    int t = threadIdx.x;
    if (t == 0) {
        for (int i = 0; i < STAGES; i++) { mbarrier_init(full + i, 1); mbarrier_init(empty + i, 4); }
        fence_mbarrier_init();
    }
    __syncthreads();
    if (t < 32) {
        uint32_t leader = 0;
        asm volatile("{.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(leader));
        if (leader || F == NO_ELECT) {
            int stage = 0, phase = 1;
            for (int i = 0; i < n; i++) {
                mbarrier_wait(empty + stage, F == STAGE_EARLY ? phase ^ 1 : phase);
                mbarrier_arrive_expect(full + stage, F == TX_OF_ONE ? 4096 : F == TX_OF_THREE ? 12288 : 8192);
                tensor_load(s[stage], map, 0, i * 64, full + stage);
                tensor_load(s[stage] + 32 * 64 + (F == BOX_OUT_OF_STAGE && stage == 2 ? 64 * 64 : 0), map, 0, i * 64 + 32 + (F == COORDINATE_PAST ? 64 : 0), full + stage);
                if (++stage == STAGES) { stage = 0; phase ^= 1; }
            }
        }
    } else if (t >= 128) {
        int c = t - 128, stage = 0, phase = 0;
        for (int i = 0; i < n; i++) {
            mbarrier_wait(full + stage, phase);
            for (int e = c; e < 64 * 64; e += 128) {
                int row = e / 64, column = e % 64;
                int at = row * 64 + ((column / 8) ^ (row % (F == SWIZZLE_XOR ? 4 : 8))) * 8 + column % 8;
                y[i * 4096 + e] = __bfloat162float(s[stage][at]);
            }
            __syncwarp();
            if (c % 32 == 0) mbarrier_arrive(empty + stage);
            if (++stage == STAGES) { stage = 0; if (F != PARITY_NO_FLIP) phase ^= 1; }
        }
    }
}
#define TILES(NAME, F) extern "C" __global__ void __launch_bounds__(256, 1) NAME(const __grid_constant__ TensorMap x, float* y, int n) { tiles<F>(&x, y, n); }
TILES(tile_ring, RIGHT)
TILES(tile_ring_stage_early, STAGE_EARLY)
TILES(tile_ring_no_flip, PARITY_NO_FLIP)
TILES(tile_ring_tx_of_one, TX_OF_ONE)
TILES(tile_ring_tx_of_three, TX_OF_THREE)
TILES(tile_ring_no_elect, NO_ELECT)
TILES(tile_ring_out_of_stage, BOX_OUT_OF_STAGE)
TILES(tile_ring_past_tensor, COORDINATE_PAST)
TILES(tile_ring_swizzle_xor, SWIZZLE_XOR)

// c[64,16] = a[64,K] . b[16,K]^T with one wgmma group in flight while the next is issued: a stage is given back one step late.
template <Fault F>
__device__ void overlapped(const TensorMap* ma, const TensorMap* mb, float* c, int steps) {
    constexpr int STAGES = 3;
    extern __shared__ __align__(1024) unsigned char raw[];
    unsigned char* base = raw;
    auto a = [&](int stage) { return base + stage * 8192; };
    auto b = [&](int stage) { return base + STAGES * 8192 + stage * 2048; };
    __shared__ __align__(8) uint64_t full[STAGES], empty[STAGES];
    int t = threadIdx.x;
    if (t == 0) {
        for (int i = 0; i < STAGES; i++) { mbarrier_init(full + i, 1); mbarrier_init(empty + i, 128); }
        fence_mbarrier_init();
    }
    __syncthreads();
    if (t >= 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (t == 128)
            for (int i = 0; i < steps; i++) {
                int stage = i % STAGES;
                mbarrier_wait(empty + stage, (i / STAGES & 1) ^ 1);
                mbarrier_arrive_expect(full + stage, 10240);
                tensor_load(a(stage), ma, i * 64, 0, full + stage);
                tensor_load(b(stage), mb, i * 64, 0, full + stage);
            }
        return;
    }
    asm volatile("setmaxnreg.inc.sync.aligned.u32 200;");
    float d[8] = {};
    for (float& v : d) asm volatile("" : "+f"(v)::"memory");
    for (int i = 0; i < steps; i++) {
        int stage = i % STAGES;
        mbarrier_wait(full + stage, i / STAGES & 1);
        wgmma_fence();
        for (int k = 0; k < 4; k++) wgmma_m64n16k16(d, descriptor_128(a(stage)) + k * 2, descriptor_128(b(stage)) + k * 2);
        wgmma_commit();
        wgmma_wait<1>();
        if (F == LEFT_IN_FLIGHT) mbarrier_arrive(empty + stage);
        else if (i > 0) mbarrier_arrive(empty + (i - 1) % STAGES);
    }
    if (F != READ_BEFORE_WAIT) wgmma_wait<0>();
    int lane = t % 32, warp = t / 32;
    for (int j = 0; j < 8; j++) c[(warp * 16 + lane / 4 + (j / 2 % 2) * 8) * 16 + j / 4 * 8 + lane % 4 * 2 + j % 2] = d[j];
    if (F == READ_BEFORE_WAIT) wgmma_wait<0>();
}
#define OVERLAPPED(NAME, F) extern "C" __global__ void __launch_bounds__(256, 1) NAME(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* c, int steps) { overlapped<F>(&a, &b, c, steps); }
OVERLAPPED(wgmma_overlapped, RIGHT)
OVERLAPPED(wgmma_overlapped_left_in_flight, LEFT_IN_FLIGHT)
OVERLAPPED(wgmma_overlapped_read_early, READ_BEFORE_WAIT)

// A tensor map is copied to shared memory, its address replaced, copied to global memory, and used for a copy.
template <Fault F>
__device__ void map_changed(const TensorMap* map, TensorMap* room, const float* other, float* y) {
    __shared__ __align__(128) TensorMap changed;
    __shared__ __align__(128) float s[16 * 16];
    __shared__ __align__(8) uint64_t bar;
    int t = threadIdx.x;
    if (t == 0) mbarrier_init(&bar, 1);
    fence_mbarrier_init();
    for (int i = t; i < 32; i += 32) ((int*)&changed)[i] = ((const int*)map)[i];
    __syncwarp();
    if (t == 0) asm volatile("tensormap.replace.tile.global_address.shared::cta.b1024.b64 [%0], %1;" ::"r"(at(&changed)), "l"(other) : "memory");
    __syncwarp();
    asm volatile("tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%0], [%1], 128;" ::"l"(room), "r"(at(&changed)) : "memory");
    __syncthreads();
    if (t == 0) {
        if (F != NO_ACQUIRE_FENCE) asm volatile("fence.proxy.tensormap::generic.acquire.gpu [%0], 128;" ::"l"(room) : "memory");
        mbarrier_arrive_expect(&bar, 1024);
        tensor_load(s, room, 0, 0, &bar);
    }
    mbarrier_wait(&bar, 0);
    for (int i = t; i < 256; i += 32) y[i] = s[i];
}
#define MAP(NAME, F) extern "C" __global__ void NAME(const __grid_constant__ TensorMap x, TensorMap* room, const float* other, float* y) { map_changed<F>(&x, room, other, y); }
MAP(map_replaced, RIGHT)
MAP(map_replaced_no_acquire, NO_ACQUIRE_FENCE)

// Two producer warps and two consumer warps, double buffered, through four named barriers.
template <Fault F>
__device__ void named(const int* x, int* y, int n) {
    __shared__ int s[2][64];
    int t = threadIdx.x;
    if (t < 64) {
        for (int i = 0; i < n; i++) {
            int slot = i % 2;
            if (i >= 2) asm volatile("barrier.cta.sync.aligned %0, 128;" ::"r"(3 + slot) : "memory");
            s[slot][t] = x[i * 64 + t] * 2;
            asm volatile("barrier.cta.arrive.aligned %0, 128;" ::"r"(1 + slot) : "memory");
        }
    } else {
        for (int i = 0; i < n; i++) {
            int slot = i % 2;
            asm volatile("barrier.cta.sync.aligned %0, %1;" ::"r"(1 + slot), "r"(F == COUNT_SHORT ? 64 : 128) : "memory");
            y[i * 64 + t - 64] = s[slot][127 - t];
            if (i + 2 < n) asm volatile("barrier.cta.arrive.aligned %0, 128;" ::"r"(3 + slot) : "memory");
        }
    }
}
#define NAMED(NAME, F) extern "C" __global__ void NAME(const int* x, int* y, int n) { named<F>(x, y, n); }
NAMED(named_double_buffer, RIGHT)
NAMED(named_count_short, COUNT_SHORT)

// libcu++: bulk copy in, change, bulk copy out, as the programming guide has it.
template <Fault F>
__device__ void guide(int* x) {
    __shared__ alignas(16) int s[256];
#pragma nv_diag_suppress static_var_with_dynamic_init
    __shared__ cuda::barrier<cuda::thread_scope_block> bar;
    int t = threadIdx.x, offset = blockIdx.x * 256;
    if (t == 0) {
        init(&bar, blockDim.x);
        cuda::device::experimental::fence_proxy_async_shared_cta();
    }
    __syncthreads();
    cuda::barrier<cuda::thread_scope_block>::arrival_token token;
    if (t == 0) {
        cuda::device::experimental::cp_async_bulk_global_to_shared(s, x + offset, sizeof(s), bar);
        token = cuda::device::barrier_arrive_tx(bar, 1, sizeof(s));
    } else {
        token = bar.arrive();
    }
    bar.wait(std::move(token));
    for (int i = t; i < 256; i += blockDim.x) s[i] += 1;
    if (F != STORE_NO_FENCE) cuda::device::experimental::fence_proxy_async_shared_cta();
    if (F != STORE_NO_BARRIER) __syncthreads();
    if (t == 0) {
        cuda::device::experimental::cp_async_bulk_shared_to_global(x + offset, s, sizeof(s));
        cuda::device::experimental::cp_async_bulk_commit_group();
        cuda::device::experimental::cp_async_bulk_wait_group_read<0>();
    }
}
extern "C" __global__ void guide_bulk(int* x) { guide<RIGHT>(x); }
extern "C" __global__ void guide_bulk_no_fence(int* x) { guide<STORE_NO_FENCE>(x); }
extern "C" __global__ void guide_bulk_no_barrier(int* x) { guide<STORE_NO_BARRIER>(x); }

// sm_90's vector atomics, reductions of halves, and 128-bit compare and swap.
extern "C" __global__ void vector_atomics(float* f, __nv_bfloat162* h, unsigned long long* w, int* y) {
    float4 old = atomicAdd((float4*)f, make_float4(1, 2, 3, 4));
    float2 half = atomicAdd((float2*)(f + 4), make_float2(0.5f, 0.25f));
    asm volatile("red.global.add.noftz.bf16x2 [%0], %1;" ::"l"(h), "r"(0x3f803f80) : "memory");
    y[blockIdx.x * 32 + threadIdx.x] = old.x >= 0 && half.y >= 0;
    if (threadIdx.x == 0) atomicMax(w, (unsigned long long)blockIdx.x << 40);
}
