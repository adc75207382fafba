"""What CUDA C++ offers, kernels that stay, and what CUB and cooperative groups make."""
from .common import *

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
