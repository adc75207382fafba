// What the language and its library do besides arithmetic: calls, stacks, odd control flow, odd shapes of blocks, votes,
// atomics of all widths. The comment at each fault names the check that must catch it.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cassert>
#include <cstdint>
#include <cstdio>
#include <new>

// ---- calls -----------------------------------------------------------------------------------------------------------
__device__ __noinline__ int ackermann(int m, int n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}
extern "C" __global__ void recursion(const int* x, int* y) { y[threadIdx.x] = ackermann(x[threadIdx.x] % 3, x[threadIdx.x] % 4); }

__device__ __noinline__ int twice(int v) { return v * 2; }
__device__ __noinline__ int square(int v) { return v * v; }
__device__ __noinline__ int negate(int v) { return -v; }
typedef int (*Function)(int);
__device__ Function functions[3] = {twice, square, negate};
extern "C" __global__ void function_pointers(const int* x, int* y) {
    int v = x[threadIdx.x];
    for (int i = 0; i < 3; i++) v = functions[(threadIdx.x + i) % 3](v) & 0xffff;
    y[threadIdx.x] = v;
}

struct Shape {
    int side;
    __device__ Shape(int s) : side(s) {}
    __device__ virtual int area() const { return 0; }
    __device__ virtual int edge() const { return side; }
};
struct Square : Shape { __device__ Square(int s) : Shape(s) {} __device__ int area() const override { return side * side; } };
struct Triangle : Shape { __device__ Triangle(int s) : Shape(s) {} __device__ int area() const override { return side * side / 2; } __device__ int edge() const override { return 3; } };
extern "C" __global__ void virtual_calls(const int* x, int* y) {
    __shared__ alignas(16) unsigned char room[32][16];
    int t = threadIdx.x, v = x[t];
    Shape* shape = v % 2 ? (Shape*)new (room[t]) Square(v) : (Shape*)new (room[t]) Triangle(v);
    __syncwarp();
    Shape* other = (Shape*)room[31 - t];
    (void)shape;
    y[t] = other->area() * 10 + other->edge();
}

struct Big { int v[12]; double d; char c; };
__device__ __noinline__ Big turn(Big b, int by) {
    Big r;
    for (int i = 0; i < 12; i++) r.v[i] = b.v[(i + by) % 12];
    r.d = b.d * 2;
    r.c = b.c + 1;
    return r;
}
extern "C" __global__ void structs_by_value(const int* x, int* y) {
    Big b;
    for (int i = 0; i < 12; i++) b.v[i] = x[threadIdx.x] + i;
    b.d = x[threadIdx.x] * 0.5;
    b.c = 'a';
    Big r = turn(turn(b, threadIdx.x % 12), 1);
    y[threadIdx.x] = r.v[0] * 1000 + (int)r.d + r.c;
}

// ---- stacks, heaps, jumps ---------------------------------------------------------------------------------------------
extern "C" __global__ void local_sort(const int* x, int* y) {
    int v[16];
    for (int i = 0; i < 16; i++) v[i] = x[threadIdx.x * 16 + i];
    for (int i = 1; i < 16; i++)
        for (int j = i; j > 0 && v[j - 1] > v[j]; j--) { int w = v[j]; v[j] = v[j - 1]; v[j - 1] = w; }
    for (int i = 0; i < 16; i++) y[threadIdx.x * 16 + i] = v[i];
}
// Wrong: out-of-bounds: a negative index leaves the thread's local memory.
extern "C" __global__ void local_far_out(const int* x, int* y) {
    volatile int v[16];
    for (int i = 0; i < 16; i++) v[i] = x[i];
    y[threadIdx.x] = v[x[threadIdx.x] * 4000000];
}
extern "C" __global__ void heap(const int* x, int* y) {
    int t = threadIdx.x, n = x[t] % 7 + 1;
    int* v = (int*)malloc(n * sizeof(int));
    if (!v) { y[t] = -1; return; }
    for (int i = 0; i < n; i++) v[i] = t + i;
    int sum = 0;
    for (int i = 0; i < n; i++) sum += v[i];
    free(v);
    y[t] = sum;
}
extern "C" __global__ void jump_table(const int* x, int* y) {
    int v = x[threadIdx.x], r = 0;
    switch (v % 11) {
        case 0: r = v + 3; break;
        case 1: r = v * 3;
        case 2: r ^= 77; break;
        case 3: r = v / 3; break;
        case 4: r = __popc(v); break;
        case 5: r = -v; break;
        case 6: r = v << 3; break;
        case 7: r = v * v; break;
        case 8: r = ~v; break;
        default: r = 5;
    }
    y[threadIdx.x] = r;
}
// Two loops that jump into each other: no structure to reconverge by.
extern "C" __global__ void irreducible(const int* x, int* y) {
    int v = x[threadIdx.x], n = 0;
    if (v & 1) goto odd;
even:
    n += 1;
    v = v / 2;
    if (v <= 0) goto out;
    if (v & 1) goto odd;
    goto even;
odd:
    n += 10;
    v = v - 1;
    if (v <= 0) goto out;
    if (v & 2) { v -= 2; goto odd; }
    goto even;
out:
    y[threadIdx.x] = n;
}
extern "C" __global__ void prints(const int* x, int* y) {
    int t = threadIdx.x;
    if (t < 2) printf("%d|%5u|%-6x|%o|%c|%s|%%|%8.3f|%e|%g|%lld|%llx|%hhd|%.3s|%+d|%*d|%-*d|%.*f|%p\n", x[t], 7u, 255, 8, 'q', "text", 1.5, 2.5e10, 0.1, 1ll << 40, ~0ull, 3, "abcdef", 4, 6, 42, 5, 43, 2, 3.14159, (void*)0);
    y[t] = 1;
}
template <bool WRONG> __device__ void asserted(const int* x, int* y) {
    assert(x[threadIdx.x] < (WRONG ? 20 : 32) && "small");
    y[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void assert_holds(const int* x, int* y) { asserted<false>(x, y); }
extern "C" __global__ void assert_fails(const int* x, int* y) { asserted<true>(x, y); }    // assert

// ---- odd blocks --------------------------------------------------------------------------------------------------------
// Block (5, 3, 3): 45 threads, so the second warp has 13 lanes.
template <int FAULT> __device__ void odd_block(const int* x, int* y) {
    __shared__ int s[3][3][5];
    int t = threadIdx.x + 5 * (threadIdx.y + 3 * threadIdx.z);
    s[threadIdx.z][threadIdx.y][threadIdx.x] = x[t];
    __syncthreads();
    unsigned mask = t < 32 ? ~0u : FAULT == 1 ? ~0u : 0x1fff;
    int v = s[2 - threadIdx.z][2 - threadIdx.y][4 - threadIdx.x];
    int sum = __reduce_add_sync(mask, v);
    int up = __shfl_down_sync(mask, v, FAULT == 2 ? 3 : 1);
    bool last = FAULT == 2 ? t % 32 == 31 || t == 44 : t == 31 || t == 44;
    y[t] = last ? sum : sum + up;
}
extern "C" __global__ void partial_warps(const int* x, int* y) { odd_block<0>(x, y); }
extern "C" __global__ void partial_warps_full_mask(const int* x, int* y) { odd_block<1>(x, y); }        // right: lanes that never were are not waited for
extern "C" __global__ void partial_warps_shfl_absent(const int* x, int* y) { odd_block<2>(x, y); }      // wrong-result: uses what comes from lanes that the block does not have

// ---- votes -------------------------------------------------------------------------------------------------------------
extern "C" __global__ void votes(const int* x, int* y) {
    int t = threadIdx.x, v = x[t], same;
    unsigned r = 0;
    r += __popc(__match_any_sync(~0u, v % 5));
    r += __popc(__match_all_sync(~0u, 7, &same)) + same;
    r += __all_sync(~0u, v >= 0) * 100 + __any_sync(~0u, v == 9) * 1000;
    r += __reduce_max_sync(~0u, v) + __reduce_min_sync(~0u, (unsigned)v + 5) + (__reduce_xor_sync(~0u, (unsigned)v) & 15);
    if (t % 2) r += __popc(__activemask() & 0xaaaaaaaau) * 0 + __popc(__ballot_sync(0xaaaaaaaau, v % 4 == 1));
    r += __fns(0xf0f0f0f0u, 0, t % 8 + 1);
    y[t] = r;
}
// Lanes of a diverged half read from lanes of the other half, which the mask does not name: wrong-result.
extern "C" __global__ void shfl_inactive(const int* x, int* y) {
    int t = threadIdx.x, v = x[t];
    if (t < 16) v = __shfl_sync(0xffffu, v, 16 + t);
    y[t] = v;
}
extern "C" __global__ void syncwarp_two_masks(const int* x, int* y) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[t];
    if (t < 16) __syncwarp(0xffffu); else __syncwarp(0xffff0000u);
    y[t] = s[t ^ 1];
}
// ---- atomics -----------------------------------------------------------------------------------------------------------
__device__ double add_by_cas(double* at, double v) {
    unsigned long long* p = (unsigned long long*)at;
    unsigned long long old = *(volatile unsigned long long*)p, assumed;
    do {
        assumed = old;
        old = atomicCAS(p, assumed, __double_as_longlong(v + __longlong_as_double(assumed)));
    } while (assumed != old);
    return __longlong_as_double(old);
}
extern "C" __global__ void atomics_all(const int* x, double* d, unsigned long long* u, __half2* h, __nv_bfloat162* b, unsigned short* c, int* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, v = x[i];
    add_by_cas(d, v);
    atomicAdd(d + 1, v * 0.5);
    atomicMax(u, (unsigned long long)v << 33);
    atomicMin(u + 1, (unsigned long long)v + (1ull << 40));
    atomicXor(u + 2, 1ull << v % 64);
    atomicAdd(u + 3, 1ull << 35);
    atomicAdd(h, __floats2half2_rn(1.0f, 2.0f));
    atomicAdd(b, __floats2bfloat162_rn(1.0f, 0.5f));
    unsigned short old = *(volatile unsigned short*)c, assumed;
    do {
        assumed = old;
        old = atomicCAS(c, assumed, (unsigned short)(assumed + 3));
    } while (old != assumed);
    y[i] = atomicInc((unsigned*)(y + 96), 40) <= 40 && atomicDec((unsigned*)(y + 97), 50) <= 50;
}
// Wrong: race: a compare-and-swap loop that starts with a plain load of what others change, and a store without one.
extern "C" __global__ void max_without_cas(const int* x, float* best) {
    float v = x[blockIdx.x * blockDim.x + threadIdx.x];
    if (v > *best) *best = v;
}
