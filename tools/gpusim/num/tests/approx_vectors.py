"""Writes data/approx.json: f32 operands and the correctly rounded results of the functions, from mpmath (pip install mpmath)."""

import json
import pathlib
import random
import struct

from mpmath import mp, mpf

mp.prec = 300


def value(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def to_f32(x):
    """The f32 pattern nearest to an mpf, ties to even; overflow is infinity."""
    if x == 0:
        return 0
    sign, x = (1 << 31, -x) if x < 0 else (0, x)
    exponent = max(int(mp.floor(mp.log(x, 2))), -126)
    scaled = mp.ldexp(x, 23 - exponent)
    whole = int(mp.floor(scaled))
    rest = scaled - whole
    whole += rest > 0.5 or (rest == 0.5 and whole & 1)
    return sign | min(((exponent + 126) << 23) + whole, 0x7F800000)


functions = {
    "rcp": (lambda x: 1 / x, lambda r: r.getrandbits(32)),
    "sqrt": (mp.sqrt, lambda r: r.getrandbits(31)),
    "rsqrt": (lambda x: 1 / mp.sqrt(x), lambda r: r.getrandbits(31)),
    "sin": (mp.sin, lambda r: r.getrandbits(32) if r.random() < 0.3 else pattern(r.uniform(-7, 7))),
    "cos": (mp.cos, lambda r: r.getrandbits(32) if r.random() < 0.3 else pattern(r.uniform(-7, 7))),
    "ex2": (lambda x: mpf(2) ** x, lambda r: pattern(r.uniform(-150, 128) if r.random() < 0.5 else r.gauss(0, 1))),
    "lg2": (lambda x: mp.log(x, 2), lambda r: r.getrandbits(31) if r.random() < 0.5 else pattern(r.uniform(0.5, 2))),
    "tanh": (mp.tanh, lambda r: pattern(r.gauss(0, 3)) if r.random() < 0.7 else r.getrandbits(32)),
}


def pattern(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def main():
    r = random.Random(1)
    out = {}
    for name, (function, draw) in functions.items():
        cases = []
        while len(cases) < 400:
            bits = draw(r)
            if (bits >> 23 & 0xFF) in (0, 255):
                continue
            cases += [bits, to_f32(function(mpf(value(bits))))]
        out[name] = cases
    path = pathlib.Path(__file__).parent / "data" / "approx.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("{\n" + ",\n".join(f'"{k}": {json.dumps(v, separators=(",", ":"))}' for k, v in out.items()) + "\n}\n")


main()
