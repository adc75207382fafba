"""The table of CUDA C programs: entry, file, target, launch and result. make.py calls build()."""
import subprocess
import sys

FILES = [("cuda_basic.cu", "sm_80"), ("cuda_basic.cu", "sm_90a"), ("cuda_numbers.cu", "sm_80"), ("cuda_numbers.cu", "sm_90a"),
         ("cuda_warps.cu", "sm_80"), ("cuda_warps.cu", "sm_90a"), ("cuda_gemm.cu", "sm_80"), ("cuda_gemm.cu", "sm_90a")]
TABLE = []
SIZES = {"i8": 1, "u8": 1, "i16": 2, "u16": 2, "fp16": 2, "bf16": 2, "i32": 4, "u32": 4, "fp32": 4, "i64": 8, "u64": 8, "fp64": 8}


def buf(elem, *shape, init="normal"):
    return {"elem": elem, "shape": list(shape), "init": init}


def out(elem, *shape):
    return buf(elem, *shape, init="unwritten")


def zero(elem, *shape):
    return buf(elem, *shape, init="zero")


def program(entry, file, block, grid, args, check, shared=0, cooperative=False, targets=("sm_80", "sm_90a"), extra=None):
    """`args` in the order of the parameters: a dict is a buffer, a number a scalar, ("i32", n) a typed scalar."""
    TABLE.append(dict(entry=entry, file=file, block=block, grid=grid, args=args, check=check, shared=shared, cooperative=cooperative,
                      targets=targets, extra=extra or {}))


def rows(names):
    return names.split()


B = "cuda_basic.cu"
n = 1000
program("saxpy", B, [128, 1, 1], [3, 1, 1], dict(a=1.5, x=buf("fp32", n), y=buf("fp32", n), z=out("fp32", n), n=n), dict(op="saxpy"))
program("saxpy_vector", B, [64, 1, 1], [4, 1, 1], dict(a=-0.75, x=buf("fp32", n), y=buf("fp32", n), z=out("fp32", n), n4=n // 4), dict(op="saxpy"))
program("sum_shared", B, [256, 1, 1], [3, 1, 1], dict(x=buf("fp32", n), total=zero("fp32", 1), n=n), dict(op="sum", x="x", total="total"), shared=1024)
program("sum_shuffle", B, [128, 1, 1], [3, 1, 1], dict(x=buf("fp64", n), total=zero("fp64", 1), n=n), dict(op="sum", x="x", total="total"))
program("normalise_grid", B, [128, 1, 1], [6, 1, 1], dict(x=buf("fp32", n, init="unit"), part=out("fp32", 6), y=out("fp32", n), n=n), dict(op="normalise", x="x", y="y"), cooperative=True)
program("print_rows", B, [32, 1, 1], [1, 1, 1], dict(x=buf("i32", 5, init="iota"), n=5),
        dict(op="printed", lines=[f"row {i}: {i} 0x{i:08x} {i / 8:.3f} {'odd' if i % 2 else 'even'} {chr(97 + i)} {i << 33} %" for i in range(5)]))
program("recursion", B, [64, 1, 1], [1, 1, 1], dict(y=out("i32", 50), n=50), dict(op="fibonacci", y="y", of="i % 16"))
program("ackermann_table", B, [32, 1, 1], [1, 1, 1], dict(y=out("i32", 32)), dict(op="ackermann", y="y", of="A(i / 8, i % 8), first argument at most 3"))
program("function_table", B, [64, 1, 1], [2, 1, 1], dict(which=buf("i32", 100, init="below:4"), a=buf("fp32", 100), b=buf("fp32", 100), y=out("fp32", 100), n=100),
        dict(op="function_table", functions=["add", "mul", "max", "sub"]))
program("virtual_calls", B, [32, 1, 1], [1, 1, 1], dict(y=out("fp32", 30), n=30), dict(op="virtual_calls", y="y", of="i % 3 ? i * i : 3 * i * i"))
program("polynomial", B, [64, 1, 1], [2, 1, 1], dict(x=buf("fp32", 100), y=out("fp32", 100), n=100),
        dict(op="polynomial", coefficients=[1.0, -0.5, 0.25, -0.125, 2.0, 3.5, -4.0, 0.0625], plus="offset_from_host + 2 * (i % 4) + 2"),
        extra=dict(globals=[dict(name="offset_from_host", elem="i32", write=[11]), dict(name="counter_global", elem="u32", expect_after=[107])]))
program("sort_local", B, [64, 1, 1], [1, 1, 1], dict(x=buf("i32", 50, 9, init="bits"), y=out("i32", 50, 9), n=50), dict(op="sort", x="x", y="y", descending=False))
program("transpose_padded", B, [32, 8, 1], [3, 2, 1], dict(x=buf("fp32", 45, 70), y=out("fp32", 70, 45), rows=45, cols=70), dict(op="transpose", x="x", y="y"))
program("branch_table", B, [128, 1, 1], [2, 1, 1], dict(op=buf("i32", 200, init="below:13"), x=buf("u32", 200, init="bits"), y=out("u32", 200), n=200), dict(op="branch_table"))
program("collatz", B, [64, 1, 1], [2, 1, 1], dict(x=buf("u32", 100, init="nonzero"), y=out("i32", 100), n=100), dict(op="collatz", x="x", y="y"))
program("stop_on_negative", B, [32, 1, 1], [1, 1, 1], dict(x=buf("i32", 32, init="iota"), n=32), dict(op="nothing", note="with one negative element: a trap"))
program("assert_positive", B, [32, 1, 1], [1, 1, 1], dict(x=buf("i32", 32, init="positive"), n=32), dict(op="nothing", note="with one element <= 0: CUDA_ERROR_ASSERT"))
program("heap", B, [32, 1, 1], [1, 1, 1], dict(slots=buf("u64", 8, init="pointers:iota:32"), y=out("i32", 8), n=8),
        dict(op="heap", note="slots[i] points to 32 i32 holding 0,1,2...; y[i] = i + 1"))

N = "cuda_numbers.cu"
m = 300
program("f32_rounding", N, [128, 1, 1], [3, 1, 1], dict(a=buf("fp32", m, init="wide"), b=buf("fp32", m, init="wide"), c=buf("fp32", m, init="wide"), y=out("fp32", 39, m), n=m),
        dict(op="rows", exact=True, rows=rows("add_rn add_rz add_rd add_ru sub_rn sub_rz mul_rn mul_rz mul_rd mul_ru fma_rn fma_rz fma_rd fma_ru div_rn div_rz div_rd div_ru "
             "rcp_rn rcp_rz rcp_rd rcp_ru sqrt_rn sqrt_rz sqrt_rd sqrt_ru min max abs neg copysign saturate trunc floor ceil rint round fmod remainder")))
program("f64_rounding", N, [128, 1, 1], [3, 1, 1], dict(a=buf("fp64", m, init="wide"), b=buf("fp64", m, init="wide"), c=buf("fp64", m, init="wide"), y=out("fp64", 26, m), n=m),
        dict(op="rows", exact=True, rows=rows("add_rn add_rz add_rd add_ru mul_rn mul_rz mul_rd mul_ru fma_rn fma_rz fma_rd fma_ru div_rn div_rz rcp_rn rcp_ru sqrt_rn sqrt_rd "
             "min max abs neg trunc floor ceil rint")))
program("f64_functions", N, [128, 1, 1], [3, 1, 1], dict(a=buf("fp64", m), y=out("fp64", 12, m), n=m),
        dict(op="rows", exact=False, rows=rows("exp log_abs sin cos tanh sqrt_abs cbrt erf abs_pow_1.25 atan log1p_abs expm1")))
program("f32_functions", N, [128, 1, 1], [3, 1, 1], dict(a=buf("fp32", m), y=out("fp32", 35, m), n=m),
        dict(op="rows", exact=False, rows=rows("exp log_abs sin cos tanh sqrt_abs rsqrt_abs cbrt erf abs_pow_1.25 atan log1p_abs expm1 exp2 log2_abs log10_abs tan asin_fmod_1 acos_fmod_1 sinh cosh "
             "hypot_2 lgamma_abs_plus_half normcdf sinpi cospi fast_exp fast_log_abs fast_sin fast_cos fast_exp10 fast_third fast_log2_abs fast_abs_pow_half fast_tan")))
program("to_integers", N, [128, 1, 1], [3, 1, 1], dict(a=buf("fp32", m, init="wide"), b=buf("fp64", m, init="wide"), y=out("i64", 34, m), n=m),
        dict(op="rows", exact=True, rows=rows("f2i_rn f2i_rz f2i_rd f2i_ru f2u_rn f2u_rz f2u_rd f2u_ru f2ll_rn f2ll_rz f2ll_rd f2ll_ru f2ull_rn f2ull_rz d2i_rn d2i_rz d2i_rd d2i_ru d2u_rn d2u_rz "
             "d2ll_rn d2ll_rz d2ll_rd d2ll_ru d2ull_rn d2ull_rz f2s8 f2u8 f2s16 f2u16 f_bits d_bits d_high d_low")))
program("from_integers", N, [128, 1, 1], [3, 1, 1], dict(a=buf("i64", m, init="bits"), y=out("fp64", 24, m), n=m),
        dict(op="rows", exact=True, rows=rows("i2f_rn i2f_rz i2f_rd i2f_ru u2f_rn u2f_rz u2f_rd u2f_ru ll2f_rn ll2f_rz ll2f_rd ll2f_ru ull2f_rn ull2f_rz i2d u2d ll2d_rn ll2d_rz ll2d_rd ll2d_ru "
             "ull2d_rn ull2d_rz s8_2f u16_2f")))
program("narrowing", N, [128, 1, 1], [3, 1, 1], dict(a=buf("fp64", m, init="wide"), y=out("fp32", 14, m), n=m),
        dict(op="rows", exact=True, rows=rows("d2f_rn d2f_rz d2f_rd d2f_ru f2h_rn f2h_rz f2h_rd f2h_ru f2b_rn f2b_rz f2b_rd f2b_ru d2h d2b")))
half = "add sub mul fma div add_sat mul_sat fma_sat fma_relu min max min_nan max_nan neg abs exp exp2 log_abs sqrt_abs rsqrt_abs rcp sin cos floor ceil rint trunc eq lt ge neu ltu swap lows highs low3_high"
program("half_functions", N, [128, 1, 1], [2, 1, 1], dict(a=buf("fp16", m, init="half"), b=buf("fp16", m, init="half"), c=buf("fp16", m, init="half"), y=out("fp16", 36, m), n=m // 2),
        dict(op="rows", exact=False, pairs=True, rows=rows(half)))
bf = "add sub mul fma div add_sat fma_sat fma_relu min max min_nan max_nan neg abs exp exp2 log_abs sqrt_abs rsqrt_abs rcp floor ceil rint trunc eq lt ge neu swap low3_high"
program("bf16_functions", N, [128, 1, 1], [2, 1, 1], dict(a=buf("bf16", m, init="half"), b=buf("bf16", m, init="half"), c=buf("bf16", m, init="half"), y=out("bf16", 30, m), n=m // 2),
        dict(op="rows", exact=False, pairs=True, rows=rows(bf)))
program("fp8_conversions", N, [128, 1, 1], [2, 1, 1], dict(a=buf("fp32", m, init="half"), y=out("u16", 3, m // 2), back=out("fp16", 2, m), n=m // 2),
        dict(op="rows", exact=True, rows=rows("f2_e4m3x2 f2_e5m2x2 h2_e4m3x2"), back=rows("e4m3x2_h2 e5m2x2_h2")))
program("integers_32", N, [128, 1, 1], [3, 1, 1], dict(a=buf("u32", m, init="bits"), b=buf("u32", m, init="bits"), c=buf("u32", m, init="bits"), y=out("u32", 59, m), n=m),
        dict(op="rows", exact=True, rows=rows("add sub mul div_or1 rem_or1 sdiv_or1 srem_or1 shl31 shr31 sar31 and or xor not mux xor3 popc clz ffs brev prmt_0246 prmt_c fshl fshr fshlc fshrc umulhi mulhi umul24 mul24 "
             "mad sad usad umin umax min max abs uhadd hadd urhadd dp4a_s dp4a_u dp2a_lo_s dp2a_hi_u vadd4 vsub2 vabsdiffu4 vmaxs4 vcmpgtu4 vavgu4 lt slt eq select s16 s8 bfe_5_11 sar17_shl9")))
program("integers_64", N, [128, 1, 1], [3, 1, 1], dict(a=buf("u64", m, init="bits"), b=buf("u64", m, init="bits"), y=out("u64", 27, m), n=m),
        dict(op="rows", exact=True, rows=rows("add sub mul div_or1 rem_or1 sdiv_or1 srem_or1 shl63 shr63 sar63 umulhi mulhi popc clz ffs brev umin max abs and xor widening_u widening_s lt slt mad128_high mad128_div_or1")))
program("bytes_and_shorts", N, [128, 1, 1], [3, 1, 1], dict(a=buf("i8", m, init="bits"), b=buf("u16", m, init="bits"), y=out("i16", 7, m), n=m), dict(op="bytes_and_shorts"))

W = "cuda_warps.cu"
program("warp_intrinsics", W, [32, 1, 1], [1, 1, 1], dict(x=buf("u32", 32, init="bits"), y=out("u32", 28, 32)),
        dict(op="rows", exact=True, rows=rows("idx_5 idx_7lane_w8 up_3 up_2_w16 down_9 down_1_w4 xor_21 xor_3_w8 ballot_odd any_eq_x7 all_odd match_any_and3 match_all match_all_flag add umin umax smin smax and_ff or_f0f0 xor "
             "activemask_third add_halves first_of_half rank_bit1 f64_xor_1_high half_down_4")))
program("atomics_integers", W, [96, 1, 1], [3, 1, 1], dict(w=zero("u32", 16), l=zero("u64", 10), old=out("u32", 250), n=250), dict(op="atomics_integers"))
program("atomics_cas16", W, [64, 1, 1], [2, 1, 1], dict(h=zero("u16", 1), n=100), dict(op="count", y="h", expect=100))
program("atomics_floats", W, [96, 1, 1], [3, 1, 1], dict(f=zero("fp32", 1), d=zero("fp64", 1), h=zero("fp16", 2), b=zero("bf16", 2), h1=zero("fp16", 2), b1=zero("bf16", 2), n=64 * 4),
        dict(op="constants", expect=dict(f=[128], d=[64], h=[128, -128], b=[128, 256], h1=[128, 0], b1=[128, 0])))
program("atomics_vectors", W, [96, 1, 1], [3, 1, 1], dict(f4=zero("fp32", 4), f2=zero("fp32", 2), n=256), dict(op="constants", expect=dict(f4=[128, 256, -128, 512], f2=[128, 768])), targets=("sm_90a",))
program("atomics_shared", W, [128, 1, 1], [3, 1, 1], dict(x=buf("u32", n, init="bits"), counts=zero("u32", 64), big=zero("u64", 1), sum=zero("fp32", 1), n=n), dict(op="atomics_shared"))
program("last_block", W, [32, 1, 1], [5, 1, 1], dict(x=buf("i32", n, init="small"), part=out("i32", 5), tickets=zero("u32", 1), total=out("i32", 1), n=n), dict(op="sum", x="x", total="total"))

G = "cuda_gemm.cu"


def gemm(entry, elem, c, block, tile, size, cols=False, shared=0, check=None, bias=False):
    mm, nn, kk = size
    args = dict(a=buf(elem, mm, kk, init="small" if elem in ("i8", "u8") else "normal"), b=buf(elem, *((nn, kk) if cols else (kk, nn)), init="small" if elem in ("i8", "u8") else "normal"))
    if bias:
        args["bias"] = buf("fp32", nn)
    args.update(c=out(c, mm, nn), M=mm, N=nn, K=kk)
    program(entry, G, block, [-(-nn // tile[1]), -(-mm // tile[0]), 1], args,
            dict(check or {}, op="matmul", a="a", b="b", b_columns=cols, c="c", relu=False, precision="tf32", **(dict(bias="bias", times=2) if bias else {})), shared=shared)


gemm("gemm_f32_tiled", "fp32", "fp32", [16, 16, 1], (64, 64), (77, 100, 45), check=dict(arithmetic="f32"))
gemm("wmma_f16_16x16x16_f32", "fp16", "fp32", [32, 1, 1], (16, 16), (48, 32, 64))
gemm("wmma_f16_32x8x16_f16", "fp16", "fp16", [32, 1, 1], (32, 8), (64, 24, 48))
gemm("wmma_bf16_8x32x16_f32", "bf16", "fp32", [32, 1, 1], (8, 32), (24, 64, 48))
gemm("wmma_s8_16x16x16_s32", "i8", "i32", [32, 1, 1], (16, 16), (32, 32, 48))
gemm("wmma_u8_16x16x16_s32", "u8", "i32", [32, 1, 1], (16, 16), (32, 32, 48))
gemm("wmma_f64_8x8x4_f64", "fp64", "fp64", [32, 1, 1], (8, 8), (16, 24, 20))
gemm("wmma_shared_bias", "fp16", "fp32", [128, 1, 1], (64, 64), (100, 70, 40), cols=True, bias=True)
gemm("gemm_bf16_pipelined", "bf16", "bf16", [128, 1, 1], (64, 64), (150, 104, 200), shared=3 * 8192)

for entry, elems, acc, regs, targets in (
        ("mma_m16n8k16_bf16", ["bf16", "bf16"], "fp32", (4, 2, 4), None), ("mma_m16n8k16_f16", ["fp16", "fp16"], "fp32", (4, 2, 4), None),
        ("mma_m16n8k8_tf32", ["tf32", "tf32"], "fp32", (4, 2, 4), None), ("mma_m16n8k8_bf16", ["bf16", "bf16"], "fp32", (2, 1, 4), None),
        ("mma_m16n8k8_f16", ["fp16", "fp16"], "fp32", (2, 1, 4), None), ("mma_m16n8k4_tf32", ["tf32", "tf32"], "fp32", (2, 1, 4), None),
        ("mma_m16n8k32_s8", ["i8", "i8"], "i32", (4, 2, 4), None), ("mma_m16n8k32_u8s8_satfinite", ["u8", "i8"], "i32", (4, 2, 4), None),
        ("mma_m16n8k32_e4m3", ["fp8e4nv", "fp8e4nv"], "fp32", (4, 2, 4), ("sm_90a",)), ("mma_m16n8k32_e5m2e4m3", ["fp8e5", "fp8e4nv"], "fp32", (4, 2, 4), ("sm_90a",)),
        ("mma_m16n8k16_f16_f16acc", ["fp16", "fp16"], "fp16", (4, 2, 2), None)):
    word = {"fp32": "fp32", "i32": "i32", "fp16": "u32"}[acc]
    program(entry, G, [32, 1, 1], [1, 1, 1], dict(a=buf("u32", regs[0], 32, init="packed:" + elems[0]), b=buf("u32", regs[1], 32, init="packed:" + elems[1]),
            c=buf(word, regs[2], 32, init="small" if acc == "i32" else "normal" if acc == "fp32" else "packed:fp16"), d=out(word, regs[2], 32)),
            dict(op="mma", shape=entry.split("_")[1], a_elem=elems[0], b_elem=elems[1], acc=acc, satfinite="satfinite" in entry), targets=targets or ("sm_80", "sm_90a"))
program("matrix_moves", G, [32, 1, 1], [1, 1, 1], dict(x=buf("u32", 128, init="bits"), y=out("u32", 192)), dict(op="matrix_moves", stmatrix=False), targets=("sm_80",))
program("matrix_moves", G, [32, 1, 1], [1, 1, 1], dict(x=buf("u32", 128, init="bits"), y=out("u32", 320)), dict(op="matrix_moves", stmatrix=True), targets=("sm_90a",))

NAMES = [f"{p['entry']}_{t}" for p in TABLE for t in p["targets"]]


def build(here, ptx, toolkit, wanted, header, ptxas, entry_params):
    texts = {}
    for file, target in FILES:
        names = [n for p in TABLE if p["file"] == file and target in p["targets"] for n in [f"{p['entry']}_{target}"]]
        if not any(map(wanted, names)):
            continue
        path = ptx / f"{file[:-3]}_{target}.ptx"
        command = ["nvcc", "-ptx", "-lineinfo", "-std=c++17", f"-arch={target}", file]
        subprocess.run([f"{toolkit}/bin/nvcc", *command[1:], "-o", path], cwd=here, check=True)
        path.write_text(header(path.read_text(), target, "CUDA 13.0, " + " ".join(command)))
        ptxas(toolkit, path, target)
        texts[file, target] = path.read_text()
        print(path.name, file=sys.stderr)
    programs = []
    for p in TABLE:
        for target in p["targets"]:
            if (p["file"], target) not in texts:
                continue
            declared = entry_params(texts[p["file"], target], p["entry"])
            if len(declared) != len(p["args"]):
                raise SystemExit(f"{p['entry']}: the PTX declares {declared}")
            params, args, buffers = [], {}, {}
            for d, (name, v) in zip(declared, p["args"].items()):
                if isinstance(v, dict):
                    params.append(dict(name=name, kind="pointer", elem=v["elem"], type=d["type"], bytes=d["bytes"], align=d["align"]))
                    buffers[name] = v
                else:
                    params.append(dict(name=name, kind="fp32" if isinstance(v, float) else "i32", type=d["type"], bytes=d["bytes"], align=d["align"]))
                    args[name] = v
            programs.append(dict(name=f"{p['entry']}_{target}", made_by="nvcc", source=p["file"], file=f"ptx/{p['file'][:-3]}_{target}.ptx", entry=p["entry"],
                                 target=target, num_warps=-(-p["block"][0] * p["block"][1] // 32), block=p["block"], cluster=[1, 1, 1],
                                 dynamic_shared=p["shared"], cooperative=p["cooperative"], params=params, tensormaps={}, constexprs={},
                                 cases=[dict(grid=p["grid"], args=args, buffers=buffers, check=p["check"], **p["extra"])]))
    return programs
