"""What a model's latents are worth: held-out NLL with each window's own, and with another window's.

    python latent_swap.py WORKDIR RUNDIR... [--windows N]

RUNDIR is a finished run of the grid (checkpoint.pt and model/), WORKDIR/data has its token streams.  Prints a JSON object
per run: nats per token in `exact` behind the prompt, on the windows of the grid's last evaluation.  The token decoder
is given its chunk's tokens, and as latents those of level 1, either its window's own or those of the window before
(of the first, the last's).  Latents that say something about their text make the second much worse; where both are
the same, the decoder has learned to do without.  Runs without latents (vanilla) are left out.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evaluate import windows
from grid import Grid
from photon import Photon
from score import token_logprobs
from vanilla import build


@torch.no_grad()
def swapped(model: Photon, tokens: Tensor, prompt: int) -> dict[str, float]:
    """tokens [B, T], at least two windows.  Nats per token behind the prompt, as `own` and `other`."""
    if len(tokens) < 2:
        raise ValueError("one window has no other to take latents from")
    states = model.encode(tokens)
    latents = model.reconstruct(model.shift(model.depth, states[-1]), states)[-1]
    return {name: -token_logprobs(model, given, tokens)[:, prompt:].double().mean().item()
            for name, given in (("own", latents), ("other", latents.roll(1, 0)))}


def load(run: Path) -> torch.nn.Module:
    """The trained weights, not the bf16 export: the grid's last evaluation is of these."""
    model = build(json.loads((run / "model" / "config.json").read_text()))
    model.load_state_dict(torch.load(run / "checkpoint.pt", weights_only=True)["model"])
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--windows", type=int, help="how many, instead of the full budget's")
    args = parser.parse_args()
    torch.set_num_threads(1)
    grid = Grid.load()
    count, prompt = args.windows or grid.budgets["full"].final_windows, grid.raw["prompt"]
    stream = np.load(args.work / "data" / "tokens" / "heldout.npy")[:-1]  # without the closing <|endoftext|>
    tokens = windows(stream, grid.window, count)
    for run in args.runs:
        if not (run / "model" / "config.json").exists():
            sys.exit(f"latent_swap.py: {run} is not a finished run: it has no model/")
        model = load(run)
        if isinstance(model, Photon):
            nll = {name: round(value, 6) for name, value in swapped(model, tokens, prompt).items()}
            print(json.dumps({"run": run.name, "windows": count, "prompt": prompt, **nll}), flush=True)


if __name__ == "__main__":
    main()
