"""Writes data/tensor.json: what MMA-Sim's models (pip install mmasim, MIT licence) give for pseudo-random operands.

The operands come from a generator that tensor.rs repeats, so that only results are stored: the first few, and a
checksum of every block. Usage: python tensor_vectors.py [--cases N]
"""

import argparse
import json
import pathlib

import numpy as np
import torch
from mmasim.nv_ptx import MMA, WGMMA, TCGen05MMA, MMABlockScale

BLOCK = 8192
U = np.uint64
# exponent bits, significand bits, has IEEE specials
FORMATS = {
    "f16": (5, 10),
    "bf16": (8, 7),
    "tf32": (8, 10),
    "f32": (8, 23),
    "f64": (11, 52),
    "e4m3": (4, 3),
    "e5m2": (5, 2),
    "e3m2": (3, 2),
    "e2m3": (2, 3),
    "e2m1": (2, 1),
}


def mix(z):
    """SplitMix64 of a counter."""
    with np.errstate(over="ignore"):
        z = z * U(0x9E3779B97F4A7C15)
        z = (z ^ (z >> U(30))) * U(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U(27))) * U(0x94D049BB133111EB)
        return z ^ (z >> U(31))


def elements(name, kind, word, low=None):
    """Patterns of a format for 64-bit random words; `kind` says how exponents are distributed. `low`: the field around which
    kind 3 lies (else it is small)."""
    exp, man = FORMATS[name]
    top, bias = (1 << exp) - 1, (1 << (exp - 1)) - 1
    r = (word >> U(32)).astype(np.int64)
    sign = (word & U(1)) << U(exp + man)
    stored = (word * U(0x2545F4914F6CDD1D) >> U(11)) & U((1 << man) - 1)
    near = np.clip(bias - 3 + r % 7, 0, top)
    any_ = r % (top + 1)
    # Small operands: subnormals, or with 8 exponent bits such that products lie just below f32's subnormals.
    bottom = r % 3 if exp < 8 else 52 + r % 8
    small = bottom if low is None else np.clip(low - 8 + r % 16, 0, top)
    field = np.select(
        [kind == 0, kind == 1, kind == 2, kind == 3, kind == 4, kind == 5, kind == 6],
        [any_, near, np.clip(bias - 12 + r % 25, 0, top), small, any_, near, near],
        np.clip(top - 1 - r % 4, 0, top),
    )
    zero = ((kind == 3) | (kind == 4)) & (r >> 16 & 3 == 0)
    special = (kind == 6) & (r >> 16 & 15 == 0)
    field = np.where(zero, 0, np.where(special, top, field))
    stored = np.where(zero | (special & (r >> 20 & 1 == 0)), U(0), stored)
    return sign | (field.astype(U) << U(man)) | stored


def operands(seed, cases, k, a_type, b_type, c_type):
    case = np.arange(cases, dtype=U)
    base = (U(seed) << U(40)) + case * U(256)
    kind = (mix(base) % U(8)).astype(np.int64)
    index = np.arange(k, dtype=U)
    a_word = mix(base[:, None] + U(1) + index)
    b_word = mix(base[:, None] + U(65) + index)
    kinds = np.broadcast_to(kind[:, None], (cases, k))
    a, b = elements(a_type, kinds, a_word), elements(b_type, kinds, b_word)
    # Kind 5: neighbours cancel.
    pairs = (kinds == 5) & (index % U(2) == 1) & (index < k - 1)
    sign = U(1) << U(sum(FORMATS[b_type]))
    a = np.where(pairs, np.roll(a, 1, axis=1), a)
    b = np.where(pairs, np.roll(b, 1, axis=1) ^ sign, b)
    if a_type == "tf32":
        a = a << U(13) | (a_word >> U(9)) & U(0x1FFF)
        b = b << U(13) | (b_word >> U(9)) & U(0x1FFF)
    bias = lambda t: (1 << (FORMATS[t][0] - 1)) - 1
    c_word = mix(base + U(129))
    c_kind = np.where(c_word >> U(20) & U(3) == 0, 4, kind)
    c = elements(c_type, c_kind, c_word, max(0, bias(c_type) + 2 - bias(a_type) - bias(b_type)))
    return a, b, c


def tensor(bits, name):
    """A torch tensor of these patterns, in the way that MMA-Sim takes them."""
    if name == "f64":
        return torch.from_numpy(bits.astype(np.int64)).view(torch.float64)
    if name in ("f32", "tf32"):
        return torch.from_numpy(bits.astype(np.uint32).view(np.int32)).view(torch.float32)
    if name in ("f16", "bf16"):
        half = torch.from_numpy(bits.astype(np.uint16).view(np.int16))
        return half.view(torch.float16 if name == "f16" else torch.bfloat16)
    byte = torch.from_numpy(bits.astype(np.uint8))
    if name in ("e4m3", "e5m2"):
        return byte.view(torch.float8_e4m3fn if name == "e4m3" else torch.float8_e5m2)
    # fp4 sits in bits 5:2.
    return byte << 2 if name == "e2m1" else byte


def pattern(d):
    if d.dtype == torch.float64:
        bits = d.view(torch.int64).numpy().view(U)
        return np.where(np.isnan(d.numpy()), U(0x7FFFFFFFFFFFFFFF), bits)
    if d.dtype == torch.float16:
        return d.view(torch.int16).numpy().view(np.uint16).astype(U)
    return d.view(torch.int32).numpy().view(np.uint32).astype(U)


def record(out, name, seed, results, **description):
    index = np.arange(len(results), dtype=U)
    with np.errstate(over="ignore"):
        hashes = mix(results ^ (index << U(32)))
        blocks = [f"{int(hashes[i : i + BLOCK].sum(dtype=U)):016x}" for i in range(0, len(results), BLOCK)]
    first = [f"{int(x):x}" for x in results[:32]]
    out[name] = dict(description, seed=seed, cases=len(results), first=first, blocks=blocks)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=16 * BLOCK)
    cases = parser.parse_args().cases
    mma = {
        "Volta": ["m8n8k4.f32.f16.f16.f32", "m8n8k4.f16.f16.f16.f16"],
        "Turing": ["m8n8k4.f32.f16.f16.f32", "m8n8k4.f16.f16.f16.f16", "m16n8k8.f32.f16.f16.f32", "m16n8k8.f16.f16.f16.f16"],
    }
    ampere = [
        "m8n8k4.f64.f64.f64.f64",
        "m16n8k8.f32.tf32.tf32.f32",
        "m16n8k4.f32.tf32.tf32.f32",
        "m16n8k16.f32.f16.f16.f32",
        "m16n8k8.f32.f16.f16.f32",
        "m16n8k16.f16.f16.f16.f16",
        "m16n8k16.f32.bf16.bf16.f32",
        "m16n8k8.f32.bf16.bf16.f32",
    ]
    fp8 = [f"m16n8k32.{d}.{a}.{b}.{d}" for d in ("f32", "f16") for a in ("e5m2", "e4m3") for b in ("e5m2", "e4m3")]
    fp8 += ["m16n8k16.f32.e4m3.e4m3.f32", "m16n8k16.f16.e5m2.e4m3.f16"]
    mma["Ampere"] = ampere
    mma["Ada Lovelace"] = ampere[1:] + fp8
    mma["Hopper"] = ampere + ["m16n8k16.f64.f64.f64.f64"]
    mma["Blackwell"] = ampere[1:]
    narrow = ("e4m3", "e5m2", "e3m2", "e2m3", "e2m1")
    mma["RTX Blackwell"] = ampere[1:] + [
        f"m16n8k32.kind::f8f6f4.{d}.{a}.{b}.{d}" for d in ("f32", "f16") for a in narrow for b in narrow if a <= b
    ]
    wgmma = ["m64n8k8.f32.tf32.tf32", "m64n8k16.f32.f16.f16", "m64n8k16.f16.f16.f16", "m64n8k16.f32.bf16.bf16"]
    wgmma += [f"m64n8k32.{d}.{a}.{b}" for d in ("f32", "f16") for a in ("e5m2", "e4m3") for b in ("e5m2", "e4m3")]
    out = {}
    jobs = [("mma", MMA, arch, s) for arch, shapes in mma.items() for s in shapes]
    jobs += [("wgmma", WGMMA, "Hopper", s) for s in wgmma]
    jobs += [("tcgen05", TCGen05MMA, "Blackwell", f"m128n8k32.kind::f8f6f4.f32.{a}.{a}") for a in narrow]
    for seed, (unit, model, arch, shape) in enumerate(jobs):
        parts = [p for p in shape.split(".") if not p.startswith("kind::")]
        d_type, a_type, b_type = parts[1:4]
        op = model(arch, shape)
        # The 6- and 4-bit combinations are many and alike.
        n = cases // 4 if {a_type, b_type} & set(narrow[2:]) else cases
        a, b, c = operands(seed, n, op.k, a_type, b_type, d_type)
        d = op.dpa(tensor(a, a_type), tensor(b, b_type), tensor(c, d_type))
        record(out, f"{unit} {arch} {shape}", seed, pattern(d), unit=unit, arch=arch, a=a_type, b=b_type, d=d_type, k=op.k, volta="m8n8k4" in shape)
    scaled = [f"m16n8k32.kind::mxf8f6f4.block32.f32.{a}.{b}.f32.ue8m0" for a, b in zip(narrow, narrow[2:] + narrow[:2])]
    scaled += ["m16n8k64.kind::mxf4.block32.f32.e2m1.e2m1.f32.ue8m0"]
    scaled += [f"m16n8k64.kind::mxf4nvf4.block16.f32.e2m1.e2m1.f32.{s}" for s in ("ue8m0", "ue4m3")]
    for seed, shape in enumerate(scaled, len(jobs)):
        parts = shape.split(".")
        a_type, b_type, s_type = parts[4], parts[5], parts[7]
        op = MMABlockScale("RTX Blackwell", shape)
        n = cases // 4
        a, b, c = operands(seed, n, op.k, a_type, b_type, "f32")
        per_side = op.k // op.block_size
        base = (U(seed) << U(40)) + np.arange(n, dtype=U) * U(256)
        word = mix(base[:, None] + U(130) + np.arange(2 * per_side, dtype=U))
        # Mostly near 1, sometimes anything.
        near = (U(120) if s_type == "ue8m0" else U(48)) + (word >> U(8)) % U(16)
        scales = np.where(word % U(8) == 0, word >> U(16) & U(255), near).astype(np.uint8)
        kind = torch.float8_e8m0fnu if s_type == "ue8m0" else torch.float8_e4m3fn
        alpha, beta = (torch.from_numpy(np.ascontiguousarray(x)).view(kind) for x in (scales[:, :per_side], scales[:, per_side:]))
        a, b = tensor(a, a_type), tensor(b, b_type)
        if op.k == 64:
            pack = lambda x: (x[:, 0::2] >> 2) << 4 | x[:, 1::2] >> 2
            a, b = pack(a), pack(b)
        d = op.dpa(a, b, tensor(c, "f32"), alpha, beta)
        record(out, f"scaled {shape}", seed, pattern(d), unit="scaled", arch="RTX Blackwell", a=a_type, b=b_type, d="f32", k=op.k, scale=s_type, block=op.block_size)
    path = pathlib.Path(__file__).parent / "data" / "tensor.json"
    note = "Results of MMA-Sim 2.1.1 (MIT licence, copyright Microsoft Corporation) for generated operands; see tensor_vectors.py."
    lines = [f'"note": {json.dumps(note)}', f'"block": {BLOCK}']
    lines += [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in out.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
