"""The grid: which models are trained, and on what, out of grid.json.

    python grid.py [--budget NAME] [--extra]     prints the names of a budget's runs, a line each

The runs of `extra_runs` ask how much a result is worth: a second seed.  They are trained where they are asked for.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("grid.json")


@dataclass(frozen=True)
class Modes:
    """How many sequences of a batch are trained in which mode; the batch has them in this order."""

    exact: int
    hiergen: int = 0
    open_loop: int = 0

    @property
    def batch(self) -> int:
        return self.exact + self.hiergen + self.open_loop


@dataclass(frozen=True)
class Run:
    name: str
    model: dict  # config.json
    alpha: float
    modes: Modes
    seed: int
    extra: bool = False


@dataclass(frozen=True)
class Budget:
    """Everything is counted in steps, never in time: a run does the same on any machine."""

    steps: int
    evaluate_every: int
    windows: int  # held-out windows of an evaluation on the way
    final_windows: int
    runs: tuple[str, ...] | None = None  # None for all


@dataclass(frozen=True)
class Grid:
    raw: dict
    runs: tuple[Run, ...]
    budgets: dict[str, Budget]

    @property
    def window(self) -> int:
        return self.raw["window"]

    @property
    def batch(self) -> int:
        return self.raw["batch"]

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.window

    def run(self, name: str) -> Run:
        found = [run for run in self.runs if run.name == name]
        if not found:
            raise ValueError(f"no run {name!r}; there are {', '.join(run.name for run in self.runs)}")
        return found[0]

    def names(self, budget: str, extra: bool = False) -> list[str]:
        """The runs of a budget, and with `extra` those besides."""
        names = self.budgets[budget].runs or [run.name for run in self.runs if not run.extra]
        return [*names, *(run.name for run in self.runs if run.extra and extra)]

    @staticmethod
    def from_dict(raw: dict) -> "Grid":
        own = Modes(**raw["own_output"])
        if own.batch != raw["batch"]:
            raise ValueError(f"own_output has {own.batch} sequences, the batch {raw['batch']}")
        runs = tuple(run_of(raw, own, extra=kind == "extra_runs", **entry)
                     for kind in ("runs", "extra_runs") for entry in raw.get(kind, []))
        budgets = {name: Budget(**b) for name, b in raw["budgets"].items()}
        return Grid(raw, runs, budgets)

    @staticmethod
    def load(path: Path = FILE) -> "Grid":
        return Grid.from_dict(json.loads(path.read_text()))


def run_of(raw: dict, own: Modes, name: str, architecture: str, condition: str | None = None, alpha: float = 0.0,
           own_output: bool = False, seed: int | None = None, extra: bool = False) -> Run:
    model = {"vocab_size": raw["vocab_size"], **raw["base"], **raw["architectures"][architecture]}
    if condition is not None:
        model["condition"] = condition
    if len(model.get("levels", [])) < 2 and (own_output or alpha or condition):
        raise ValueError(f"run {name}: own_output, alpha and condition need a level above the first")
    modes = own if own_output else Modes(raw["batch"])
    return Run(name, model, alpha, modes, raw["seed"] if seed is None else seed, extra)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="full")
    parser.add_argument("--extra", action="store_true", help="the runs of extra_runs, too")
    args = parser.parse_args()
    print("\n".join(Grid.load().names(args.budget, args.extra)))


if __name__ == "__main__":
    main()
