// log_prob: out[i] = logits[i, target[i]] - log sum exp(logits[i]); 0 where the target is UINT32_MAX.
//
// Shapes    logits f32 [m, V], target u32 [m], out f32 [m]
// Launch    256 threads, grid m
// Bytes     4 m V from memory, the second pass over a row from cache; 8 m
// FLOPs     about 4 m V
#include "../tile/reduce.cuh"
#include "../photon.h"

extern "C" __global__ void __launch_bounds__(256)
    photon_log_prob(const __grid_constant__ photon_log_prob_params p) {
    __shared__ float highest[8];
    __shared__ double sums[8];
    const uint32_t target = p.target[blockIdx.x];
    if (target == UINT32_MAX) {
        if (threadIdx.x == 0) {
            p.out[blockIdx.x] = 0.0f;
        }
        return;
    }
    const float *const logits = p.logits + blockIdx.x * p.logits_stride;
    float most = -INFINITY;
    for (int id = threadIdx.x; id < p.vocabulary; id += 256) {
        most = fmaxf(most, logits[id]);
    }
    most = photon::max_lanes<32>(most);
    if (threadIdx.x % 32 == 0) {
        highest[threadIdx.x / 32] = most;
    }
    __syncthreads();
    for (int i = 0; i < 8; i++) {
        most = fmaxf(most, highest[i]);
    }
    // Sums in f64: a vocabulary of f32 additions would cost the fifth digit of a small probability.
    double sum = 0.0;
    for (int id = threadIdx.x; id < p.vocabulary; id += 256) {
        sum += static_cast<double>(expf(logits[id] - most));
    }
    sum = photon::sum_lanes<32>(sum);
    if (threadIdx.x % 32 == 0) {
        sums[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        double total = 0.0;
        for (int i = 0; i < 8; i++) {
            total += sums[i];
        }
        const double value = static_cast<double>(logits[target]) - (static_cast<double>(most) + log(total));
        p.out[blockIdx.x] = static_cast<float>(value);
    }
}
