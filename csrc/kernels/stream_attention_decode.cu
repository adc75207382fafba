// stream_attention, few rows: at most 16 queries of a sequence and KV head, over everything that is cached.
//
// A segment of 256 keys is one warp's: it fetches its own keys, two steps of 32 in flight, and waits for no barrier. A CTA
// has four segments (two where a head is wider than 64), as many CTAs as the longest sequence needs share a head. Parts are
// merged in the order of segments: in shared memory if one CTA is enough, else through the workspace by whichever
// CTA arrives last. The counter only says who that is; the order of the sums never depends on it.
//
// Shapes    as stream_attention_prefill, rows of an entry times H / H_kv at most 16
// Launch    32 W threads, W = head_dim <= 64 ? 4 : 2, grid (ceil(segments / W), H_kv, sequences), 256 W width bytes of
//           shared memory (288 W width where head_dim is above 96), or W queries (width + 2) floats if that is more;
//           width is head_dim rounded up to a multiple of 8
// Bytes     4 head_dim a key of each KV head, once; 4 head_dim a query; with several CTAs 8 (width + 2) a query and segment
// FLOPs     4 head_dim for each query and key that it sees; the products are made on 16 queries
#include "../tile/softmax.cuh"

namespace {

using namespace photon;

template <int Dim> constexpr int WARPS = Dim <= 64 ? 4 : 2;

// The CTAs that registers must leave room for on an SM. Of the 228 KB of shared memory of sm_90 and sm_100 a CTA takes one besides its own,
// so four whose rows are 56 wide fill it to the byte, and of 64 three fit.
template <int Dim> constexpr int CTAS = Dim <= 56 ? 4 : 3;

template <class T, int Dim> __device__ __forceinline__ void decode(const photon_stream_attention_params &p) {
    using Block = Head<T, Dim>;
    constexpr int PITCH = Block::WIDTH + 2;
    constexpr int THREADS = 32 * WARPS<Dim>;
    extern __shared__ __align__(128) char memory[];
    const int entry = blockIdx.z, kv_head = blockIdx.y, group = p.heads / p.kv_heads;
    const int row0 = p.first_row[entry], rows = p.first_row[entry + 1] - row0, queries = rows * group;
    const int length = p.length[entry], end = length + rows;
    const int segments = (end + SEGMENT - 1) / SEGMENT;
    const int first = blockIdx.x * WARPS<Dim>;
    if (first >= segments || rows == 0) {
        return;
    }
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int segment = first + warp;
    const bool alone = segments <= WARPS<Dim>;
    // Where the parts of this entry and head meet: [segment][query][maximum, sum, values].
    float *const parts =
        alone ? reinterpret_cast<float *>(memory)
              : p.partial + static_cast<int64_t>(entry * p.kv_heads + kv_head) * p.segments * p.queries * PITCH;
    const int pitch = (alone ? queries : p.queries) * PITCH;

    Seen<T, Dim> part;
    part.clear();
    if (segment < segments) {
        const uint32_t slot = p.slot[entry];
        Queries<T, Dim> query;
        query.load(memory + WARPS<Dim> * 4 * Block::BLOCK + warp * Queries<T, Dim>::BYTES, p, row0, kv_head, group, 0,
                   queries);
        const int last[2] = {length + g / group, length + (g + 8) / group};
        char *const stages = memory + warp * 4 * Block::BLOCK;
        const int from = segment * SEGMENT, to = min(from + SEGMENT, end);
        auto fetch = [&](int unit) {
            if (unit < to) {
                Block::template copy<32>(lane, shared_address(stages + unit / KEYS % 2 * 2 * Block::BLOCK), p.kv, slot,
                                         kv_head, unit, to);
            }
            copy_commit();
        };
        const float scale = p.scale * 1.44269504088896340736f;
        fetch(from);
        for (int unit = from; unit < to; unit += KEYS) {
            fetch(unit + KEYS);
            copy_wait<1>();
            __syncwarp();
            part.step(query, shared_address(stages + unit / KEYS % 2 * 2 * Block::BLOCK), unit, last, scale);
            __syncwarp();
        }
        copy_wait<0>();
        part.finish();
    }
    __syncthreads();
    if (segment < segments) {
        float *const mine = parts + (alone ? warp : segment) * pitch;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            if (g + 8 * r < queries) {
                float *const row = mine + (g + 8 * r) * PITCH;
                if (t == 0) {
                    *reinterpret_cast<float2 *>(row) = make_float2(part.most[r], part.sum[r]);
                }
#pragma unroll
                for (int j = 0; j < Block::PARTS; j++) {
                    *reinterpret_cast<float2 *>(row + 2 + 8 * j + 2 * t) =
                        make_float2(part.out[j][2 * r], part.out[j][2 * r + 1]);
                }
            }
        }
    }
    if (!alone) {
        // Where the stages were.
        uint32_t *const final = reinterpret_cast<uint32_t *>(memory);
        __syncthreads();
        if (threadIdx.x == 0) {
            // After the barrier, so that it releases what all threads have written.
            __threadfence();
            const uint32_t blocks = (segments + WARPS<Dim> - 1) / WARPS<Dim>;
            uint32_t *const arrived = p.arrived + entry * p.kv_heads + kv_head;
            *final = atomicAdd(arrived, 1u) == blocks - 1;
            // What the others wrote before they arrived is seen from here on.
            __threadfence();
            if (*final) {
                *arrived = 0;  // for the next launch
            }
        }
        __syncthreads();
        if (!*final) {
            return;
        }
    } else {
        __syncthreads();
    }
    for (int i = threadIdx.x; i < queries * (Block::WIDTH / 2); i += THREADS) {
        const int query = i / (Block::WIDTH / 2), e = i % (Block::WIDTH / 2) * 2;
        const float *row = parts + query * PITCH;
        float most = -INFINITY, sum = 0.0f, x = 0.0f, y = 0.0f;
        for (int s = 0; s < segments; s++, row += pitch) {
            const float2 head = *reinterpret_cast<const float2 *>(row);
            const float2 value = *reinterpret_cast<const float2 *>(row + 2 + e);
            const Merge merge(most, head.x);
            sum = merge(sum, head.y);
            x = merge(x, value.x);
            y = merge(y, value.y);
        }
        const float whole = 1.0f / sum;
        store_result<T, Dim>(p, row0, kv_head, group, query, e, x * whole, y * whole);
    }
}

}  // namespace

#define DECODE(DTYPE, T, DIM)                                                                                         \
    extern "C" __global__ void __launch_bounds__(32 * WARPS<DIM>, CTAS<DIM>)                                          \
        photon_stream_attention_decode_##DTYPE##_d##DIM(const __grid_constant__ photon_stream_attention_params p) {  \
        decode<T, DIM>(p);                                                                                            \
    }
PHOTON_HEAD_DIMS(DECODE, bf16, __nv_bfloat16)
PHOTON_HEAD_DIMS(DECODE, f16, __half)
