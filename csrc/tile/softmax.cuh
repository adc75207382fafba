// Attention of one warp: 16 queries against steps of PHOTON_KEY_STEP keys, with a running maximum and sum.
//
// Keys are counted from a sequence's first unit, so steps and segments lie where they lie whoever asks: a row gets the same
// bits in a prefill of 300 rows and alone. A step of which a row sees nothing changes nothing, to the bit.
#pragma once

#include "copy.cuh"
#include "mma.cuh"
#include "reduce.cuh"
#include "units.cuh"

// The head widths that stream attention is compiled for; HEAD_DIMS in src/cuda/raw has the same.
#define PHOTON_HEAD_DIMS(KERNEL, DTYPE, T) \
    KERNEL(DTYPE, T, 32)                   \
    KERNEL(DTYPE, T, 40)                   \
    KERNEL(DTYPE, T, 48)                   \
    KERNEL(DTYPE, T, 52)                   \
    KERNEL(DTYPE, T, 56)                   \
    KERNEL(DTYPE, T, 60)                   \
    KERNEL(DTYPE, T, 64)                   \
    KERNEL(DTYPE, T, 80)                   \
    KERNEL(DTYPE, T, 96)                   \
    KERNEL(DTYPE, T, 128)

namespace photon {

constexpr int KEYS = PHOTON_KEY_STEP;
constexpr int SEGMENT = PHOTON_KEY_SEGMENT;

// A head of `Dim` elements. Rows in memory have no padding, so where `Dim` is 52 or 60 every other one begins between two parts of
// 16 bytes and copies take 8. In shared memory, where fragments are loaded by 16 bytes, a row is padded with zeros to whole parts.
template <class T, int Dim> struct Head {
    static_assert(Dim % 4 == 0, "rows begin at multiples of 8 bytes");
    static constexpr int WIDTH = (Dim + 7) / 8 * 8;
    static constexpr int COPY = Dim % 8 == 0 ? 8 : 4;  // elements of a copy
    static constexpr int COPIES = WIDTH / COPY;        // of a row; copies of padding read nothing
    static constexpr int PARTS = WIDTH / 8;
    static constexpr int BLOCK = KEYS * WIDTH * 2;  // bytes of the keys, or values, of a step
    // Rows that lie in the same banks follow each other at this distance; parts are exchanged among so many.
    static constexpr int TURN = PARTS % 8 == 0 ? 8 : PARTS % 4 == 0 ? 4 : PARTS % 2 == 0 ? 2 : 1;

    static __device__ __forceinline__ uint32_t part(int row, int c) {
        return (row * PARTS + (c ^ (row / (8 / TURN) % TURN))) * 16;
    }

    // Keys and values of a head in the step at unit `first`, a block of the cache; `end` is the first unit that does not
    // exist. Zeros follow.
    template <int Threads>
    static __device__ __forceinline__ void copy(int thread, uint32_t shared, const photon_kv &kv, uint32_t slot, int head,
                                                int first, int end) {
        static_assert(KEYS == PHOTON_KV_BLOCK, "a step lies in one block");
        const T *const keys = block_of<T>(kv, slot, first / KEYS) + head * kv.head_stride;
        for (int i = thread; i < KEYS * COPIES; i += Threads) {
            const int row = i / COPIES, c = i - row * COPIES;
            const bool there = first + row < end;
            const T *const key = keys + (there ? row : 0) * kv.unit_stride + COPY * c;
            if constexpr (COPY == 8) {
                copy_16(shared + part(row, c), key, there ? 16 : 0);
                copy_16(shared + BLOCK + part(row, c), key + kv.value_offset, there ? 16 : 0);
            } else {
                const uint32_t at = shared + part(row, c / 2) + c % 2 * 8;
                const int bytes = there && COPY * c < Dim ? 8 : 0;
                copy_8(at, key, bytes);
                copy_8(at + BLOCK, key + kv.value_offset, bytes);
            }
        }
    }
};

// The 16 queries of a warp: number `query` is head `query % group` of the group and row `query / group` of the entry. They stay in
// registers, or, where a head is so wide that its results need them, in shared memory: 16 bytes a lane, the lanes side by side.
template <class T, int Dim> struct Queries {
    static constexpr int STEPS = (Head<T, Dim>::WIDTH + 15) / 16;
    static constexpr bool KEPT = Dim <= 96;
    static constexpr int BYTES = KEPT ? 0 : STEPS * 512;  // of shared memory, a warp

    uint32_t a[KEPT ? STEPS : 1][4];
    uint4 *shared;

    __device__ __forceinline__ void load(char *memory, const photon_stream_attention_params &p, int row0, int kv_head,
                                         int group, int query0, int queries) {
        const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
        shared = reinterpret_cast<uint4 *>(memory) + lane;
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            uint32_t part[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int query = query0 + g + i % 2 * 8, e = 16 * k + i / 2 * 8 + 2 * t;
                part[i] = 0;
                if (query < queries && e < Dim) {
                    const T *const row = static_cast<const T *>(p.query) + (row0 + query / group) * p.query_stride;
                    part[i] = *reinterpret_cast<const uint32_t *>(row + (kv_head * group + query % group) * Dim + e);
                }
            }
            if constexpr (KEPT) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    a[k][i] = part[i];
                }
            } else {
                shared[32 * k] = make_uint4(part[0], part[1], part[2], part[3]);
            }
        }
    }

    // The fragment of elements 16 k and on. A lane reads what it wrote itself.
    __device__ __forceinline__ void get(uint32_t (&part)[4], int k) const {
        if constexpr (KEPT) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                part[i] = a[k][i];
            }
        } else {
            const uint4 all = shared[32 * k];
            part[0] = all.x;
            part[1] = all.y;
            part[2] = all.z;
            part[3] = all.w;
        }
    }
};

// What a row has seen so far: the greatest score, the sum of weights, the weighted sum of values. A lane has the rows g
// and g + 8 of its warp and two of every eight elements.
template <class T, int Dim> struct Seen {
    using Block = Head<T, Dim>;
    float most[2];
    float sum[2];
    float out[Block::PARTS][4];

    __device__ __forceinline__ void clear() {
        most[0] = most[1] = -INFINITY;
        sum[0] = sum[1] = 0.0f;
#pragma unroll
        for (int j = 0; j < Block::PARTS; j++) {
            out[j][0] = out[j][1] = out[j][2] = out[j][3] = 0.0f;
        }
    }

    // Adds the keys of a step. `last[r]` is the last unit that row g + 8 r sees, `scale` is in powers of two.
    __device__ __forceinline__ void step(const Queries<T, Dim> &queries, uint32_t shared, int first,
                                         const int (&last)[2], float scale) {
        const int lane = threadIdx.x % 32, t = lane % 4;
        float score[KEYS / 8][4] = {};
#pragma unroll
        for (int k = 0; k < Block::WIDTH / 16; k++) {
            uint32_t query[4];
            queries.get(query, k);
#pragma unroll
            for (int j = 0; j < KEYS / 8; j += 2) {
                uint32_t b[4];
                load_matrix_x4(b, shared + Block::part(8 * j + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
                mma_k16<T>(score[j], query, b[0], b[1]);
                mma_k16<T>(score[j + 1], query, b[2], b[3]);
            }
        }
        if constexpr (Block::WIDTH % 16 != 0) {
            constexpr int k = Block::WIDTH / 16;
            uint32_t query[4], b[4];
            queries.get(query, k);
            load_matrix_x4(b, shared + Block::part(lane, 2 * k));
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++) {
                mma_k8<T>(score[j], query[0], query[1], b[j]);
            }
        }
        uint32_t weight[KEYS / 8][2];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float highest = most[r];
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float &s = score[j][2 * r + e];
                    s = first + 8 * j + 2 * t + e <= last[r] ? __fmul_rn(s, scale) : -INFINITY;
                    highest = fmaxf(highest, s);
                }
            }
            highest = max_lanes<4>(highest);
            // A row that has seen nothing yet keeps its zeros.
            const float base = highest == -INFINITY ? 0.0f : highest;
            const float old = exp2f(most[r] - base);
            most[r] = highest;
            float added = 0.0f;
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++) {
                const float w0 = exp2f(score[j][2 * r] - base), w1 = exp2f(score[j][2 * r + 1] - base);
                added += w0;
                added += w1;
                weight[j][r] = Storage<T>::pack(w0, w1);
            }
            sum[r] = __fmaf_rn(sum[r], old, added);
#pragma unroll
            for (int j = 0; j < Block::PARTS; j++) {
                out[j][2 * r] = __fmul_rn(out[j][2 * r], old);
                out[j][2 * r + 1] = __fmul_rn(out[j][2 * r + 1], old);
            }
        }
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++) {
            const uint32_t a[4] = {weight[2 * k][0], weight[2 * k][1], weight[2 * k + 1][0], weight[2 * k + 1][1]};
            const uint32_t values = shared + Block::BLOCK;
#pragma unroll
            for (int j = 0; j + 1 < Block::PARTS; j += 2) {
                uint32_t b[4];
                load_matrix_x4_transposed(b, values + Block::part(16 * k + lane % 16, j + lane / 16));
                mma_k16<T>(out[j], a, b[0], b[1]);
                mma_k16<T>(out[j + 1], a, b[2], b[3]);
            }
            if constexpr (Block::PARTS % 2 == 1) {
                constexpr int j = Block::PARTS - 1;
                uint32_t b0, b1;
                load_matrix_x2_transposed(b0, b1, values + Block::part(16 * k + lane % 16, j));
                mma_k16<T>(out[j], a, b0, b1);
            }
        }
    }

    // Sums of a segment, complete in every lane.
    __device__ __forceinline__ void finish() {
        sum[0] = sum_lanes<4>(sum[0]);
        sum[1] = sum_lanes<4>(sum[1]);
    }
};

// The factors with which (`most`, ...) and a later segment's (`next`, ...) enter their union, whose greatest score is
// `most` afterwards.
struct Merge {
    float old, add;
    __device__ __forceinline__ Merge(float &most, float next) {
        const float highest = fmaxf(most, next);
        const float base = highest == -INFINITY ? 0.0f : highest;
        old = exp2f(most - base);
        add = exp2f(next - base);
        most = highest;
    }
    __device__ __forceinline__ float operator()(float x, float y) const { return __fmaf_rn(x, old, __fmul_rn(y, add)); }
};

// Two elements of a query's result.
template <class T, int Dim>
__device__ __forceinline__ void store_result(const photon_stream_attention_params &p, int row0, int kv_head, int group,
                                             int query, int e, float first, float second) {
    if (e < Dim) {
        T *const row = static_cast<T *>(p.out) + (row0 + query / group) * p.out_stride;
        *reinterpret_cast<uint32_t *>(row + (kv_head * group + query % group) * Dim + e) =
            Storage<T>::pack(first, second);
    }
}

}  // namespace photon
