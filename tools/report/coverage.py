"""Which rows of the plan were measured, which are left out for a reason, and which are missing."""

from plan import Plan, Run

BASE = "vanilla exact"


def saturated(records: list[dict], run: Run, gain: float) -> bool:
    """Whether the two largest batches below that of `run` differ by less than `gain` in tokens a second.

    Told by round 0 alone, so that a row is in all rounds or in none.  Vanilla is never left out: what it would be compared
    with at that batch would have nothing to stand beside.
    """
    if run.name == BASE:
        return False
    rates = {}
    for record in records:
        other = Run.of(record)
        if (other.case, other.name) == (run.case, run.name) and other.batch < run.batch and record["round"] == 0:
            rates[other.batch] = record["tokens_per_second"]
    below = sorted(rates)
    return len(below) >= 2 and rates[below[-1]] < (1 + gain) * rates[below[-2]]


def absent(records: list[dict], plan: Plan, idle: bool) -> list[Run]:
    """Rows of the plan that are not measured, those that are saturated or the others."""
    done = {Run.of(record).key for record in records}
    return [run for run in plan.all_runs() if run.key not in done and saturated(records, run, plan.gain) == idle]


def missing(records: list[dict], plan: Plan) -> list[Run]:
    """Rows of the plan that are neither measured nor saturated."""
    return absent(records, plan, idle=False)


def left_out(records: list[dict], plan: Plan) -> list[Run]:
    """Rows of the plan that are not measured because the batch before gained too little."""
    return absent(records, plan, idle=True)


def unfinished(records: list[dict], plan: Plan) -> set[tuple[str, str]]:
    """Case and name of rows whose best batch is not known, because a planned one is missing."""
    return {(run.case, run.name) for run in missing(records, plan)}


def unplanned(plan: Plan) -> dict[tuple[str, int], list[str]]:
    """Case and batch to the names that the plan leaves out there, of those that it has anywhere without refresh."""
    names = list(dict.fromkeys(run.name for run in plan.all_runs() if run.refresh is None))
    out = {(case.name, batch): [name for name in names if not case.has(name, batch)] for case in plan.cases for batch in case.batches}
    return {where: names for where, names in out.items() if names}


def text(records: list[dict], plan: Plan) -> str:
    """What a reader of the tables must know of rows that are not in them."""
    def of(runs: list[Run]) -> str:
        return "; ".join(f"{run.case}, {run.name}, {run.batch}" for run in runs)

    parts = []
    lacking, idle, never = missing(records, plan), left_out(records, plan), unplanned(plan)
    if lacking:
        parts.append(f"**Planned and not measured yet:** {of(lacking)}. Nothing follows from their absence.")
    rule = f"A batch of a mode is left out where the two before it differ by less than {100 * plan.gain:.0f} % in tokens a second"
    parts.append(f"{rule}: {of(idle)}." if idle else f"{rule}; none was.")
    if never:
        rows = "; ".join(f"{case}, batch {batch}: {', '.join(names)}" for (case, batch), names in never.items())
        parts.append(f"Not planned, to keep the run short: {rows}.")
    if plan.refresh:
        parts.append(f"Refresh is measured at batch 1 of {plan.cases[0].name} alone.")
    return "\n\n".join(parts)
