"""Result files, and the quantities that tables and plots are made of."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from plan import MODES, Case, Plan, Run

GIB = 1 << 30


def lines(file: Path) -> list[dict]:
    """The objects of a file, one a line; none where there is no file."""
    return [json.loads(line) for line in file.read_text().splitlines() if line.strip()] if file.exists() else []


@dataclass(frozen=True)
class Measured:
    """One configuration: its median round, at the full lengths of its case."""

    run: Run
    record: dict
    rates: tuple[float, ...]  # tokens a second of all rounds
    cache: float  # bytes a sequence keeps at the end
    peak: float  # bytes a sequence has in use at most, activations included
    whole: bool  # whether all new tokens were generated

    @property
    def rate(self) -> float:
        """New tokens of the batch a second, while decoding."""
        return self.record["tokens_per_second"]

    @property
    def rate_with_prompt(self) -> float:
        """New tokens of the batch a second, from the prompt on."""
        seconds = self.record["prefill_seconds"] + self.record["decode_seconds"]
        return self.run.batch * self.run.new / seconds

    @property
    def tpm(self) -> float:
        """The paper's throughput per memory, thousand tokens a second and GiB of one sequence: of the cache alone."""
        return tpm(self.rate, self.cache)

    @property
    def tpm_peak(self) -> float:
        """As `tpm`, of all that is in use besides weights."""
        return tpm(self.rate, self.peak)

    @property
    def bytes_per_token(self) -> float:
        """Weights and cached keys and values read for a new token, counted."""
        return self.record["dram_gb_per_s"] * 1e9 / self.rate

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations for a new token, counted."""
        return self.record["flops"] / self.rate


def tpm(rate: float, size: float) -> float:
    return rate / 1e3 / (size / GIB)


def measured(records: list[dict], plan: Plan) -> dict[tuple[str, str, int], Measured]:
    """Configurations by case, name and batch.

    Where only the middle of the new tokens was generated, the cache is that at the end of the case: it grows by a whole
    number of bytes a meta-context, so it is the allocator's at the same prompt and length with another batch, or
    else counted.  The peak is larger by the same.
    """
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        groups.setdefault(Run.of(record).key, []).append(record)
    cases = {case.name: case for case in plan.cases}
    full = {}
    for group in groups.values():
        run = Run.of(group[0])
        if run.case in cases and is_whole(run, cases[run.case]):
            full[(run.case, run.name)] = group[0]["cache_bytes_per_sequence"]
    out = {}
    for group in groups.values():
        run = Run.of(group[0])
        if run.case not in cases:
            continue
        case, group = cases[run.case], sorted(group, key=lambda record: record["tokens_per_second"])
        record = group[(len(group) - 1) // 2]
        own = record["cache_bytes_per_sequence"]
        whole = is_whole(run, case)
        cache = own if whole else full.get((run.case, run.name), (case.prompt + case.new) * record["cache_bytes_per_token"])
        out[(run.case, run.name, run.batch)] = Measured(
            run, record, tuple(each["tokens_per_second"] for each in group), cache,
            record["peak_bytes"] / run.batch + cache - own, whole)
    return dict(sorted(out.items(), key=lambda item: order(item[1].run, plan)))


def order(run: Run, plan: Plan) -> tuple:
    """Of rows in every table, in whatever order they were measured: case, batch, then as the plan has them."""
    cases = [case.name for case in plan.cases]
    families = list(plan.models)
    return (cases.index(run.case), run.batch, families.index(run.family), MODES[run.family].index(run.mode), run.refresh or 0)


def is_whole(run: Run, case: Case) -> bool:
    return (run.prompt, run.new) == (case.prompt, case.new)


def best(rows: dict, case: str, name: str, value=lambda row: row.tpm) -> Measured | None:
    """Of all batches the one with the highest throughput per memory."""
    found = [row for (c, n, _), row in rows.items() if (c, n) == (case, name)]
    return max(found, key=value) if found else None


def limits(rows: dict) -> tuple[float, float]:
    """Bytes and floating-point operations a second that the machine was measured to have: medians over all runs."""
    found = [row.record["limits"] for row in rows.values()]
    return median(x["read_gb_per_s"] for x in found) * 1e9, median(x["fma_flops"] for x in found)


def least_seconds(row: Measured, read: float, fma: float) -> float:
    """The time of a token that the counted bytes and operations do not allow to be beaten."""
    return max(row.bytes_per_token / read, row.flops_per_token / fma)


def pareto(points: list[tuple[float, float]], lower_x: bool) -> list[int]:
    """Indices of the points that no other beats: at least as good in x (lower or higher) and y (higher), better in one."""
    sign = -1 if lower_x else 1

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        ax, bx = sign * a[0], sign * b[0]
        return ax >= bx and a[1] >= b[1] and (ax, a[1]) != (bx, b[1])

    return [i for i, point in enumerate(points) if not any(beats(other, point) for other in points)]
