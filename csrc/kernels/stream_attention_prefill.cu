// stream_attention, many rows: causal flash attention of new rows over everything their sequence has cached.
//
// A CTA has 64 queries of one sequence and KV head (rows times the heads of a group), 16 a warp, and walks over the keys in
// steps of 32 that all warps share, three steps in flight. After each segment of 256 keys the partial result joins the
// total, in the order of segments, as stream_attention_decode does it.
//
// Shapes    query T [m, H head_dim], keys and values T where photon_kv says (rows 16-byte aligned, where head_dim is no
//           multiple of 8 8-byte), out T [m, H head_dim]; head_dim 32, 40, 48, 52, 56, 60, 64, 80, 96, 128
// Launch    128 threads, grid (ceil(most queries of an entry / 64), H_kv, sequences), 384 width bytes of shared memory
//           and 128 width more where head_dim is above 96: the queries; width is head_dim rounded up to a multiple of 8
// Bytes     of a tile of queries: 4 head_dim times the keys up to its last row, and 4 head_dim a query
// FLOPs     4 head_dim for each query and key that it sees; the products are made on whole steps of 32 keys
#include "../tile/softmax.cuh"

namespace {

using namespace photon;

constexpr int THREADS = 128;
constexpr int STAGES = 3;

template <class T, int Dim> __device__ __forceinline__ void prefill(const photon_stream_attention_params &p) {
    using Block = Head<T, Dim>;
    extern __shared__ __align__(128) char memory[];
    const int entry = blockIdx.z, kv_head = blockIdx.y, group = p.heads / p.kv_heads;
    const int row0 = p.first_row[entry], rows = p.first_row[entry + 1] - row0;
    const int queries = rows * group, tile = blockIdx.x * 64;
    if (tile >= queries) {
        return;
    }
    const int length = p.length[entry];
    // Keys that the last row of this tile sees.
    const int end = length + min(queries - 1, tile + 63) / group + 1;
    const uint32_t slot = p.slot[entry];

    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int query0 = tile + 16 * warp;
    Queries<T, Dim> query;
    query.load(memory + STAGES * 2 * Block::BLOCK + warp * Queries<T, Dim>::BYTES, p, row0, kv_head, group, query0,
               queries);
    const int last[2] = {length + (query0 + g) / group, length + (query0 + g + 8) / group};

    const int steps = (end + KEYS - 1) / KEYS;
    auto fetch = [&](int step) {
        if (step < steps) {
            Block::template copy<THREADS>(threadIdx.x, shared_address(memory + step % STAGES * 2 * Block::BLOCK), p.kv, slot,
                                          kv_head, step * KEYS, end);
        }
        copy_commit();
    };
    fetch(0);
    fetch(1);

    const float scale = p.scale * 1.44269504088896340736f;
    Seen<T, Dim> total, part;
    total.clear();
    part.clear();
    for (int step = 0; step < steps; step++) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        fetch(step + STAGES - 1);
        part.step(query, shared_address(memory + step % STAGES * 2 * Block::BLOCK), step * KEYS, last, scale);
        if ((step + 1) % (SEGMENT / KEYS) == 0 || step + 1 == steps) {
            part.finish();
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const Merge merge(total.most[r], part.most[r]);
                total.sum[r] = merge(total.sum[r], part.sum[r]);
#pragma unroll
                for (int j = 0; j < Block::PARTS; j++) {
                    total.out[j][2 * r] = merge(total.out[j][2 * r], part.out[j][2 * r]);
                    total.out[j][2 * r + 1] = merge(total.out[j][2 * r + 1], part.out[j][2 * r + 1]);
                }
            }
            part.clear();
        }
    }
    copy_wait<0>();
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (query0 + g + 8 * r < queries) {
            const float whole = 1.0f / total.sum[r];
#pragma unroll
            for (int j = 0; j < Block::PARTS; j++) {
                store_result<T, Dim>(p, row0, kv_head, group, query0 + g + 8 * r, 8 * j + 2 * t,
                                     total.out[j][2 * r] * whole, total.out[j][2 * r + 1] * whole);
            }
        }
    }
}

}  // namespace

#define PREFILL(DTYPE, T, DIM)                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS, DIM <= 64 ? 3 : 2)                                            \
        photon_stream_attention_prefill_##DTYPE##_d##DIM(const __grid_constant__ photon_stream_attention_params p) {  \
        prefill<T, DIM>(p);                                                                                            \
    }
PHOTON_HEAD_DIMS(PREFILL, bf16, __nv_bfloat16)
PHOTON_HEAD_DIMS(PREFILL, f16, __half)
