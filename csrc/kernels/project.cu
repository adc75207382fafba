// project: out[to(i), j] = sum_k x[from(i), k] W[j, k] + bias[j]; _norm: of x / rms(x), the gain being part of W.
// The linear chunkers (chunk_project), the converters and the language model's head.
//
// Shapes    x f32 [m, k], W T [n, k], bias f32 [n] or none, out f32 [m, n]. A chunk's rows are read as one row of
//           C_l * D_in, which they are in memory: no copy. Rows of x and out lie where a photon_rows says.
// Launch    tile/instances.cuh
// Bytes     2 n k + 4 m k + 4 m n, x once more from L2 for each further tile of outputs, W for each of rows
// FLOPs     2 m n k
#include "../tile/instances.cuh"

namespace {

template <class T> struct Project {
    static constexpr bool BY_ROW = false;
    const photon_project_params &p;

    __device__ __forceinline__ void operator()(int row, int column, float first, float second) const {
        float *const out = p.out + photon::place(p.to, row) * p.out_stride + column;
        const bool both = column + 1 < p.product.n;
        if (p.bias != nullptr) {
            first += p.bias[column];
            second += both ? p.bias[column + 1] : 0.0f;
        }
        // Rows of an odd number of outputs begin at odd places.
        if (both && reinterpret_cast<uintptr_t>(out) % 8 == 0) {
            *reinterpret_cast<float2 *>(out) = make_float2(first, second);
            return;
        }
        out[0] = first;
        if (both) {
            out[1] = second;
        }
    }
};

}  // namespace

PHOTON_PRODUCT(project, bf16, __nv_bfloat16, float, false, photon_project_params, Project)
PHOTON_PRODUCT(project, f16, __half, float, false, photon_project_params, Project)
PHOTON_PRODUCT(project_norm, bf16, __nv_bfloat16, float, true, photon_project_params, Project)
PHOTON_PRODUCT(project_norm, f16, __half, float, true, photon_project_params, Project)
