// x . W^T for many rows: tiles of 64 rows by `Outputs` outputs.
//
// Warps two by `Outputs / 32`, 32 x 32 each. All of K goes by in steps through STAGES buffers; at the end of each slice of K
// its sums are added to the total, so that a row gets the bits that product_skinny gives it.
//
// Bytes through L2: (2 k Outputs + k size(x) 64) for each tile.
#pragma once

#include "operand.cuh"
#include "reduce.cuh"

namespace photon {

constexpr int TILED_STAGES = 4;
constexpr int TILED_ROWS = 64;

template <class T, class X, int Outputs> struct Tiled {
    static constexpr int THREADS = 2 * Outputs;
    using Left = Operand<X, TILED_ROWS, THREADS>;
    using Right = Operand<T, Outputs, THREADS>;
    static constexpr int STAGE = Left::BYTES + Right::BYTES;
    static constexpr int SHARED = TILED_STAGES * STAGE;
};

template <class T, class X, bool Norm, int Outputs, class Epilogue>
__device__ __forceinline__ void product_tiled(const photon_product &p, Epilogue epilogue) {
    using Shape = Tiled<T, X, Outputs>;
    extern __shared__ __align__(128) char memory[];

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int g = lane / 4, t = lane % 4;
    const int row0 = blockIdx.x * TILED_ROWS, column0 = blockIdx.y * Outputs;
    const int warp_row = warp % 2 * 32, warp_column = warp / 2 * 32;

    typename Shape::Left left;
    typename Shape::Right right;
    left.start(threadIdx.x, p.m - row0, [&](int row) {
        return static_cast<const X *>(p.x) + place(p.rows, row0 + row) * p.x_stride;
    });
    right.start(threadIdx.x, p.n - column0, [&](int row) {
        return static_cast<const T *>(p.weight) + (column0 + row) * p.weight_stride;
    });

    const int steps = slice_start(p.k, SLICES);
    auto fetch = [&](int step) {
        if (step < steps) {
            const uint32_t to = shared_address(memory + step % TILED_STAGES * Shape::STAGE);
            left.copy(threadIdx.x, to, p.k, step);
            right.copy(threadIdx.x, to + Shape::Left::BYTES, p.k, step);
        }
        copy_commit();
    };

    float total[2][4][4] = {};
    float total_squares[2][2] = {};
#pragma unroll
    for (int i = 0; i < TILED_STAGES - 1; i++) {
        fetch(i);
    }
    int step = 0;
    for (int slice = 0; slice < SLICES; slice++) {
        const int end = slice_start(p.k, slice + 1);
        float sums[2][4][4] = {};
        float squares[2][2] = {};
        for (; step < end; step++) {
            copy_wait<TILED_STAGES - 2>();
            __syncthreads();
            fetch(step + TILED_STAGES - 1);
            const char *const block = memory + step % TILED_STAGES * Shape::STAGE;
#pragma unroll
            for (int half = 0; half < 2; half++) {
                uint32_t a[2][4];
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    load_rows<T, Norm, false>(a[i], squares[i], left, block, lane, warp_row + 16 * i, half);
                }
#pragma unroll
                for (int j = 0; j < 4; j += 2) {
                    uint32_t b[4];
                    load_weights<T, Outputs, Shape::THREADS>(b, block + Shape::Left::BYTES, lane, warp_column + 8 * j,
                                                             half);
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        mma_k16<T>(sums[i][j], a[i], b[0], b[1]);
                        mma_k16<T>(sums[i][j + 1], a[i], b[2], b[3]);
                    }
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    total[i][j][e] += sums[i][j][e];
                }
            }
            if constexpr (Norm) {
                total_squares[i][0] += sum_lanes<4>(squares[i][0]);
                total_squares[i][1] += sum_lanes<4>(squares[i][1]);
            }
        }
    }
    copy_wait<0>();

#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int upper = 0; upper < 2; upper++) {
            const int row = row0 + warp_row + 16 * i + 8 * upper + g;
            const float scale = Norm ? inverse_rms(total_squares[i][upper], p.k, p.eps) : 1.0f;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int column = column0 + warp_column + 8 * j + 2 * t;
                if (row < p.m && column < p.n) {
                    // Rounded before the epilogue adds to it, as in the skinny kernel.
                    epilogue(row, column, __fmul_rn(total[i][j][2 * upper], scale),
                             __fmul_rn(total[i][j][2 * upper + 1], scale));
                }
            }
            if constexpr (Epilogue::BY_ROW) {
                const int column = column0 + warp_column;
                epilogue.template row_done<4>(row, column, row < p.m && column < p.n);
            }
        }
    }
}

}  // namespace photon
