#!/usr/bin/env python3
"""Draws the figures of the report as PNG and SVG: TPM against likelihood and accuracy, RecGen by refresh, loss curves.

    figures.py RESULTSDIR LOGDIR OUTDIR [--budget full|quick|tiny]

RESULTSDIR has compare.json and quality.json, LOGDIR the training logs.  A figure whose results are not there is left out.
Colours are Okabe and Ito's, which are told apart with any common colour blindness.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from files import lines
from likelihood import TASKS, bits, chosen, differences, mode_name
from plan import BUDGETS, Plan
from quality import Grid
from results import measured, pareto, records

STYLE = {
    "vanilla exact": ("#000000", "s", "vanilla"),
    "block exact": ("#CC79A7", "D", "Block Transformer"),
    "photon exact": ("#0072B2", "o", "PHOTON exact"),
    "photon hiergen": ("#E69F00", "o", "PHOTON hiergen"),
    "photon recgen": ("#009E73", "o", "PHOTON recgen"),
    "refresh": ("#56B4E9", "o", "PHOTON recgen, refresh k"),
}
# Runs of the grid, in its order; what was not trained on own outputs is dashed besides.
COLOURS = ["#000000", "#CC79A7", "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#8C564B", "#7F7F7F", "#BCBD22"]
RUNS = {run.name: (COLOURS[i % len(COLOURS)], "-" if run.modes.hiergen or len(run.model.get("levels", [])) < 2 else "--")
        for i, run in enumerate(Grid.load().runs)}


def style_of(name: str) -> tuple[str, str, str]:
    return STYLE.get(name, STYLE["refresh"])


def save(figure, out: Path, name: str) -> None:
    """The same bytes for the same numbers: no date, and identifiers from a fixed salt."""
    figure.savefig(out / f"{name}.png", dpi=110, metadata={"Software": None})
    figure.savefig(out / f"{name}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def tidy(axis) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def logarithmic(axis) -> None:
    """The y axis, with numbers as one writes them at 1, 2 and 5."""
    axis.set_yscale("log")
    axis.margins(y=0.12)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.10g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def joined(rows: dict, case: str, batch: int, values: dict[str, dict]) -> list[tuple[str, float, float, dict]]:
    """name, quality, TPM, estimate of what is known of both."""
    out = []
    for name, estimate in values.items():
        row = rows.get((case, name, batch))
        if row:
            out.append((name, estimate["value"], row.tpm, estimate))
    return out


def qualities(models: dict[str, dict], of) -> dict[str, dict]:
    return {f"{family} {mode}": estimate for family, line in models.items() for mode, estimate in of(line).items()}


def draw_points(axis, points, filled: bool) -> None:
    for name, x, y, estimate in points:
        colour, marker, _ = style_of(name)
        low, high = estimate["interval"] or (x, x)
        axis.errorbar(x, y, xerr=[[x - low], [high - x]], color=colour, marker=marker, markersize=8, linestyle="none",
                      markerfacecolor=colour if filled else "white", elinewidth=1, capsize=2, zorder=3)
    refreshed = [(name, x, y) for name, x, y, _ in points if name.split()[2:]]
    if refreshed and filled:
        # They lie close to one another: one label for all.
        _, x, y = max(refreshed, key=lambda point: point[2])
        axis.annotate("k = " + ", ".join(name.split()[2] for name, *_ in refreshed), (x, y), textcoords="offset points",
                      xytext=(-10, 6), ha="right", fontsize=8, color="#333333")


def draw_frontier(axis, points, lower_x: bool) -> None:
    """The points that none beats, as steps: what is reached at each quality."""
    best = sorted(((points[i][1], points[i][2]) for i in pareto([(x, y) for _, x, y, _ in points], lower_x)))
    if len(best) > 1:
        axis.step(*zip(*best), where="post" if lower_x else "pre", color="#999999", linewidth=1, linestyle="--", zorder=1)


def legend(axis, names, hollow: bool, **where) -> None:
    styles = dict.fromkeys(style_of(name) for name in names)
    handles = [Line2D([], [], color=c, marker=m, linestyle="none", markersize=7, label=label) for c, m, label in styles]
    if hollow:
        handles.append(Line2D([], [], color="#555555", marker="o", markerfacecolor="white", linestyle="none", markersize=7,
                              label="hollow: not trained on own outputs"))
    handles.append(Line2D([], [], color="#999999", linestyle="--", linewidth=1, label="Pareto frontier"))
    axis.legend(handles=handles, frameon=False, fontsize=8, **where)


def pareto_bits(rows: dict, quality: list[dict], case: str, out: Path) -> None:
    sets = [(joined(rows, case, 1, qualities(chosen(quality, own), bits)), own) for own in (True, False)]
    points = [point for found, _ in sets for point in found]
    if not points:
        return
    figure, axis = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
    draw_frontier(axis, points, True)
    for found, own in sets:
        draw_points(axis, found, own)
    logarithmic(axis)
    axis.set_xlabel("held-out bits per byte of the small trained model (lower is better)")
    axis.set_ylabel(f"TPM at 600M on the CPU, {case}, batch 1\nthousand tokens/s per GiB of cache")
    tidy(axis)
    legend(axis, [name for name, *_ in points], bool(sets[1][0]), loc="center left", bbox_to_anchor=(1.01, 0.5))
    save(figure, out, "pareto-bits")


def pareto_accuracy(rows: dict, quality: list[dict], case: str, out: Path) -> None:
    known = [task["task"] for line in quality[:1] for task in line["tasks"]]
    figure, axes = plt.subplots(1, len(known), figsize=(11, 4.2), sharey=True, layout="constrained", squeeze=False)
    drawn = []
    for i, (axis, task) in enumerate(zip(axes[0], known)):
        def of(line: dict) -> dict[str, dict]:
            return {mode_name(mode): mode["accuracy_norm"] for mode in line["tasks"][i]["modes"]}
        sets = [(joined(rows, case, 1, qualities(chosen(quality, own), of)), own) for own in (True, False)]
        points = [point for found, _ in sets for point in found]
        drawn += points
        draw_frontier(axis, points, False)
        for found, own in sets:
            draw_points(axis, found, own)
        axis.axvline(quality[0]["tasks"][i]["chance"], color="#999999", linewidth=1, linestyle=":")
        axis.text(quality[0]["tasks"][i]["chance"], 0.01, " chance", transform=axis.get_xaxis_transform(), fontsize=8,
                  color="#666666", va="bottom")
        logarithmic(axis)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g} %"))
        axis.set_title(TASKS[task], fontsize=10)
        tidy(axis)
    if not drawn:
        plt.close(figure)
        return
    figure.supxlabel("accuracy of the small trained model (higher is better)", fontsize=10)
    axes[0, 0].set_ylabel(f"TPM at 600M on the CPU, {case}, batch 1\nthousand tokens/s per GiB of cache")
    legend(axes[0, -1], [name for name, *_ in drawn], True, loc="center left", bbox_to_anchor=(1.02, 0.5))
    save(figure, out, "pareto-accuracy")


def run_legend(axis) -> None:
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5),
                title="dashed: not trained\non own outputs", title_fontsize=8)


def refresh(quality: list[dict], out: Path) -> None:
    """What own outputs at the top cost, by how often the latents are encoded again."""
    several = [line for line in quality if len(line["text"]["modes"]) > 1]
    if not several:
        return
    ticks = ["hiergen"] + [name for name in bits(several[0]) if name.startswith("recgen ")] + ["recgen"]
    figure, axis = plt.subplots(figsize=(8, 4.4), layout="constrained")
    for line in several:
        known = differences(line)
        colour, dashes = RUNS[line["run"]]
        y = [known[name]["value"] for name in ticks]
        intervals = [known[name]["interval"] or (value, value) for name, value in zip(ticks, y)]
        error = [[value - low for value, (low, _) in zip(y, intervals)], [high - value for value, (_, high) in zip(y, intervals)]]
        axis.errorbar(range(len(ticks)), y, yerr=error, color=colour, marker="o" if line["own_output"] else "X",
                      linestyle=dashes, linewidth=1.5, markersize=6, capsize=2, label=line["run"])
    axis.set_xticks(range(len(ticks)), [t.replace("recgen ", "k = ") if t != "recgen" else "k = ∞" for t in ticks])
    axis.set_xlabel("recgen: the last k meta-contexts are encoded again after every k")
    axis.set_ylabel("bits per byte beyond exact")
    axis.set_ylim(bottom=0)
    tidy(axis)
    run_legend(axis)
    save(figure, out, "refresh")


def curves(logs: Path, out: Path) -> None:
    """Held-out bits per byte on the way: a panel per mode, a line per run."""
    runs = {}
    for name in RUNS:
        file = logs / f"{name}.jsonl"
        held_out = [x for x in lines(file) if x["event"] == "held out"]
        if held_out:
            runs[name] = held_out
    if not runs:
        return
    modes = ("exact", "hiergen", "recgen")
    figure, axes = plt.subplots(1, len(modes), figsize=(11, 3.8), sharex=True, sharey=True, layout="constrained")
    for axis, mode in zip(axes, modes):
        for name, held_out in runs.items():
            colour, dashes = RUNS[name]
            # A model of fewer than two levels has one likelihood, whatever the mode.
            key = f"bits {mode}" if f"bits {mode}" in held_out[0] else "bits exact"
            axis.plot([x["tokens"] for x in held_out], [x[key] for x in held_out], color=colour,
                      linestyle=dashes, linewidth=1.5, marker="." if len(held_out) < 3 else None, label=name)
        axis.set_title(mode, fontsize=10)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1e6:g} M"))
        tidy(axis)
    axes[0].set_ylabel("held-out bits per byte")
    figure.supxlabel("training tokens", fontsize=10)
    run_legend(axes[-1])
    save(figure, out, "curves")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--budget", choices=BUDGETS, default="full")
    args = parser.parse_args()
    matplotlib.rcParams.update({"svg.hashsalt": "photon", "svg.fonttype": "path", "font.size": 10})
    plan = Plan.load(args.budget)
    rows = measured(records(args.results / "compare.json", plan), plan)
    quality = lines(args.results / "quality.json")
    args.out.mkdir(parents=True, exist_ok=True)
    if quality:
        pareto_bits(rows, quality, plan.cases[0].name, args.out)
        pareto_accuracy(rows, quality, plan.cases[0].name, args.out)
        refresh(quality, args.out)
    curves(args.logs, args.out)


if __name__ == "__main__":
    main()
