// lm_head_sample: ids[to(i)] = the greatest of x[from(i)] . W^T + bias, the lowest id among equals; _norm: of x / rms(x). Tokens of draws
// that need no distribution, without logits in memory: greedy ones, top-k 1, and forced tokens, which win.
//
// Two launches. The product keeps, of every 32 outputs of a row, the key of the best (tile/order.cuh); its logits have the bits that `project` writes,
// so the token is the one that `sample` takes. lm_head_pick then finds the greatest key of each row. A maximum of keys depends on no order.
//
// Draws at a temperature go through `project` and `sample`: one uniform number is sought in the cumulative weights in the order of ids, whose
// total is known only after the last logit, so the logits have to be somewhere. (Gumbel noise would do without them, with a random number
// for each token and other tokens than the CPU backend draws.)
//
// Shapes    x f32 [m, k], W T [V, k], bias f32 [V] or none, keys u64 [m, ceil(V / 32)], draws [m], ids u32
// Launch    lm_head_best: tile/instances.cuh, shapes of 32 outputs and more; lm_head_pick: 128 threads, grid m
// Bytes     2 V k + 4 m k + m V / 4, x once more from L2 for each further tile of outputs, W for each of rows; then m V / 4 + 8 m.
//           The logits, which are not written, would be 4 m V
// FLOPs     2 m V k
#include "../tile/instances.cuh"
#include "../tile/order.cuh"

namespace {

template <class T> struct Best {
    static constexpr bool BY_ROW = true;
    const photon_lm_head_params &p;
    uint64_t best = 0;

    __device__ __forceinline__ void operator()(int, int column, float first, float second) {
        const bool both = column + 1 < p.product.n;
        if (p.bias != nullptr) {
            first += p.bias[column];
            second += both ? p.bias[column + 1] : 0.0f;
        }
        best = max(best, photon::order_key(column, first));
        if (both) {
            best = max(best, photon::order_key(column + 1, second));
        }
    }

    template <int Lanes> __device__ __forceinline__ void row_done(int row, int column, bool exists) {
        best = photon::greatest_key<Lanes>(best);
        if (exists && threadIdx.x % Lanes == 0) {
            p.best[row * p.best_stride + column / PHOTON_HEAD_TILE] = best;
        }
        best = 0;
    }
};

}  // namespace

PHOTON_PRODUCT_WIDE(lm_head_best, bf16, __nv_bfloat16, float, false, photon_lm_head_params, Best)
PHOTON_PRODUCT_WIDE(lm_head_best, f16, __half, float, false, photon_lm_head_params, Best)
PHOTON_PRODUCT_WIDE(lm_head_best_norm, bf16, __nv_bfloat16, float, true, photon_lm_head_params, Best)
PHOTON_PRODUCT_WIDE(lm_head_best_norm, f16, __half, float, true, photon_lm_head_params, Best)

extern "C" __global__ void __launch_bounds__(128)
    photon_lm_head_pick(const __grid_constant__ photon_lm_head_pick_params p) {
    __shared__ uint64_t parts[4];
    uint32_t *const out = p.ids + photon::place(p.to, blockIdx.x);
    const uint32_t forced = p.draws[blockIdx.x].forced;
    if (forced != UINT32_MAX) {
        if (threadIdx.x == 0) {
            *out = forced;
        }
        return;
    }
    const uint64_t *const row = p.best + blockIdx.x * p.best_stride;
    uint64_t best = 0;
    for (int i = threadIdx.x; i < p.tiles; i += 128) {
        best = max(best, row[i]);
    }
    best = photon::greatest_key<32>(best);
    if (threadIdx.x % 32 == 0) {
        parts[threadIdx.x / 32] = best;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        *out = photon::best_token(max(max(parts[0], parts[1]), max(parts[2], parts[3])));
    }
}
