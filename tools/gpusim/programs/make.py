#!/usr/bin/env python3
"""Makes the foreign programs' PTX (ptx/*.ptx) and their manifest (manifest.json).

    tools/gpusim/programs/make.py [name ...]      all, or those whose name contains one of the words

Installs Triton, pinned, into target/triton-venv (PyPI, 290 MB) and runs itself there; CUDA C goes through the pinned
nvcc of tools/toolchain.sh. Every PTX is also assembled with ptxas. The manifest's format: README.md beside this file.
"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
VENV = ROOT / "target" / "triton-venv"
TRITON = "3.9.0"
PTX = HERE / "ptx"
COMMAND = "tools/gpusim/programs/make.py"


def enter_venv():
    """Installs once (a finished install leaves its mark last), then runs this script with the venv's python."""
    python = VENV / "bin" / "python"
    mark = VENV / f"triton-{TRITON}"
    if not mark.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input", f"triton=={TRITON}"], check=True)
        mark.touch()
    if Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(python, [python, __file__, *sys.argv[1:]])


def header(text, target, how):
    """PTX with a note of what made it, free of this machine's paths.

    The DWARF sections spell the folder out byte by byte; slashes of the same number keep their offsets right.
    """
    spelled = [str(b) for b in str(HERE).encode()]
    blank = ["46"] + ["47"] * (len(spelled) - 1)
    pattern = r"(\.b8 )" + r"([ \t]*(?://[^\n]*)?\n\.b8 )".join(spelled) + r"\b"
    text = re.sub(pattern, lambda m: m.group(1) + "".join(x + y for x, y in zip(blank, [*m.groups()[1:], ""])), text)
    text = text.replace(str(HERE) + "/", "").replace(str(HERE), ".").replace(str(ROOT) + "/", "")
    text = re.sub(r"target/toolchain/[^\"]*/cu13/bin/\.\./", "cuda/", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    return f"// Made by {COMMAND}: {how}\n{text.strip()}\n"


def ptxas(toolkit, path, target):
    run = subprocess.run([f"{toolkit}/bin/ptxas", f"-arch={target}", "-o", os.devnull, path], capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"ptxas refuses {path}:\n{run.stderr}")


def entry_params(text, entry):
    """The entry's parameters as the PTX declares them: (name, type or 'b8', bytes, align)."""
    body = re.search(r"\.entry\s+" + re.escape(entry) + r"\s*\((.*?)\)", text, re.S)
    params = []
    for line in (body.group(1) if body else "").split(","):
        m = re.search(r"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)((?:\s+\.ptr)?)(?:\s+\.(?:global|shared|const|local))?(?:\s+\.align\s+(\d+))?\s+([\w$]+)(?:\[(\d+)\])?", line)
        if not m:
            continue
        size = int(re.search(r"\d+", m.group(2)).group()) // 8 * int(m.group(6) or 1)
        params.append(dict(name=m.group(5), type=m.group(2), bytes=size, align=int(m.group(1) or size)))
    return params


# CUtensorMapDataType's names, and the swizzle's width in bytes, from Triton's numbers.
TMA_ELEMENTS = {0: "uint8", 1: "uint16", 2: "uint32", 3: "int32", 4: "uint64", 5: "int64", 6: "float16", 7: "float32", 8: "float32_ftz",
                9: "float64", 10: "bfloat16"}
SWIZZLES = {0: 0, 1: 32, 2: 64, 3: 128}


def compile_triton(p, toolkit):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    import triton_kernels
    fn = getattr(triton_kernels, p["kernel"])
    constants = dict(p["constants"])
    types = {"fp32": triton.language.float32, "fp16": triton.language.float16, "int32": triton.language.int32, "fp64": triton.language.float64}
    values = {k: types[v] if k == "ACC" else v for k, v in constants.items()}
    signature = {n: p["types"].get(n, "constexpr") for n in fn.arg_names}
    attrs = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(fn.arg_names)
             if signature[n].startswith("*") or n in p["aligned"]}
    options = dict(num_warps=p["warps"], num_stages=p["stages"], num_ctas=p["ctas"], launch_cooperative_grid=p["cooperative"],
                   ptx_version=80 if p["arch"] == 80 else 84 if p["arch"] == 89 else 86)
    done = triton.compile(ASTSource(fn, signature, values, attrs), target=GPUTarget("cuda", p["arch"], 32), options=options)
    meta = done.metadata
    target = re.search(r"\.target\s+(\w+)", done.asm["ptx"]).group(1)
    text = header(done.asm["ptx"], target, f"triton {triton.__version__}, {p['kernel']} {constants}")
    path = PTX / f"{p['name']}.ptx"
    path.write_text(text)
    ptxas(toolkit, path, target)

    # What the launcher passes: each argument, a descriptor as the map, then its shape and strides, then two scratch pointers.
    expected, maps = [], {}
    described = iter(meta.tensordesc_meta or [])
    for name in fn.arg_names:
        t = signature[name]
        if t == "constexpr":
            continue
        if t.startswith("tensordesc"):
            d = next(described)
            rank = len(d["block_size"])
            expected.append(dict(name=name, kind="tensormap", elem=re.search(r"<(\w+)", t).group(1)))
            expected += [dict(name=f"{name}.shape[{i}]", kind="i32") for i in range(rank)]
            expected += [dict(name=f"{name}.stride[{i}]", kind="i64") for i in range(rank)]
            maps[name] = dict(box=list(d["block_size"]), elem=TMA_ELEMENTS[d["elem_type"]], elem_bytes=d["elem_size"],
                              swizzle_bytes=SWIZZLES[d["swizzle"]])
        elif t.startswith("*"):
            expected.append(dict(name=name, kind="pointer", elem=t[1:]))
        else:
            expected.append(dict(name=name, kind=t))
    expected += [dict(name="global_scratch", kind="scratch", bytes_per_cta=meta.global_scratch_size, scratch_align=meta.global_scratch_align),
                 dict(name="profile_scratch", kind="scratch", bytes_per_cta=meta.profile_scratch_size)]
    declared = entry_params(text, meta.name)
    if len(declared) != len(expected):
        raise SystemExit(f"{p['name']}: PTX declares {declared}\nexpected {expected}")
    params = [dict(e, type=d["type"], bytes=d["bytes"], align=d["align"]) for e, d in zip(expected, declared)]
    threads = int(re.search(r"\.reqntid\s+(\d+)", text).group(1)) if ".reqntid" in text else p["warps"] * 32
    return dict(name=p["name"], made_by="triton", source="triton_kernels.py", file=f"ptx/{p['name']}.ptx", entry=meta.name, target=target,
                num_warps=meta.num_warps, block=[threads, 1, 1], cluster=[meta.num_ctas, 1, 1], dynamic_shared=meta.shared,
                cooperative=p["cooperative"], params=params, tensormaps=maps, constexprs=constants, cases=triton_cases(p, meta))


def triton_cases(p, meta):
    """Grids count blocks as the driver does: Triton's own grid counts clusters."""
    cases = []
    for c in p["cases"]:
        c = dict(c, grid=[c["grid"][0] * meta.num_ctas, *c["grid"][1:]])
        args = dict(c["args"])
        for name in p["maps"]:
            shape = c["buffers"][name]["shape"]
            for i, n in enumerate(shape):
                args[f"{name}.shape[{i}]"] = n
                stride = 1
                for later in shape[i + 1:]:
                    stride *= later
                args[f"{name}.stride[{i}]"] = stride
        cases.append(dict(c, args=args))
    return cases


def main():
    enter_venv()
    sys.path.insert(0, str(HERE))
    os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"
    os.environ["TRITON_CACHE_DIR"] = str(ROOT / "target" / "triton-cache")
    import cuda_programs
    import triton_programs
    words = sys.argv[1:]
    wanted = lambda name: not words or any(w in name for w in words)
    toolkit = subprocess.run([ROOT / "tools" / "toolchain.sh", "--pinned"], check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")[-2]
    PTX.mkdir(exist_ok=True)
    manifest = HERE / "manifest.json"
    old = {p["name"]: p for p in json.loads(manifest.read_text())["programs"]} if manifest.exists() and words else {}
    made = {}
    for p in triton_programs.PROGRAMS:
        if wanted(p["name"]):
            made[p["name"]] = compile_triton(p, toolkit)
            print(p["name"], file=sys.stderr)
    made.update({p["name"]: p for p in cuda_programs.build(HERE, PTX, toolkit, wanted, header, ptxas, entry_params)})
    order = [p["name"] for p in triton_programs.PROGRAMS] + cuda_programs.NAMES
    programs = [made.get(n) or old.get(n) for n in order]
    lines = ",\n".join(json.dumps(p) for p in programs if p)
    manifest.write_text('{"programs": [\n' + lines + "\n]}\n")
    if not words:
        for stale in set(PTX.glob("*.ptx")) - {HERE / p["file"] for p in programs}:
            stale.unlink()


if __name__ == "__main__":
    main()
