// Kernels of the fatbins beside this file. tests/data/make.sh makes them.
extern "C" __global__ void scale(float *x, float factor, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] *= factor;
}
#if __CUDA_ARCH__ >= 900
extern "C" __global__ void only_on_90() {}
#endif
#if __CUDA_ARCH__ >= 1000
extern "C" __global__ void only_on_100() {}
#endif
