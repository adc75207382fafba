"""Threads of a block and of a grid: barriers, memory, atomics and messages."""
from .common import *

# ---- barriers.cu ---------------------------------------------------------------------------------------------------
def reduce(name, expect, **more):
    x = buf("f32", 512, mix(7, 3, 11, 5))
    v = init(x)
    kernel("barriers", name, expect, dict(x=x, y=out("f32", 2)), grid=2, block=256, result=dict(y=[sum(v[:256]), sum(v[256:])]) if expect == "clean" else None, **more)


reduce("reduce_shared", "clean")
reduce("reduce_no_barrier_after_store", ["uninitialised-read", "race"], missing=["cta-barrier"])
reduce("reduce_no_barrier_in_tree", "race", missing=["cta-barrier", "warp-sync"])

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
