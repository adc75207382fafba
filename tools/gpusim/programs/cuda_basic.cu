// CUDA C programs for the simulated device: elementwise work, reductions, control flow, memory spaces. cuda_programs.py
// describes their arguments and results. Written plainly, as such kernels usually are.
#include <cstdint>
#include <cstdio>
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

namespace cg = cooperative_groups;

extern "C" __global__ void saxpy(float a, const float* x, const float* y, float* z, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) z[i] = a * x[i] + y[i];
}

extern "C" __global__ void saxpy_vector(float a, const float4* __restrict__ x, const float4* __restrict__ y, float4* z, int n4) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n4) return;
    float4 p = __ldg(x + i), q = __ldcs(y + i);
    __stcs(z + i, make_float4(fmaf(a, p.x, q.x), fmaf(a, p.y, q.y), fmaf(a, p.z, q.z), fmaf(a, p.w, q.w)));
}

// Block reduction in shared memory, then one atomic per block.
extern "C" __global__ void sum_shared(const float* x, float* total, int n) {
    extern __shared__ float part[];
    float s = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i];
    part[threadIdx.x] = s;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) atomicAdd(total, part[0]);
}

extern "C" __global__ void sum_shuffle(const double* x, double* total, int n) {
    __shared__ double part[32];
    double s = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i];
    for (int d = 16; d > 0; d /= 2) s += __shfl_down_sync(~0u, s, d);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = s;
    __syncthreads();
    if (threadIdx.x < 32) {
        s = threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0.0;
        for (int d = 16; d > 0; d /= 2) s += __shfl_xor_sync(~0u, s, d);
        if (threadIdx.x == 0) atomicAdd(total, s);
    }
}

// Two phases with a grid barrier between them: y[i] = x[i] / sum(x).
extern "C" __global__ void normalise_grid(const float* x, float* part, float* y, int n) {
    cg::grid_group grid = cg::this_grid();
    cg::thread_block block = cg::this_thread_block();
    cg::thread_block_tile<32> warp = cg::tiled_partition<32>(block);
    __shared__ float sums[32];
    float s = 0;
    for (int i = grid.thread_rank(); i < n; i += grid.size()) s += x[i];
    s = cg::reduce(warp, s, cg::plus<float>());
    if (warp.thread_rank() == 0) sums[warp.meta_group_rank()] = s;
    block.sync();
    if (block.thread_rank() == 0) {
        float t = 0;
        for (unsigned i = 0; i < warp.meta_group_size(); i++) t += sums[i];
        part[blockIdx.x] = t;
    }
    grid.sync();
    float total = 0;
    for (unsigned b = 0; b < gridDim.x; b++) total += part[b];
    for (int i = grid.thread_rank(); i < n; i += grid.size()) y[i] = x[i] / total;
}

extern "C" __global__ void print_rows(const int* x, int n) {
    int i = threadIdx.x;
    if (i < n) printf("row %d: %d 0x%08x %.3f %s %c %lld %%\n", i, x[i], x[i], x[i] / 8.0, i % 2 ? "odd" : "even", 'a' + i, (long long)x[i] << 33);
}

__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
extern "C" __global__ void recursion(int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = fibonacci(i % 16);
}

// Ackermann: calls from within calls' arguments, with divergent depth.
__device__ __noinline__ int ackermann(int m, int n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}
extern "C" __global__ void ackermann_table(int* y) { y[threadIdx.x] = ackermann(threadIdx.x / 8, threadIdx.x % 8); }

struct Wide { int a; double b; short c[5]; float4 d; };
__device__ __noinline__ Wide widen(Wide w, int k) {
    w.a += k;
    w.b *= k;
    w.c[k % 5] = (short)k;
    w.d.x += w.d.y + w.d.z * w.d.w;
    return w;
}
extern "C" __global__ void by_value(Wide w, Wide* y) { y[threadIdx.x] = widen(w, threadIdx.x); }

__device__ __noinline__ float op_add(float a, float b) { return a + b; }
__device__ __noinline__ float op_mul(float a, float b) { return a * b; }
__device__ __noinline__ float op_max(float a, float b) { return fmaxf(a, b); }
__device__ __noinline__ float op_sub(float a, float b) { return a - b; }
typedef float (*Op)(float, float);
__device__ Op const operations[4] = {op_add, op_mul, op_max, op_sub};
extern "C" __global__ void function_table(const int* which, const float* a, const float* b, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = operations[which[i] & 3](a[i], b[i]);
}

struct Shape { __device__ virtual float area() const = 0; };
struct Square : Shape { float s; __device__ Square(float s) : s(s) {} __device__ float area() const override { return s * s; } };
struct Circle : Shape { float r; __device__ Circle(float r) : r(r) {} __device__ float area() const override { return 3.0f * r * r; } };
extern "C" __global__ void virtual_calls(float* y, int n) {
    int i = threadIdx.x;
    if (i >= n) return;
    Square s(i);
    Circle c(i);
    const Shape* shape = i % 3 ? static_cast<const Shape*>(&s) : &c;
    y[i] = shape->area();
}

__constant__ float coefficients[8] = {1.0f, -0.5f, 0.25f, -0.125f, 2.0f, 3.5f, -4.0f, 0.0625f};
__constant__ int offset_from_host;                      // the test writes it through cuModuleGetGlobal
__device__ unsigned counter_global = 7;
__device__ int2 table_global[4] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
extern "C" __global__ void polynomial(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float s = 0;
    for (int k = 7; k >= 0; k--) s = s * x[i] + coefficients[k];
    y[i] = s + offset_from_host + table_global[i & 3].y;
    atomicAdd(&counter_global, 1u);
}

// A local array indexed at run time, and an address-taken local.
__device__ __noinline__ void swap(int* a, int* b) { int t = *a; *a = *b; *b = t; }
extern "C" __global__ void sort_local(const int* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int v[9];
    for (int k = 0; k < 9; k++) v[k] = x[i * 9 + k];
    for (int k = 1; k < 9; k++)
        for (int j = k; j > 0 && v[j - 1] > v[j]; j--) swap(&v[j - 1], &v[j]);
    for (int k = 0; k < 9; k++) y[i * 9 + k] = v[k];
}

extern "C" __global__ void transpose_padded(const float* x, float* y, int rows, int cols) {
    __shared__ float tile[32][33];
    int c = blockIdx.x * 32 + threadIdx.x, r = blockIdx.y * 32 + threadIdx.y;
    for (int k = 0; k < 32; k += 8) if (r + k < rows && c < cols) tile[threadIdx.y + k][threadIdx.x] = x[(r + k) * cols + c];
    __syncthreads();
    c = blockIdx.y * 32 + threadIdx.x, r = blockIdx.x * 32 + threadIdx.y;
    for (int k = 0; k < 32; k += 8) if (r + k < cols && c < rows) y[(r + k) * rows + c] = tile[threadIdx.x][threadIdx.y + k];
}

// switch with many dense cases: a branch table (brx.idx).
extern "C" __global__ void branch_table(const int* op, const unsigned* x, unsigned* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned v = x[i];
    switch (op[i]) {
        case 0: v += 17; break;
        case 1: v = __brev(v); break;
        case 2: v = v * v + 3; break;
        case 3: v = __popc(v); break;
        case 4: v ^= v >> 7; break;
        case 5: v = __clz(v); break;
        case 6: v = v % 1000003u; break;
        case 7: v = __byte_perm(v, 0x12345678, 0x7531); break;
        case 8: v = __funnelshift_l(v, ~v, 11); break;
        case 9: v = __umulhi(v, 0x9e3779b9u); break;
        case 10: for (int k = 0; k < 5; k++) v = v * 1664525u + 1013904223u; break;
        case 11: v = ~v; break;
        default: v = 0;
    }
    y[i] = v;
}

extern "C" __global__ void collatz(const unsigned* x, int* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned long long v = x[i];
    int steps = 0;
    while (v != 1) {
        v = v & 1 ? 3 * v + 1 : v / 2;
        if (++steps > 5000) break;
    }
    y[i] = steps;
}

extern "C" __global__ void heap(int** slots, int* y, int n) {
    int i = threadIdx.x;
    if (i >= n) return;
    y[i] = slots[i][i] + 1;                             // pointers in memory
}

extern "C" __global__ void stop_on_negative(const int* x, int n) {
    int i = threadIdx.x;
    if (i < n && x[i] < 0) __trap();
}

#undef NDEBUG
#include <cassert>
extern "C" __global__ void assert_positive(const int* x, int n) {
    int i = threadIdx.x;
    if (i < n) assert(x[i] > 0);
}
