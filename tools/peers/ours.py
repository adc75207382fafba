"""This repository's command line, as a peer among the others."""

import json
import pathlib
import subprocess

from cases import PRESET, Case


def call(photon: pathlib.Path, *arguments: str) -> dict:
    run = subprocess.run([photon, *arguments, "--json"], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{photon} {' '.join(arguments)}: {run.stderr.strip()}")
    return json.loads(run.stdout)


def score(photon: pathlib.Path, model: pathlib.Path, tokens: list[int]) -> list[float]:
    """Log-probabilities of the tokens, computed in f32."""
    ids = ",".join(map(str, tokens))
    return call(photon, "score", "--model", str(model), "--tokens", ids, "--device", "cpu", "--dtype", "f32")["logprobs"]


def measure(photon: pathlib.Path, dtype: str, case: Case, threads: int) -> tuple[float, dict]:
    """Tokens per second, and the machine's limits right after them."""
    run = call(photon, "bench", "--preset", PRESET, "--mode", "exact", "--device", "cpu", "--dtype", dtype,
               "--threads", str(threads), "--batch", str(case.batch), "--prompt-tokens", str(case.context),
               "--new-tokens", str(case.steps or 1))
    limits = {"read_gb_per_s": run["limits"]["read_gb_per_s"], "fma_flops": run["limits"]["fma_flops"]}
    return run["tokens_per_second" if case.steps else "prefill_tokens_per_second"], limits
