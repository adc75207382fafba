"""The tables of docs/training.md, out of the logs of docs/results/train: heads, rows, and the note under each.

Needs no PyTorch.  A log counts when it ends in "done", and all that do must be of the same tokens: a table of runs half
done, or of two budgets, would compare what is not comparable.
"""

import json
from pathlib import Path

import flops
import run_log
from grid import Grid, Run

MODES = ["exact", "hiergen", "recgen", "refresh 2", "refresh 8"]
Table = tuple[list[str], list[list[str]], str]


class Logs:
    """The finished runs, in the grid's order: name -> events."""

    def __init__(self, folder: Path, grid: Grid):
        self.folder, self.grid = folder, grid
        self.events = {run.name: run_log.read(self.file(run.name)) for run in grid.runs if self.file(run.name).exists()}
        for name, events in self.events.items():
            if not events or events[-1]["event"] != "done":
                raise ValueError(f"{self.file(name)} does not end in \"done\": the run is not finished")
        self.done = {name: events[-1] for name, events in self.events.items()}
        if not self.done:
            raise ValueError(f"{folder} has no logs of finished runs")
        first = next(iter(self.done))
        for name, done in self.done.items():
            for what in ("tokens", "windows"):
                if done[what] != self.done[first][what]:
                    raise ValueError(f"{self.file(name)} is of {done[what]} {what}, {self.file(first)} of {self.done[first][what]}")

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def bits(self, name: str, mode: str) -> float | None:
        return self.done[name].get(f"bits {mode}")


def percent(value: float | None, base: float | None) -> str:
    if value is None or base is None:
        return ""
    return f"{round(100 * (value / base - 1), 2) + 0.0:+.2f} %"  # + 0.0: no negative zero


def described(run: Run) -> list[str]:
    model, modes = run.model, run.modes
    levels = model.get("levels", [])
    chunks = ", ".join(str(level["chunk_length"]) for level in levels)
    layers = ", ".join(f"{level['encoder_layers']} + {level['decoder_layers']}" for level in levels) or str(model["layers"])
    several = len(levels) > 1
    return [f"`{run.name}`", f"({chunks})" if levels else "", layers, model.get("condition", "current") if several else "",
            str(run.alpha) if several else "", f"{modes.exact} / {modes.hiergen} / {modes.open_loop}", str(run.seed)]


def runs(logs: Logs) -> Table:
    """What the runs are."""
    grid = logs.grid
    head = ["run", "chunks, from below", "layers, encoder + decoder a level", "`condition`", "alpha",
            "sequences of a batch in `exact` / `hiergen` / open loop", "seed"]
    c = grid.runs[0].model
    note = (f"Width {c['hidden_size']}, vocabulary {c['vocab_size']}, {grid.batch} windows of {grid.window} tokens a step. The "
            f"sequences of the open loop and of `hiergen` are how a model is trained on its own outputs.")
    return head, [described(run) for run in grid.runs if run.name in logs.done or not run.extra], note


def grid(logs: Logs) -> Table:
    """Held-out likelihood of every run in every mode."""
    head = ["run", *(f"`{mode}`" for mode in MODES), "L_rec `exact`", "`hiergen`", "`recgen`"]
    rows = [[name, *(f"{done[f'bits {mode}']:.3f}" if f"bits {mode}" in done else "" for mode in MODES),
             *(f"{done[f'rec {mode}']:.3f}" if f"rec {mode}" in done else "" for mode in MODES[:3])]
            for name, done in logs.done.items()]
    done = next(iter(logs.done.values()))
    return head, rows, f"Bits per byte after {done['tokens']:,} tokens, over {done['windows']} windows of the held-out novel."


def cost(logs: Logs) -> Table:
    """What a run costs: what is equal, and what is not."""
    grid, starts = logs.grid, {name: events[0] for name, events in logs.events.items()}
    head = ["run", "parameters", "MFLOP a token, trained", "× vanilla", "Muon's own", "with Muon's, × vanilla", "CPU seconds"]

    def work(name: str) -> tuple[float, float]:
        muon = flops.optimiser_per_token(grid, name)
        return starts[name]["training_flops_per_token"] / 1e6, muon / 1e6

    base, base_muon = work("vanilla")
    rows = []
    for name, start in starts.items():
        step, muon = work(name)
        rows.append([name, f"{start['parameters'] / 1e6:.2f} M", f"{step:.2f}", f"{step / base:.3f}", f"{muon:.2f}",
                     f"{(step + muon) / (base + base_muon):.3f}", f"{logs.done[name]['cpu_seconds']:,.0f}"])
    return head, rows, "CPU seconds are those of the training steps, one thread a run, on whatever else shared its machine."


# What is compared with what: a question, the runs, and the run they are held against.
QUESTIONS = [
    ("own outputs", ["photon44"], "photon44-forced"),
    ("own outputs", ["photon44-previous"], "photon44-previous-forced"),
    ("`condition`", ["photon44"], "photon44-previous"),
    ("`condition`", ["photon44-forced"], "photon44-previous-forced"),
    ("chunks", ["photon22"], "photon44"),
    ("alpha", ["photon44-alpha0", "photon44-alpha0.3"], "photon44"),
    ("seed", ["photon44-seed2"], "photon44"),
]


def findings(logs: Logs) -> Table:
    """Relative differences in bits per byte, positive where the run is worse."""
    rows, done = [], logs.done
    if "vanilla" in done:
        base = logs.bits("vanilla", "exact")
        rows += [["equal FLOPs", name, "vanilla, in `exact`", *(percent(logs.bits(name, mode), base) for mode in MODES)]
                 for name in done if name != "vanilla"]
    rows += [["modes", name, "its own `exact`", "", *(percent(logs.bits(name, mode), logs.bits(name, "exact")) for mode in MODES[1:])]
             for name in done if logs.bits(name, "recgen") is not None]
    for question, names, base in QUESTIONS:
        rows += [[question, name, f"{base}, mode by mode", *(percent(logs.bits(name, mode), logs.bits(base, mode)) for mode in MODES)]
                 for name in names if name in done and base in done]
    head = ["question", "run", "against", *(f"`{mode}`" for mode in MODES)]
    return head, rows, "Relative differences in bits per byte: positive is worse."


def course(logs: Logs) -> Table:
    """`exact` against vanilla's as training went on."""
    steps = logs.done["vanilla"]["step"]
    held_out = {name: {event["step"]: event["bits exact"] for event in events if event["event"] == "held out"}
                for name, events in logs.events.items()}
    shown = [step for step in (steps // 4, steps // 2, 3 * steps // 4, steps) if all(step in h for h in held_out.values())]
    rows = [[name, *(percent(h[step], held_out["vanilla"][step]) for step in shown)]
            for name, h in held_out.items() if name != "vanilla"]
    windows = {event["windows"] for events in logs.events.values() for event in events if event["event"] == "held out"}
    return (["run", *(f"after {step * logs.grid.tokens_per_step:,} tokens" for step in shown)], rows,
            f"Bits per byte in `exact` against vanilla's at the same time, over {', '.join(map(str, sorted(windows)))} windows.")


def seeds(logs: Logs) -> Table | str:
    """How far two seeds of one run are apart; says so where there is only one."""
    pairs = [(run.name, other.name) for run in logs.grid.runs if run.extra and run.name in logs.done
             for other in logs.grid.runs if not other.extra and other.name in logs.done
             and (other.model, other.alpha, other.modes) == (run.model, run.alpha, run.modes)]
    if not pairs:
        return ("All runs are of one seed, so nothing here says how large a difference must be to mean something. "
                "`tools/train/grid.sh --extra` trains a second one of `photon44`.")

    def apart(two: str, one: str, what: str, digits: int) -> str:
        first, second = logs.done[one].get(what), logs.done[two].get(what)
        return "" if first is None or second is None else f"{abs(second - first):.{digits}f}"

    rows = [[two, one, *(apart(two, one, f"bits {mode}", 4) for mode in MODES),
             *(apart(two, one, f"rec {mode}", 3) for mode in MODES[:3])] for two, one in pairs]
    return (["run", "against", *(f"`{mode}`" for mode in MODES), "L_rec `exact`", "`hiergen`", "`recgen`"], rows,
            "Distance of two seeds in bits per byte, and in L_rec. One pair bounds nothing, but differences of that size between "
            "other runs are not to be read as theirs.")


def latents(logs: Logs) -> Table | str:
    """NLL with a window's own latents and with another's; latents.json is what latent_swap.py printed."""
    file = logs.folder / "latents.json"
    if not file.exists():
        return "Not measured yet: `tools/train/latent_swap.py` does it."
    rows, results = [], run_log.read(file)
    for result in results:
        done = logs.done.get(result["run"])
        if done is None or abs(done["nll exact"] - result["own"]) > 1e-3 or done["windows"] != result["windows"]:
            raise ValueError(f"{file}: {result['run']} is not the model of {logs.file(result['run'])}; run latent_swap.py again")
        rows.append([result["run"], f"{result['own']:.4f}", f"{result['other']:.4f}", f"{result['other'] - result['own']:+.4f}"])
    return (["run", "its own latents", "another window's", "difference"], rows,
            f"Nats per token in `exact`, over {results[0]['windows']} windows.")


LEFT = {"runs": 2, "findings": 3, "seeds": 2}  # columns of words; one elsewhere
TABLES = {"runs": runs, "grid": grid, "cost": cost, "findings": findings, "course": course, "seeds": seeds, "latents": latents}
