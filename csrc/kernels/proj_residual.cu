// proj_residual: x[i, j] += sum_k h[i, k] W[j, k]. The projection after attention and the one after SwiGLU.
//
// Shapes    h T [m, k], W T [n, k], x f32 [m, n], n even
// Launch    tile/instances.cuh
// Bytes     2 n k + 2 m k + 8 m n, h once more from L2 for each further tile of outputs, W for each of rows
// FLOPs     2 m n k
#include "../tile/instances.cuh"

namespace {

template <class T> struct Residual {
    static constexpr bool BY_ROW = false;
    const photon_residual_params &p;

    __device__ __forceinline__ void operator()(int row, int column, float first, float second) const {
        float2 *const out = reinterpret_cast<float2 *>(p.out + row * p.out_stride + column);
        float2 x = *out;
        x.x += first;
        x.y += second;
        *out = x;
    }
};

}  // namespace

PHOTON_PRODUCT(proj_residual, bf16, __nv_bfloat16, __nv_bfloat16, false, photon_residual_params, Residual)
PHOTON_PRODUCT(proj_residual, f16, __half, __half, false, photon_residual_params, Residual)
