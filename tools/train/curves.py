"""Draws the curves of the grid: the paper's Figures 4 and 5, and the runs side by side.

    python curves.py LOGDIR OUTDIR

reads LOGDIR/*.jsonl and writes to OUTDIR: curves-nll.png and curves-rec.png (a panel per PHOTON run, a line per mode:
held-out nats per token and the reconstruction's cosine distance over training tokens) and curves-runs.png (a panel per
mode, a line per run).
"""

import json
import math
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MODES = {"exact": "#2a6fbb", "hiergen": "#d9822b", "recgen": "#3a9a5b"}


def curves(log: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Held-out quantities of one run: name -> tokens, values.  An unfinished run has a shorter curve."""
    out = {}
    for line in map(json.loads, log.read_text().splitlines()):
        if line["event"] == "held out":
            for name, value in line.items():
                if name.startswith(("nll ", "rec ", "bits ")):
                    tokens, values = out.setdefault(name, ([], []))
                    tokens.append(line["tokens"])
                    values.append(value)
    return out


def style(axis, title: str) -> None:
    axis.set_title(title, fontsize=10)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.locator_params(axis="x", nbins=4)
    axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:g} M" if x else "0")


def by_run(runs: dict, quantity: str, label: str, out: Path) -> None:
    """A panel per run that knows the quantity in more than one mode."""
    shown = {name: c for name, c in runs.items() if f"{quantity} recgen" in c}
    columns = min(4, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3 * columns, 2.6 * rows), sharex=True, sharey=True, squeeze=False)
    for axis, (name, c) in zip(axes.flat, shown.items()):
        for mode, color in MODES.items():
            axis.plot(*c[f"{quantity} {mode}"], color=color, label=mode, linewidth=1.5)
        style(axis, name)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    axes[0, 0].legend(frameon=False, fontsize=8)
    save(figure, label, out)


def by_mode(runs: dict, out: Path) -> None:
    figure, axes = plt.subplots(1, len(MODES), figsize=(4 * len(MODES), 3.4), sharex=True, sharey=True)
    for axis, mode in zip(axes, MODES):
        for i, (name, c) in enumerate(runs.items()):
            # A model of fewer than two levels has one likelihood, whatever the mode.
            known = c.get(f"bits {mode}") or c["bits exact"]
            axis.plot(*known, label=name, linewidth=1.5, color=plt.cm.tab10(i % 10))
        style(axis, mode)
    axes[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save(figure, "held-out bits per byte", out)


def save(figure, label: str, out: Path) -> None:
    figure.supxlabel("training tokens", fontsize=9)
    figure.supylabel(label, fontsize=9)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110, metadata={"Software": None})
    plt.close(figure)
    print(out)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    logs, out = Path(sys.argv[1]), Path(sys.argv[2])
    runs = {log.stem: curves(log) for log in sorted(logs.glob("*.jsonl"))}
    runs = {name: c for name, c in runs.items() if c}
    if not any("nll recgen" in c for c in runs.values()):
        sys.exit(f"curves.py: no evaluations of a PHOTON run in {logs}/*.jsonl")
    by_run(runs, "nll", "held-out nats per token", out / "curves-nll.png")
    by_run(runs, "rec", "cosine distance of X̂ and X", out / "curves-rec.png")
    by_mode(runs, out / "curves-runs.png")


if __name__ == "__main__":
    main()
