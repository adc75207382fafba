"""Trains the sample model.

    python train.py CONFIG WORKDIR [--minutes M | --until HH:MM] [--threads N] [--no-compile]

reads CONFIG (sample.json) and the token streams of WORKDIR, writes WORKDIR/run/checkpoint.pt every few minutes and
WORKDIR/run/log.jsonl.  Started again it goes on where it stopped.  The learning rate follows the clock, not a step
count: it has decayed to zero when the time is up, however fast the machine is.
"""

import argparse
import datetime
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from losses import Loss, Sample
from photon import Config, Photon
from score import held_out_bits


class Mixture:
    """Random windows out of the sources, which are weighted as the configuration says."""

    def __init__(self, folder: Path, mix: dict, window: int):
        self.names, self.window = list(mix), window
        self.weights = np.array([mix[n] for n in self.names]) / sum(mix.values())
        self.streams = [np.load(folder / f"{name}.npy") for name in self.names]

    def batch(self, step: int, seed: int, rows: int) -> torch.Tensor:
        """[rows, window]; a function of step and seed, so that a resumed run sees what it would have seen."""
        random = np.random.default_rng((seed, step))
        out = np.empty((rows, self.window), dtype=np.int64)
        for i, source in enumerate(random.choice(len(self.names), rows, p=self.weights)):
            stream = self.streams[source]
            at = random.integers(0, len(stream) - self.window + 1)
            out[i] = stream[at : at + self.window]
        return torch.from_numpy(out)


def schedule(done: float, step: int, config: dict) -> float:
    """Warm up by steps, stay, then 1 - sqrt to zero over the last `decay_fraction` of the time."""
    warm = min(1.0, (step + 1) / config["warmup_steps"])
    into = (done - (1 - config["decay_fraction"])) / config["decay_fraction"]
    return warm * (1.0 if into <= 0 else max(0.0, 1 - math.sqrt(min(1.0, into))))


class Optimisers:
    """Muon for the matrices inside the stacks, AdamW for tables, head, norms, biases and start latents.

    Muon's update is scaled to AdamW's size (`match_rms_adamw`), so that one schedule serves both."""

    def __init__(self, model: Photon, config: dict):
        tables = ("embed_tokens", "lm_head")
        named = list(model.named_parameters())
        matrices = [p for n, p in named if p.dim() == 2 and not any(t in n for t in tables)]
        head = [p for n, p in named if "lm_head" in n]
        rest = [p for n, p in named if p.dim() != 2 or "embed_tokens" in n]
        decay, rate = config["weight_decay"], config["learning_rate"]
        self.rates = [config["muon_rate"], rate]
        self.all = [
            torch.optim.Muon(matrices, lr=0.0, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW([{"params": head, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}],
                              lr=0.0, betas=tuple(config["betas"]), fused=True),
        ]

    def step(self, scale: float) -> None:
        for optimiser, rate in zip(self.all, self.rates):
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> list:
        return [o.state_dict() for o in self.all]

    def load_state_dict(self, states: list) -> None:
        for optimiser, state in zip(self.all, states):
            optimiser.load_state_dict(state)


def set_dropout(model: Photon, p: float) -> None:
    """Everywhere but in level 1's decoder: its rows are most of the step, and random numbers cost more than its
    matrix products save."""
    stacks = list(model.encoder.levels.values()) + [s for l, s in model.decoder.levels.items() if l != "1"]
    for stack in stacks:
        for layer in stack.layers:
            layer.dropout = p


def deadline(args, config: dict, spent: float) -> float:
    """Seconds of training in all, those of earlier runs included."""
    if args.until:
        hour, minute = map(int, args.until.split(":"))
        now = datetime.datetime.now()
        end = now.replace(hour=hour, minute=minute, second=0)
        if end <= now:
            end += datetime.timedelta(days=1)
        return spent + (end - now).total_seconds()
    return 60.0 * (args.minutes if args.minutes is not None else config["minutes"])


def save(path: Path, model, opt, step: int, spent: float) -> None:
    temporary = path.with_suffix(".new")
    torch.save({"model": model.state_dict(), "optimiser": opt.state_dict(), "step": step, "seconds": spent}, temporary)
    os.replace(temporary, path)  # a kill in the middle leaves the old one whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("work", type=Path)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float)
    budget.add_argument("--until", metavar="HH:MM")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    config = json.loads(args.config.read_text())
    run = args.work / "run"
    run.mkdir(parents=True, exist_ok=True)
    if not (args.work / "tokens").is_dir():
        sys.exit(f"train.py: no {args.work}/tokens: run data.py and tokenizer.py first")

    model = Photon(Config.from_dict(config["model"]))
    opt = Optimisers(model, config)
    step, spent = 0, 0.0
    if (run / "checkpoint.pt").exists():
        saved = torch.load(run / "checkpoint.pt", weights_only=True)
        model.load_state_dict(saved["model"])
        opt.load_state_dict(saved["optimiser"])
        step, spent = saved["step"], saved["seconds"]
    else:
        model.initialise(config["seed"])
    set_dropout(model, config["dropout"])
    torch.manual_seed(config["seed"] + step)
    total = deadline(args, config, spent)
    loss_of = Loss(model, config["loss"], compiled=not args.no_compile)
    # Without bf16 matrix instructions autocast only costs accuracy and time.
    low = torch.cpu._is_amx_tile_supported()
    mixture = Mixture(args.work / "tokens", config["mix"], config["window"])
    held_out = np.load(args.work / "tokens" / "heldout.npy")
    log = open(run / "log.jsonl", "a", buffering=1)

    def note(**what):
        what = {k: round(v, 5) if isinstance(v, float) else v for k, v in what.items()}
        log.write(json.dumps({"step": step, "tokens": step * config["batch"] * config["window"],
                              "seconds": round(spent, 1), **what}) + "\n")

    metas = config["window"] // model.config.meta
    last_save = last_evaluation = time.monotonic()
    sums, since, mark = {}, 0, time.monotonic()
    note(event="start", parameters=sum(p.numel() for p in model.parameters()), budget_seconds=total, bf16=low)
    while spent < total:
        begin = time.monotonic()
        scale = schedule(spent / total, step, config)
        tokens = mixture.batch(step, config["seed"], config["batch"])
        sample = Sample((config["seed"], step, 1), config["batch"], metas, config["hiergen_metas"],
                        config["open_loop_metas"])
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss, parts = loss_of(tokens, sample)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config["clip"])
        if not torch.isfinite(norm):
            sys.exit(f"train.py: step {step}: the gradient is not finite (loss {loss.item()})")
        opt.step(scale)
        step, spent, since = step + 1, spent + time.monotonic() - begin, since + 1
        for name, value in {**parts, "gradient": norm}.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        if step % 20 == 0:
            seconds = time.monotonic() - mark
            note(scale=scale, tokens_per_second=since * tokens.numel() / seconds, **{k: v / since for k, v in sums.items()})
            sums, since, mark = {}, 0, time.monotonic()
        begin = time.monotonic()
        if begin - last_evaluation > 60 * config["evaluate_every_minutes"]:
            note(event="held out", **held_out_bits(model, held_out, tokens=8192))
            last_evaluation = time.monotonic()
        if begin - last_save > 60 * config["save_every_minutes"]:
            save(run / "checkpoint.pt", model, opt, step, spent)
            last_save = time.monotonic()
        spent += time.monotonic() - begin  # saving and evaluating are on the clock too
    save(run / "checkpoint.pt", model, opt, step, spent)
    note(event="done", **held_out_bits(model, held_out, tokens=8192))


if __name__ == "__main__":
    main()
