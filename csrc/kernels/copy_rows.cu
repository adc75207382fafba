// copy_rows: out[to(i)] = x[from(i)]. Latents from where they were made to where they are used; a stride of 0 copies one
// row everywhere (the start latents).
//
// Shapes    x, out f32 [m, width]
// Launch    128 threads, grid m
// Bytes     8 m width
// FLOPs     none
#include "../tile/rows.cuh"

extern "C" __global__ void __launch_bounds__(128)
    photon_copy_rows(const __grid_constant__ photon_copy_params p) {
    const float *const x = p.x + photon::place(p.from, blockIdx.x) * p.x_stride;
    float *const out = p.out + photon::place(p.to, blockIdx.x) * p.out_stride;
    if ((p.width | p.x_stride | p.out_stride) % 4 == 0) {
        for (int i = threadIdx.x; i < p.width / 4; i += 128) {
            reinterpret_cast<float4 *>(out)[i] = reinterpret_cast<const float4 *>(x)[i];
        }
    } else {
        for (int i = threadIdx.x; i < p.width; i += 128) {
            out[i] = x[i];
        }
    }
}
