"""The table of Triton programs: kernel, variant, target, types, constants, launch cases. make.py reads it."""
PROGRAMS = []


def cdiv(a, b):
    return -(-a // b)


def add(name, kernel, arch, types, constants, cases, warps=4, stages=3, ctas=1, cooperative=False, aligned=(), maps=None):
    """`types`: parameter -> '*bf16', 'i32', ... in order. `aligned`: scalars that are multiples of 16 in all cases."""
    PROGRAMS.append(dict(name=name, kernel=kernel, arch=arch, types=types, constants=constants, cases=cases, warps=warps,
                         stages=stages, ctas=ctas, cooperative=cooperative, aligned=aligned, maps=maps or {}))


def buf(elem, *shape, init="normal"):
    return {"elem": elem, "shape": list(shape), "init": init}


def out(elem, *shape):
    return buf(elem, *shape, init="unwritten")


# ---- matmul ------------------------------------------------------------------------------------------------------
RAGGED = [(128, 128, 64), (200, 144, 96), (1, 48, 144), (257, 128, 32)]          # rows of 16-byte multiples
ODD = [(64, 64, 64), (77, 51, 33), (5, 131, 70), (130, 1, 17)]


def matmul(name, arch, ab, c, bm, bn, bk, warps, stages, sizes=RAGGED, cols=False, precision="tf32", acc="fp32", relu=False, ctas=1):
    cases = []
    for m, n, k in sizes:
        cases.append(dict(grid=[cdiv(m, bm) * cdiv(n, bn), 1, 1], args=dict(M=m, N=n, K=k),
                          buffers=dict(a=buf(ab, m, k), b=buf(ab, n, k) if cols else buf(ab, k, n), c=out(c, m, n)),
                          check=dict(op="matmul", a="a", b="b", b_columns=cols, c="c", relu=relu, precision=precision)))
    add(name, "matmul", arch, dict(a="*" + ab, b="*" + ab, c="*" + c, M="i32", N="i32", K="i32"),
        dict(BM=bm, BN=bn, BK=bk, GROUP=4, B_COLUMNS=cols, PRECISION=precision, ACC=acc, RELU=relu), cases, warps, stages, ctas,
        aligned=("N", "K") if sizes is RAGGED else ())


matmul("matmul_bf16_128x128x32_sm80", 80, "bf16", "bf16", 128, 128, 32, 4, 3)
matmul("matmul_f16_64x64x32_sm80", 80, "fp16", "fp16", 64, 64, 32, 4, 4, relu=True)
matmul("matmul_bf16_64x128x64_columns_sm80", 80, "bf16", "fp32", 64, 128, 64, 8, 3, cols=True)
matmul("matmul_f16_32x32x64_f16acc_sm80", 80, "fp16", "fp16", 32, 32, 64, 2, 2, acc="fp16")
matmul("matmul_tf32_64x64x32_sm80", 80, "fp32", "fp32", 64, 64, 32, 4, 3)
matmul("matmul_f32_ieee_32x64x16_sm80", 80, "fp32", "fp32", 32, 64, 16, 4, 2, precision="ieee")
matmul("matmul_tf32x3_32x32x32_sm80", 80, "fp32", "fp32", 32, 32, 32, 4, 2, precision="tf32x3")
matmul("matmul_i8_64x64x64_sm80", 80, "i8", "i32", 64, 64, 64, 4, 3, acc="int32")
matmul("matmul_bf16_odd_32x32x32_sm80", 80, "bf16", "bf16", 32, 32, 32, 4, 3, sizes=ODD)
matmul("matmul_f64_16x16x16_sm80", 80, "fp64", "fp64", 16, 16, 16, 4, 2, acc="fp64", precision="ieee", sizes=ODD)
matmul("matmul_bf16_16x16x16_one_warp_sm80", 80, "bf16", "fp32", 16, 16, 16, 1, 2, sizes=ODD)
matmul("matmul_e4m3_64x64x64_sm89", 89, "fp8e4nv", "bf16", 64, 64, 64, 4, 3, cols=True)
matmul("matmul_bf16_128x128x64_sm90", 90, "bf16", "bf16", 128, 128, 64, 4, 3)
matmul("matmul_f16_128x256x64_sm90", 90, "fp16", "fp16", 128, 256, 64, 8, 3, cols=True)
matmul("matmul_bf16_64x64x32_odd_sm90", 90, "bf16", "fp32", 64, 64, 32, 4, 3, sizes=ODD)
matmul("matmul_f16_64x32x64_f16acc_sm90", 90, "fp16", "fp16", 64, 32, 64, 4, 3, acc="fp16")
matmul("matmul_tf32_64x64x32_sm90", 90, "fp32", "fp32", 64, 64, 32, 4, 3, cols=True)
matmul("matmul_e4m3_64x128x64_sm90", 90, "fp8e4nv", "fp32", 64, 128, 64, 4, 3, cols=True)
matmul("matmul_e5m2_128x64x128_sm90", 90, "fp8e5", "bf16", 128, 64, 128, 4, 2, cols=True)
matmul("matmul_i8_64x64x64_sm90", 90, "i8", "i32", 64, 64, 64, 4, 3, cols=True, acc="int32")
matmul("matmul_bf16_128x128x64_cluster2_sm90", 90, "bf16", "bf16", 128, 128, 64, 4, 3, ctas=2)

for arch in (80, 90):
    for c in ("fp32", "fp16"):
        cases = [dict(grid=[cdiv(m, 64), cdiv(n, 64), 4], args=dict(M=m, N=n, K=k),
                      buffers=dict(a=buf("bf16", m, k), b=buf("bf16", k, n), c=buf(c, m, n, init="zero")),
                      check=dict(op="matmul", a="a", b="b", b_columns=False, c="c", relu=False, precision="tf32", split=4))
                 for m, n, k in [(64, 64, 256), (100, 80, 336)]]
        add(f"matmul_splitk_{c}_sm{arch}", "matmul_splitk", arch,
            dict(a="*bf16", b="*bf16", c="*" + c, M="i32", N="i32", K="i32"),
            dict(BM=64, BN=64, BK=32, SPLIT=4), cases, aligned=("N", "K"))
    cases = [dict(grid=[5, 1, 1], args=dict(M=m, N=n, K=k),
                  buffers=dict(a=buf("bf16", m, k), b=buf("bf16", k, n), c=out("bf16", m, n)),
                  check=dict(op="matmul", a="a", b="b", b_columns=False, c="c", relu=False, precision="tf32"))
             for m, n, k in [(256, 192, 64), (300, 208, 96)]]
    add(f"matmul_persistent_sm{arch}", "matmul_persistent", arch,
        dict(a="*bf16", b="*bf16", c="*bf16", M="i32", N="i32", K="i32"), dict(BM=64, BN=64, BK=32), cases, aligned=("N", "K"))
    cases = [dict(grid=[cdiv(m, 64) * cdiv(n, 64) * 3, 1, 1], args=dict(M=m, N=n, K=k),
                  buffers=dict(a=buf("fp16", m, k), b=buf("fp16", k, n), partial=out("fp32", 3, m, n), c=out("fp32", m, n),
                               arrived=buf("i32", 1, init="zero")),
                  check=dict(op="matmul", a="a", b="b", b_columns=False, c="c", relu=False, precision="tf32", split=3))
             for m, n, k in [(64, 64, 96), (150, 80, 208)]]
    add(f"matmul_cooperative_sm{arch}", "matmul_cooperative", arch,
        dict(a="*fp16", b="*fp16", partial="*fp32", c="*fp32", arrived="*i32", M="i32", N="i32", K="i32"),
        dict(BM=64, BN=64, BK=32, SPLIT=3), cases, cooperative=True, aligned=("N", "K"))


def tma(name, kernel, ab, c, bm, bn, bk, warps, stages, sizes, constants, cols, persistent=0, ctas=1):
    cases = []
    for m, n, k in sizes:
        blocks = cdiv(m, bm) * cdiv(n, bn)
        cases.append(dict(grid=[min(persistent, blocks) if persistent else blocks, 1, 1], args=dict(M=m, N=n, K=k),
                          buffers=dict(a=buf(ab, m, k), b=buf(ab, n, k) if cols else buf(ab, k, n), c=out(c, m, n)),
                          check=dict(op="matmul", a="a", b="b", b_columns=cols, c="c", relu=False, precision="tf32")))
    add(name, kernel, 90,
        dict(a=f"tensordesc<{ab}[{bm}, {bk}]>", b=f"tensordesc<{ab}[{bn}, {bk}]>" if cols else f"tensordesc<{ab}[{bk}, {bn}]>",
             c=f"tensordesc<{c}[{bm}, {bn}]>", M="i32", N="i32", K="i32"),
        dict(BM=bm, BN=bn, BK=bk, **constants), cases, warps, stages, ctas, maps=dict(a="a", b="b", c="c"))


TMA_SIZES = [(128, 128, 64), (256, 192, 128), (200, 136, 96), (3, 264, 40)]
tma("matmul_tma_bf16_128x128x64_sm90", "matmul_tma", "bf16", "bf16", 128, 128, 64, 4, 3, TMA_SIZES, dict(B_COLUMNS=False), False)
tma("matmul_tma_f16_64x128x32_columns_sm90", "matmul_tma", "fp16", "fp16", 64, 128, 32, 4, 4, TMA_SIZES, dict(B_COLUMNS=True), True)
tma("matmul_tma_bf16_64x64x16_sm90", "matmul_tma", "bf16", "fp32", 64, 64, 16, 4, 2, TMA_SIZES, dict(B_COLUMNS=False), False)
tma("matmul_tma_e4m3_128x64x128_sm90", "matmul_tma", "fp8e4nv", "bf16", 128, 64, 128, 4, 3,
    [(128, 64, 128), (200, 144, 176)], dict(B_COLUMNS=True), True)
tma("matmul_tma_tf32_64x64x32_sm90", "matmul_tma", "fp32", "fp32", 64, 64, 32, 4, 3, TMA_SIZES, dict(B_COLUMNS=True), True)
tma("matmul_tma_bf16_128x256x64_8warps_sm90", "matmul_tma", "bf16", "bf16", 128, 256, 64, 8, 3, TMA_SIZES, dict(B_COLUMNS=True), True)
tma("matmul_tma_bf16_cluster2_sm90", "matmul_tma", "bf16", "bf16", 128, 128, 64, 4, 3, TMA_SIZES, dict(B_COLUMNS=True), True, ctas=2)
tma("matmul_tma_persistent_sm90", "matmul_tma_persistent", "bf16", "bf16", 128, 128, 64, 4, 3, TMA_SIZES + [(520, 400, 64)],
    {}, True, persistent=6)

add("matmul_tma_device_sm90", "matmul_tma_device", 90, dict(a="*bf16", b="*bf16", c="*bf16", M="i32", N="i32", K="i32"),
    dict(BM=64, BN=64, BK=64),
    [dict(grid=[cdiv(m, 64), cdiv(n, 64), 1], args=dict(M=m, N=n, K=k),
          buffers=dict(a=buf("bf16", m, k), b=buf("bf16", k, n), c=out("bf16", m, n)),
          check=dict(op="matmul", a="a", b="b", b_columns=False, c="c", relu=False, precision="tf32"))
     for m, n, k in [(64, 64, 64), (200, 144, 96)]], aligned=("N", "K"))

for elem, op in (("bf16", 0), ("fp32", 1), ("fp16", 1), ("i32", 1), ("i32", 2)):
    word = ("store", "add", "max")[op]
    add(f"tma_{word}_{elem}_sm90", "copy_tma_reduce", 90,
        dict(x=f"tensordesc<{elem}[32, 64]>", y=f"tensordesc<{elem}[32, 64]>", N="i32"), dict(B=32, OP=op),
        [dict(grid=[cdiv(n, 32), 1, 1], args=dict(N=n),
              buffers=dict(x=buf(elem, n, 64, init="small" if elem == "i32" else "normal"),
                           y=out(elem, n, 64) if op == 0 else buf(elem, n, 64, init="small" if elem == "i32" else "normal")),
              check=dict(op="combine", x="x", y="y", how=word)) for n in (32, 75)], maps=dict(x="x", y="y"))


# ---- attention ---------------------------------------------------------------------------------------------------
def attention(arch, elem, d, bm, bn, causal, warps, stages):
    cases = []
    for heads, l, s in [(2, 128, 128), (3, 77, 77), (1, 33, 150), (2, 1, 65)]:
        cases.append(dict(grid=[cdiv(l, bm), heads, 1], args=dict(L=l, S=s, scale=d**-0.5),
                          buffers=dict(q=buf(elem, heads, l, d), k=buf(elem, heads, s, d), v=buf(elem, heads, s, d),
                                       o=out(elem, heads, l, d), lse=out("fp32", heads, l)),
                          check=dict(op="attention", causal=causal, q="q", k="k", v="v", o="o", lse="lse", scale="scale")))
    add(f"attention_{elem}_d{d}_{bm}x{bn}{'_causal' if causal else ''}_sm{arch}", "attention", arch,
        dict(q="*" + elem, k="*" + elem, v="*" + elem, o="*" + elem, lse="*fp32", L="i32", S="i32", scale="fp32"),
        dict(D=d, BM=bm, BN=bn, CAUSAL=causal), cases, warps, stages)


attention(80, "bf16", 64, 64, 64, False, 4, 3)
attention(80, "fp16", 64, 64, 32, True, 4, 2)
attention(80, "bf16", 128, 64, 64, True, 4, 2)
attention(80, "bf16", 32, 16, 32, True, 1, 3)
attention(90, "bf16", 64, 64, 64, False, 4, 2)
attention(90, "fp16", 128, 128, 64, True, 8, 2)
attention(90, "bf16", 64, 128, 128, True, 4, 3)

for causal, warps, bm in ((False, 4, 64), (True, 8, 128)):
    cases = []
    for heads, l in [(2, 256), (3, 128)]:
        b = {n: buf("bf16", heads * l, 64) for n in "qkv"}
        cases.append(dict(grid=[l // bm, heads, 1], args=dict(L=l, scale=0.125), buffers=dict(b, o=out("bf16", heads * l, 64)),
                          check=dict(op="attention", causal=causal, q="q", k="k", v="v", o="o", lse=None, scale="scale", heads=heads)))
    add(f"attention_tma_d64{'_causal' if causal else ''}_sm90", "attention_tma", 90,
        dict(q=f"tensordesc<bf16[{bm}, 64]>", k="tensordesc<bf16[64, 64]>", v="tensordesc<bf16[64, 64]>",
             o=f"tensordesc<bf16[{bm}, 64]>", L="i32", scale="fp32"),
        dict(D=64, BM=bm, BN=64, CAUSAL=causal), cases, warps, 2, maps=dict(q="q", k="k", v="v", o="o"))


# ---- rows --------------------------------------------------------------------------------------------------------
for arch, elem, b, warps in ((80, "fp32", 256, 4), (80, "bf16", 2048, 8), (90, "fp16", 1024, 4)):
    add(f"softmax_{elem}_sm{arch}", "softmax", arch, dict(x="*" + elem, y="*" + elem, rows="i32", cols="i32"), dict(B=b),
        [dict(grid=[min(r, 3), 1, 1], args=dict(rows=r, cols=c), buffers=dict(x=buf(elem, r, c), y=out(elem, r, c)),
              check=dict(op="softmax", x="x", y="y")) for r, c in [(4, b), (7, 77), (5, b - 3)]], warps)

for arch, elem in ((80, "bf16"), (90, "fp32")):
    add(f"layer_norm_{elem}_sm{arch}", "layer_norm", arch,
        dict(x="*" + elem, w="*" + elem, b="*" + elem, y="*" + elem, mean="*fp32", rstd="*fp32", cols="i32", eps="fp32"), dict(B=512),
        [dict(grid=[r, 1, 1], args=dict(cols=c, eps=1e-5),
              buffers=dict(x=buf(elem, r, c), w=buf(elem, c), b=buf(elem, c), y=out(elem, r, c), mean=out("fp32", r), rstd=out("fp32", r)),
              check=dict(op="layer_norm", x="x", w="w", b="b", y="y", mean="mean", rstd="rstd", eps="eps"))
         for r, c in [(3, 512), (4, 1000), (2, 77)]])

add("column_sum_locked_sm80", "column_sum_locked", 80, dict(x="*bf16", y="*fp32", lock="*i32", rows="i32", cols="i32"), dict(B=64, R=16),
    [dict(grid=[cdiv(r, 16), cdiv(c, 64), 1], args=dict(rows=r, cols=c),
          buffers=dict(x=buf("bf16", r, c), y=buf("fp32", c, init="zero"), lock=buf("i32", cdiv(c, 64), init="zero")),
          check=dict(op="column_sum", x="x", y="y")) for r, c in [(64, 64), (77, 100)]])

for arch, elem in ((80, "fp32"), (90, "bf16")):
    add(f"row_stats_{elem}_sm{arch}", "row_stats", arch,
        dict(x="*" + elem, total="*fp32", largest="*fp32", where="*i32", smallest="*fp32", rows="i32", cols="i32"), dict(R=8, B=128),
        [dict(grid=[cdiv(r, 8), 1, 1], args=dict(rows=r, cols=c),
              buffers=dict(x=buf(elem, r, c), total=out("fp32", r), largest=out("fp32", r), where=out("i32", r), smallest=out("fp32", r)),
              check=dict(op="row_stats", x="x", total="total", largest="largest", where="where", smallest="smallest"))
         for r, c in [(16, 128), (13, 99), (1, 1)]])

add("atomic_stats_sm80", "atomic_stats", 80, dict(x="*i32", total="*i64", largest="*i32", smallest="*i32", bits="*i32", N="i32"), dict(B=256),
    [dict(grid=[cdiv(n, 256), 1, 1], args=dict(N=n),
          buffers=dict(x=buf("i32", n, init="bits"), total=buf("i64", 1, init="zero"), largest=buf("i32", 1, init="zero"),
                       smallest=buf("i32", 1, init="zero"), bits=buf("i32", 4, init="zero")),
          check=dict(op="atomic_stats", x="x", total="total", largest="largest", smallest="smallest", bits="bits"))
     for n in (256, 1000)])

add("scan_sm80", "scan", 80, dict(x="*fp32", prefix="*fp32", g="*fp32", h="*fp32", rows="i32", cols="i32"), dict(B=512),
    [dict(grid=[r, 1, 1], args=dict(rows=r, cols=c),
          buffers=dict(x=buf("fp32", r, c), prefix=out("fp32", r, c), g=buf("fp32", r, c, init="unit"), h=out("fp32", r, c)),
          check=dict(op="scan", x="x", prefix="prefix", g="g", h="h")) for r, c in [(2, 512), (3, 300)]])

for elem, descending in (("i32", False), ("fp32", True)):
    add(f"sort_{elem}_sm80", "sort_rows", 80, dict(x="*" + elem, y="*" + elem), dict(cols=128, R=2, DESCENDING=descending),
        [dict(grid=[3, 1, 1], args={}, buffers=dict(x=buf(elem, 6, 128, init="bits" if elem == "i32" else "normal"), y=out(elem, 6, 128)),
              check=dict(op="sort", x="x", y="y", descending=descending))])

add("histogram_sm80", "histogram", 80, dict(x="*i32", y="*i32", N="i32"), dict(B=256, BINS=64),
    [dict(grid=[cdiv(n, 256), 1, 1], args=dict(N=n), buffers=dict(x=buf("i32", n, init="below:64"), y=buf("i32", 64, init="zero")),
          check=dict(op="histogram", x="x", y="y")) for n in (256, 777)])

for elem in ("fp32", "bf16", "i8"):
    add(f"transpose_{elem}_sm80", "transpose", 80, dict(x="*" + elem, y="*" + elem, M="i32", N="i32"), dict(B=32),
        [dict(grid=[cdiv(m, 32), cdiv(n, 32), 1], args=dict(M=m, N=n),
              buffers=dict(x=buf(elem, m, n, init="small" if elem == "i8" else "normal"), y=out(elem, n, m)),
              check=dict(op="transpose", x="x", y="y")) for m, n in [(64, 64), (45, 70)]])

add("gather_sm80", "gather_rows", 80, dict(x="*fp32", index="*i32", y="*fp32", N="i32"), dict(B=256),
    [dict(grid=[1, 1, 1], args=dict(N=n), buffers=dict(x=buf("fp32", 256), index=buf("i32", 256, init="below:256"), y=out("fp32", n)),
          check=dict(op="gather", x="x", index="index", y="y")) for n in (256, 100)])

for arch, elem in ((80, "bf16"), (90, "fp16")):
    add(f"swiglu_{elem}_sm{arch}", "swiglu", arch, {"gate": "*" + elem, "up": "*" + elem, "y": "*" + elem, "N": "i32"}, dict(B=1024),
        [dict(grid=[cdiv(n, 1024), 1, 1], args=dict(N=n), buffers=dict(gate=buf(elem, n), up=buf(elem, n), y=out(elem, n)),
              check=dict(op="swiglu", gate="gate", up="up", y="y")) for n in (1024, 1500)])

NAMES = ["exp", "exp2", "log_abs", "log2_abs", "sin", "cos", "sqrt_abs", "sqrt_abs_rn", "rsqrt_abs", "erf", "tanh", "reciprocal_rn",
         "floor", "ceil", "third", "abs_pow_1.5"]
for arch in (80, 90):
    add(f"functions_sm{arch}", "functions", arch, dict(x="*fp32", y="*fp32", N="i32"), dict(B=256),
        [dict(grid=[cdiv(n, 256), 1, 1], args=dict(N=n), buffers=dict(x=buf("fp32", n), y=out("fp32", 16, n)),
              check=dict(op="functions", x="x", y="y", rows=NAMES)) for n in (256, 300)])

NAMES = ["quotient", "remainder", "umulhi", "shl_31", "sar_31", "popc", "clz", "brev", "xor_or_and", "min", "product_sar_16", "prmt_3175"]
add("integers_sm80", "integers", 80, dict(x="*i32", z="*i32", y="*i32", N="i32"), dict(B=256),
    [dict(grid=[cdiv(n, 256), 1, 1], args=dict(N=n), buffers=dict(x=buf("i32", n, init="bits"), z=buf("i32", n, init="nonzero"), y=out("i32", 12, n)),
          check=dict(op="integers", x="x", z="z", y="y", rows=NAMES)) for n in (256, 300)])

add("philox_sm80", "philox", 80, dict(y="*i32", seed="i32", N="i32"), dict(B=128),
    [dict(grid=[cdiv(n, 128), 1, 1], args=dict(seed=1234567, N=n), buffers=dict(y=out("i32", 4, n)),
          check=dict(op="philox", y="y", seed="seed")) for n in (128, 200)])

for arch, x, y in ((80, "fp32", "bf16"), (80, "fp32", "fp16"), (80, "bf16", "fp32"), (80, "fp32", "fp8e5"), (90, "fp32", "fp8e4nv"),
                   (90, "fp8e4nv", "fp16"), (90, "fp8e5", "bf16"), (80, "fp16", "bf16"), (80, "fp32", "i32"), (80, "i32", "fp32"),
                   (80, "fp64", "fp32"), (80, "i64", "fp64"), (90, "bf16", "fp8e4nv"), (80, "i8", "bf16")):
    integer = {"i32": "bits", "i64": "bits", "i8": "bits"}
    add(f"convert_{x}_{y}_sm{arch}", "convert", arch, dict(x="*" + x, y="*" + y, N="i32"), dict(B=256),
        [dict(grid=[cdiv(n, 256), 1, 1], args=dict(N=n), buffers=dict(x=buf(x, n, init=integer.get(x, "wide" if y != "i32" else "normal")), y=out(y, n)),
              check=dict(op="convert", x="x", y="y")) for n in (512, 300)])
