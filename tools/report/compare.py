#!/usr/bin/env python3
"""Measures the models of plan.json with `photon bench` and writes a line per run to RESULTS.

    compare.py RESULTS [--budget full|quick|tiny] [--rounds N] [--threads N] [--photon FILE] [--models DIR]

The runs of one case, batch and round are a group, and are compared with one another.  A group that RESULTS has already, whole
and of this program and machine, is not measured again: a run that was stopped goes on.  Any other is measured anew, all of it.
A batch is left out where the batch before gained less than the plan's `gain` in tokens a second.  --models has the
checkpoints of the tiny budget, whose shapes are no presets.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import files
import provenance
from coverage import saturated
from plan import BUDGETS, Plan, Run
from results import records as read

DTYPE = "bf16"


class Bench:
    """The program, where its models are, and how it is called."""

    def __init__(self, plan: Plan, photon: Path, models: Path | None, threads: int):
        self.plan, self.photon, self.models, self.threads = plan, photon, models, threads
        self.program, self.cpu = provenance.build(photon), provenance.cpu()

    def settings(self, run: Run) -> dict:
        """What two records must share to be compared, besides the run itself."""
        return {"preset": self.plan.models[run.family], "dtype": DTYPE, "threads": self.threads, "program": self.program,
                "cpu": self.cpu}

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
        start = time.monotonic()
        record = self.json("bench", *shape, "--mode", run.mode, *refresh, "--batch", str(run.batch), "--dtype", DTYPE,
                           "--threads", str(self.threads), "--prompt-tokens", str(run.prompt), "--new-tokens", str(run.new))
        seconds = round(time.monotonic() - start, 1)
        per_token = self.json("info", *described)["cache_bytes_per_token"]
        # Lower caches are kept for refresh: a token costs what one of hiergen does.
        record["cache_bytes_per_token"] = per_token["hiergen" if run.refresh else run.mode]
        return {**record, "case": run.case, "family": run.family, "mode": run.mode, "refresh": run.refresh,
                **self.settings(run), "time": provenance.now(), "wall_seconds": seconds}


def group(record: dict) -> tuple:
    return record["round"], record["case"], record["batch"]


def usable(found: list[dict], wanted: list[Run], settings) -> str | None:
    """Why the records of a group cannot stay, None where they can."""
    if any(record.get(name) != value for record in found for name, value in settings(Run.of(record)).items()):
        return "of another program, machine or setting"
    if sorted(str(Run.of(record).key) for record in found) != sorted(str(run.key) for run in wanted):
        return "only partly there"
    return None


class Results:
    """The file, and what is in it."""

    def __init__(self, file: Path, plan: Plan):
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self.records = read(file, plan, torn=True)
        if file.exists():
            files.write(file, self.records)  # behind half a line nothing can be appended

    def drop(self, which: tuple, why: str) -> None:
        number, case, batch = which
        print(f"round {number + 1}: {case}, batch {batch}: dropped, {why}", file=sys.stderr)
        self.records = [record for record in self.records if group(record) != which]
        files.write(self.file, self.records)

    def append(self, record: dict) -> None:
        self.records.append(record)
        with self.file.open("a") as file:
            file.write(json.dumps(record) + "\n")


def run_all(plan: Plan, bench, results: Results, rounds: int) -> None:
    groups = {(number, runs[0].case, runs[0].batch): runs for number, runs in plan.groups(rounds)}
    # Rounds beyond those of this call stay where they are of this program: a median over two programs is one of neither.
    for which in dict.fromkeys(group(record) for record in results.records):
        if which not in groups:
            found = [record for record in results.records if group(record) == which]
            why = usable(found, [Run.of(record) for record in found], bench.settings)
            if why:
                results.drop(which, why)
    start = time.monotonic()
    for which, runs in groups.items():
        number, case, batch = which
        wanted = [run for run in runs if not saturated(results.records, run, plan.gain)]
        found = [record for record in results.records if group(record) == which]
        why = usable(found, wanted, bench.settings)
        if found and why is None:
            continue
        if found:
            results.drop(which, why)
        for run in runs:
            what = f"{time.monotonic() - start:6.0f} s, round {number + 1}: {case}, {run.name}, batch {batch}"
            if run not in wanted:
                print(f"{what}: left out, the batch before gained less than {plan.gain:.0%}", file=sys.stderr)
                continue
            print(what, file=sys.stderr)
            results.append({"round": number, **bench.measure(run)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--budget", choices=BUDGETS, default="full")
    parser.add_argument("--rounds", type=int, default=4,
                        help="of everything (default 4), but for what the plan caps; medians are shown")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default one per core")
    parser.add_argument("--photon", type=Path, default=Path("target/release/photon"))
    parser.add_argument("--models", type=Path)
    args = parser.parse_args()
    plan = Plan.load(args.budget)
    run_all(plan, Bench(plan, args.photon, args.models, args.threads), Results(args.results, plan), args.rounds)


if __name__ == "__main__":
    main()
