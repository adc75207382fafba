// qkv_rope_append: [q | k | v] = RMSNorm(x[i]) . W^T, q and k turned by the angles of the row's unit; q goes to the
// query rows, k and v to where the unit's keys and values are kept. Appending to a sequence's cache, each sequence at
// its own length, is therefore no pass of its own.
//
// Shapes    x f32 [m, k], W T [(H + 2 H_kv) head_dim, k] (gain folded in; rows of q and k in turned pairs, see
//           photon.h), query T [m, H head_dim], keys and values T where photon_kv says, angles f32
// Launch    tile/instances.cuh
// Bytes     2 n k + 4 m k + 2 m n and 4 m head_dim of angles, n = (H + 2 H_kv) head_dim; x once more from L2 for each
//           further tile of outputs, W for each of rows
// FLOPs     2 m n k + 3 m (H + H_kv) head_dim
#include "../tile/instances.cuh"
#include "../tile/units.cuh"

namespace {

template <class T> struct Qkv {
    static constexpr bool BY_ROW = false;
    const photon_qkv_params &p;

    __device__ __forceinline__ void operator()(int row, int column, float first, float second) const {
        const int queries = p.heads * p.head_dim, keys = p.kv_heads * p.head_dim;
        const photon::Unit at = photon::unit_of(p.units, row);
        if (column < queries + keys) {
            const int pair = column % p.head_dim / 2;
            const float2 angle = reinterpret_cast<const float2 *>(
                p.angles)[static_cast<int64_t>(at.unit) * (p.head_dim / 2) + pair];
            const float turned = __fmaf_rn(first, angle.x, -__fmul_rn(second, angle.y));
            second = __fmaf_rn(second, angle.x, __fmul_rn(first, angle.y));
            first = turned;
        }
        T *out;
        if (column < queries) {
            out = static_cast<T *>(p.query) + row * p.query_stride + column;
        } else {
            const int inner = column - queries;
            const bool value = inner >= keys;
            const int within = value ? inner - keys : inner;
            const int head = within / p.head_dim;
            out = photon::key_of<T>(p.kv, at.slot, at.unit) + head * p.kv.head_stride +
                  (value ? p.kv.value_offset : 0) + (within - head * p.head_dim);
        }
        *reinterpret_cast<uint32_t *>(out) = photon::Storage<T>::pack(first, second);
    }
};

}  // namespace

PHOTON_PRODUCT(qkv_rope_append, bf16, __nv_bfloat16, float, true, photon_qkv_params, Qkv)
PHOTON_PRODUCT(qkv_rope_append, f16, __half, float, true, photon_qkv_params, Qkv)
