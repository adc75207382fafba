#!/usr/bin/env python3
"""Bit-accurate tensor-core arithmetic after `mmasim` (Microsoft, MIT; PyPI, bit-exact models of the hardware).

    bitexact.py kernels FOLDER the `mma.sync` and `wgmma` kernels of mmasim-kernels as PTX, and FOLDER/kernels.json
    bitexact.py vectors         mmasim.json and mmasim.bin beside this file: operands and the results mmasim gives
    bitexact.py digests         mmasim_digests.json: the digests of mmasim's results for every `wgmma` of floats

`kernels` downloads the pinned wheel (120 KB; it carries no licence file, so neither it nor its PTX is part of this
repository) and compiles it with the pinned nvcc. `vectors` and `digests` need PyTorch, which they install under target/ (several GB);
tests need only the files it wrote. README.md describes the format.
"""
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
VERSION = "2.1.1"
TYPES = ["f32", "f16", "bf16", "tf32", "e4m3", "e5m2"]                  # enum WGMMAType of its wgmma.h


def kernels(folder):
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "kernels.json"
    if made.exists() and made.stat().st_mtime >= Path(__file__).stat().st_mtime:
        return print(f"{made} is newer than this script")
    toolkit = subprocess.run([ROOT / "tools" / "toolchain.sh", "--pinned"], check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")[-2]
    python = Path(toolkit).parents[4] / "bin" / "python3"               # of the toolkit's own environment, which has pip
    subprocess.run([python, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check", "--only-binary=:all:",
                    "--python-version", "3.12", "-d", folder, f"mmasim-kernels=={VERSION}"], check=True)
    with zipfile.ZipFile(next(folder.glob("mmasim_kernels-*.whl"))) as wheel:
        for name in wheel.namelist():
            if "/nv_ptx/kernels/" in name:
                (folder / Path(name).name).write_bytes(wheel.read(name))
    table = {}
    for source in ("mma_sm75", "mma_sm80", "mma_sm89", "mma_sm90", "wgmma_sm90a"):
        ptx = folder / f"{source}.ptx"
        subprocess.run([f"{toolkit}/bin/nvcc", "-ptx", "-std=c++17", "-arch=sm_90a", f"{source}.cu", "-o", ptx.name], cwd=folder, check=True)
        subprocess.run([f"{toolkit}/bin/ptxas", "-arch=sm_90a", ptx, "-o", os.devnull], check=True)
        for entry in re.findall(r"\.entry\s+(\w+)", ptx.read_text()):
            m = re.match(r"_Z12wgmma_kernelILi(\d+)EL9WGMMAType(\d)ELS0_(\d)ELS0_(\d)E", entry)
            if m:
                n, (d, a, b) = m.group(1), [TYPES[int(i)] for i in m.groups()[1:]]
                k = {"tf32": 8, "f16": 16, "bf16": 16}.get(a, 32)
                table[f"wgmma m64n{n}k{k}.{d}.{a}.{b}"] = dict(file=ptx.name, entry=entry, block=128, args=["d (holds c)", "a", "b"])
            else:
                name = entry.removeprefix("mma_").removesuffix("_kernel").replace("_", ".")
                table["mma " + name] = dict(file=ptx.name, entry=entry, block=32, args=["d", "a", "b", "c"])
    made.write_text(json.dumps(table, indent=0))
    print(f"{len(table)} kernels in {folder}")


def with_mmasim():
    """Goes on in an environment that has mmasim."""
    venv = ROOT / "target" / "mmasim-venv"
    python = venv / "bin" / "python"
    if not (venv / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "torch==2.9.0", "numpy", "ninja", "setuptools",
                        f"mmasim=={VERSION}"], check=True)
        (venv / "installed").touch()
    if Path(sys.prefix).resolve() != venv.resolve():
        os.environ["PATH"] = f"{venv}/bin:" + os.environ["PATH"]
        os.execv(python, [python, __file__, *sys.argv[1:]])


def digests():
    """Inputs are made of a counter, in sim/tests/programs/wheel.rs as here; NaN counts as NaN whatever its payload."""
    with_mmasim()
    import numpy
    import torch
    from mmasim.nv_ptx import sim

    exponents = {"f32": (8, 23), "f16": (5, 10), "bf16": (8, 7), "tf32": (8, 10), "e4m3": (4, 3), "e5m2": (5, 2)}
    words = {4: (numpy.uint32, torch.int32), 2: (numpy.uint16, torch.int16), 1: (numpy.uint8, torch.int8)}
    u64 = numpy.uint64

    def mixed(x):
        x = (x ^ x >> u64(30)) * u64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> u64(27)) * u64(0x94D049BB133111EB)
        return x ^ x >> u64(31)

    def operand(seed, which, inputs, ty, dtype, shape):
        """inputs 0: signs, four binades around one, any fraction; 1: any finite bits; 2: any bits."""
        exponent, mantissa = exponents[ty]
        start = mixed(numpy.array([4 * seed + which], u64))
        word = mixed(start + numpy.arange(1, shape[0] * shape[1] + 1, dtype=u64) * u64(0x9E3779B97F4A7C15))
        ones, bias = (1 << exponent) - 1, (1 << exponent - 1) - 1
        field = word >> u64(52) & u64(ones)
        if inputs == 0:
            field = u64(bias - 2) + (word >> u64(52) & u64(3))
        elif inputs == 1:
            field = numpy.minimum(field, u64(ones - 1))
        bits = word >> u64(63) << u64(exponent + mantissa) | field << u64(mantissa) | word & u64((1 << mantissa) - 1)
        if ty == "tf32":
            bits <<= u64(13)
        unsigned, signed = words[dtype.itemsize]
        return torch.from_numpy(bits.astype(unsigned).view(unsigned(0).dtype.str.replace("u", "i")).reshape(shape)).view(dtype)

    def digest(t):
        unsigned, signed = words[t.element_size()]
        bits = t.contiguous().view(signed).numpy().view(unsigned).copy()
        bits[torch.isnan(t.double()).numpy()] = ~unsigned(0)
        value = 0xCBF29CE484222325
        for byte in bits.tobytes():
            value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
        return f"{value:016x}"

    index = []
    floats = [(8, "f32", "tf32", "tf32"), (16, "f32", "f16", "f16"), (16, "f16", "f16", "f16"), (16, "f32", "bf16", "bf16")]
    floats += [(32, d, a, b) for d in ("f32", "f16") for a in ("e5m2", "e4m3") for b in ("e5m2", "e4m3")]
    for n in range(8, 257, 8):
        for k, d, a, b in floats:
            model = sim.WGMMA("Hopper", f"m64n{n}k{k}.{d}.{a}.{b}")
            for inputs in (0, 1, 2):
                seed = len(index)
                x = operand(seed, 0, inputs, a, model.a_type, (64, k))
                y = operand(seed, 1, inputs, b, model.b_type, (n, k))
                z = operand(seed, 2, inputs, d, model.c_type, (64, n))
                index.append(dict(instruction=f"wgmma m64n{n}k{k}.{d}.{a}.{b}", m=64, n=n, k=k, inputs=inputs, seed=seed, digest=digest(model(x, y.T, z))))
    (HERE / "mmasim_digests.json").write_text('{"made_by": "mmasim ' + VERSION + '", "cases": [\n' + ",\n".join(map(json.dumps, index)) + "\n]}\n")
    print(f"{len(index)} digests")


def vectors():
    with_mmasim()
    import numpy
    import torch
    from mmasim.nv_ptx import isa_mma, sim

    words = {torch.float64: numpy.uint64, torch.float32: numpy.uint32, torch.float16: numpy.uint16, torch.bfloat16: numpy.uint16,
             torch.float8_e4m3fn: numpy.uint8, torch.float8_e5m2: numpy.uint8}
    ints = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.int8}
    rng = numpy.random.default_rng(20240731)

    def bits(t):
        return t.contiguous().view(ints[t.element_size()]).numpy().view(words[t.dtype])

    def from_bits(a, dtype):
        return torch.from_numpy(a.view({8: numpy.int64, 4: numpy.int32, 2: numpy.int16, 1: numpy.int8}[a.itemsize]).copy()).view(dtype)

    def operand(shape, dtype, kind, ptx):
        """kinds: 0 normal; 1 any finite; 2 any bits (NaN, infinities, denormals); 3 values of one binade and its negatives, some tiny."""
        if kind == 0:
            t = torch.from_numpy(rng.standard_normal(shape)).to(dtype)
        elif kind == 3:
            t = torch.from_numpy(rng.choice([1.0, -1.0], shape) * (1 + rng.random(shape)) * 2.0 ** (rng.choice([0, 0, 3, -6], shape))).to(dtype)
        else:
            word = words[dtype]
            t = from_bits(rng.integers(0, 2 ** (8 * word(0).itemsize) - 1, shape, dtype=numpy.uint64, endpoint=True).astype(word), dtype)
            if kind == 1:
                t = torch.where(torch.isfinite(t.double()), t.double(), torch.ones(shape, dtype=torch.float64)).to(dtype)
        if ptx == "tf32":
            # What cvt.rna.tf32 would leave: the low 13 bits are not part of the value.
            t = from_bits(bits(t) & numpy.uint32(0xffffe000), dtype)
        return t

    blob, index = bytearray(), []

    def run(kind_name, arch, name, model, cases):
        for case in cases:
            a = operand((model.m, model.k), model.a_type, case, getattr(model, "a_type_ptx", ""))
            b = operand((model.n, model.k), model.b_type, case, getattr(model, "b_type_ptx", ""))
            c = operand((model.m, model.n), model.c_type, case, "")
            d = model(a, b.T, c)
            offsets = {}
            for key, t in (("a", a), ("b", b), ("c", c), ("d", d)):
                offsets[key] = len(blob)
                blob.extend(bits(t).astype(bits(t).dtype.newbyteorder("<")).tobytes())
            index.append(dict(instruction=f"{kind_name} {name}", arch=arch, m=model.m, n=model.n, k=model.k, inputs=case, **offsets))

    for arch in ("Ampere", "Ada Lovelace", "Hopper"):
        for name in isa_mma.mma_shape_and_type[arch]:
            if name.startswith("m8n8k4.f16") or name.startswith("m8n8k4.f32"):
                continue                                # Volta's own shape: nobody emits it for these
            run("mma", arch, name, sim.MMA(arch, name), (0, 1, 2, 3))
    for n in (8, 24, 64):
        for shape, pairs in ((8, [("f32", "tf32", "tf32")]), (16, [("f32", "f16", "f16"), ("f16", "f16", "f16"), ("f32", "bf16", "bf16")]),
                             (32, [(d, a, b) for d in ("f32", "f16") for a in ("e5m2", "e4m3") for b in ("e5m2", "e4m3")])):
            for d, a, b in pairs:
                name = f"m64n{n}k{shape}.{d}.{a}.{b}"
                run("wgmma", "Hopper", name, sim.WGMMA("Hopper", name), (0, 1, 2, 3) if n == 8 else (0,) if n == 24 else (3,))
    (HERE / "mmasim.bin").write_bytes(blob)
    (HERE / "mmasim.json").write_text('{"made_by": "mmasim ' + VERSION + '", "cases": [\n' + ",\n".join(map(json.dumps, index)) + "\n]}\n")
    print(f"{len(index)} cases, {len(blob)} bytes")


if __name__ == "__main__":
    if sys.argv[1:2] == ["kernels"] and len(sys.argv) == 3:
        kernels(Path(sys.argv[2]).resolve())
    elif sys.argv[1:] == ["vectors"]:
        vectors()
    elif sys.argv[1:] == ["digests"]:
        digests()
    else:
        raise SystemExit(__doc__)
