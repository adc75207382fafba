#!/usr/bin/env python3
"""Evaluates the trained models of the grid with `photon eval` and writes a line per model to RESULTS.

    quality.py RESULTS GRIDDIR TEXT [--budget full|quick|tiny] [--photon FILE] [--questions N]

GRIDDIR has RUN/model for every run of tools/train/grid.json that is trained, of the second seeds too, TEXT is what none was trained
on.  Every mode and refresh scores the text; the tasks are answered in the three modes without refresh, since a continuation is
seldom longer than a meta-context.  What RESULTS has already for the same model, text, settings and version of the program is
not evaluated again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

TRAIN = Path(__file__).resolve().parents[1] / "train"
sys.path.insert(0, str(TRAIN))

from grid import Grid  # noqa: E402

import files  # noqa: E402
import provenance  # noqa: E402

TASKS = "hellaswag,sciq,arc_easy"


def digest(model: Path) -> str:
    """Of the weights, their shape and the tokenizer: what an evaluation is of."""
    return provenance.digest(*(file for name in ("config.json", "model.safetensors", "tokenizer.json")
                               if (file := model / name).exists()))


class Evaluation:
    def __init__(self, photon: Path, text: Path, grid: Grid, questions: int, windows: int | None):
        self.photon, self.text, self.grid = photon, text, grid
        self.questions, self.windows = questions, windows
        self.program, self.held_out = provenance.version(photon), provenance.digest(text)

    def json(self, *arguments: str) -> dict:
        command = [str(self.photon), "eval", *arguments, "--device", "cpu", "--dtype", "f32", "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"quality.py: {' '.join(command)} ended with {done.returncode}")
        return json.loads(done.stdout)

    def settings(self) -> dict:
        """What else an evaluation depends on.  All in f32: how bf16 is computed is the processor's affair."""
        raw = self.grid.raw
        return {"dtype": "f32", "questions": self.questions, "windows": self.windows, "window": raw["window"],
                "prompt": raw["prompt"], "refresh": raw["refresh"], "tasks": TASKS, "text": self.held_out, "program": self.program}

    def entry(self, name: str) -> dict:
        """What grid.json says of a run."""
        raw = self.grid.raw
        return next(entry for entry in raw["runs"] + raw["extra_runs"] if entry["name"] == name)

    def evaluate(self, name: str, model: Path) -> dict:
        run, raw, entry = self.grid.run(name), self.grid.raw, self.entry(name)
        levels = len(run.model.get("levels", []))
        # With one level all modes are one.
        modes = ["--mode", "exact"] if levels < 2 else []
        refresh = ["--refresh", ",".join(map(str, raw["refresh"]))] if levels > 1 else []
        limit = ["--limit", str(self.windows)] if self.windows else []
        text = self.json("--model", str(model), "--text", str(self.text), "--window", str(raw["window"]),
                         "--prompt-tokens", str(raw["prompt"]), *modes, *refresh, *limit)["text"]
        tasks = self.json("--model", str(model), "--tasks", TASKS, "--limit", str(self.questions), *modes)["tasks"]
        for report in (text, *tasks):
            del report["file"]  # a path of this machine
        return {"run": name, "weights": digest(model), "settings": self.settings(), "architecture": entry["architecture"],
                "condition": entry.get("condition"), "own_output": entry.get("own_output", False),
                "alpha": entry.get("alpha"), "seed": entry.get("seed"), "text": text, "tasks": tasks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("grid", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--budget", default="full")
    parser.add_argument("--photon", type=Path, default=Path("target/release/photon"))
    parser.add_argument("--questions", type=int, default=500, help="of each task (default 500: intervals of 4 %% either side)")
    parser.add_argument("--windows", type=int, help="of the text (default all)")
    args = parser.parse_args()
    grid = Grid.load()
    evaluation = Evaluation(args.photon, args.text, grid, args.questions, args.windows)
    planned, names = grid.names(args.budget), grid.names(args.budget, extra=True)
    known = {}
    for number, line in files.numbered(args.results):
        if not {"run", "text", "tasks"} <= line.keys():
            sys.exit(f"{args.results}:{number}: not a line of this file")
        known[line["run"]] = line
    args.results.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        model = args.grid / name / "model"
        if not (model / "model.safetensors").exists():
            if name in planned:
                print(f"quality.py: {name} is not trained", file=sys.stderr)
            continue
        old = known.get(name, {})
        if (old.get("weights"), old.get("settings")) == (digest(model), evaluation.settings()):
            continue
        print(f"evaluating {name}", file=sys.stderr)
        known[name] = evaluation.evaluate(name, model)
        files.write(args.results, [known[name] for name in names if name in known])


if __name__ == "__main__":
    main()
