"""This repository's command line, as a peer among the others."""

import json
import pathlib
import subprocess

from cases import META_CONTEXT, PHOTON_PRESET, PRESET, Case


def call(photon: pathlib.Path, *arguments: str) -> dict:
    run = subprocess.run([photon, *arguments, "--json"], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{photon} {' '.join(arguments)}: {run.stderr.strip()}")
    return json.loads(run.stdout)


def score(photon: pathlib.Path, model: pathlib.Path, tokens: list[int]) -> list[float]:
    """Log-probabilities of the tokens, computed in f32."""
    ids = ",".join(map(str, tokens))
    return call(photon, "score", "--model", str(model), "--tokens", ids, "--device", "cpu", "--dtype", "f32")["logprobs"]


def measure(photon: pathlib.Path, dtype: str, case: Case, threads: int, mode: str = "exact") -> tuple[float, dict]:
    """Tokens per second, and the machine's limits right after them.

    `exact` is of the flat model. The other modes start from the same context but take as many steps of a whole meta-context: a
    single one is over before a clock has measured it. So theirs is the longer context on average, which is not in their favour.
    """
    preset, steps = (PRESET, case.steps or 1) if mode == "exact" else (PHOTON_PRESET, case.steps * META_CONTEXT)
    run = call(photon, "bench", "--preset", preset, "--mode", mode, "--device", "cpu", "--dtype", dtype,
               "--threads", str(threads), "--batch", str(case.batch), "--prompt-tokens", str(case.context),
               "--new-tokens", str(steps))
    limits = {"read_gb_per_s": run["limits"]["read_gb_per_s"], "fma_flops": run["limits"]["fma_flops"]}
    return run["tokens_per_second" if case.steps else "prefill_tokens_per_second"], limits


def cache_bytes_per_token(photon: pathlib.Path, mode: str) -> float:
    """What a token adds to a sequence's cache, by the shapes; keys and values have 16 bits, in the peers too."""
    preset = PRESET if mode == "exact" else PHOTON_PRESET
    return call(photon, "info", "--preset", preset)["cache_bytes_per_token"][mode]
