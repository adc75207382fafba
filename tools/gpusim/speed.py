#!/usr/bin/env python3
"""Puts the simulator's speed into tools/gpusim/README.md, between its markers.

    cargo bench -p gpusim --bench interpreter --bench tensor    writes target/criterion
    tools/gpusim/speed.py [target/criterion]                    updates the table

Medians, in millions of warp instructions per second of processor time, of one core. Timings on shared machines are noisy: the
last column is what is left when that is taken out, warp instructions per thousand steps of a scalar loop (a multiplication
and an exclusive or, each waiting for the last) that was measured in the same run.
"""
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
BEGIN, END = "<!-- table speed -->", "<!-- end of table speed -->"
WAYS = ["checks off", "checks on", "checks and counters"]


def rate(folder):
    """Elements or bytes per second, at the median."""
    throughput = json.loads((folder / "benchmark.json").read_text())["throughput"]
    (amount,) = throughput.values()
    return amount / json.loads((folder / "estimates.json").read_text())["median"]["point_estimate"] * 1e9


def measured(root):
    """Rates by group and case, in the order of the benchmark's source."""
    rates = {}
    for path in root.glob("*/*/new/benchmark.json"):
        names = json.loads(path.read_text())
        rates.setdefault(names["group_id"], {})[names["function_id"]] = rate(path.parent)
    return rates


def row(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def table(rates):
    source = (HERE / "sim/benches/interpreter.rs").read_text()
    scalar, memcpy = rates["machine"]["scalar"], rates["machine"]["memcpy"]
    lines = [row("M warp instructions/s", *WAYS, "checks on, per 1000 scalar steps"), row("---", *["---:"] * 4)]
    cases = sorted(rates["checks on"], key=lambda name: source.find(f'"{name}"'))
    for name in cases:
        each = [f"{rates[way][name] / 1e6:.1f}" if name in rates.get(way, {}) else "" for way in WAYS]
        lines.append(row(name, *each, f"{rates['checks on'][name] / scalar * 1000:.1f}"))
    for name, value in sorted(rates.get("mma", {}).items()):
        lines.append(row(f"mma.sync, {name}", "", f"{value / 1e6:.2f}", "", f"{value / scalar * 1000:.2f}"))
    machine = f"In the same run: {scalar / 1e6:.0f} M scalar steps/s, memcpy of 8 MiB {memcpy / 1e9:.1f} GB/s."
    return "\n".join([*lines, "", machine])


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target"))
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else target / "criterion"
    text = README.read_text()
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    README.write_text(f"{before}{BEGIN}\n{table(measured(root))}\n{END}{after}")


if __name__ == "__main__":
    main()
