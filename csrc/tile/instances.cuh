// The shapes in which a matrix kernel is compiled, and their names; src/cuda/raw/product.rs chooses among them.
//
//     photon_<operation>_<bf16|f16>_skinny<rows>x<outputs>     128 threads, grid (ceil(m / rows), ceil(n / outputs))
//     photon_<operation>_<bf16|f16>_tiled64x<outputs>          2 outputs threads, grid (ceil(m / 64), ceil(n / outputs))
//
// An EPILOGUE<T>{params} gets the results, a pair of neighbouring outputs of a row at a time:
//
//     operator()(row, column, first, second)      column is even; the second does not exist where column + 1 is n
//     static constexpr bool BY_ROW                whether it also wants to know which lanes share a row:
//     row_done<Lanes>(row, column, exists)        after the pairs of 32 outputs from `column` on have gone to the `Lanes` neighbouring
//                                                 lanes that call it; all lanes of a warp do, those of rows and columns that do
//                                                 not exist too. Only in shapes of 32 outputs and more.
#pragma once

#include "product_skinny.cuh"
#include "product_tiled.cuh"

#define PHOTON_PRODUCT(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE)                  \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 8, 16)                \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 16, 16)               \
    PHOTON_PRODUCT_WIDE(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE)

// The shapes of 32 outputs and more.
#define PHOTON_PRODUCT_WIDE(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE)             \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 8, 32)                \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 16, 32)               \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 32, 32)               \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 64, 32)               \
    PHOTON_TILED(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 64)                    \
    PHOTON_TILED(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 128)

// CTAs on an SM that registers have to leave room for. Skinny kernels of 32 and 64 rows fill the shared memory with two and may have
// 255 registers; left to itself the compiler stops at 128 for sm_100 and spills. Tiled ones of 256 threads have 128, those of 128
// threads, whose threads copy more rows each, 168.
#define PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, ROWS, OUTPUTS)                                \
    extern "C" __global__ void __launch_bounds__(photon::SKINNY_THREADS, ROWS >= 32 ? 2 : 4)                        \
        photon_##OPERATION##_##DTYPE##_skinny##ROWS##x##OUTPUTS(const __grid_constant__ PARAMS params) {            \
        photon::product_skinny<T, X, NORM, ROWS, OUTPUTS / 8>(params.product, EPILOGUE<T>{params});                 \
    }

#define PHOTON_TILED(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, OUTPUTS)                                       \
    extern "C" __global__ void __launch_bounds__(2 * OUTPUTS, OUTPUTS == 64 ? 3 : 2)                                  \
        photon_##OPERATION##_##DTYPE##_tiled64x##OUTPUTS(const __grid_constant__ PARAMS params) {                   \
        photon::product_tiled<T, X, NORM, OUTPUTS>(params.product, EPILOGUE<T>{params});                            \
    }
