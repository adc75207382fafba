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

    `rounds` caps how often each of `batches` is measured, however many rounds are asked for: what takes minutes and is not
    the headline is measured once, and 16K, whose vanilla model takes two minutes in which the machine may change, most often.
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
    rounds: tuple[int, ...] = ()  # at most, of each of `batches`; none for as many as are asked for

    def __post_init__(self):
        if self.rounds and len(self.rounds) != len(self.batches):
            raise ValueError(f"case {self.name}: {len(self.rounds)} caps on rounds for {len(self.batches)} batches")

    def measured_in(self, batch: int, number: int) -> bool:
        """Whether a round, counted from 0, has this batch."""
        return not self.rounds or number < self.rounds[self.batches.index(batch)]

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
    first: tuple[str, ...] = ()  # cases that go before the others at the same batch

    @staticmethod
    def load(budget: str, file: Path = FILE) -> "Plan":
        raw = json.loads(file.read_text())
        plan = raw[budget]
        cases = tuple(Case(**{name: tuple(x) if isinstance(x, list) else x for name, x in case.items()})
                      for case in plan["cases"])
        return Plan(plan["models"], tuple(plan["refresh"]), cases, raw["gain"],
                    tuple(plan.get("first", ())))

    def case(self, name: str) -> Case:
        return next(case for case in self.cases if case.name == name)

    def runs(self, case: Case, batch: int) -> list[Run]:
        """All that is compared at one batch, one after another."""
        runs = [Run(case.name, family, mode, None, batch, *case.lengths(batch))
                for family in self.models for mode in MODES[family]]
        if case is self.cases[0] and batch == 1:
            runs += [Run(case.name, "photon", "recgen", k, batch, *case.lengths(batch)) for k in self.refresh]
        return [run for run in runs if case.has(run.name, batch)]

    def all_runs(self) -> list[Run]:
        """Every configuration once, in the order of the tables."""
        return [run for case in self.cases for batch in case.batches for run in self.runs(case, batch)]

    def groups(self, count: int) -> list[tuple[int, list[Run]]]:
        """Number of the round and the runs of one case and batch, which are compared with one another and so are measured back to
        back.  Rounds are outermost, and smaller batches and the cases of `first` come before others: a run that is stopped has
        what matters most.  Even rounds go through a group forwards and odd ones backwards, so that a machine that becomes
        faster or slower on the way favours each end once.
        """
        urgent = sorted(self.cases, key=lambda case: self.first.index(case.name) if case.name in self.first else len(self.first))
        batches = sorted({batch for case in self.cases for batch in case.batches})
        out = []
        for number in range(count):
            for batch in batches:
                for case in urgent:
                    if batch in case.batches and case.measured_in(batch, number):
                        runs = self.runs(case, batch)
                        out.append((number, runs[::-1] if number % 2 else runs))
        return out
