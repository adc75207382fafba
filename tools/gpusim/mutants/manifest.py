#!/usr/bin/env python3
"""Writes manifest.json, the description of every kernel of the mutation suite: python3 manifest.py. Format: README.md.

Results are computed in `described`, from the kernels' meaning, and not by any simulator.
"""
import json
from pathlib import Path

from described import copies, hopper, language, threads  # noqa: F401 (each adds its kernels)
from described.common import KERNELS

# The order of the files, whoever was imported first.
FILES = ("barriers", "memory", "global", "copies", "bulk", "tensor", "cluster", "language", "persistent", "library", "pipelines", "clusters", "blocks", "hopper")

if __name__ == "__main__":
    kernels = sorted(KERNELS, key=lambda k: FILES.index(k["file"].removesuffix(".cu")))
    text = ",\n".join(json.dumps(k) for k in kernels)
    Path(__file__).with_name("manifest.json").write_text('{"kernels": [\n' + text + "\n]}\n")
    clean = sum(k["expect"] == "clean" for k in kernels)
    print(f"{len(kernels) - clean} faulty, {clean} clean")
