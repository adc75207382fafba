// embed_chunk: out[to(i)] = table[ids[from(i)]], widened. The rows of a chunk that are written one after another are its
// concatenation: nothing else is to be done for it.
//
// Shapes    table T [V, width], ids u32, out f32 [m, width]; an id beyond V gives a row of NaN
// Launch    128 threads, grid m
// Bytes     m (4 + 2 width + 4 width)
// FLOPs     none
#include "../tile/rows.cuh"
#include "../tile/types.cuh"

namespace {

template <class T> __device__ __forceinline__ void embed(const photon_embed_params &p) {
    const uint32_t id = p.ids[photon::place(p.from, blockIdx.x)];
    const bool known = id < static_cast<uint32_t>(p.vocabulary);
    const T *const row = static_cast<const T *>(p.table) + static_cast<int64_t>(known ? id : 0) * p.width;
    float *const out = p.out + photon::place(p.to, blockIdx.x) * p.out_stride;
    // Rows of an odd width begin at odd elements: pairs are then neither aligned here nor there.
    if (p.width % 4 == 0 && p.out_stride % 4 == 0) {
        for (int i = threadIdx.x; i < p.width / 4; i += blockDim.x) {
            const uint2 four = reinterpret_cast<const uint2 *>(row)[i];
            const float2 low = photon::Storage<T>::unpack(four.x), high = photon::Storage<T>::unpack(four.y);
            reinterpret_cast<float4 *>(out)[i] =
                known ? make_float4(low.x, low.y, high.x, high.y) : make_float4(NAN, NAN, NAN, NAN);
        }
    } else {
        for (int i = threadIdx.x; i < p.width; i += blockDim.x) {
            out[i] = known ? static_cast<float>(row[i]) : NAN;
        }
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(128)
    photon_embed_chunk_bf16(const __grid_constant__ photon_embed_params params) {
    embed<__nv_bfloat16>(params);
}

extern "C" __global__ void __launch_bounds__(128)
    photon_embed_chunk_f16(const __grid_constant__ photon_embed_params params) {
    embed<__half>(params);
}
