"""Tokens per second of this repository and of its peers, one interleaved run: `compare.py --help`.

Writes one JSON object a line: engine, its version, dtype, mode, case, the median of all rounds, the rounds, and the machine's
limits in those rounds.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys

import checkpoint
import gguf_file
import ours
from cases import CASES, PEERS, PHOTON_PRESET, PRESET

HERE = pathlib.Path(__file__).resolve().parent
VERSIONS = {"PyTorch": "torch", "llama.cpp": "llama-cpp-python"}


def start(engine: str, dtype: str, threads: int, folder: pathlib.Path) -> subprocess.Popen:
    """A worker that is ready to be timed."""
    command = [sys.executable, HERE / "worker.py", engine, dtype, str(threads)]
    if engine == "llama.cpp":
        path = folder / f"{PRESET}-{checkpoint.digest()}-{dtype}.gguf"
        if not path.exists():
            gguf_file.write(checkpoint.FULL, checkpoint.random_tensors(checkpoint.FULL), dtype, path, pad=True)
        command.append(path)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(worker: subprocess.Popen) -> str:
    line = worker.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(str, worker.args))} ended with status {worker.wait()}; its message is above")
    return line.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photon", type=pathlib.Path, help="the command line to measure")
    parser.add_argument("results", type=pathlib.Path, help="the file to write")
    parser.add_argument("--folder", type=pathlib.Path, default="target/peers", help="where the peers' weights are kept")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()

    print("loading the peers", file=sys.stderr, flush=True)
    workers = {peer: start(*peer, args.threads, args.folder) for peer in PEERS}
    for worker in workers.values():
        answer(worker)

    rates, limits = {}, {}
    for turn in range(args.rounds):
        for number, case in enumerate(CASES):
            print(f"round {turn + 1} of {args.rounds}: {case.name}", file=sys.stderr, flush=True)
            for engine, dtype, mode in case.rows(turn):
                if engine == "photon":
                    rate, found = ours.measure(args.photon, dtype, case, args.threads, mode)
                    limits.setdefault(case, []).append(found)
                else:
                    worker = workers[engine, dtype]
                    worker.stdin.write(f"{number}\n")
                    worker.stdin.flush()
                    rate = case.tokens() / float(answer(worker))
                rates.setdefault((case, engine, dtype, mode), []).append(rate)
    for worker in workers.values():
        worker.stdin.close()

    modes = {mode for case, engine, _, mode in rates if engine == "photon"}
    cache = {mode: ours.cache_bytes_per_token(args.photon, mode) for mode in modes}
    with args.results.open("w") as file:
        for (case, engine, dtype, mode), rounds in rates.items():
            version = importlib.metadata.version(VERSIONS[engine]) if engine in VERSIONS else None
            flat = mode == "exact"
            print(json.dumps({
                "preset": PRESET if flat else PHOTON_PRESET, "engine": engine, "version": version, "dtype": dtype, "mode": mode,
                # Another model is another case: what compares the engines goes by this name.
                "case": case.name if flat else f"{case.name}, {PHOTON_PRESET} {mode}",
                "batch": case.batch, "context": case.context, "steps": case.steps, "threads": args.threads,
                "cache_bytes_per_token": cache[mode], "tokens_per_s": statistics.median(rounds), "rounds": rounds,
                "limits": {name: [each[name] for each in limits[case]] for name in limits[case][0]},
            }), file=file)


main()
