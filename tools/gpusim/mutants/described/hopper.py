"""Pipelines and clusters as libraries write them, whole blocks, sm_90a."""
from .common import *

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
