// gate_up_swiglu: h[i, j] = silu(gate) * up, gate and up = RMSNorm(x[i]) . rows 2 j and 2 j + 1 of W.
// Neighbouring outputs of the product are the two that belong together, so nothing is exchanged.
//
// Shapes    x f32 [m, k], W T [2 f, k] (norm's gain folded in), h T [m, f]
// Launch    tile/instances.cuh
// Bytes     4 f k + 4 m k + 2 m f, x once more from L2 for each further tile of outputs, W for each of rows
// FLOPs     4 m f k
#include "../tile/instances.cuh"

namespace {

template <class T> struct Swiglu {
    static constexpr bool BY_ROW = false;
    const photon_swiglu_params &p;

    __device__ __forceinline__ void operator()(int row, int column, float gate, float up) const {
        const float h = gate / __fadd_rn(1.0f, expf(-gate)) * up;
        static_cast<T *>(p.out)[row * p.out_stride + column / 2] = T(h);
    }
};

}  // namespace

PHOTON_PRODUCT(gate_up_swiglu, bf16, __nv_bfloat16, float, true, photon_swiglu_params, Swiglu)
PHOTON_PRODUCT(gate_up_swiglu, f16, __half, float, true, photon_swiglu_params, Swiglu)
