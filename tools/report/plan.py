"""What is measured, out of plan.json: which models in which modes, over which lengths and batches, how often."""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("plan.json")
MODES = {"vanilla": ("exact",), "block": ("exact",), "photon": ("exact", "hiergen", "recgen")}
BUDGETS = ("full", "quick", "tiny")


@dataclass(frozen=True)
class Run:
    """One call of `photon bench`."""

    case: str
    family: str  # vanilla, block or photon
    mode: str
    refresh: int | None
    batch: int
    prompt: int
    new: int

    @property
    def name(self) -> str:
        """The row of a table that it belongs to."""
        return f"{self.family} {self.mode}" + (f" {self.refresh}" if self.refresh else "")

    @property
    def key(self) -> tuple:
        return (self.case, self.family, self.mode, self.refresh, self.batch, self.prompt, self.new)

    @staticmethod
    def of(record: dict) -> "Run":
        """The run that a line of results is of."""
        return Run(record["case"], record["family"], record["mode"], record["refresh"], record["batch"],
                   record["prompt_tokens"], record["new_tokens"])


@dataclass(frozen=True)
class Case:
    """A prompt and a number of new tokens.

    From a batch of `middle_from` on, only the `middle` new tokens in the middle are generated, behind a prompt that ends
    where they begin: the cost of a token is linear in its context, so their mean is that of all.  (A vanilla model of 600M
    parameters takes 6 minutes for 2048 tokens of 16 sequences on two cores.)  From a batch of `wide` on, only
    `wide_only` is measured.
    """

    name: str
    prompt: int
    new: int
    batches: tuple[int, ...]
    only: tuple[str, ...] | None = None  # None for all
    middle: int | None = None
    middle_from: int | None = None
    wide: int | None = None
    wide_only: tuple[str, ...] = ()

    def lengths(self, batch: int) -> tuple[int, int]:
        if self.middle is None or batch < self.middle_from:
            return self.prompt, self.new
        return self.prompt + (self.new - self.middle) // 2, self.middle

    def has(self, name: str, batch: int) -> bool:
        if self.wide is not None and batch >= self.wide:
            return name in self.wide_only
        return self.only is None or name in self.only


@dataclass(frozen=True)
class Plan:
    models: dict[str, str]  # family -> preset, or run of the grid of the same name
    refresh: tuple[int, ...]  # of recgen, at batch 1 of the first case
    cases: tuple[Case, ...]
    gain: float  # a larger batch is measured where the one before gained as much

    @staticmethod
    def load(budget: str, file: Path = FILE) -> "Plan":
        raw = json.loads(file.read_text())
        plan = raw[budget]
        cases = tuple(Case(**{name: tuple(x) if isinstance(x, list) else x for name, x in case.items()})
                      for case in plan["cases"])
        return Plan(plan["models"], tuple(plan["refresh"]), cases, raw["gain"])

    def case(self, name: str) -> Case:
        return next(case for case in self.cases if case.name == name)

    def runs(self, case: Case, batch: int) -> list[Run]:
        """All that is compared at one batch, one after another."""
        runs = [Run(case.name, family, mode, None, batch, *case.lengths(batch))
                for family in self.models for mode in MODES[family]]
        if case is self.cases[0] and batch == 1:
            runs += [Run(case.name, "photon", "recgen", k, batch, *case.lengths(batch)) for k in self.refresh]
        return [run for run in runs if case.has(run.name, batch)]

    def rounds(self, count: int) -> list[tuple[int, Run]]:
        """Everything once, and what has a batch of 1 `count` times.  Rounds are outermost, so that a slow minute of the
        machine does not hit one configuration alone; what is compared at one batch is measured back to back."""
        return [(number, run) for number in range(count) for case in self.cases for batch in case.batches
                if number == 0 or batch == 1 for run in self.runs(case, batch)]
