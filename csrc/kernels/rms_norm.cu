// rms_norm: out[to(i)] = x[from(i)] / sqrt(mean(x^2) + eps) * gain. The final norm of a stack, of the rows that are wanted.
//
// Shapes    x, out f32 [m, width], gain f32 [width], width a multiple of 4
// Launch    128 threads, grid m
// Bytes     8 m width from and to memory, 4 width of gain and a second read of the row from cache
// FLOPs     4 m width
#include "../tile/reduce.cuh"
#include "../tile/rows.cuh"

extern "C" __global__ void __launch_bounds__(128)
    photon_rms_norm(const __grid_constant__ photon_norm_params p) {
    __shared__ float parts[4];
    const float4 *const x = reinterpret_cast<const float4 *>(p.x + photon::place(p.from, blockIdx.x) * p.x_stride);
    const float4 *const gain = reinterpret_cast<const float4 *>(p.gain);
    float4 *const out = reinterpret_cast<float4 *>(p.out + photon::place(p.to, blockIdx.x) * p.out_stride);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < p.width / 4; i += 128) {
        const float4 v = x[i];
        sum = fmaf(v.x, v.x, fmaf(v.y, v.y, fmaf(v.z, v.z, fmaf(v.w, v.w, sum))));
    }
    sum = photon::sum_lanes<32>(sum);
    if (threadIdx.x % 32 == 0) {
        parts[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    const float squares = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(p.width) + p.eps);
    for (int i = threadIdx.x; i < p.width / 4; i += 128) {
        const float4 v = x[i], w = gain[i];
        out[i] = make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
    }
}
