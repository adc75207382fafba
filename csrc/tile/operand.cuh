// The operands of a matrix product: blocks of rows by PHOTON_K_STEP inputs on their way from global memory through shared
// memory into fragments.
//
// A block in shared memory has no padding. Its 16-byte parts are permuted so that neither copies nor fragment loads
// meet in a bank:
//   16-bit elements: 64 bytes a row, two rows in the 128 bytes of all banks; part c of row r lies at c ^ (r / 2 % 4).
//                    ldmatrix reads part c of 8 rows: 2 halves of 4 lines, each line with another c.
//   f32:             128 bytes a row, part c of row r at c ^ 2 (r % 4). Half a warp reads 8 bytes of 4 rows: parts
//                    {c, c + 1} ^ 2 r are 8 different ones.
#pragma once

#include "copy.cuh"
#include "mma.cuh"
#include "rows.cuh"

namespace photon {

constexpr int STEP = PHOTON_K_STEP;
constexpr int SLICES = PHOTON_K_SLICES;

// The first step of slice `s`; slice `s` ends where the next one begins.
__device__ __forceinline__ int slice_start(int k, int s) {
    const int steps = (k + STEP - 1) / STEP;
    return steps * s / SLICES;
}

// Bytes of `Size`-byte elements from input `at` on, at most 16.
template <int Size> __device__ __forceinline__ int bytes_left(int k, int at) {
    return min(16, max(0, (k - at) * Size));
}

// Blocks of `Rows` rows, copied by `Threads` threads. `Element` is the type in memory.
template <class Element, int Rows, int Threads> struct Operand {
    static constexpr int SIZE = sizeof(Element);
    static constexpr int PARTS = STEP * SIZE / 16;  // of a row
    static constexpr int BYTES = Rows * STEP * SIZE;
    static constexpr int COPIES = Rows * PARTS / Threads;
    static_assert(Rows * PARTS % Threads == 0, "every thread copies the same number of parts");

    const char *from[COPIES];  // this thread's part of each of its rows
    bool there[COPIES];

    static __device__ __forceinline__ uint32_t part(int row, int c) {
        const int turned = SIZE == 4 ? c ^ 2 * (row % 4) : c ^ (row / 2 % 4);
        return (row * PARTS + turned) * 16;
    }

    // `address(row)` is that of a row's first element; rows from `count` on are zero.
    template <class Address>
    __device__ __forceinline__ void start(int thread, int count, const Address &address) {
#pragma unroll
        for (int i = 0; i < COPIES; i++) {
            const int row = (i * Threads + thread) / PARTS;
            there[i] = row < count;
            from[i] = reinterpret_cast<const char *>(address(there[i] ? row : 0)) + thread % PARTS * 16;
        }
    }

    // Copies the block of step `step` to `shared`.
    __device__ __forceinline__ void copy(int thread, uint32_t shared, int k, int step) const {
        const int bytes = bytes_left<SIZE>(k, step * STEP + thread % PARTS * (16 / SIZE));
#pragma unroll
        for (int i = 0; i < COPIES; i++) {
            const int row = (i * Threads + thread) / PARTS;
            const int count = there[i] ? bytes : 0;
            // An empty copy still needs an address in bounds.
            const char *source = from[i] + (count > 0 ? static_cast<int64_t>(step) * (STEP * SIZE) : 0);
            copy_16(shared + part(row, thread % PARTS), source, count);
        }
    }
};

// The fragment of 16 rows from `row` on and 16 inputs from `16 * half` on. With `Norm` the squares of rows g and g + 8
// are added to `squares`. With `Low` only 8 rows exist, the others are zero.
template <class T, bool Norm, bool Low, int Rows, int Threads>
__device__ __forceinline__ void load_rows(uint32_t (&a)[4], float (&squares)[2], const Operand<float, Rows, Threads> &,
                                          const char *block, int lane, int row, int half) {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int r = row + g + i % 2 * 8;
        if (Low && i % 2 == 1) {
            a[i] = 0;
            continue;
        }
        const int word = half * 16 + i / 2 * 8 + 2 * t;
        const uint32_t at = Operand<float, Rows, Threads>::part(r, word / 4) + word % 4 * 4;
        const float2 x = *reinterpret_cast<const float2 *>(block + at);
        if constexpr (Norm) {
            squares[i % 2] = fmaf(x.x, x.x, squares[i % 2]);
            squares[i % 2] = fmaf(x.y, x.y, squares[i % 2]);
        }
        a[i] = Storage<T>::pack(x.x, x.y);
    }
}

template <class T, bool Norm, bool Low, int Rows, int Threads>
__device__ __forceinline__ void load_rows(uint32_t (&a)[4], float (&)[2], const Operand<T, Rows, Threads> &,
                                          const char *block, int lane, int row, int half) {
    static_assert(!Norm, "rows to be normalised are f32");
    using Block = Operand<T, Rows, Threads>;
    const uint32_t shared = shared_address(block);
    if constexpr (Low) {
        const uint32_t at = Block::part(row + lane % 8, half * 2 + lane / 8 % 2);
        load_matrix_x2(a[0], a[2], shared + at);
        a[1] = a[3] = 0;
    } else {
        const uint32_t at = Block::part(row + lane % 16, half * 2 + lane / 16);
        load_matrix_x4(a, shared + at);
    }
}

// The fragments of 16 outputs from `row` of the block on: b[0], b[1] of the first 8, b[2], b[3] of the others.
template <class T, int Rows, int Threads>
__device__ __forceinline__ void load_weights(uint32_t (&b)[4], const char *block, int lane, int row, int half) {
    const uint32_t at =
        Operand<T, Rows, Threads>::part(row + lane / 16 * 8 + lane % 8, half * 2 + lane / 8 % 2);
    load_matrix_x4(b, shared_address(block) + at);
}

// What a row is multiplied by after its product.
__device__ __forceinline__ float inverse_rms(float squares, int k, float eps) {
    return 1.0f / sqrtf(squares / static_cast<float>(k) + eps);
}

}  // namespace photon
