// sample: one token drawn from each row of logits: temperature, top-k, top-p, min-p, then the first token, in order of
// ids, whose cumulative weight exceeds u times the total; u is Philox of (seed, sequence, position). Greedy at temperature 0,
// the lowest id among equals. NaN counts as -inf; where nothing is above -inf the token is 0.
//
// Shapes    logits f32 [m, V], draws [m], ids u32
// Launch    256 threads, grid m
// Bytes     4 m V from memory; each further pass over a row (weights; top-k 8, top-p 9, the draw 2) from cache
// FLOPs     about 10 m V
//
// Top-k and top-p keep a prefix of the order "higher logits first, then lower ids", so a key of 64 bits says all about
// them. It is found by counting (top-k) or weighing (top-p) the keys by their highest undecided byte, eight times. Weights are
// counted in units of 2^-44, so that the order in which threads add them changes nothing.
#include "../tile/order.cuh"
#include "../tile/philox.cuh"
#include "../tile/reduce.cuh"
#include "../tile/rows.cuh"

namespace {

constexpr int THREADS = 256;
constexpr int CHUNK = 1024;  // ids whose weights one warp sums up
constexpr int MOST_CHUNKS = 1024;
constexpr double UNIT = 17592186044416.0;  // 2^44

struct Row {
    const float *logits;
    int vocabulary;
    float most;
    float temperature;

    __device__ __forceinline__ float weight(float logit) const {
        return logit == most ? 1.0f : expf((logit - most) / temperature);
    }
};

// The lowest key of the prefix that ends where the measure of the keys at or above it first reaches `goal`. Among keys
// at or above `floor`. With `Mass` the measure is weight, else number.
template <bool Mass>
__device__ uint64_t prefix_key(const Row &row, uint64_t floor, uint64_t goal, uint64_t (&bins)[256]) {
    __shared__ uint64_t found, above_all;
    uint64_t key = 0, above = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        bins[threadIdx.x] = 0;
        __syncthreads();
        for (int id = threadIdx.x; id < row.vocabulary; id += THREADS) {
            const float logit = row.logits[id];
            const uint64_t k = photon::order_key(id, logit);
            const bool same = shift == 56 || k >> (shift + 8) == key >> (shift + 8);
            if (same && k >= floor && !(Mass && isnan(logit))) {
                const uint64_t measure = Mass ? __double2ull_rn(row.weight(logit) * UNIT) : 1;
                atomicAdd(reinterpret_cast<unsigned long long *>(&bins[k >> shift & 255]), measure);
            }
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int byte = 255;
            uint64_t sum = above;
            while (byte > 0 && sum + bins[byte] < goal) {
                sum += bins[byte];
                byte--;
            }
            found = key | static_cast<uint64_t>(byte) << shift;
            above_all = sum;
        }
        __syncthreads();
        key = found;
        above = above_all;
        __syncthreads();
    }
    return key;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    photon_sample(const __grid_constant__ photon_sample_params p) {
    __shared__ uint64_t bins[256];
    __shared__ uint64_t best_keys[THREADS / 32];
    __shared__ double chunks[MOST_CHUNKS];
    __shared__ int chosen;
    __shared__ double before;
    const photon_draw draw = p.draws[blockIdx.x];
    uint32_t *const out = p.ids + photon::place(p.to, blockIdx.x);
    if (draw.forced != UINT32_MAX) {
        if (threadIdx.x == 0) {
            *out = draw.forced;
        }
        return;
    }
    const float *const logits = p.logits + blockIdx.x * p.logits_stride;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;

    uint64_t best = 0;
    for (int id = threadIdx.x; id < p.vocabulary; id += THREADS) {
        best = max(best, photon::order_key(id, logits[id]));
    }
    best = photon::greatest_key<32>(best);
    if (lane == 0) {
        best_keys[warp] = best;
    }
    __syncthreads();
    for (int i = 0; i < THREADS / 32; i++) {
        best = max(best, best_keys[i]);
    }
    const uint32_t best_id = ~static_cast<uint32_t>(best);
    const float most = best_id < static_cast<uint32_t>(p.vocabulary) ? logits[best_id] : -INFINITY;
    if (!(most > -INFINITY) || draw.temperature == 0.0f) {
        if (threadIdx.x == 0) {
            *out = most > -INFINITY ? best_id : 0;
        }
        return;
    }

    const Row row{logits, p.vocabulary, most, draw.temperature};
    uint64_t lowest = 0;
    if (draw.top_k > 0 && draw.top_k < static_cast<uint32_t>(p.vocabulary)) {
        lowest = prefix_key<false>(row, 0, draw.top_k, bins);
    }
    if (draw.top_p < 1.0f) {
        // The mass of what top-k kept, then the share of it that is wanted.
        bins[threadIdx.x] = 0;
        __syncthreads();
        uint64_t mass = 0;
        for (int id = threadIdx.x; id < p.vocabulary; id += THREADS) {
            if (!isnan(logits[id]) && photon::order_key(id, logits[id]) >= lowest) {
                mass += __double2ull_rn(row.weight(logits[id]) * UNIT);
            }
        }
        atomicAdd(reinterpret_cast<unsigned long long *>(&bins[0]), mass);
        __syncthreads();
        const uint64_t goal = __double2ull_ru(static_cast<double>(draw.top_p) * static_cast<double>(bins[0]));
        __syncthreads();
        lowest = prefix_key<true>(row, lowest, goal, bins);
    }

    auto kept = [&](int id, float logit) -> double {
        if (id >= p.vocabulary || isnan(logit) || photon::order_key(id, logit) < lowest) {
            return 0.0;
        }
        const float weight = row.weight(logit);
        return weight >= draw.min_p ? static_cast<double>(weight) : 0.0;
    };
    const int count = (p.vocabulary + CHUNK - 1) / CHUNK;
    for (int chunk = warp; chunk < count; chunk += THREADS / 32) {
        double sum = 0.0;
        for (int id = chunk * CHUNK + lane; id < (chunk + 1) * CHUNK; id += 32) {
            sum += kept(id, id < p.vocabulary ? logits[id] : -INFINITY);
        }
        sum = photon::sum_lanes<32>(sum);
        if (lane == 0) {
            chunks[chunk] = sum;
        }
    }
    __syncthreads();
    const uint32_t word = photon::philox4x32_10(static_cast<uint32_t>(draw.position),
                                                static_cast<uint32_t>(draw.position >> 32),
                                                static_cast<uint32_t>(draw.seed >> 32), 0,
                                                static_cast<uint32_t>(draw.seed), draw.sequence);
    if (threadIdx.x == 0) {
        double total = 0.0;
        for (int chunk = 0; chunk < count; chunk++) {
            total += chunks[chunk];
        }
        const double goal = (static_cast<double>(word) + 0.5) / 4294967296.0 * total;
        double sum = 0.0;
        int chunk = 0, last = 0;
        // The last chunk that holds anything, if rounding leaves the goal beyond the sum.
        for (; chunk < count && sum + chunks[chunk] <= goal; chunk++) {
            last = chunks[chunk] > 0.0 ? chunk : last;
            sum += chunks[chunk];
        }
        chosen = chunk < count ? chunk : last;
        before = chunk < count ? goal - sum : INFINITY;
    }
    __syncthreads();
    if (warp > 0) {
        return;
    }
    // What is still to be passed within the chunk.
    const double goal = before;
    double sum = 0.0;
    uint32_t last = best_id;
    for (int start = chosen * CHUNK; start < (chosen + 1) * CHUNK; start += 32) {
        const int id = start + lane;
        const double mine = kept(id, id < p.vocabulary ? logits[id] : -INFINITY);
        double upto = mine;
        for (int step = 1; step < 32; step *= 2) {
            const double left = __shfl_up_sync(0xffffffffu, upto, step);
            upto += lane >= step ? left : 0.0;
        }
        const uint32_t passed = __ballot_sync(0xffffffffu, mine > 0.0 && sum + upto > goal);
        const uint32_t any = __ballot_sync(0xffffffffu, mine > 0.0);
        if (passed != 0) {
            last = start + __ffs(passed) - 1;
            break;
        }
        if (any != 0) {
            last = start + 31 - __clz(any);
        }
        sum += __shfl_sync(0xffffffffu, upto, 31);
    }
    if (lane == 0) {
        *out = last;
    }
}
