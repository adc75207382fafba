// The shapes in which a matrix kernel is compiled, and their names.
//
//     photon_<operation>_<bf16|f16>_skinny<rows>x<outputs>     128 threads, grid (ceil(m / rows), ceil(n / outputs))
//     photon_<operation>_<bf16|f16>_tiled64x128                256 threads, grid (ceil(m / 64), ceil(n / 128))
//
#pragma once

#include "product_skinny.cuh"
#include "product_tiled.cuh"

// CTAs on an SM that registers have to leave room for. Skinny kernels of 32 rows fill the shared memory with two and may have
// 255 registers; left to itself the compiler stops at 128 for sm_100 and spills. Two tiled ones leave 128 registers to a thread.
#define PHOTON_PRODUCT(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE)                  \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 8, 16)                \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 8, 32)                \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 16, 16)               \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 16, 32)               \
    PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, 32, 32)               \
    PHOTON_TILED(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE)

#define PHOTON_SKINNY(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE, ROWS, OUTPUTS)                                \
    extern "C" __global__ void __launch_bounds__(photon::SKINNY_THREADS, ROWS == 32 ? 2 : 4)                        \
        photon_##OPERATION##_##DTYPE##_skinny##ROWS##x##OUTPUTS(const __grid_constant__ PARAMS params) {            \
        photon::product_skinny<T, X, NORM, ROWS, OUTPUTS / 8>(params.product, EPILOGUE<T>{params});                 \
    }

#define PHOTON_TILED(OPERATION, DTYPE, T, X, NORM, PARAMS, EPILOGUE)                            \
    extern "C" __global__ void __launch_bounds__(photon::TILED_THREADS, 2)                      \
        photon_##OPERATION##_##DTYPE##_tiled64x128(const __grid_constant__ PARAMS params) {     \
        photon::product_tiled<T, X, NORM>(params.product, EPILOGUE<T>{params});                 \
    }
