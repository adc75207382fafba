#!/usr/bin/env python3
"""Writes manifest.json, the description of every kernel of the mutation suite: python3 manifest.py. Format: README.md.

Results are computed here, from the kernels' meaning, and not by any simulator.
"""
import json
from pathlib import Path

KERNELS = []
SM_90A = ("bulk", "tensor", "cluster", "pipelines", "clusters", "hopper")


def init(buffer):
    """The initial contents as numbers, or None for memory that nobody has written."""
    n, how = buffer["count"], buffer["init"]
    if how == "unwritten":
        return None
    if how == "zero":
        return [0] * n
    if how == "iota":
        return list(range(n))
    if "values" in how:
        return how["values"]
    return [(how["mul"] * i + how["add"]) % how["mod"] - how["minus"] for i in range(n)]


def mix(mul, add, mod, minus=0):
    return dict(mul=mul, add=add, mod=mod, minus=minus)


def buf(elem, count, how="iota", **more):
    return dict(elem=elem, count=count, init=how, **more)


def out(elem, count):
    return buf(elem, count, "unwritten")


def kernel(file, name, expect, params, grid=1, block=32, shared=0, cluster=1, cooperative=False, missing=(), result=None, tensormaps=None, note=None):
    """expect: "clean" or the checks of which one must fire, the likeliest first. params: name -> buffer, or an int, or "map"."""
    order, buffers = [], {}
    for n, p in params.items():
        if isinstance(p, dict):
            buffers[n] = p
            order.append(dict(name=n, kind="pointer"))
        elif p == "map":
            order.append(dict(name=n, kind="tensormap"))
        else:
            order.append(dict(name=n, kind="i32", value=p))
    for n, m in (tensormaps or {}).items():
        buffers[n] = m.pop("buffer")
    record = dict(name=name, file=f"{file}.cu", entry=name, target="sm_90a" if file in SM_90A else "sm_80", grid=three(grid), block=three(block), cluster=three(cluster),
                  dynamic_shared=shared, cooperative=cooperative, params=order, buffers=buffers,
                  expect=expect if expect == "clean" else [expect] if isinstance(expect, str) else list(expect))
    if missing:
        record["missing"] = list(missing)
    if tensormaps:
        record["tensormaps"] = tensormaps
    if result:
        record["result"] = {b: short(v) for b, v in result.items()}
    if note:
        record["note"] = note
    KERNELS.append(record)


def three(extent):
    return [extent, 1, 1] if isinstance(extent, int) else list(extent)


def short(v):
    """all / affine / values, whichever is shortest; dicts ("sorted", "sum") pass through."""
    if isinstance(v, dict):
        return v
    if len(set(v)) == 1:
        return dict(all=v[0])
    if all(v[i] == v[0] + (v[1] - v[0]) * i for i in range(len(v))):
        return dict(affine=[v[1] - v[0], v[0]])
    return dict(values=v)


# ---- barriers.cu ---------------------------------------------------------------------------------------------------
def reduce(name, expect, **more):
    x = buf("f32", 512, mix(7, 3, 11, 5))
    v = init(x)
    kernel("barriers", name, expect, dict(x=x, y=out("f32", 2)), grid=2, block=256, result=dict(y=[sum(v[:256]), sum(v[256:])]) if expect == "clean" else None, **more)


reduce("reduce_shared", "clean")
reduce("reduce_no_barrier_after_store", ["uninitialised-read", "race"], missing=["cta-barrier"])
reduce("reduce_no_barrier_in_tree", "race", missing=["cta-barrier", "warp-sync"])

X = lambda n, elem="i32": buf(elem, n, "iota")
kernel("barriers", "reverse_shared", "clean", dict(x=X(64, "f32"), y=out("f32", 128)), block=64, result=dict(y=dict(values=[63 - i for i in range(64)])))
kernel("barriers", "barrier_in_branch", ["barrier-divergence", "uninitialised-read", "race"], dict(x=X(64, "f32"), y=out("f32", 128)), block=64)
kernel("barriers", "barrier_two_places", "barrier-divergence", dict(x=X(64, "f32"), y=out("f32", 128)), block=64)


def warp_scan(name, expect, **more):
    y = [sum(range(i // 32 * 32, i + 1)) for i in range(128)]
    kernel("barriers", name, expect, dict(x=X(128), y=out("i32", 128)), block=128, result=dict(y=y) if expect == "clean" else None, **more)


warp_scan("warp_synchronous_scan", "clean")
warp_scan("warp_scan_no_syncwarp", "race", missing=["warp-sync"])
warp_scan("warp_scan_no_syncwarp_before_write", "race", missing=["warp-sync"])
warp_scan("warp_scan_half_mask", "race", missing=["warp-sync"])
warp_scan("warp_scan_foreign_mask", "convergence-required")
warp_scan("warp_scan_shuffle_as_barrier", "race", missing=["warp-sync"])


def named(name, expect, **more):
    y = [(i // 64 * 64 + 63 - i % 64) * 3 for i in range(256)]
    kernel("barriers", name, expect, dict(x=X(256), y=out("i32", 256)), block=128, result=dict(y=y) if expect == "clean" else None, **more)


named("named_barriers", "clean")
named("named_no_wait", ["uninitialised-read", "race"], missing=["cta-barrier"])
named("named_wrong_id", "barrier-divergence")
named("named_wrong_count", "barrier-divergence")
named("named_counts_differ", "barrier-divergence")
named("named_arrive_early", ["race", "uninitialised-read"], missing=["cta-barrier"])
kernel("barriers", "shuffle_all_lanes", "clean", dict(x=X(32), y=out("i32", 64)), result=dict(y=dict(values=[i ^ 16 for i in range(32)])))
kernel("barriers", "shuffle_absent_lanes", "convergence-required", dict(x=X(32), y=out("i32", 64)))
kernel("barriers", "early_exit", "clean", dict(x=X(128), y=out("i32", 64)), block=128, result=dict(y=[63 - i for i in range(64)]))
kernel("barriers", "unaligned_barrier", "clean", dict(x=X(64), y=out("i32", 64)), block=64, result=dict(y=[63 - i + (1 if (63 - i) % 2 else 2) for i in range(64)]))
kernel("barriers", "barrier_votes", "clean", dict(x=X(96), y=out("i32", 96)), block=96, result=dict(y=[48 * 100 + 11] * 96))

# ---- memory.cu -----------------------------------------------------------------------------------------------------
F = lambda n, how="iota", **m: buf("f32", n, how, **m)


def memory(name, expect, x=F(100), y=out("f32", 100), n=100, grid=1, block=128, **more):
    kernel("memory", name, expect, dict(x=x, y=y, n=n), grid=grid, block=block, **more)


memory("copy_right", "clean", result=dict(y=list(range(100))))
memory("copy_off_by_one", "out-of-bounds")
memory("stencil_right", "clean", result=dict(y=[(i - 1 if i else 0) + i + (i + 1 if i < 99 else 0) for i in range(100)]))
memory("stencil_left_neighbour", "out-of-bounds")
memory("stencil_right_neighbour", "out-of-bounds")
memory("index_in_32_bits", "out-of-bounds")
memory("vector_tail", "out-of-bounds", x=F(102), y=out("f32", 102), n=102, block=32)
memory("null_pointer", "out-of-bounds", block=32)
kernel("memory", "atomic_past_end", "out-of-bounds", dict(x=X(32), counts=buf("i32", 16, "zero"), n=32))
memory("freed_buffer", "use-after-free", x=F(100, freed=True))
memory("freed_destination", "use-after-free", y=buf("f32", 100, "zero", freed=True))
memory("misaligned_load", "misaligned", x=F(256), block=32)
memory("misaligned_store", "misaligned", block=32)
memory("misaligned_shared", "misaligned", block=32)
kernel("memory", "misaligned_atomic", "misaligned", dict(bytes=buf("u8", 64, "zero")))
memory("shared_static_overrun", "out-of-bounds", block=64)
memory("shared_dynamic_overrun", "out-of-bounds", block=64, shared=240)
memory("shared_dynamic_right", "clean", block=64, shared=256, y=out("f32", 64), result=dict(y=[63 - i for i in range(64)]))
memory("shared_negative", "out-of-bounds", block=64)
kernel("memory", "local_overrun", "out-of-bounds", dict(x=X(32), y=out("i32", 32), n=32))
memory("uninitialised_shared", "uninitialised-read", block=64)
memory("uninitialised_global", "uninitialised-read", x=out("f32", 64), n=64, block=64)
kernel("memory", "uninitialised_byte", "uninitialised-read", dict(x=out("u8", 128), y=out("u32", 32)))
memory("uninitialised_accumulator", "uninitialised-read", y=out("f32", 4), block=32)
kernel("memory", "struct_padding", "clean", dict(p=out("u8", 256), y=out("i32", 32)), result=dict(y=[6 * i for i in range(32)]))
kernel("memory", "read_only_changed", "read-only-write", dict(x=X(32), z=dict(alias="x"), y=out("i32", 32)))
kernel("memory", "constant_written", "read-only-write", dict(y=out("i32", 32)))
kernel("memory", "trap_if_negative", "trap", dict(x=buf("i32", 32, dict(values=[-1 if i == 9 else i for i in range(32)])), y=out("i32", 32)))
kernel("memory", "endless_loop", "deadlock", dict(flag=buf("i32", 1, "zero"), y=out("i32", 32)))

# ---- global.cu -----------------------------------------------------------------------------------------------------
x = buf("i32", 300, mix(13, 5, 97))
counts = [sum(1 for v in init(x) if v & 7 == b) for b in range(8)]


def histogram(name, expect, **more):
    kernel("global", name, expect, dict(x=x, bins=buf("i32", 8, "zero"), y=out("i32", 300), n=300), grid=3, block=128, **more)


histogram("histogram_atomics", "clean", result=dict(bins=counts, y=[1] * 300))
histogram("histogram_plain", "race")
histogram("histogram_mixed", "race", missing=["atomic-against-plain"])
kernel("global", "sum_plain", "race", dict(x=X(128), y=buf("i32", 1, "zero"), n=128), grid=2, block=64)
kernel("global", "block_store_same_place", "race", dict(x=X(4), y=out("i32", 1), n=4), grid=4)


def last_block(name, expect, **more):
    kernel("global", name, expect, dict(x=X(640), part=out("i32", 5), ticket=buf("u32", 1, "zero"), y=out("i32", 2)), grid=5, block=128,
           result=dict(y=dict(values=[sum(range(640))])) if expect == "clean" else None, **more)


last_block("threadfence_reduction", "clean")
last_block("threadfence_reduction_no_fence", "race", missing=["grid-sync"])
last_block("threadfence_reduction_block_fence", "race", missing=["wider-scope", "grid-sync"])
last_block("threadfence_reduction_no_barrier", ["uninitialised-read", "race"], missing=["cta-barrier", "warp-sync"])


def message(name, expect, **more):
    kernel("global", name, expect, dict(x=X(64), data=out("i32", 64), flag=buf("i32", 1, "zero"), y=out("i32", 192)), grid=4, block=64,
           result=dict(y=[(63 - i % 64) * 2 for i in range(192)]) if expect == "clean" else None, **more)


message("message_release_acquire", "clean")
message("message_volatile_fences", "clean")
message("message_plain_flag", "race", missing=["grid-sync"])
message("message_relaxed_flag", "race", missing=["grid-sync"])
message("message_no_acquire", "race", missing=["grid-sync"])
message("message_block_scope", "race", missing=["wider-scope"])


def locked(name, expect, **more):
    kernel("global", name, expect, dict(lock=buf("i32", 1, "zero"), value=buf("i32", 1, "zero"), y=out("i32", 6)), grid=6, block=32,
           result=dict(value=[18], y=[1] * 6) if expect == "clean" else None, **more)


locked("lock_acquire_release", "clean")
locked("lock_no_acquire", "race", missing=["grid-sync"])
locked("lock_no_release", "race", missing=["grid-sync"])
kernel("global", "lock_every_thread", "clean", dict(lock=buf("i32", 1, "zero"), value=buf("i32", 1, "zero"), y=out("i32", 96)), grid=3, block=32, result=dict(value=[96], y=[1] * 96))
kernel("global", "cooperative_reduction", "clean", dict(x=X(160), part=out("i32", 5), y=out("i32", 5)), grid=5, cooperative=True, result=dict(y=[sum(range(160))] * 5))
kernel("global", "cooperative_no_sync", ["uninitialised-read", "race"], dict(x=X(160), part=out("i32", 5), y=out("i32", 5)), grid=5, cooperative=True, missing=["grid-sync"])
kernel("global", "tiles_apart", "clean", dict(x=X(90), y=out("i32", 90), n=90), grid=3, block=64, result=dict(y=list(range(90))))
kernel("global", "tiles_overlap", "race", dict(x=X(90), y=out("i32", 90), n=90), grid=3, block=64, missing=["grid-sync"])


def lookback(name, expect, **more):
    y = [sum(range(i + 1)) for i in range(256)]
    kernel("global", name, expect, dict(x=X(256), state=buf("u64", 8, "zero"), prefix=out("i32", 8), y=out("i32", 256), ticket=buf("u32", 1, "zero")), grid=8,
           result=dict(y=y) if expect == "clean" else None, **more)


lookback("lookback_scan", "clean")
lookback("lookback_relaxed", "race", missing=["grid-sync"])
kernel("global", "count_device_scope", "clean", dict(counter=buf("i32", 1, "zero"), y=out("i32", 96)), grid=3, result=dict(counter=[96]))
kernel("global", "count_block_scope", "race", dict(counter=buf("i32", 1, "zero"), y=out("i32", 96)), grid=3, missing=["wider-scope"])
kernel("global", "neighbouring_bytes", "clean", dict(y=out("u8", 96)), grid=3, result=dict(y=[i % 32 for i in range(96)]))
kernel("global", "bytes_by_words", "race", dict(y=buf("u32", 8, "zero")), missing=["same-instruction", "warp-sync"])
wanted = [v for v in init(x) if v % 3 == 0]
kernel("global", "warp_aggregated", "clean", dict(x=x, counter=buf("i32", 1, "zero"), y=out("i32", len(wanted)), n=300), grid=3, block=128,
       result=dict(counter=[len(wanted)], y=dict(sorted=sorted(wanted))))
kernel("global", "match_any_histogram", "clean", dict(x=x, bins=buf("i32", 8, "zero"), n=300), grid=3, block=128,
       result=dict(bins=[sum(1 for i in range(384) if init(x)[i % 300] & 7 == b) for b in range(8)]))
kernel("global", "ring_between_blocks", "clean", dict(x=X(24), ring=out("i32", 4), head=buf("u32", 1, "zero"), tail=buf("u32", 1, "zero"), y=out("i32", 24)), grid=2,
       result=dict(y=list(range(24))))
kernel("global", "fences_and_relaxed", "clean", dict(x=X(64), data=out("i32", 64), flag=buf("u32", 1, "zero"), y=out("i32", 64)), grid=2, block=64,
       result=dict(y=[63 - i for i in range(64)]))

# ---- copies.cu -----------------------------------------------------------------------------------------------------
TILES = 7


def pipeline(name, expect, **more):
    y = [i // 256 * 256 + 255 - i % 256 for i in range(TILES * 256)]
    kernel("copies", name, expect, dict(x=X(TILES * 256), y=out("i32", TILES * 256), tiles=TILES), block=64,
           result=dict(y=y) if expect in ("clean", "wrong-result") else None, **more)


pipeline("pipeline_double", "clean")
pipeline("pipeline_triple", "clean")
pipeline("pipeline_five", "clean")
pipeline("pipeline_no_wait", "race", missing=["cp-async-wait"])
pipeline("pipeline_wait_one_less", "race", missing=["cp-async-wait"])
pipeline("pipeline_no_commit", "race", missing=["cp-async-wait"])
pipeline("pipeline_no_barrier", ["uninitialised-read", "race"], missing=["cp-async-wait", "cta-barrier"])
pipeline("pipeline_overwrite_early", "race", missing=["cta-barrier", "cp-async-wait"])
pipeline("pipeline_wrong_swizzle", "wrong-result")
pipeline("pipeline_wrong_stage", "race", missing=["cp-async-wait"])
pipeline("pipeline_no_tail_mask", "out-of-bounds")
pipeline("pipeline_misaligned", "misaligned")
pipeline("pipeline_exit_unwaited", "leaked-async-group")
z = [-1] * 128
for i in range(32):
    if i < 8:
        z[i * 4:i * 4 + 4] = [i * 4, i * 4 + 1, i * 4 + 2, 0]
    z[32 + i * 2:34 + i * 2] = [i * 2, 0]
    z[96 + i] = i if i % 2 else 0
kernel("copies", "copy_zero_fill", "clean", dict(x=X(64), y=out("i32", 128)), result=dict(y=z))
y = [i // 256 * 256 + 255 - i % 256 for i in range(768)]
kernel("copies", "copy_mbarrier", "clean", dict(x=X(768), y=out("i32", 768)), block=64, result=dict(y=y))
kernel("copies", "copy_mbarrier_no_wait", ["uninitialised-read", "race"], dict(x=X(768), y=out("i32", 768)), block=64, missing=["mbarrier-wait", "cp-async-wait"])
kernel("copies", "copy_mbarrier_counted_twice", "deadlock", dict(x=X(768), y=out("i32", 768)), block=64)


def matrices(file, name, expect, y=None, **more):
    kernel(file, name, expect, dict(x=buf("u32", 256), y=out("u32", 256)), block=64, result=dict(y=y) if y else None, **more)


# ldmatrix x4: register k, lane l holds word l % 4 of row k * 8 + l / 4, which is word l of the k-th 8x8 matrix.
matrices("copies", "ldmatrix_right", "clean", list(range(256)))
matrices("copies", "ldmatrix_overlap", ["race", "uninitialised-read"], missing=["cta-barrier"])
matrices("copies", "ldmatrix_no_syncwarp", "race", missing=["warp-sync"])
matrices("copies", "ldmatrix_misaligned", "misaligned")
matrices("copies", "ldmatrix_past_end", "out-of-bounds")
kernel("copies", "mma_converged", "clean", dict(x=X(32, "f32"), y=out("f32", 128)), result=dict(y=dict(values=[i % 32 + 16 for i in range(128)])))
kernel("copies", "mma_in_branch", "convergence-required", dict(x=X(32, "f32"), y=out("f32", 128)))


# ---- bulk.cu -------------------------------------------------------------------------------------------------------
def ring(name, expect, **more):
    kernel("bulk", name, expect, dict(x=X(8 * 128), y=out("i32", 8 * 128), tiles=8), block=256, result=dict(y=[2 * i + 1 for i in range(1024)]) if expect == "clean" else None, **more)


ring("ring_right", "clean")
ring("ring_wrong_parity", ["uninitialised-read", "race"], missing=["mbarrier-wait"])
ring("ring_tx_too_small", "mbarrier-misuse", missing=["mbarrier-wait"])
ring("ring_tx_too_large", "deadlock")
ring("ring_no_wait", ["uninitialised-read", "race"], missing=["mbarrier-wait"])
ring("ring_no_empty_wait", ["mbarrier-misuse", "race"], missing=["mbarrier-wait", "cta-barrier"])
ring("ring_empty_count", "deadlock")
ring("ring_no_init_barrier", ["mbarrier-misuse", "race"])
ring("ring_arrive_before_read", "race", missing=["cta-barrier", "mbarrier-wait"])
ring("ring_no_expect", ["race", "uninitialised-read"])
ring("ring_misaligned", "misaligned")
ring("ring_past_end", "out-of-bounds")


def store(name, expect, **more):
    kernel("bulk", name, expect, dict(x=X(256), y=out("i32", 256), z=out("i32", 2)), block=128, result=dict(y=[i + 1 for i in range(256)]) if expect == "clean" else None, **more)


store("store_right", "clean")
store("store_no_proxy_fence", "race", missing=["fence-proxy-async"])
store("store_no_barrier", "race", missing=["cta-barrier", "warp-sync", "fence-proxy-async"])
store("store_source_reused", "race", missing=["bulk-read-wait"])
store("store_not_waited", "race", missing=["bulk-wait"])
store("store_exit_early", "leaked-async-group")
store("store_no_commit", "race", missing=["bulk-read-wait"])
kernel("bulk", "store_fence_by_issuer", "clean", dict(x=X(128), y=out("i32", 128), z=out("i32", 1)), block=128, result=dict(y=[i + 1 for i in range(128)], z=[1]))
kernel("bulk", "bulk_reduce", "clean", dict(x=X(640), y=buf("i32", 128, "zero")), grid=5, block=128, result=dict(y=[5 * i + 128 * 10 for i in range(128)]))
kernel("bulk", "mbarrier_tokens", "clean", dict(x=X(128), y=out("i32", 384)), block=128, result=dict(y=[127 - i % 128 + i // 128 for i in range(384)]))
kernel("bulk", "mbarrier_uninitialised", "mbarrier-misuse", dict(y=out("i32", 32)))
kernel("bulk", "mbarrier_overwritten", "mbarrier-misuse", dict(y=out("i32", 32)))
kernel("bulk", "dependent_launch", "clean", dict(x=X(64), y=out("i32", 64)), grid=2, result=dict(y=[i + 1 for i in range(64)]))
matrices("bulk", "stmatrix_right", "clean", [(i + 128) % 256 for i in range(256)])
matrices("bulk", "stmatrix_overlap", "race", missing=["cta-barrier"])
matrices("bulk", "stmatrix_no_barrier", ["uninitialised-read", "race"], missing=["cta-barrier"])

# ---- tensor.cu -----------------------------------------------------------------------------------------------------
STEPS = 5
MA, MB = mix(7, 3, 5, 2), mix(11, 1, 7, 3)


def product(k):
    a, b = init(buf("bf16", 64 * k, MA)), init(buf("bf16", 16 * k, MB))
    return [sum(a[m * k + i] * b[n * k + i] for i in range(k)) for m in range(64) for n in range(16)]


def tensor(name, expect, **more):
    k = STEPS * 64
    maps = dict(a=dict(buffer=buf("bf16", 64 * k, MA), elem="bfloat16", dims=[k, 64], strides=[k * 2], box=[64, 64], swizzle_bytes=128),
                b=dict(buffer=buf("bf16", 16 * k, MB), elem="bfloat16", dims=[k, 16], strides=[k * 2], box=[64, 16], swizzle_bytes=128),
                c=dict(buffer=out("f32", 1024), elem="float32", dims=[16, 64], strides=[64], box=[16, 64], swizzle_bytes=0))
    kernel("tensor", name, expect, dict(a="map", b="map", c="map", steps=STEPS), block=256, shared=2 * (8192 + 2048) + 4096 + (64 if "misaligned" in name else 0),
           tensormaps=maps, result=dict(c=product(k)) if expect in ("clean", "wrong-result") else None, **more)


tensor("tma_wgmma", "clean")
tensor("tma_wgmma_no_wait", "wgmma-register-hazard")
tensor("tma_wgmma_no_fence", "wgmma-register-hazard")
tensor("tma_wgmma_no_commit", "race", missing=["wgmma-wait"])
tensor("tma_wgmma_release_early", "race", missing=["wgmma-wait"])
tensor("tma_wgmma_wrong_swizzle", "wrong-result")
tensor("tma_wgmma_wrong_step", "wrong-result")
tensor("tma_wgmma_no_full_wait", ["uninitialised-read", "race"], missing=["mbarrier-wait"])
tensor("tma_wgmma_store_no_fence", "race", missing=["fence-proxy-async"])
tensor("tma_wgmma_store_unwaited", "leaked-async-group")
tensor("tma_wgmma_misaligned", "misaligned")


def by_hand(name, expect, **more):
    kernel("tensor", name, expect, dict(a=buf("bf16", 4096, MA), b=buf("bf16", 1024, MB), c=out("f32", 1024)), block=128,
           result=dict(c=product(64)) if expect in ("clean", "wrong-result") else None, **more)


by_hand("wgmma_by_hand", "clean")
by_hand("wgmma_no_proxy_fence", "race", missing=["fence-proxy-async"])
by_hand("wgmma_no_barrier", ["uninitialised-read", "race"], missing=["cta-barrier", "fence-proxy-async"])
by_hand("wgmma_wrong_swizzle", "wrong-result")


# ---- cluster.cu ----------------------------------------------------------------------------------------------------
def cluster(name, expect, y=None, block=64, n=512, **more):
    kernel("cluster", name, expect, dict(x=X(512), y=out("i32", n)), grid=8, block=block, cluster=4, result=dict(y=y) if y else None, **more)


cluster("cluster_reduction", "clean", [sum(i // 256 * 256 + r * 64 + 63 - i % 64 for r in range(4)) for i in range(512)])
cluster("cluster_no_first_sync", ["uninitialised-read", "race"], missing=["cluster-barrier"])
cluster("cluster_no_last_sync", ["race", "use-after-free"], missing=["cluster-barrier"])
cluster("cluster_arrive_relaxed", "race", missing=["cluster-barrier", "cta-barrier"])
cluster("cluster_block_barrier", ["race", "uninitialised-read"], missing=["cluster-barrier"])
cluster("cluster_bad_rank", "out-of-bounds")
cluster("cluster_past_end", "out-of-bounds")
cluster("cluster_send", "clean", [(i // 64 // 4 * 4 + (i // 64 + 3) % 4) * 64 + 63 - i % 64 for i in range(512)])
cluster("cluster_send_no_wait", ["uninitialised-read", "race"], missing=["mbarrier-wait"])
cluster("cluster_send_few_bytes", "deadlock")
cluster("cluster_multicast", "clean", [i % 64 + i // 64 % 4 for i in range(512)])
kernel("cluster", "cluster_remote_arrive", "clean", dict(x=X(4), y=out("i32", 32)), grid=4, cluster=4, result=dict(y=[i % 4 + 3 for i in range(32)]))

I = lambda n: out("i32", n)

# ---- language.cu ---------------------------------------------------------------------------------------------------
def language(name, expect, y, n=32, x=None, **more):
    kernel("language", name, expect, dict(x=x or X(n), y=I(len(y))), block=more.pop("block", n), result=dict(y=dict(values=y)) if expect in ("clean", "wrong-result") else None, **more)


def ackermann(m, n):
    return n + 1 if m == 0 else ackermann(m - 1, 1) if n == 0 else ackermann(m - 1, ackermann(m, n - 1))


language("recursion", "clean", [ackermann(i % 3, i % 4) for i in range(32)])


def pointed(t):
    v = t
    for i in range(3):
        v = [v * 2, v * v, -v][(t + i) % 3] & 0xFFFF
    return v


language("function_pointers", "clean", [pointed(t) for t in range(32)])
language("virtual_calls", "clean", [v * v * 10 + v if v % 2 else v * v // 2 * 10 + 3 for v in reversed(range(32))])
language("structs_by_value", "clean", [(t + (t % 12 + 1) % 12) * 1000 + t * 2 + 99 for t in range(32)])
m = buf("i32", 512, mix(37, 11, 211, 100))
language("local_sort", "clean", [v for t in range(32) for v in sorted(init(m)[t * 16:t * 16 + 16])], x=m)
language("local_far_out", "out-of-bounds", [0] * 32)
language("heap", "clean", [sum(t + i for i in range(t % 7 + 1)) for t in range(32)])

language("jump_table", "clean", [[v + 3, (v * 3) ^ 77, 77, v // 3, bin(v).count("1"), -v, v << 3, v * v, ~v, 5, 5][v % 11] for v in range(64)], n=64)


def walk(v):
    n, odd = 0, v & 1
    while True:
        if odd:
            n += 10
            v -= 1
            if v <= 0:
                return n
            if v & 2:
                v -= 2
                continue
            odd = False
        else:
            n += 1
            v //= 2
            if v <= 0:
                return n
            odd = v & 1


language("irreducible", "clean", [walk(v) for v in range(96)], n=96)
language("prints", "clean", [1] * 32)
language("assert_holds", "clean", list(range(32)))
language("assert_fails", "assert", [0] * 32)


def odd_sums(down=1):
    v = []
    for t in range(45):
        i, j, k = t % 5, t // 5 % 3, t // 15
        v.append(4 - i + 5 * (2 - j + 3 * (2 - k)))
    sums = [sum(v[:32])] * 32 + [sum(v[32:])] * 13
    return [sums[t] + (0 if t in (31, 44) else v[t + 1]) for t in range(45)]


language("partial_warps", "clean", odd_sums(), n=45, block=(5, 3, 3))
language("partial_warps_full_mask", "clean", odd_sums(), n=45, block=(5, 3, 3))
language("partial_warps_shfl_absent", "wrong-result", odd_sums(), n=45, block=(5, 3, 3))


def votes(t):
    r = len([i for i in range(32) if i % 5 == t % 5]) + 32 + 1 + 100 + 1000 + 31 + 5 + 0
    if t % 2:
        r += 8
    ones = [i for i in range(32) if 0xF0F0F0F0 >> i & 1]
    return r + ones[t % 8]


language("votes", "clean", [votes(t) for t in range(32)])
language("shfl_inactive", "wrong-result", [16 + t if t < 16 else t for t in range(32)])
language("syncwarp_two_masks", "clean", [t ^ 1 for t in range(32)])
kernel("language", "atomics_all", "clean", dict(x=X(96), d=buf("f64", 2, "zero"), u=buf("u64", 4, dict(values=[0, 2**50, 0, 0])), h=buf("u16", 2, "zero"), b=buf("u16", 2, "zero"), c=buf("u16", 1, "zero"), y=buf("i32", 98, "zero")),
       grid=3, result=dict(d=[4560, 2280], u=dict(values=[95 << 33, 1 << 40, (1 << 64) - (1 << 32), 96 << 35]), h=[0x5600, 0x5A00], b=[0x42C0, 0x4240], c=[288], y=dict(values=[1] * 96)))
kernel("language", "max_without_cas", "race", dict(x=X(96), best=buf("f32", 1, "zero")), grid=3)

# ---- persistent.cu -------------------------------------------------------------------------------------------------
def queue(name, expect, **more):
    n = 64 * 21 - 9
    kernel("persistent", name, expect, dict(x=X(n), y=I(n), next=buf("i32", 1, "zero"), n=n), grid=3, block=128, result=dict(y=[3 * i for i in range(n)]) if expect in ("clean", "wrong-result") else None, **more)


queue("queue_right", "clean")
queue("queue_plain", "race")
queue("queue_no_broadcast", "wrong-result")
queue("queue_tail", "out-of-bounds")
queue("queue_block_right", "clean")
queue("queue_block_one_slot", "race", missing=["cta-barrier", "warp-sync"])


def stream(name, expect, **more):
    y = [sum((tile * 5 + s) * 64 + i for s in range(5)) for tile in range(6) for i in range(64)]
    kernel("persistent", name, expect, dict(x=X(30 * 64), part=I(256), flag=buf("i32", 4, "zero"), y=I(384)), grid=4, block=64, result=dict(y=y) if expect == "clean" else None, **more)


stream("stream_k_right", "clean")
stream("stream_k_no_fence", "race", missing=["grid-sync"])
stream("stream_k_relaxed", "race", missing=["grid-sync"])
stream("stream_k_no_barrier", ["uninitialised-read", "race"], missing=["grid-sync", "cta-barrier"])
stream("stream_k_wrong_peer", ["deadlock", "uninitialised-read", "race"], missing=["grid-sync"])
stream("stream_k_cta_scope", "race", missing=["wider-scope"])
stream("stream_k_two_owners", "race", missing=["grid-sync"])


def jacobi(a, rounds):
    for r in range(rounds):
        n = len(a)
        a = [((a[i - 1] if i else 0) + a[i] * 2 + (a[i + 1] if i + 1 < n else 0)) % 1000 for i in range(n)]
    return a


def grid_rounds(name, expect, **more):
    kernel("persistent", name, expect, dict(a=X(200), b=I(200), n=200, rounds=4), grid=4, block=64, cooperative=True, result=dict(a=jacobi(list(range(200)), 4)) if expect == "clean" else None, **more)


grid_rounds("jacobi_right", "clean")
grid_rounds("jacobi_skips_a_sync", "race")
kernel("persistent", "grid_sync_one_leaves", ["deadlock", "instruction-limit"], dict(a=buf("i32", 4, "zero")), grid=4, cooperative=True)


def by_hand_barrier(name, expect, **more):
    y = [63 - t + (b + 1) % 4 + r for r in range(3) for b in range(4) for t in range(64)]
    kernel("persistent", name, expect, dict(x=X(64), part=I(256), count=buf("u32", 1, "zero"), generation=buf("u32", 1, "zero"), y=I(768)), grid=4, block=64,
           result=dict(y=y) if expect == "clean" else None, **more)


by_hand_barrier("grid_barrier_by_hand", "clean")
by_hand_barrier("grid_barrier_no_fence", "race", missing=["grid-sync", "atomic-against-plain"])


def lookback_warp(name, expect, **more):
    kernel("persistent", name, expect, dict(x=X(128 * 40), state=buf("u64", 40, "zero"), y=I(128 * 40), ticket=buf("u32", 1, "zero")), grid=40, block=128,
           result=dict(y=[sum(range(i + 1)) for i in range(128 * 40)]) if expect == "clean" else None, **more)


lookback_warp("lookback_warp", "clean")
lookback_warp("lookback_warp_torn", ["race", "wrong-result"], missing=["wider-scope", "same-instruction", "atomic-against-plain", "grid-sync"])
lookback_warp("lookback_warp_plain", "race")
HANG = ["deadlock"]
kernel("persistent", "spin_plain_flag", HANG, dict(flag=buf("i32", 2, "zero"), y=I(64)), grid=2)
kernel("persistent", "spin_lock_twice", HANG, dict(lock=buf("i32", 1, "zero"), y=I(32)), block=1)
kernel("persistent", "spin_lock_order", HANG, dict(lock=buf("i32", 3, "zero"), y=I(2)), grid=2)
kernel("persistent", "spin_counting", HANG, dict(flag=buf("i32", 1, "zero"), y=I(32)))
kernel("persistent", "spin_on_shared", HANG, dict(y=I(64)), block=64)
v = 0
for _ in range(60000):
    v = (v * 1664525 + 1013904223) % 2**32
kernel("persistent", "spin_long", "clean", dict(x=X(1), flag=buf("i32", 1, "zero"), y=I(65)), grid=2, block=64, result=dict(y=[7] * 64 + [v >> 8]))
kernel("persistent", "ping_pong", "clean", dict(ball=buf("i32", 1, "zero"), y=I(2)), grid=2, result=dict(y=[1, 1], ball=[400]))

# ---- library.cu ----------------------------------------------------------------------------------------------------
def library(name, expect, y, x=None, n=128, **more):
    p = dict(x=x or X(n), y=I(len(y) if y else 2048))
    p.update(more.pop("more", {}))
    kernel("library", name, expect, p, block=more.pop("block", 128), result=dict(y=dict(values=y), **more.pop("results", {})) if expect == "clean" else None, **more)


x256 = buf("i32", 256, mix(37, 11, 211, 100))
v = init(x256)
sums = [sum(v[:128]), max(v[:100]), sum(v[128:]), max(v[128:228])]
for how in ("shuffles", "raking", "raking_commutative"):
    library("cub_reduce_" + how, "clean", sums, x=x256, grid=2)
library("cub_reduce_reused", "race", None, x=x256, grid=2, missing=["cta-barrier"])
scanned = [sum(range(i)) for i in range(281)]
library("cub_scan_raking", "clean", scanned, n=281, block=96)
library("cub_scan_warps", "clean", scanned, n=281, block=96)
library("cub_scan_reused", "race", None, n=281, block=96, missing=["cta-barrier", "warp-sync"])
order = sorted(range(256), key=lambda i: v[i])
library("cub_radix_sort", "clean", sorted(v), x=x256, block=64, more=dict(index=I(256)), results=dict(index=dict(values=order)))
bins = [sum(1 for w in v if w & 15 == b) for b in range(16)]
library("cub_histogram_sort", "clean", bins, x=x256, block=64)
library("cub_histogram_atomic", "clean", bins, x=x256, block=64)
w = v[:64]
library("cub_warps", "clean", [sum(w[t:t + 16]) if t % 16 == 0 else 0 for t in range(64)] + [sum(w[t // 32 * 32:t + 1]) for t in range(64)], x=x256, block=64)
y = [(127 - t) * (r + 2) for r in range(4) for t in range(128)]
library("barrier_tokens", "clean", y)
library("barrier_tokens_no_wait", ["uninitialised-read", "race"], None, missing=["mbarrier-wait", "cta-barrier"])
y = [i // 128 * 128 + 127 - i % 128 for i in range(5 * 128)]
pipe = lambda name, expect, **more: kernel("library", name, expect, dict(x=X(640), y=I(640), tiles=5), block=128, result=dict(y=y) if expect == "clean" else None, **more)
pipe("pipeline_object", "clean")
pipe("pipeline_object_no_wait", ["uninitialised-read", "race"])
pipe("pipeline_object_release_early", "race")
pipe("pipeline_object_wrong_stage", ["uninitialised-read", "race"])
kernel("library", "pipeline_roles", "clean", dict(x=X(448), y=I(448), tiles=7), block=128, result=dict(y=[i // 64 * 64 + 64 - i % 64 for i in range(448)]))
library("latch_and_semaphore", "clean", [63 - t for t in range(64)] + [1], n=64, block=64)


def tiles(x):
    n = len(x)
    sums = [sum(x[t // 8 * 8:t // 8 * 8 + 8]) for t in range(n)]
    scan = [sum(x[t // 8 * 8:t]) for t in range(n)]
    part = []
    agg = []
    for t in range(n):
        mine = [w for w in x[t // 8 * 8:t // 8 * 8 + 8] if w % 2 == x[t] % 2]
        part.append(len(mine) * 1000 + max(mine))
        if x[t] % 3:
            agg.append(0)
            continue
        agg.append(1 + x[t] % 2 * 10)
    return sums + scan + part + agg


library("groups_tiles", "clean", tiles(list(range(128))))
library("groups_of_two_warps", "clean", [t // 64 * 64 + 63 - t % 64 for t in range(128)])
library("groups_of_two_warps_no_sync", ["uninitialised-read", "race"], None)
library("groups_memcpy", "clean", [255 - t for t in range(256)], n=256, block=256)
library("groups_memcpy_no_wait", ["uninitialised-read", "race"], None, n=256, block=256)
library("groups_split_barrier", "clean", [127 + t for t in range(128)])


# ---- pipelines.cu --------------------------------------------------------------------------------------------------
MT = mix(7, 3, 199, 99)


def tile_ring(name, expect, **more):
    n = 7
    x = buf("bf16", n * 4096, MT)
    maps = dict(x=dict(buffer=x, elem="bfloat16", dims=[64, n * 64], strides=[128], box=[64, 32], swizzle_bytes=128))
    kernel("pipelines", name, expect, dict(x="map", y=out("f32", n * 4096), n=n), block=256, shared=24576, tensormaps=maps,
           result=dict(y=dict(mix=MT)) if expect in ("clean", "wrong-result") else None, **more)


tile_ring("tile_ring", "clean")
tile_ring("tile_ring_stage_early", "deadlock")
tile_ring("tile_ring_no_flip", ["race", "mbarrier-misuse", "deadlock"])
tile_ring("tile_ring_tx_of_one", ["mbarrier-misuse", "race"])
tile_ring("tile_ring_tx_of_three", "deadlock")
tile_ring("tile_ring_no_elect", ["mbarrier-misuse", "race"])
tile_ring("tile_ring_out_of_stage", "out-of-bounds")
tile_ring("tile_ring_past_tensor", "wrong-result")
tile_ring("tile_ring_swizzle_xor", "wrong-result")


def overlapped(name, expect, **more):
    k = 7 * 64
    ma, mb = mix(7, 3, 5, 2), mix(11, 1, 7, 3)
    a, b = buf("bf16", 64 * k, ma), buf("bf16", 16 * k, mb)
    va, vb = init(a), init(b)
    maps = dict(a=dict(buffer=a, elem="bfloat16", dims=[k, 64], strides=[k * 2], box=[64, 64], swizzle_bytes=128),
                b=dict(buffer=b, elem="bfloat16", dims=[k, 16], strides=[k * 2], box=[64, 16], swizzle_bytes=128))
    c = [sum(va[m * k + i] * vb[n * k + i] for i in range(k)) for m in range(64) for n in range(16)]
    kernel("pipelines", name, expect, dict(a="map", b="map", c=out("f32", 1024), steps=7), block=256, shared=30720, tensormaps=maps, result=dict(c=dict(values=c)) if expect == "clean" else None, **more)


overlapped("wgmma_overlapped", "clean")
overlapped("wgmma_overlapped_left_in_flight", "race", missing=["wgmma-wait"])
overlapped("wgmma_overlapped_read_early", "wgmma-register-hazard")


def map_changed(name, expect, **more):
    maps = dict(x=dict(buffer=buf("f32", 256), elem="float32", dims=[16, 16], strides=[64], box=[16, 16], swizzle_bytes=0))
    kernel("pipelines", name, expect, dict(x="map", room=buf("u32", 32, "zero"), other=buf("f32", 256, mix(7, 3, 199, 99)), y=out("f32", 256)), tensormaps=maps,
           result=dict(y=dict(values=init(buf("f32", 256, mix(7, 3, 199, 99))))) if expect == "clean" else None, **more)


map_changed("map_replaced", "clean")
map_changed("map_replaced_no_acquire", "race", missing=["fence-proxy-tensormap"])


def double_buffer(name, expect, **more):
    kernel("pipelines", name, expect, dict(x=X(448), y=I(448), n=7), block=128, result=dict(y=[(i // 64 * 64 + 63 - i % 64) * 2 for i in range(448)]) if expect == "clean" else None, **more)


double_buffer("named_double_buffer", "clean")
double_buffer("named_count_short", ["barrier-divergence", "uninitialised-read", "race"])
guide = lambda name, expect, **more: kernel("pipelines", name, expect, dict(x=X(512)), grid=2, block=128, result=dict(x=[i + 1 for i in range(512)]) if expect == "clean" else None, **more)
guide("guide_bulk", "clean")
guide("guide_bulk_no_fence", "race", missing=["fence-proxy-async"])
guide("guide_bulk_no_barrier", "race", missing=["cta-barrier", "warp-sync", "fence-proxy-async"])
kernel("pipelines", "vector_atomics", "clean", dict(f=buf("f32", 8, "zero"), h=buf("bf16", 2, "zero"), w=buf("u64", 1, "zero"), y=I(96)), grid=3,
       result=dict(f=dict(values=[96, 192, 288, 384, 48, 24, 0, 0]), h=[96, 96], w=[2 << 40], y=[1] * 96))

# ---- clusters.cu ---------------------------------------------------------------------------------------------------
def shared_tiles(name, expect, **more):
    n = 6
    x = buf("f32", n * 512, mix(7, 3, 199, 99))
    maps = dict(x=dict(buffer=x, elem="float32", dims=[32, n * 16], strides=[128], box=[32, 8], swizzle_bytes=0))
    kernel("clusters", name, expect, dict(x="map", y=out("f32", 2 * n * 512), n=n), grid=2, block=64, cluster=2, tensormaps=maps,
           result=dict(y=dict(mix=dict(mix(7, 3, 199, 99), every=n * 512))) if expect == "clean" else None, **more)


shared_tiles("multicast_ring", "clean")
shared_tiles("multicast_ring_default_scopes", "clean")
shared_tiles("multicast_ring_no_empty", ["mbarrier-misuse", "race"])
shared_tiles("multicast_ring_local_empty", ["race", "mbarrier-misuse"])
shared_tiles("multicast_ring_mask", ["barrier-divergence", "deadlock"])
shared_tiles("multicast_ring_bytes", ["barrier-divergence", "deadlock"])
shared_tiles("multicast_ring_exit_early", ["use-after-free", "race", "leaked-async-group"])
shared_tiles("multicast_ring_wrong_rank", ["mbarrier-misuse", "race", "deadlock", "barrier-divergence"])
v = [i * 37 % 101 for i in range(512)]


def cluster_histogram(name, expect, **more):
    kernel("clusters", name, expect, dict(x=buf("i32", 512, mix(37, 0, 101)), y=I(64)), grid=8, block=64, cluster=4,
           result=dict(y=[sum(1 for w in v[b // 4 * 256:b // 4 * 256 + 256] if w % 32 == b % 4 * 8 + k) for b in range(8) for k in range(8)]) if expect == "clean" else None, **more)


cluster_histogram("cluster_histogram", "clean")
cluster_histogram("cluster_histogram_no_sync", ["race", "uninitialised-read"], missing=["atomic-against-plain", "cluster-barrier"])
cluster_histogram("cluster_histogram_plain", "race")


def all_reduce(name, expect, **more):
    kernel("clusters", name, expect, dict(x=X(256), y=I(8)), grid=8, block=32, cluster=4, result=dict(y=[sum(range(b // 4 * 128, b // 4 * 128 + 128)) for b in range(8)]) if expect == "clean" else None, **more)


all_reduce("cluster_all_reduce", "clean")
all_reduce("cluster_all_reduce_cta_wait", "race", missing=["wider-scope", "cluster-barrier"])
all_reduce("cluster_all_reduce_leaves", "clean")


def exchange(x):
    v = [x[:128], x[128:]]
    for _ in range(2):
        inbox = [v[1], v[0]]
        v = [[v[r][i] + inbox[r][(i + 1) % 128] for i in range(128)] for r in range(2)]
    return v[0] + v[1]


kernel("clusters", "async_exchange", "clean", dict(x=X(256), y=I(256)), grid=2, block=32, cluster=2, result=dict(y=dict(values=exchange(list(range(256))))))
kernel("clusters", "async_then_generic", "clean", dict(x=X(64), y=I(64)), grid=2, block=32, cluster=2, result=dict(y=[(1 - i // 32) * 32 + 31 - (i + 1) % 32 + 1 for i in range(64)]))

# ---- blocks.cu -----------------------------------------------------------------------------------------------------
def blocks(name, expect, y, x=None, n=64, more=None, grid=1, **k):
    p = dict(x=x or X(n), y=I(len(y) if y else 64)); p.update(more or {})
    kernel("blocks", name, expect, p, grid=grid, block=k.pop("block", n), result=dict(y=dict(values=y)) if y else None, **k)


blocks("constants", "clean", [sum((1 + (i + t) % 8) * t for i in range(8)) + 1 + t % 8 for t in range(64)])
kernel("blocks", "barriers_crossed", ["barrier-divergence", "deadlock"], dict(y=I(64)), block=64)
blocks("barrier_by_warp", ["barrier-divergence", "race", "uninitialised-read"], None)
blocks("shared_flags", "clean", [(31 - t) * 2 for t in range(32)])
kernel("blocks", "shared_lock", "clean", dict(y=I(96)), block=96, result=dict(y=[96] * 96))
kernel("blocks", "wide_atomics", "clean", dict(y=I(64)), block=64, result=dict(y=[64 + 3200 + 160000 + 128000000] * 64))
blocks("predicate_uninit", "uninitialised-read", None)
blocks("overrun_neighbour", ["race", "wrong-result"], [7 + t for t in range(64)], shared=512)
kernel("blocks", "big_shared", "clean", dict(x=X(1), y=I(1024)), block=1024, shared=160000, result=dict(y=[39999 - t for t in range(1024)]))
kernel("blocks", "nc_while_written", ["race", "read-only-write"], dict(x=X(32), w=dict(alias="x"), y=I(32)), grid=2, block=32)
kernel("blocks", "read_vector_past", "out-of-bounds", dict(x=buf("f32", 124), y=out("f32", 32)), block=32)
kernel("blocks", "shuffled_pred_loop", "clean", dict(x=X(1000), y=buf("i32", 1, "zero"), n=1000), grid=2, block=96, result=dict(y=[sum(range(1000))]))
kernel("blocks", "early_return_then_shfl", "clean", dict(x=X(150), y=I(4), n=150), grid=3, block=64, result=dict(y=[sum(range(w * 32, w * 32 + 32)) for w in range(4)]))
kernel("blocks", "retirement", "clean", dict(x=X(640), part=I(10), count=buf("u32", 1, "zero"), y=I(1)), grid=10, block=64, result=dict(y=[sum(range(640))], count=[0]))
kernel("blocks", "spin_backoff", "clean", dict(lock=buf("i32", 1, "zero"), y=buf("i32", 1, "zero")), grid=8, block=32, result=dict(y=[8]))
kernel("blocks", "clock_wait", "clean", dict(y=I(32)), block=32, result=dict(y=[1] * 32))
kernel("blocks", "two_writers", "race", dict(y=I(1)), grid=3, block=32)

# ---- hopper.cu -----------------------------------------------------------------------------------------------------
MA, MB = mix(7, 3, 5, 2), mix(11, 1, 7, 3)
a, b = init(buf("bf16", 4096, MA)), init(buf("bf16", 1024, MB))
prod = [sum(a[m * 64 + i] * b[n * 64 + i] for i in range(64)) for m in range(64) for n in range(16)]
for name, e in (("wgmma_rs", "clean"), ("wgmma_rs_no_fence", "wgmma-register-hazard")):
    kernel("hopper", name, e, dict(a=buf("bf16", 4096, MA), b=buf("bf16", 1024, MB), c=out("f32", 1024)), block=128, result=dict(c=dict(values=prod)))
kernel("hopper", "drop", "clean", dict(y=I(64)), block=64, result=dict(y=[63 - t for t in range(32)] + [131 - t for t in range(32)]))
kernel("hopper", "square", "clean", dict(y=I(16)), grid=(4, 4, 1), block=32, cluster=(2, 2, 1), result=dict(y=[(by % 2 * 2 + bx % 2) * 100 + 40 + bx % 2 * 2 + by % 2 for by in range(4) for bx in range(4)]))
kernel("hopper", "cluster_divergent_arrive", "clean", dict(x=X(32), y=I(256)), grid=2, block=32, cluster=2, result=dict(y=[t + r if t % 3 == 0 else t - r for r in range(4) for b in range(2) for t in range(32)]))
yy = [0 if j < 4 or i + 2 >= 16 else (i + 2) * 16 + j - 4 for i in range(16) for j in range(16)]
kernel("hopper", "prefetches", "clean", dict(m="map", x=buf("f32", 256), y=out("f32", 256)), tensormaps=dict(m=dict(buffer=buf("f32", 256), elem="float32", dims=[16, 16], strides=[64], box=[16, 16], swizzle_bytes=0)), result=dict(y=dict(values=yy), m=[i + 1 for i in range(256)]))
kernel("hopper", "programmatic", "clean", dict(x=X(32), y=I(32)), result=dict(y=[i + 1 for i in range(32)]))
kernel("hopper", "grid_in_cluster", "clean", dict(x=X(32), y=I(4)), grid=4, cluster=2, result=dict(y=[20, 21, 20, 21]))
for name, e in (("two_stores_right", "clean"), ("two_stores_off_by_one", "race")):
    kernel("hopper", name, e, dict(x=X(768), y=I(768)), block=128, result=dict(y=[i + 1 for i in range(768)]))

if __name__ == "__main__":
    text = ",\n".join(json.dumps(k) for k in KERNELS)
    Path(__file__).with_name("manifest.json").write_text('{"kernels": [\n' + text + "\n]}\n")
    clean = sum(k["expect"] == "clean" for k in KERNELS)
    print(f"{len(KERNELS) - clean} faulty, {clean} clean")
