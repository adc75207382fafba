"""Trains one run of the grid.

    python grid_train.py RUN WORKDIR [--budget NAME] [--stop-after STEPS]

reads grid.json and the token streams of WORKDIR/data, writes WORKDIR/BUDGET/RUN/: checkpoint.pt (model and optimisers),
log.jsonl, and at the end model/, the checkpoint directory that the crate loads.  Started again it goes on where it
stopped and does what it would have done: windows and cuts are functions of the step, and the log is cut back to the
checkpoint.  A checkpoint of other settings or other tokens is refused (settings.py).  The budget is in tokens: how fast
the machine is, and what else runs on it, changes nothing.

Nothing is compiled: `torch.compile` takes 100 s of CPU time for a PHOTON's shapes, on a Zen 5 core to gain nothing at
d = 192 (5,100 tokens a second with and without it).  What a run takes is `cpu_seconds` of its log.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

import export
import flops
from evaluate import every_mode, windows
from grid import Grid
from mode_loss import ModeLoss, cuts
from run_log import Log
from score import byte_lengths
from settings import SettingsError, check, digest, settings_of
from train import Mixture, Optimisers, schedule
from vanilla import build

LOG_EVERY = 10


class Trainer:
    """One run: a model, its optimisers, and the step it is at."""

    def __init__(self, grid: Grid, name: str, budget: str, work: Path):
        self.grid, self.run, self.budget = grid, grid.run(name), grid.budgets[budget]
        self.tokenizer = work / "data" / "tokenizer.json"
        self.settings = settings_of(grid, self.run, self.budget, work / "data")
        self.folder = work / budget / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.folder / "checkpoint.pt"
        raw = grid.raw
        self.model = build(self.run.model)
        self.optimisers = Optimisers(self.model, raw)
        # 1.5 times the tokens a second on Zen 5; without these instructions autocast only costs accuracy and time.
        self.low = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        self.step, self.seconds = 0, 0.0
        if self.checkpoint.exists():
            saved = torch.load(self.checkpoint, weights_only=True)
            warning = check(self.folder, saved, self.settings, self.budget.steps)
            if warning:
                print(f"grid_train.py: {warning}", file=sys.stderr)
            self.model.load_state_dict(saved["model"])
            self.optimisers.load_state_dict(saved["optimisers"])
            self.step, self.seconds = saved["step"], saved["seconds"]
        else:
            self.model.initialise(self.run.seed)
        self.loss = ModeLoss(self.model, self.run.modes, self.run.alpha)
        self.mixture = Mixture(work / "data" / "tokens", raw["mix"], grid.window)
        held_out = np.load(work / "data" / "tokens" / "heldout.npy")[:-1]  # without the closing <|endoftext|>
        self.lengths = torch.from_numpy(byte_lengths(Tokenizer.from_file(str(self.tokenizer))))
        self.held_out = {count: windows(held_out, grid.window, count)
                         for count in (self.budget.windows, self.budget.final_windows)}
        self.log = Log(self.folder / "log.jsonl", self.step)

    def note(self, event: str, **what) -> None:
        self.log.write(event=event, step=self.step, tokens=self.step * self.grid.tokens_per_step,
                       cpu_seconds=round(self.seconds, 1), **what)

    def save(self) -> None:
        temporary = self.checkpoint.with_suffix(".new")
        torch.save({"model": self.model.state_dict(), "optimisers": self.optimisers.state_dict(), "step": self.step,
                    "seconds": self.seconds, "settings": self.settings}, temporary)
        os.replace(temporary, self.checkpoint)  # a kill in the middle leaves the old one whole

    def evaluate(self, event: str, count: int, refresh: list[int]) -> None:
        self.note(event, windows=count, **every_mode(
            self.model, self.held_out[count], self.lengths, self.grid.raw["prompt"], refresh))

    def train_step(self) -> dict[str, float]:
        raw, modes, seed = self.grid.raw, self.run.modes, self.run.seed
        tokens = self.mixture.batch(self.step, seed, modes.batch)
        metas = self.grid.window // getattr(self.model.config, "meta", 1)
        cut = cuts((seed, self.step, 1), modes.open_loop, metas)
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.low):
            loss, parts = self.loss(tokens, cut)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), raw["clip"])
        if not torch.isfinite(norm):
            sys.exit(f"grid_train.py: step {self.step}: the gradient is not finite (loss {loss.item()})")
        self.optimisers.step(schedule(self.step / self.budget.steps, self.step, raw))
        self.step += 1
        return {**{k: v.item() for k, v in parts.items()}, "gradient": norm.item()}

    def start(self) -> None:
        run, window = self.run, self.grid.window
        step = flops.training_step(run.model, window, run.modes.batch, run.modes.open_loop)
        self.note("start", run=run.name, settings=digest(self.settings), seed=run.seed, bf16=self.low, alpha=run.alpha, modes=vars(run.modes),
                  parameters=sum(p.numel() for p in self.model.parameters()),
                  training_flops_per_token=step // self.grid.tokens_per_step)

    def train(self, until: int) -> None:
        budget, sums = self.budget, []
        if self.step == budget.steps:
            return  # the last checkpoint is written behind everything else
        if self.step == 0:
            self.start()
        while self.step < until:
            begin = time.process_time()
            sums.append(self.train_step())
            self.seconds += time.process_time() - begin
            if self.step % LOG_EVERY == 0 or self.step == budget.steps:
                self.note("train", **{k: sum(s[k] for s in sums) / len(sums) for k in sums[0]})
                sums = []
            if self.step % budget.evaluate_every == 0 and self.step < budget.steps:
                self.evaluate("held out", budget.windows, [])
                self.save()
        if self.step == budget.steps:
            self.evaluate("held out", budget.windows, [])
            self.evaluate("done", budget.final_windows, self.grid.raw["refresh"])
            export.write(self.model, self.tokenizer, self.folder / "model")
        self.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("work", type=Path)
    parser.add_argument("--budget", default="full")
    parser.add_argument("--stop-after", type=int, help="leave off at this step, to go on another time")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the grid's runs go side by side
    try:
        trainer = Trainer(Grid.load(), args.run, args.budget, args.work)
    except SettingsError as e:
        sys.exit(f"grid_train.py: {e}")
    trainer.train(min(trainer.budget.steps, args.stop_after or trainer.budget.steps))


if __name__ == "__main__":
    main()
