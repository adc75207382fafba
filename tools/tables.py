#!/usr/bin/env python3
"""Writes the tables of README.md and docs/ from the result files. No number in them is typed by hand.

A table stands between `<!-- table NAME -->` and `<!-- end -->`. With --check nothing is written; the exit status is 1
where a table differs from its results.
"""

import functools
import json
import pathlib
import re
import statistics
import sys

from report import markdown

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tools" / "train"))

import grid_tables  # noqa: E402

PAGES = [ROOT / "README.md", ROOT / "docs" / "performance.md", ROOT / "docs" / "training.md"]


def rows_of(name):
    """The objects of docs/results/NAME.json, one a line."""
    path = ROOT / "docs" / "results" / f"{name}.json"
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def cpu():
    """Decoding on the CPU, with the machine's limits measured in the same run: of each configuration the median round."""
    rounds = {}
    for run in rows_of("bench"):
        rounds.setdefault((run["preset"], run["mode"], run["batch"], run["dtype"]), []).append(run)
    runs = [sorted(group, key=lambda run: run["tokens_per_second"])[len(group) // 2] for group in rounds.values()]
    base = {run["batch"]: run for run in runs if run["preset"].startswith("vanilla") and run["dtype"] == "bf16"}
    head = ["model, mode, batch, weights", "tokens/s", "all rounds", "× vanilla", "share of read bandwidth", "share of f32 FMA peak",
            "cache bytes per token of context", "peak MB beside weights"]
    rows = []
    for run, group in zip(runs, rounds.values()):
        limits = run["limits"]
        context = run["prompt_tokens"] + run["new_tokens"]
        rates = [each["tokens_per_second"] for each in group]
        rows.append([
            f"{run['preset']}, {run['mode']}, {run['batch']}, {run['dtype']}",
            f"{run['tokens_per_second']:.1f}",
            f"{min(rates):.1f}–{max(rates):.1f}",
            f"{run['tokens_per_second'] / base[run['batch']]['tokens_per_second']:.1f}",
            f"{100 * limits['decode_share_of_read']:.0f} %",
            f"{100 * limits['decode_share_of_fma']:.0f} %",
            f"{run['cache_bytes_per_sequence'] / context:,.0f}",
            f"{run['peak_bytes'] / 1e6:.1f}",
        ])
    first = runs[0]
    read = [run["limits"]["read_gb_per_s"] for group in rounds.values() for run in group]
    fma = [run["limits"]["fma_flops"] / 1e9 for group in rounds.values() for run in group]
    note = (f"\n\n{first['prompt_tokens']} prompt + {first['new_tokens']} new tokens a sequence, weights with seeded "
            f"random values, {first['threads']} threads; × vanilla is against bf16; the median of {len(rounds[next(iter(rounds))])} rounds. The limits are measured "
            f"after each run, and the shares refer to those: {min(read):.0f}–{max(read):.0f} GB/s and "
            f"{min(fma):.0f}–{max(fma):.0f} GFLOP/s.")
    return markdown.table(head, rows) + note


def sample():
    """Held-out likelihood of the sample model in each mode."""
    scores = json.loads((ROOT / "models" / "photon-austen-7m" / "scores.json").read_text())
    bits = scores["bits_per_byte"]
    rows = [[f"`{mode}`", f"{value:.3f}", f"{100 * (value / bits['exact'] - 1):+.1f} %"] for mode, value in bits.items()]
    return markdown.table(["mode", "bits per byte", "against `exact`"], rows)


def gemm():
    """The CPU's matrix kernel and a peer's, one thread."""
    runs = rows_of("gemm")
    kinds = ["bf16", "f32", "gemm"]
    head = ["outputs × inputs", "rows"]
    for kind in kinds:
        name = "`gemm` f32" if kind == "gemm" else kind
        head += [f"{name}: ms", "of memory", "of FMA"]
    cases = {}
    for run in runs:
        cases.setdefault((run["outputs"], run["inputs"], run["rows"]), {})[run["weights"]] = run
    rows = []
    for (outputs, inputs, count), by_kind in cases.items():
        row = [f"{outputs} × {inputs}", str(count)]
        for kind in kinds:
            run = by_kind[kind]
            row += [f"{1e3 * run['seconds']:.3f}", f"{100 * run['share_of_read']:.0f} %", f"{100 * run['share_of_fma']:.0f} %"]
        rows.append(row)
    first = runs[0]
    note = (f"\n\n{first['threads']} thread; in this run memory is read at {first['read_gb_per_s']:.1f} GB/s, the FMA peak is "
            f"{first['fma_gflops']:.0f} GFLOP/s. `gemm` 0.19 is the crate of that name.")
    return markdown.table(head, rows) + note


@functools.cache
def logs():
    return grid_tables.Logs(ROOT / "docs" / "results" / "train", grid_tables.Grid.load())


def training(name):
    """A table of the training grid."""
    def table():
        made = grid_tables.TABLES[name](logs())
        return made if isinstance(made, str) else f"{markdown.table(*made[:2], grid_tables.LEFT.get(name, 1))}\n\n{made[2]}"

    return table


def spread(rounds):
    return f"{statistics.median(rounds):.1f} ({min(rounds):.1f}–{max(rounds):.1f})"


def peers():
    """The flat baseline in other engines and here; of two columns the ratio is taken round by round."""
    runs = rows_of("peers")
    ours = {(run["case"], run["dtype"]): run for run in runs if run["engine"] == "photon"}
    rows = []
    for run in runs:
        if run["engine"] == "photon":
            continue
        # 8 bits against 8 bits; against everything wider the type that this repository's models come in.
        own = ours[run["case"], "int8" if run["dtype"] == "q8_0" else "bf16"]
        ratios = [mine / theirs for mine, theirs in zip(own["rounds"], run["rounds"])]
        rows.append([run["case"], f"{run['engine']} {run['dtype']}", spread(run["rounds"]), own["dtype"], spread(own["rounds"]),
                     f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"])
    first = runs[0]
    versions = dict.fromkeys(f"{run['engine']} {run['version']}" for run in runs if run["version"])
    read = [each for run in ours.values() for each in run["limits"]["read_gb_per_s"]]
    fma = [each / 1e9 for run in ours.values() for each in run["limits"]["fma_flops"]]
    note = (f"\n\n{first['preset']}, random weights, {first['threads']} threads; {' and '.join(versions)} (of llama.cpp the version of "
            f"its Python package). Tokens per second: the median of {len(first['rounds'])} rounds, and the least and the most. In this "
            f"run memory is read at {min(read):.0f}–{max(read):.0f} GB/s, median {statistics.median(read):.0f}, and the f32 FMA peak is "
            f"{min(fma):.0f}–{max(fma):.0f} GFLOP/s, median {statistics.median(fma):.0f}.")
    return markdown.table(["case", "peer", "peer, tokens/s", "ours", "ours, tokens/s", "ours / peer"], rows) + note


TABLES = {"cpu": cpu, "gemm": gemm, "peers": peers, "sample": sample, **{name: training(name) for name in grid_tables.TABLES}}


def main():
    check = sys.argv[1:] == ["--check"]
    stale = []
    for page in PAGES:
        if not page.exists():
            continue
        old = page.read_text()

        def table(match):
            try:
                return f"<!-- table {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"
            except ValueError as e:
                sys.exit(f"tables.py: table {match[1]} of {page.name}: {e}")

        new = re.sub(r"<!-- table (\w+) -->\n.*?<!-- end -->", table, old, flags=re.S)
        if new != old:
            stale.append(page.name)
            if not check:
                page.write_text(new)
    if check and stale:
        sys.exit(f"stale tables in {', '.join(stale)}; run tools/tables.py")


main()
