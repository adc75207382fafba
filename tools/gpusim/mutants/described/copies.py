"""Asynchronous copies, matrices, clusters."""
from .common import *

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

