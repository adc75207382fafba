"""What the logs of the grid say of how the small models were trained."""

from pathlib import Path

import files
import markdown
from quality import Grid  # it finds the folder of the training tools, flops.py among them

import flops


def of(logs: Path) -> list[dict]:
    """The first line of each run, with the last one as `done` where the run came to its end."""
    order = [run.name for run in Grid.load().runs]
    found = []
    for file in logs.glob("*.jsonl"):
        events = files.numbered(file)
        starts = [event for _, event in events if event.get("event") == "start"]
        if not starts or starts[0].get("run") not in order:
            raise SystemExit(f"{file}:1: not the log of a run of grid.json: no event \"start\" of one")
        ends = [event for _, event in events if event.get("event") == "done"]
        found.append({**starts[0], "done": ends[-1] if ends else None, "last": events[-1][1]})
    return sorted(found, key=lambda run: order.index(run["run"]))


def table(runs: list[dict]) -> str:
    """Sizes and costs.  The optimiser's work is not in the FLOPs that are equal, so it has a column."""
    grid = Grid.load()
    head = ["run", "parameters", "trained on, tokens", "training MFLOP a token", "optimiser's beside it", "α",
            "sequences in exact, hiergen, open loop"]
    rows = []
    for run in runs:
        tokens = f"{run['done']['tokens']:,}" if run["done"] else f"{run['last'].get('tokens', 0):,}, unfinished"
        optimiser = flops.optimiser_per_token(grid, run["run"])
        rows.append([run["run"], f"{run['parameters']:,}", tokens, f"{run['training_flops_per_token'] / 1e6:.2f}",
                     f"{optimiser / 1e6:.2f}", f"{run['alpha']:g}",
                     ", ".join(str(run["modes"][mode]) for mode in ("exact", "hiergen", "open_loop"))])
    return markdown.table(head, rows)


def text(runs: list[dict], quality: list[dict], other: str) -> str:
    """What equal means, and why another page has other numbers of the same runs."""
    grid = Grid.load()
    beside = [flops.optimiser_per_token(grid, run["run"]) / 1e6 for run in runs]
    out = ("Equal FLOPs are those of the forward and backward passes. They leave out the optimiser's own work, which goes by "
           f"parameters and steps and not by tokens: {min(beside):.1f} to {max(beside):.1f} MFLOP a token, and most for the deeper "
           "models. With it counted, vanilla would have had more tokens.")
    done = [run["done"] for run in runs if run["done"]]
    if done:
        out += f" Training took {markdown.duration(sum(run['cpu_seconds'] for run in done))} of CPU time for all runs."
    windows = sorted({run["windows"] for run in done})
    if windows and quality:
        few = " or ".join(map(str, windows))
        out += (f"\n\n[training.md]({other}) has other bits per byte of the same runs: it scores {few} windows with the trained "
                f"weights as they were, this page {quality[0]['text']['windows']} windows with the exported ones, which are bf16.")
    return out


def size(runs: list[dict]) -> str:
    """In a few words, for a sentence on what the results are of."""
    done = [run for run in runs if run["done"]]
    if not done:
        return "These are small models, trained for a short time"
    sizes, tokens = [run["parameters"] / 1e6 for run in done], {run["done"]["tokens"] for run in done}
    after = " or ".join(f"{count:,}" for count in sorted(tokens))
    return f"These are models of {min(sizes):.1f} to {max(sizes):.1f} million parameters after {after} tokens"
