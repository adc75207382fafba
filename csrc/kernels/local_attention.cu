// local_attention: causal attention inside chunks that see nothing else, whole chunks or one step of them.
//
// Keys and values of a slot are its units 0 .. first + rows - 1: in the forward pass rows of the same packed buffer, in
// decoding a small fixed buffer that is overwritten by the next chunk. A CTA brings the rows of `block_heads` KV heads
// of one slot to shared memory once; a warp then has a query head to itself. Nothing is written but the result.
//
// With at most PHOTON_MAX_WINDOW units a row does 4 head_dim FLOPs a key for 4 bytes of key and value: in a window of 5 that
// is 3 FLOPs a byte, a tenth of what plain multiply-adds sustain beside memory. So no tensor cores, and the sums of a row
// do not depend on where its chunk lies.
//
// Shapes    query T [slots rows, H head_dim], keys and values T where photon_kv says, out T [slots rows, H head_dim]
// Launch    128 threads, grid (slots, ceil(H_kv / block_heads)); shared memory 8 (2 units row(block_heads) + rows row(group block_heads))
//           + 16 rows (units + 1) bytes, row(n) as row_pitch below has it
// Bytes     2 head_dim slots (2 rows H + 2 (first + rows) H_kv): each element once, in whole sectors where 4 heads are a
//           multiple of 32 bytes and head_stride is head_dim
// FLOPs     4 head_dim H slots sum over rows of (first + row + 1)
#include "../tile/reduce.cuh"
#include "../tile/types.cuh"
#include "../tile/units.cuh"

namespace {

constexpr int THREADS = 128;

// Four elements, two banks: 16 of them, half a warp's, fill all banks.
using Four = uint2;

// Fours from one row of `heads` heads in shared memory to the next, with an odd `pitch` of a head: a number that leaves `pitch` over 16. So the
// units that the lanes of half a warp take for one head, up to 16, lie in different banks, and where a row's results end the next
// row's go on. Without the padding, units 0 and 4 of four heads of 52 would share their banks.
__device__ __forceinline__ int row_pitch(int heads, int pitch) {
    const int row = heads * pitch;
    return row + ((pitch - row) & 15);
}

template <class T> __device__ __forceinline__ float4 widen(Four x) {
    const float2 low = photon::Storage<T>::unpack(x.x), high = photon::Storage<T>::unpack(x.y);
    return make_float4(low.x, low.y, high.x, high.y);
}

template <class T> __device__ __forceinline__ void local_attention(const photon_local_attention_params &p) {
    extern __shared__ __align__(16) Four memory[];
    const int fours = p.head_dim / 4, pitch = fours | 1;
    const int group = p.heads / p.kv_heads, units = p.first + p.rows;
    const int slot = blockIdx.x, head0 = blockIdx.y * p.block_heads;
    const int kv_heads = min(p.block_heads, p.kv_heads - head0), heads = kv_heads * group;

    // [unit][KV head][pitch] keys and values, [row][query head][pitch] queries, then each warp's scores.
    const int kv_pitch = row_pitch(kv_heads, pitch), query_pitch = row_pitch(heads, pitch);
    Four *const keys = memory;
    Four *const values = keys + units * kv_pitch;
    Four *const queries = values + units * kv_pitch;
    float *const scores =
        reinterpret_cast<float *>(queries + p.rows * query_pitch) + threadIdx.x / 32 * p.rows * (units + 1);

    for (int i = threadIdx.x; i < units * kv_heads * fours; i += THREADS) {
        const int row = i / fours, e = i - row * fours;  // row = unit * kv_heads + head
        const int unit = row / kv_heads, head = row - unit * kv_heads;
        const int at = unit * kv_pitch + head * pitch + e;
        const T *const key = photon::key_of<T>(p.kv, slot, unit) + (head0 + head) * p.kv.head_stride + 4 * e;
        keys[at] = *reinterpret_cast<const Four *>(key);
        values[at] = *reinterpret_cast<const Four *>(key + p.kv.value_offset);
    }
    const int64_t row0 = static_cast<int64_t>(slot) * p.rows;
    const int64_t column0 = static_cast<int64_t>(head0) * group * p.head_dim;
    for (int i = threadIdx.x; i < p.rows * heads * fours; i += THREADS) {
        const int row = i / (heads * fours), within = i - row * heads * fours;
        const T *const query = static_cast<const T *>(p.query) + (row0 + row) * p.query_stride + column0 + 4 * within;
        queries[row * query_pitch + within / fours * pitch + within % fours] = *reinterpret_cast<const Four *>(query);
    }
    __syncthreads();

    const int lane = threadIdx.x % 32;
    for (int head = threadIdx.x / 32; head < heads; head += THREADS / 32) {
        const Four *const key = keys + head / group * pitch, *const value = values + head / group * pitch;
        for (int i = lane; i < p.rows * units; i += 32) {
            const int row = i / units, unit = i - row * units;
            float sum = 0.0f;
            if (unit <= p.first + row) {
                const Four *const q = queries + row * query_pitch + head * pitch;
                const Four *const k = key + unit * kv_pitch;
                for (int e = 0; e < fours; e++) {
                    const float4 a = widen<T>(q[e]), b = widen<T>(k[e]);
                    sum = fmaf(a.x, b.x, sum);
                    sum = fmaf(a.y, b.y, sum);
                    sum = fmaf(a.z, b.z, sum);
                    sum = fmaf(a.w, b.w, sum);
                }
            }
            scores[row * (units + 1) + unit] = sum * p.scale;
        }
        __syncwarp();
        for (int row = lane; row < p.rows; row += 32) {
            float *const score = scores + row * (units + 1);
            const int seen = p.first + row + 1;
            float most = score[0];
            for (int unit = 1; unit < seen; unit++) {
                most = fmaxf(most, score[unit]);
            }
            float sum = 0.0f;
            for (int unit = 0; unit < seen; unit++) {
                const float weight = expf(score[unit] - most);
                score[unit] = weight;
                sum += weight;
            }
            score[units] = 1.0f / sum;
        }
        __syncwarp();
        for (int i = lane; i < p.rows * fours; i += 32) {
            const int row = i / fours, e = i - row * fours;
            const float *const score = scores + row * (units + 1);
            float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            for (int unit = 0; unit <= p.first + row; unit++) {
                const float weight = score[unit];
                const float4 v = widen<T>(value[unit * kv_pitch + e]);
                sum.x = fmaf(weight, v.x, sum.x);
                sum.y = fmaf(weight, v.y, sum.y);
                sum.z = fmaf(weight, v.z, sum.z);
                sum.w = fmaf(weight, v.w, sum.w);
            }
            const float scale = score[units];
            // Each head's queries are read for the last time above, so the result takes their place and leaves in
            // whole rows below.
            queries[row * query_pitch + head * pitch + e] =
                make_uint2(photon::Storage<T>::pack(sum.x * scale, sum.y * scale),
                           photon::Storage<T>::pack(sum.z * scale, sum.w * scale));
        }
        __syncwarp();
    }
    __syncthreads();
    for (int i = threadIdx.x; i < p.rows * heads * fours; i += THREADS) {
        const int row = i / (heads * fours), within = i - row * heads * fours;
        T *const out = static_cast<T *>(p.out) + (row0 + row) * p.out_stride + column0 + 4 * within;
        *reinterpret_cast<Four *>(out) = queries[row * query_pitch + within / fours * pitch + within % fours];
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    photon_local_attention_bf16(const __grid_constant__ photon_local_attention_params params) {
    local_attention<__nv_bfloat16>(params);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    photon_local_attention_f16(const __grid_constant__ photon_local_attention_params params) {
    local_attention<__half>(params);
}
