// Addresses, alignment, lifetime and initialisation. The comment beside each fault names the check that must catch it.
#include <cstdint>

extern "C" __global__ void copy_right(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
extern "C" __global__ void copy_off_by_one(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) y[i] = x[i < n ? i : 0];                 // out-of-bounds: one element past y
}
extern "C" __global__ void stencil_right(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = (i > 0 ? x[i - 1] : 0.0f) + x[i] + (i + 1 < n ? x[i + 1] : 0.0f);
}
extern "C" __global__ void stencil_left_neighbour(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i - 1] + x[i] + (i + 1 < n ? x[i + 1] : 0.0f);   // out-of-bounds: x[-1]
}
extern "C" __global__ void stencil_right_neighbour(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = (i > 0 ? x[i - 1] : 0.0f) + x[i] + x[i + 1];       // out-of-bounds: x[n]
}
extern "C" __global__ void index_in_32_bits(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned at = (unsigned)i * 0x40000001u;            // out-of-bounds: the product is no index
    if (i < n) y[i] = x[at % 0x7fffffffu];
}
extern "C" __global__ void vector_tail(const float4* x, float4* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i * 4 < n) y[i] = x[i];                         // out-of-bounds: n is no multiple of 4
}
extern "C" __global__ void null_pointer(const float* x, float* y, int n) {
    const float* p;
    asm volatile("mov.u64 %0, 0;" : "=l"(p));           // a null that the compiler does not see
    y[threadIdx.x] = p[threadIdx.x];                    // out-of-bounds: address 0
}
extern "C" __global__ void atomic_past_end(const int* x, int* counts, int n) {
    int i = threadIdx.x;
    if (i < n) atomicAdd(counts + (x[i] & 16), 1);      // out-of-bounds: 16 counters, index 16
}
extern "C" __global__ void freed_buffer(const float* x, float* y, int n) {
    int i = threadIdx.x;
    if (i < n) y[i] = x[i];                             // use-after-free: the host has freed x
}
extern "C" __global__ void freed_destination(const float* x, float* y, int n) {
    int i = threadIdx.x;
    if (i < n) y[i] = x[i];                             // use-after-free: the host has freed y
}
extern "C" __global__ void misaligned_load(const float* x, float* y, int n) {
    int i = threadIdx.x;
    float4 v = *reinterpret_cast<const float4*>(x + 1 + i * 4);          // misaligned
    y[i] = v.x + v.w;
}
extern "C" __global__ void misaligned_store(const float* x, float* y, int n) {
    int i = threadIdx.x;
    *reinterpret_cast<float2*>(y + 1 + i * 2) = make_float2(x[i], 1.0f); // misaligned
}
extern "C" __global__ void misaligned_shared(const float* x, float* y, int n) {
    __shared__ __align__(16) float s[132];
    int i = threadIdx.x;
    for (int k = i; k < 132; k += 32) s[k] = x[k % n];
    __syncthreads();
    float4 v = *reinterpret_cast<float4*>(s + i * 4 + 2);                // misaligned
    y[i] = v.x + v.w;
}
extern "C" __global__ void misaligned_atomic(unsigned char* bytes) {
    atomicAdd(reinterpret_cast<unsigned*>(bytes + 2), 1u);               // misaligned
}

extern "C" __global__ void shared_static_overrun(const float* x, float* y, int n) {
    __shared__ float s[64];
    int i = threadIdx.x;
    s[i + 1] = x[i];                                    // out-of-bounds: s[64], past the block's static shared memory
    __syncthreads();
    y[i] = i ? s[i] : 0.0f;
}
extern "C" __global__ void shared_dynamic_overrun(const float* x, float* y, int n) {
    extern __shared__ float dynamic[];
    int i = threadIdx.x;
    dynamic[i] = x[i];                                  // out-of-bounds: 64 threads, 60 floats at launch
    __syncthreads();
    y[i] = dynamic[63 - i];
}
extern "C" __global__ void shared_dynamic_right(const float* x, float* y, int n) {
    extern __shared__ float dynamic[];
    int i = threadIdx.x;
    dynamic[i] = x[i];
    __syncthreads();
    y[i] = dynamic[63 - i];
}
extern "C" __global__ void shared_negative(const float* x, float* y, int n) {
    __shared__ float s[64];
    int i = threadIdx.x;
    s[i] = x[i];
    __syncthreads();
    y[i] = s[i - 1 - (n > 1000)];                       // out-of-bounds: s[-1] (or, where it is not the first, uninitialised-read)
}
extern "C" __global__ void local_overrun(const int* x, int* y, int n) {
    int v[8];
    for (int k = 0; k < 8; k++) v[k] = x[k];
    y[threadIdx.x] = v[x[threadIdx.x] * 400000];        // out-of-bounds: past the thread's local memory
}

extern "C" __global__ void uninitialised_shared(const float* x, float* y, int n) {
    __shared__ float s[64];
    int i = threadIdx.x;
    if (i != 17) s[i] = x[i];
    __syncthreads();
    y[i] = s[63 - i];                                   // uninitialised-read: s[17]
}
extern "C" __global__ void uninitialised_global(float* x, float* y, int n) {
    int i = threadIdx.x;
    if (i < n - 1) x[i] = i;
    __syncthreads();
    y[i] = x[n - 1 - i];                                // uninitialised-read: x[n-1] (x comes from an allocation nobody wrote)
}
extern "C" __global__ void uninitialised_byte(unsigned char* x, unsigned* y) {
    int i = threadIdx.x;
    for (int k = 0; k < 3; k++) x[i * 4 + k] = 7;
    y[i] = reinterpret_cast<volatile unsigned*>(x)[i];  // uninitialised-read: the fourth byte of each word
}
extern "C" __global__ void uninitialised_accumulator(const float* x, float* y, int n) {
    int i = threadIdx.x;
    if (i < n) atomicAdd(y + i % 4, x[i]);              // uninitialised-read: nobody zeroed y
}
// Right: reads what it skips writing only where it was written; padding of a struct is never read.
struct Padded { char c; int i; };
extern "C" __global__ void struct_padding(Padded* p, int* y) {
    int i = threadIdx.x;
    p[i].c = (char)i;
    p[i].i = i * 5;
    y[i] = p[i].c + p[i].i;
}

extern "C" __global__ void read_only_changed(const int* __restrict__ x, int* z, int* y) {
    int i = threadIdx.x;
    int a = __ldg(x + i);
    z[i] = a + 1;                                       // read-only-write or race: z is x; ld.global.nc may keep the old value
    __syncthreads();
    y[i] = __ldg(x + 31 - i);
}
__constant__ int table[32];
extern "C" __global__ void constant_written(int* y) {
    const int* p = table + threadIdx.x;
    asm volatile("st.b32 [%0], %1;" ::"l"(p), "r"(3) : "memory");        // read-only-write or out-of-bounds: a store to the constant window
    y[threadIdx.x] = *p;
}
extern "C" __global__ void trap_if_negative(const int* x, int* y) {
    if (x[threadIdx.x] < 0) __trap();                   // trap: element 9 is negative
    y[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void endless_loop(volatile int* flag, int* y) {
    while (*flag == 0) {}                               // deadlock: nobody sets the flag
    y[threadIdx.x] = 1;
}
