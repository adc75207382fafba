// x . W^T for few rows: weights are streamed once, and what is to be fast is memory.
//
// A CTA has `8 Outputs` outputs and up to `Rows` rows. Its four warps take one slice of K each and share nothing until
// the end: a warp waits for its own copies and for no barrier. In flight it has STAGES - 1 steps, 64 bytes of each
// of its weight rows and the same inputs of each row of x. In the end the slices are added in order.
//
// STAGES is four, or what fits: 64 rows of f32 take 10 KB a step and warp, so two stages are 80 KB and three would be more than the
// 99 KB of sm_86, sm_89 and sm_120. One step in flight is then 40 KB a CTA, as much as three of 8 x 32.
//
// Bytes of a CTA: 2 k (8 Outputs) of weights and k size(x) rows of x; both go through L2, where x stays.
#pragma once

#include "operand.cuh"
#include "reduce.cuh"

namespace photon {

constexpr int SKINNY_THREADS = SLICES * 32;
constexpr int SKINNY_MEMORY = 96 * 1024;

template <class T, class X, int Rows, int Outputs> struct Skinny {
    using Left = Operand<X, Rows, 32>;
    using Right = Operand<T, 8 * Outputs, 32>;
    static constexpr int STAGE = Left::BYTES + Right::BYTES;
    static constexpr int STAGES = SKINNY_MEMORY / (SLICES * STAGE) < 4 ? SKINNY_MEMORY / (SLICES * STAGE) : 4;
    static constexpr int PITCH = 8 * Outputs + 8;  // floats of a row of results: rows 8 or 24 banks apart
    static constexpr int PIPELINE = SLICES * STAGES * STAGE;
    static constexpr int RESULTS = SLICES * Rows * (PITCH + 1) * 4;
    static constexpr int SHARED = PIPELINE > RESULTS ? PIPELINE : RESULTS;
};

template <class T, class X, bool Norm, int Rows, int Outputs, class Epilogue>
__device__ __forceinline__ void product_skinny(const photon_product &p, Epilogue epilogue) {
    using Shape = Skinny<T, X, Rows, Outputs>;
    constexpr int STAGES = Shape::STAGES;
    constexpr bool LOW = Rows == 8;
    constexpr int TILES = LOW ? 1 : Rows / 16;
    extern __shared__ __align__(128) char memory[];

    const int lane = threadIdx.x % 32, slice = threadIdx.x / 32;
    const int row0 = blockIdx.x * Rows, column0 = blockIdx.y * 8 * Outputs;
    const int rows = min(Rows, p.m - row0), columns = min(8 * Outputs, p.n - column0);
    char *const stages = memory + slice * STAGES * Shape::STAGE;

    typename Shape::Left left;
    typename Shape::Right right;
    left.start(lane, rows, [&](int row) {
        return static_cast<const X *>(p.x) + place(p.rows, row0 + row) * p.x_stride;
    });
    right.start(lane, columns, [&](int row) {
        return static_cast<const T *>(p.weight) + (column0 + row) * p.weight_stride;
    });

    const int first = slice_start(p.k, slice), last = slice_start(p.k, slice + 1);
    auto fetch = [&](int step) {
        if (step < last) {
            const uint32_t to = shared_address(stages + step % STAGES * Shape::STAGE);
            left.copy(lane, to, p.k, step);
            right.copy(lane, to + Shape::Left::BYTES, p.k, step);
        }
        copy_commit();
    };

    float sums[TILES][Outputs][4] = {};
    float squares[TILES][2] = {};
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) {
        fetch(first + i);
    }
    for (int step = first; step < last; step++) {
        copy_wait<STAGES - 2>();
        __syncwarp();
        fetch(step + STAGES - 1);
        const char *const block = stages + step % STAGES * Shape::STAGE;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t a[TILES][4];
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                load_rows<T, Norm, LOW>(a[i], squares[i], left, block, lane, 16 * i, half);
            }
#pragma unroll
            for (int j = 0; j < Outputs; j += 2) {
                uint32_t b[4];
                load_weights<T, 8 * Outputs, 32>(b, block + Shape::Left::BYTES, lane, 8 * j, half);
#pragma unroll
                for (int i = 0; i < TILES; i++) {
                    mma_k16<T>(sums[i][j], a[i], b[0], b[1]);
                    mma_k16<T>(sums[i][j + 1], a[i], b[2], b[3]);
                }
            }
        }
    }
    copy_wait<0>();
    __syncthreads();

    const int g = lane / 4, t = lane % 4;
    float *const results = reinterpret_cast<float *>(memory);
    float *const norms = results + SLICES * Rows * Shape::PITCH;
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int upper = 0; upper < (LOW ? 1 : 2); upper++) {
            const int row = 16 * i + 8 * upper + g;
            float *const out = results + (slice * Rows + row) * Shape::PITCH + 2 * t;
#pragma unroll
            for (int j = 0; j < Outputs; j++) {
                store_pair(shared_address(out + 8 * j), sums[i][j][2 * upper], sums[i][j][2 * upper + 1]);
            }
            if constexpr (Norm) {
                const float all = sum_lanes<4>(squares[i][upper]);
                if (t == 0) {
                    norms[slice * Rows + row] = all;
                }
            }
        }
    }
    __syncthreads();
    // A row is 4 Outputs lanes wide, and all lanes of a warp go round as often: BY_ROW epilogues exchange values among them.
    for (int i = threadIdx.x; i < Rows * 4 * Outputs; i += SKINNY_THREADS) {
        const int column = i % (4 * Outputs) * 2;
        int row = i / (4 * Outputs);
        if constexpr (Outputs == 2) {
            // Half a warp has two rows here. Of those two apart the one begins 16 banks after the other, of neighbours 24.
            row = (row & ~3) | (row & 1) << 1 | (row >> 1 & 1);
        }
        float2 sum = make_float2(0.0f, 0.0f);
        float square = 0.0f;
#pragma unroll
        for (int s = 0; s < SLICES; s++) {
            const float2 part = *reinterpret_cast<const float2 *>(results + (s * Rows + row) * Shape::PITCH + column);
            sum.x += part.x;
            sum.y += part.y;
            if constexpr (Norm) {
                square += norms[s * Rows + row];
            }
        }
        if constexpr (Norm) {
            const float scale = inverse_rms(square, p.k, p.eps);
            // Rounded here: a product that were fused into the epilogue's sum would differ from the tiled kernel's.
            sum.x = __fmul_rn(sum.x, scale);
            sum.y = __fmul_rn(sum.y, scale);
        }
        if (row < rows && column < columns) {
            epilogue(row0 + row, column0 + column, sum.x, sum.y);
        }
        if constexpr (Epilogue::BY_ROW) {
            epilogue.template row_done<4 * Outputs>(row0 + row, column0, row < rows);
        }
    }
}

}  // namespace photon
