#!/usr/bin/env python3
"""Puts the results of the programs' test into tools/gpusim/README.md, between its markers.

    cargo test -p gpusim --test programs      writes target/programs.json
    tools/gpusim/programs/table.py [--check]  updates the table, or fails if it is not up to date
"""
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- table programs -->", "<!-- end of table programs -->"
GROUPS = {"matmul": "matrix products", "attention": "flash attention", "combine": "TMA stores and reductions", "convert": "conversions",
          "mma": "single `mma.sync` and matrix moves", "matrix_moves": "single `mma.sync` and matrix moves"}


def row(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def table(data):
    groups = {}
    for r in data["results"]:
        if r["mode"] in ("mmasim", "wheel", "digest"):
            kind = ("generated" if r["mode"] == "mmasim" else "mmasim-kernels", f"`{r['op'].replace('mma', 'mma.sync') if r['op'] == 'mma' else r['op']}` bit for bit", r["target"])
        else:
            kind = ({"triton": "Triton", "nvcc": "nvcc"}[r["made_by"]], GROUPS.get(r["op"], "rows, numbers, control flow, atomics"), r["target"])
        groups.setdefault(kind, []).append(r)
    lines = [row("made by", "programs", "target", "how many", "launches", "passed", "open", "skipped"), row(*["---"] * 8)]
    total = dict(programs=0, launches=0, passed=0, open=0, skipped=0)
    for (maker, what, target), results in sorted(groups.items()):
        names = {}
        for r in results:
            names.setdefault(r["name"], []).append(r)
        by = {"passed": 0, "open": 0, "skipped": 0, "failed": 0}
        for runs in names.values():
            outcomes = {r["outcome"] for r in runs}
            by[next(o for o in ("failed", "open", "skipped", "passed") if o in outcomes)] += 1
        if by["failed"]:
            raise SystemExit(f"{by['failed']} programs failed: no table")
        launches = sum(r["launches"] for r in results)
        lines.append(row(maker, what, target, len(names), launches, by["passed"], by["open"], by["skipped"]))
        for key, n in (("programs", len(names)), ("launches", launches), *((k, by[k]) for k in ("passed", "open", "skipped"))):
            total[key] += n
    lines.append(row("all", "", "", *(total[k] for k in ("programs", "launches", "passed", "open", "skipped"))))
    left = [f"- `{name}`: open: {reason}" for name, reason in data["open"]]
    left += [f"- `{r['name']}`: skipped: {r['error']}" for r in data["results"] if r["outcome"] == "skipped"]
    lines += ["", "Reported by a check, rightly, and right with checks off:", ""] + [f"- `{name}`: {reason}" for name, reason in data["reported"]]
    lines += ["", "Not passed, and why:" if left else "Nothing is open or skipped.", *([""] + left if left else [])]
    return "\n".join(lines)


def main():
    target = HERE.parents[2] / "target" / "programs.json"
    text = README.read_text() if README.exists() else f"## Foreign programs\n\n{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    new = f"{before}{BEGIN}\n{table(json.loads(target.read_text()))}\n{END}{after}"
    if sys.argv[1:] == ["--check"]:
        raise SystemExit(0 if new == text else "the table of programs in README.md is not up to date")
    README.write_text(new)


if __name__ == "__main__":
    main()
