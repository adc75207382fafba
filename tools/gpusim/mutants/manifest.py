#!/usr/bin/env python3
"""Writes manifest.json, the description of every kernel of the mutation suite: python3 manifest.py. Format: README.md.

Results are computed here, from the kernels' meaning, and not by any simulator.
"""
import json
from pathlib import Path

KERNELS = []
ARCH = {"barriers": "sm_80", "memory": "sm_80", "global": "sm_80", "copies": "sm_80", "bulk": "sm_90a", "tensor": "sm_90a", "cluster": "sm_90a"}


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
    record = dict(name=name, file=f"{file}.cu", entry=name, target=ARCH[file], grid=[grid, 1, 1], block=[block, 1, 1], cluster=[cluster, 1, 1],
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
kernel("barriers", "barrier_in_branch", ["uninitialised-read", "race"], dict(x=X(64, "f32"), y=out("f32", 128)), block=64)
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
kernel("memory", "endless_loop", "instruction-limit", dict(flag=buf("i32", 1, "zero"), y=out("i32", 32)), note="give the launch a small instruction limit")

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

if __name__ == "__main__":
    text = ",\n".join(json.dumps(k) for k in KERNELS)
    Path(__file__).with_name("manifest.json").write_text('{"kernels": [\n' + text + "\n]}\n")
    clean = sum(k["expect"] == "clean" for k in KERNELS)
    print(f"{len(KERNELS) - clean} faulty, {clean} clean")
