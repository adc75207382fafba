// Where rows stand in their sequences, and where keys and values lie.
#pragma once

#include "../photon.h"

namespace photon {

struct Unit {
    uint32_t slot;
    uint32_t unit;
};

__device__ __forceinline__ Unit unit_of(const photon_units &units, uint32_t row) {
    if (units.slot != nullptr) {
        return {units.slot[row], units.unit[row]};
    }
    const uint32_t slot = row / units.rows;
    return {slot, units.first + row - slot * units.rows};
}

// The first key of a block of a slot, head 0.
template <class T> __device__ __forceinline__ T *block_of(const photon_kv &kv, uint32_t slot, uint32_t block) {
    T *base = static_cast<T *>(kv.base);
    int64_t at = block;
    if (kv.blocks != nullptr) {
        at = kv.blocks[slot * kv.blocks_pitch + block];
    } else if (kv.sequences != nullptr) {
        base = static_cast<T *>(kv.sequences[slot]);
    } else {
        base += slot * kv.slot_stride;
    }
    return base + at * kv.block_stride + kv.offset;
}

// The key of a unit of a slot, head 0.
template <class T> __device__ __forceinline__ T *key_of(const photon_kv &kv, uint32_t slot, uint32_t unit) {
    return block_of<T>(kv, slot, unit / PHOTON_KV_BLOCK) + unit % PHOTON_KV_BLOCK * kv.unit_stride;
}

}  // namespace photon
