#!/usr/bin/env python3
"""Measures the models of plan.json with `photon bench` and appends a line per run to RESULTS.

    compare.py RESULTS [--budget full|quick|tiny] [--rounds N] [--photon FILE] [--models DIR]

What RESULTS has already is not measured again: a run that was stopped goes on.  A batch is left out where the batch
before gained less than the plan's `gain` in tokens a second.  --models has the checkpoints of the tiny budget, whose
shapes are no presets.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from plan import BUDGETS, Plan, Run


def saturated(records: list[dict], run: Run, gain: float) -> bool:
    """Whether the two largest batches below that of `run` differ by less than `gain` in tokens a second."""
    rates = {}
    for record in records:
        other = Run.of(record)
        if (other.case, other.name) == (run.case, run.name) and other.batch < run.batch:
            rates[other.batch] = max(rates.get(other.batch, 0.0), record["tokens_per_second"])
    below = sorted(rates)
    return len(below) >= 2 and rates[below[-1]] < (1 + gain) * rates[below[-2]]


class Bench:
    """The program, and where its models are."""

    def __init__(self, plan: Plan, photon: Path, models: Path | None):
        self.plan, self.photon, self.models = plan, photon, models

    def json(self, *arguments: str) -> dict:
        command = [str(self.photon), *arguments, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"compare.py: {' '.join(command)} ended with {done.returncode}")
        return json.loads(done.stdout)

    def measure(self, run: Run) -> dict:
        model = self.plan.models[run.family]
        if self.models is None:
            shape, described = ["--preset", model], ["--preset", model]
        else:
            folder = self.models / model / "model"
            shape, described = ["--config", str(folder / "config.json")], ["--model", str(folder)]
        refresh = ["--refresh", str(run.refresh)] if run.refresh else []
        record = self.json("bench", *shape, "--mode", run.mode, *refresh, "--batch", str(run.batch), "--dtype", "bf16",
                           "--prompt-tokens", str(run.prompt), "--new-tokens", str(run.new))
        per_token = self.json("info", *described)["cache_bytes_per_token"]
        # Lower caches are kept for refresh: a token costs what one of hiergen does.
        record["cache_bytes_per_token"] = per_token["hiergen" if run.refresh else run.mode]
        return {**record, "preset": model, "case": run.case, "family": run.family, "mode": run.mode, "refresh": run.refresh}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--budget", choices=BUDGETS, default="full")
    parser.add_argument("--rounds", type=int, default=1, help="of what has a batch of 1 (default 1); the median is shown")
    parser.add_argument("--photon", type=Path, default=Path("target/release/photon"))
    parser.add_argument("--models", type=Path)
    args = parser.parse_args()
    plan = Plan.load(args.budget)
    bench = Bench(plan, args.photon, args.models)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    lines = args.results.read_text().splitlines() if args.results.exists() else []
    records = [json.loads(line) for line in lines]
    done = {(record["round"], Run.of(record).key) for record in records}
    start = time.monotonic()
    for number, run in plan.rounds(args.rounds):
        if (number, run.key) in done:
            continue
        what = f"{time.monotonic() - start:6.0f} s, round {number + 1}: {run.case}, {run.name}, batch {run.batch}"
        if saturated(records, run, plan.gain):
            print(f"{what}: left out, the batch before gained less than {plan.gain:.0%}", file=sys.stderr)
            continue
        print(what, file=sys.stderr)
        record = {"round": number, **bench.measure(run)}
        records.append(record)
        with args.results.open("a") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
