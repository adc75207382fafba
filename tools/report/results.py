"""Records of `photon bench`, and the quantities that tables and plots are made of."""

import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import files
from plan import MODES, Case, Plan, Run

GIB = 1 << 30
NUMBERS = ("round", "tokens_per_second", "prefill_seconds", "decode_seconds", "cache_bytes_per_sequence", "cache_bytes_per_token",
           "peak_bytes", "dram_gb_per_s", "flops")


def records(file: Path, plan: Plan, torn: bool = False) -> list[dict]:
    """The lines of compare.json.  One that is no run of the plan ends the program: a table must not be made of half a file."""
    planned, found = {run.key for run in plan.all_runs()}, []
    for number, record in files.numbered(file, torn):
        where = f"{file}:{number}"
        try:
            run, limits = Run.of(record), record["limits"]
            if not all(isinstance(record[name], (int, float)) for name in NUMBERS):
                raise TypeError("a figure is not a number")
            if not (limits["read_gb_per_s"] > 0 and limits["fma_flops"] > 0 and record["tokens_per_second"] > 0):
                raise TypeError("a rate is not above zero")
            known = run.key in planned
        except (KeyError, TypeError) as error:
            sys.exit(f"{where}: not a line of this file: {error}")
        if not known:
            sys.exit(f"{where}: {run.case}, {run.name}, batch {run.batch}, {run.prompt} + {run.new} tokens is not in plan.json")
        found.append(record)
    return found


@dataclass(frozen=True)
class Measured:
    """One configuration over all its rounds, at the full lengths of its case."""

    run: Run
    rounds: dict[int, dict]  # records by number of the round
    cache: float  # bytes a sequence keeps at the end
    peak: float | None  # bytes a sequence has in use at most, activations included; None where it was not measured
    whole: bool  # whether all new tokens were generated

    @property
    def record(self) -> dict:
        """Of the rounds the median one, for what is the same or nearly so in all."""
        ordered = sorted(self.rounds.values(), key=lambda record: record["tokens_per_second"])
        return ordered[(len(ordered) - 1) // 2]

    @property
    def rates(self) -> tuple[float, ...]:
        """Tokens a second of each round."""
        return tuple(record["tokens_per_second"] for record in self.rounds.values())

    @property
    def rate(self) -> float:
        """New tokens of the batch a second, while decoding: the median over rounds."""
        return median(self.rates)

    @property
    def rate_with_prompt(self) -> float:
        """New tokens of the batch a second, from the prompt on."""
        return median(self.run.batch * self.run.new / (record["prefill_seconds"] + record["decode_seconds"])
                      for record in self.rounds.values())

    @property
    def tpm(self) -> float:
        """Throughput per memory, thousand tokens a second and GiB of one sequence: of the cache alone."""
        return tpm(self.rate, self.cache)

    @property
    def tpm_peak(self) -> float | None:
        """As `tpm`, of all that is in use besides weights, as the paper has it."""
        return tpm(self.rate, self.peak) if self.peak else None

    @property
    def bytes_per_token(self) -> float:
        """Weights and cached keys and values read for a new token, counted."""
        return self.record["dram_gb_per_s"] * 1e9 / self.record["tokens_per_second"]

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations for a new token, counted."""
        return self.record["flops"] / self.record["tokens_per_second"]

    @property
    def nearness(self) -> float:
        """Share of what the machine allowed in the same minute: the median over rounds."""
        return median(nearness(record) for record in self.rounds.values())


def tpm(rate: float, size: float) -> float:
    return rate / 1e3 / (size / GIB)


def least_seconds(record: dict, limits: dict) -> float:
    """The time of a token that its counted bytes and operations do not allow to be beaten, under a machine's limits."""
    rate = record["tokens_per_second"]
    return max(record["dram_gb_per_s"] / limits["read_gb_per_s"], record["flops"] / limits["fma_flops"]) / rate


def nearness(record: dict) -> float:
    """Tokens a second over those that the limits measured right behind this run allow."""
    return least_seconds(record, record["limits"]) * record["tokens_per_second"]


@dataclass(frozen=True)
class Pair:
    """A configuration and vanilla of the same case and batch, round by round.

    A machine's memory may be half as fast for minutes at a time.  The two of a round are measured minutes apart at most, so
    ratios are taken in each round, and the median of them is shown: the ratio of two medians may be of two states.
    """

    row: Measured
    base: Measured

    def over(self, value) -> list[float]:
        """value(record, vanilla's record) of every round that has both."""
        return [value(self.row.rounds[number], self.base.rounds[number]) for number in sorted(self.row.rounds)
                if number in self.base.rounds]

    @property
    def speedups(self) -> list[float]:
        return self.over(lambda own, other: own["tokens_per_second"] / other["tokens_per_second"])

    @property
    def speedup(self) -> float | None:
        found = self.speedups
        return median(found) if found else None

    @property
    def tpm(self) -> float | None:
        return self.speedup * self.base.cache / self.row.cache if self.speedups else None

    @property
    def tpm_peak(self) -> float | None:
        known = self.speedups and self.row.peak and self.base.peak
        return self.speedup * self.base.peak / self.row.peak if known else None

    @property
    def predicted(self) -> float:
        """Tokens a second that the counts allow over vanilla's, both under the limits of vanilla's run."""
        return median(self.over(lambda own, other: least_seconds(other, other["limits"]) / least_seconds(own, other["limits"])))

    @property
    def luck(self) -> float:
        """What the limits of this run allow over those of vanilla's: the machine's state, not the model."""
        return median(self.over(lambda own, other: least_seconds(own, other["limits"]) / least_seconds(own, own["limits"])))

    @property
    def nearer(self) -> float:
        """How near this comes to its own bound, over how near vanilla does."""
        return median(self.over(lambda own, other: nearness(own) / nearness(other)))


def pair(rows: dict, row: Measured) -> Pair | None:
    """With vanilla of the same case and batch, where a round has both."""
    base = rows.get((row.run.case, "vanilla exact", row.run.batch))
    return Pair(row, base) if base and set(base.rounds) & set(row.rounds) else None


def measured(found: list[dict], plan: Plan) -> dict[tuple[str, str, int], Measured]:
    """Configurations by case, name and batch.

    Where only the middle of the new tokens was generated, the cache is that at the end of the case: it grows by a whole
    number of bytes a meta-context, so it is the allocator's at the same prompt and length with another batch, or
    else counted.  The peak is larger by the same; it is that while decoding, since the prompt of such a run is
    longer than the case's and its activations would be those of another regime.
    """
    groups: dict[tuple, dict[int, dict]] = {}
    for record in found:
        groups.setdefault(Run.of(record).key, {})[record["round"]] = record
    cases = {case.name: case for case in plan.cases}
    full = {}
    for group in groups.values():
        record = next(iter(group.values()))
        run = Run.of(record)
        if run.case in cases and is_whole(run, cases[run.case]):
            full[(run.case, run.name)] = record["cache_bytes_per_sequence"]
    out = {}
    for group in groups.values():
        record = next(iter(group.values()))
        run = Run.of(record)
        if run.case not in cases:
            continue
        case, own = cases[run.case], record["cache_bytes_per_sequence"]
        whole = is_whole(run, case)
        cache = own if whole else full.get((run.case, run.name), (case.prompt + case.new) * record["cache_bytes_per_token"])
        peaks = [each.get("peak_bytes" if whole else "decode_peak_bytes") for each in group.values()]
        peak = None if None in peaks else max(peaks) / run.batch + cache - own
        out[(run.case, run.name, run.batch)] = Measured(run, dict(sorted(group.items())), cache, peak, whole)
    return dict(sorted(out.items(), key=lambda item: order(item[1].run, plan)))


def order(run: Run, plan: Plan) -> tuple:
    """Of rows in every table, in whatever order they were measured: case, batch, then as the plan has them."""
    cases = [case.name for case in plan.cases]
    families = list(plan.models)
    return (cases.index(run.case), run.batch, families.index(run.family), MODES[run.family].index(run.mode), run.refresh or 0)


def is_whole(run: Run, case: Case) -> bool:
    return (run.prompt, run.new) == (case.prompt, case.new)


def best(rows: dict, case: str, name: str) -> Measured | None:
    """Of all batches the one with the highest throughput per memory."""
    found = [row for (c, n, _), row in rows.items() if (c, n) == (case, name)]
    return max(found, key=lambda row: row.tpm) if found else None


def best_ratio(rows: dict, unfinished: set, case: str, name: str) -> float | None:
    """TPM over vanilla's, each at its own best batch; None where a planned batch of either was not measured.

    At the same batch it is taken round by round.  Different batches are measured at different times: there it is the ratio
    of medians.
    """
    row, base = best(rows, case, name), best(rows, case, "vanilla exact")
    if row is None or base is None or unfinished & {(case, name), (case, "vanilla exact")}:
        return None
    same = pair(rows, row)
    return same.tpm if same and row.run.batch == base.run.batch else row.tpm / base.tpm


def limits(rows: dict) -> tuple[list[float], list[float]]:
    """GB and floating-point operations a second that the machine was measured to have, over all runs."""
    found = [record["limits"] for row in rows.values() for record in row.rounds.values()]
    return [each["read_gb_per_s"] for each in found], [each["fma_flops"] for each in found]


def pareto(points: list[tuple[float, float]], lower_x: bool) -> list[int]:
    """Indices of the points that no other beats: at least as good in x (lower or higher) and y (higher), better in one."""
    sign = -1 if lower_x else 1

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        ax, bx = sign * a[0], sign * b[0]
        return ax >= bx and a[1] >= b[1] and (ax, a[1]) != (bx, b[1])

    return [i for i, point in enumerate(points) if not any(beats(other, point) for other in points)]
