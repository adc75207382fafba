// CUDA C programs for the simulated device: matrix products, c[M,N] = a[M,K] . b[K,N] (b[N,K] where said), row-major.
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <mma.h>

// f32, any sizes; 16x16 threads, 64x64 tile, 4x4 outputs a thread.
extern "C" __global__ void gemm_f32_tiled(const float* a, const float* b, float* c, int M, int N, int K) {
    __shared__ float sa[16][65], sb[16][64];
    int tx = threadIdx.x, ty = threadIdx.y, t = ty * 16 + tx;
    int m0 = blockIdx.y * 64, n0 = blockIdx.x * 64;
    float acc[4][4] = {};
    for (int k0 = 0; k0 < K; k0 += 16) {
        for (int i = t; i < 1024; i += 256) {
            int m = i / 16, k = i % 16;
            sa[k][m] = m0 + m < M && k0 + k < K ? a[(size_t)(m0 + m) * K + k0 + k] : 0.0f;
            int kb = i / 64, n = i % 64;
            sb[kb][n] = n0 + n < N && k0 + kb < K ? b[(size_t)(k0 + kb) * N + n0 + n] : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < 16; k++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) acc[i][j] += sa[k][ty * 4 + i] * sb[k][tx * 4 + j];
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            int m = m0 + ty * 4 + i, n = n0 + tx * 4 + j;
            if (m < M && n < N) c[(size_t)m * N + n] = acc[i][j];
        }
}

// WMMA fragments straight from global memory; sizes are multiples of the tile; one warp a tile.
template <typename T, int TM, int TN, int TK, typename C>
__device__ void wmma_gemm(const T* a, const T* b, C* c, int N, int K) {
    using namespace nvcuda::wmma;
    fragment<matrix_a, TM, TN, TK, T, row_major> fa;
    fragment<matrix_b, TM, TN, TK, T, row_major> fb;
    fragment<accumulator, TM, TN, TK, C> fc;
    fill_fragment(fc, C(0));
    int m = blockIdx.y * TM, n = blockIdx.x * TN;
    for (int k = 0; k < K; k += TK) {
        load_matrix_sync(fa, a + (size_t)m * K + k, K);
        load_matrix_sync(fb, b + (size_t)k * N + n, N);
        mma_sync(fc, fa, fb, fc);
    }
    store_matrix_sync(c + (size_t)m * N + n, fc, N, mem_row_major);
}
extern "C" __global__ void wmma_f16_16x16x16_f32(const __half* a, const __half* b, float* c, int M, int N, int K) { wmma_gemm<__half, 16, 16, 16>(a, b, c, N, K); }
extern "C" __global__ void wmma_f16_32x8x16_f16(const __half* a, const __half* b, __half* c, int M, int N, int K) { wmma_gemm<__half, 32, 8, 16>(a, b, c, N, K); }
extern "C" __global__ void wmma_bf16_8x32x16_f32(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c, int M, int N, int K) { wmma_gemm<__nv_bfloat16, 8, 32, 16>(a, b, c, N, K); }
extern "C" __global__ void wmma_s8_16x16x16_s32(const signed char* a, const signed char* b, int* c, int M, int N, int K) { wmma_gemm<signed char, 16, 16, 16>(a, b, c, N, K); }
extern "C" __global__ void wmma_u8_16x16x16_s32(const unsigned char* a, const unsigned char* b, int* c, int M, int N, int K) { wmma_gemm<unsigned char, 16, 16, 16>(a, b, c, N, K); }
extern "C" __global__ void wmma_f64_8x8x4_f64(const double* a, const double* b, double* c, int M, int N, int K) { wmma_gemm<double, 8, 8, 4>(a, b, c, N, K); }

// Tiles in shared memory, column-major B (b[N,K]), a bias row loaded into the accumulator.
extern "C" __global__ void wmma_shared_bias(const __half* a, const __half* b, const float* bias, float* c, int M, int N, int K) {
    using namespace nvcuda::wmma;
    __shared__ __align__(32) __half sa[64][24], sb[64][24];
    __shared__ __align__(32) float sc[64][68];
    int warp = threadIdx.x / 32, m0 = blockIdx.y * 64, n0 = blockIdx.x * 64;
    for (int i = threadIdx.x; i < 64 * 64; i += 128) sc[i / 64][i % 64] = n0 + i % 64 < N ? bias[n0 + i % 64] : 0;
    __syncthreads();
    fragment<accumulator, 16, 16, 16, float> acc[4];
    for (int j = 0; j < 4; j++) load_matrix_sync(acc[j], &sc[warp * 16][j * 16], 68, mem_row_major);
    for (int k0 = 0; k0 < K; k0 += 16) {
        __syncthreads();
        for (int i = threadIdx.x; i < 64 * 16; i += 128) {
            int r = i / 16, k = i % 16;
            sa[r][k] = m0 + r < M && k0 + k < K ? a[(size_t)(m0 + r) * K + k0 + k] : __half(0.0f);
            sb[r][k] = n0 + r < N && k0 + k < K ? b[(size_t)(n0 + r) * K + k0 + k] : __half(0.0f);
        }
        __syncthreads();
        fragment<matrix_a, 16, 16, 16, __half, row_major> fa;
        load_matrix_sync(fa, &sa[warp * 16][0], 24);
        for (int j = 0; j < 4; j++) {
            fragment<matrix_b, 16, 16, 16, __half, col_major> fb;
            load_matrix_sync(fb, &sb[j * 16][0], 24);
            mma_sync(acc[j], fa, fb, acc[j]);
        }
    }
    for (int j = 0; j < 4; j++) {
        for (int e = 0; e < acc[j].num_elements; e++) acc[j].x[e] *= 2.0f;
        store_matrix_sync(&sc[warp * 16][j * 16], acc[j], 68, mem_row_major);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 64 * 64; i += 128)
        if (m0 + i / 64 < M && n0 + i % 64 < N) c[(size_t)(m0 + i / 64) * N + n0 + i % 64] = sc[i / 64][i % 64];
}

__device__ __forceinline__ uint32_t shared_address(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

__device__ __forceinline__ void ldmatrix4(uint32_t (&r)[4], const void* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(p)) : "memory");
}
__device__ __forceinline__ void ldmatrix2_trans(uint32_t (&r)[2], const void* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(p)) : "memory");
}
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// Copies 16 bytes, or zeros where `valid` is 0.
__device__ __forceinline__ void copy16(void* to, const void* from, int valid) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid) : "memory");
}

// bf16 -> bf16, f32 accumulation; N and K multiples of 8; 4 warps, 64x64x32 tiles, three stages of cp.async, swizzled.
extern "C" __global__ void __launch_bounds__(128) gemm_bf16_pipelined(const __nv_bfloat16* a, const __nv_bfloat16* b, __nv_bfloat16* c, int M, int N, int K) {
    constexpr int STAGES = 3;
    extern __shared__ __align__(128) unsigned char raw[];
    auto sa = reinterpret_cast<__nv_bfloat16(*)[64][32]>(raw);
    auto sb = reinterpret_cast<__nv_bfloat16(*)[32][64]>(raw + STAGES * 4096);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, m0 = blockIdx.y * 64, n0 = blockIdx.x * 64;
    // Chunks of 8 elements: A rows have 4, B rows have 8; the chunk index is XORed so that ldmatrix has no conflicts.
    auto fill = [&](int stage, int k0) {
        for (int i = threadIdx.x; i < 256; i += 128) {
            int r = i / 4, ch = i % 4, k = k0 + ch * 8;
            bool in = m0 + r < M && k < K;
            copy16(&sa[stage][r][(ch ^ (r / 2 % 4)) * 8], in ? a + (size_t)(m0 + r) * K + k : a, in ? 16 : 0);
            int rb = i / 8, cb = i % 8, n = n0 + cb * 8;
            in = k0 + rb < K && n < N;
            copy16(&sb[stage][rb][(cb ^ (rb % 8)) * 8], in ? b + (size_t)(k0 + rb) * N + n : b, in ? 16 : 0);
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
    };
    float acc[8][4] = {};
    int steps = (K + 31) / 32;
    for (int s = 0; s < STAGES - 1; s++) fill(s, s * 32);
    for (int s = 0; s < steps; s++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
        __syncthreads();
        int stage = s % STAGES;
        fill((s + STAGES - 1) % STAGES, (s + STAGES - 1) * 32);
        for (int kk = 0; kk < 2; kk++) {
            uint32_t fa[4];
            int r = warp * 16 + lane % 16, ch = kk * 2 + lane / 16;
            ldmatrix4(fa, &sa[stage][r][(ch ^ (r / 2 % 4)) * 8]);
            for (int j = 0; j < 8; j++) {
                uint32_t fb[2];
                int rb = kk * 16 + lane % 16;
                ldmatrix2_trans(fb, &sb[stage][rb][(j ^ (rb % 8)) * 8]);
                mma_bf16(acc[j], fa, fb);
            }
        }
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    for (int j = 0; j < 8; j++)
        for (int h = 0; h < 2; h++) {
            int m = m0 + warp * 16 + lane / 4 + h * 8, n = n0 + j * 8 + lane % 4 * 2;
            if (m < M && n < N) *reinterpret_cast<__nv_bfloat162*>(c + (size_t)m * N + n) = __floats2bfloat162_rn(acc[j][h * 2], acc[j][h * 2 + 1]);
        }
}

// One warp, one tile, every mma.sync shape that sm_80 has and inference uses: rows of fragments in, fragments out.
// a, b, c, d hold registers: [instruction][register][lane].
#define MMA4(NAME, INST)                                                                                                                   \
    extern "C" __global__ void NAME(const uint32_t* a, const uint32_t* b, const uint32_t* c, uint32_t* d) {                                \
        int l = threadIdx.x;                                                                                                               \
        asm volatile("{.reg .b32 d0,d1,d2,d3; " INST " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};}"                         \
                     : "=r"(d[l]), "=r"(d[32 + l]), "=r"(d[64 + l]), "=r"(d[96 + l])                                                       \
                     : "r"(a[l]), "r"(a[32 + l]), "r"(a[64 + l]), "r"(a[96 + l]), "r"(b[l]), "r"(b[32 + l]), "r"(c[l]), "r"(c[32 + l]),    \
                       "r"(c[64 + l]), "r"(c[96 + l]));                                                                                    \
    }
#define MMAF(NAME, INST)                                                                                                                   \
    extern "C" __global__ void NAME(const uint32_t* a, const uint32_t* b, const float* c, float* d) {                                      \
        int l = threadIdx.x;                                                                                                               \
        asm volatile(INST " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"                                                     \
                     : "=f"(d[l]), "=f"(d[32 + l]), "=f"(d[64 + l]), "=f"(d[96 + l])                                                       \
                     : "r"(a[l]), "r"(a[32 + l]), "r"(a[64 + l]), "r"(a[96 + l]), "r"(b[l]), "r"(b[32 + l]), "f"(c[l]), "f"(c[32 + l]),    \
                       "f"(c[64 + l]), "f"(c[96 + l]));                                                                                    \
    }
#define MMAF2(NAME, INST)                                                                                                                  \
    extern "C" __global__ void NAME(const uint32_t* a, const uint32_t* b, const float* c, float* d) {                                      \
        int l = threadIdx.x;                                                                                                               \
        asm volatile(INST " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%8,%9,%10};"                                                                 \
                     : "=f"(d[l]), "=f"(d[32 + l]), "=f"(d[64 + l]), "=f"(d[96 + l])                                                       \
                     : "r"(a[l]), "r"(a[32 + l]), "r"(b[l]), "f"(c[l]), "f"(c[32 + l]), "f"(c[64 + l]), "f"(c[96 + l]));                   \
    }
MMAF(mma_m16n8k16_bf16, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")
MMAF(mma_m16n8k16_f16, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32")
MMAF(mma_m16n8k8_tf32, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32")
MMAF2(mma_m16n8k8_bf16, "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32")
MMAF2(mma_m16n8k8_f16, "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32")
MMAF2(mma_m16n8k4_tf32, "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32")
MMA4(mma_m16n8k32_s8, "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32")
MMA4(mma_m16n8k32_u8s8_satfinite, "mma.sync.aligned.m16n8k32.row.col.satfinite.s32.u8.s8.s32")
#if __CUDA_ARCH__ >= 890
MMAF(mma_m16n8k32_e4m3, "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32")
MMAF(mma_m16n8k32_e5m2e4m3, "mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e4m3.f32")
#endif
extern "C" __global__ void mma_m16n8k16_f16_f16acc(const uint32_t* a, const uint32_t* b, const uint32_t* c, uint32_t* d) {
    int l = threadIdx.x;
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%8,%9};"
                 : "=r"(d[l]), "=r"(d[32 + l])
                 : "r"(a[l]), "r"(a[32 + l]), "r"(a[64 + l]), "r"(a[96 + l]), "r"(b[l]), "r"(b[32 + l]), "r"(c[l]), "r"(c[32 + l]));
}

// Moves 8x8 matrices of 16-bit elements with ldmatrix (and .trans) and, on sm_90, back with stmatrix.
extern "C" __global__ void matrix_moves(const uint32_t* x, uint32_t* y) {
    __shared__ __align__(16) uint32_t s[4 * 32], t[4 * 32];
    int l = threadIdx.x;
    for (int i = 0; i < 4; i++) s[i * 32 + l] = x[i * 32 + l];
    __syncwarp();
    uint32_t r[4], q[2];
    ldmatrix4(r, s + l * 4);
    for (int i = 0; i < 4; i++) y[i * 32 + l] = r[i];
    ldmatrix2_trans(q, s + (l % 16) * 4);
    y[128 + l] = q[0];
    y[160 + l] = q[1];
#if __CUDA_ARCH__ >= 900
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(shared_address(t + l * 4)), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
    __syncwarp();
    for (int i = 0; i < 4; i++) y[192 + i * 32 + l] = t[i * 32 + l];
#endif
}
