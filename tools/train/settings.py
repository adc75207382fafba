"""What a run of the grid is made of, so that its checkpoint is continued by that run and no other.

A step of training is a function of the run, the budget, the grid's rates and windows, and the token streams.  A
checkpoint says none of it: with another seed, or tokens of another tokenizer, training would go on where it stopped and
the log would be of two things at once.  So checkpoints carry their settings, logs a digest of them.

Not among them is whether products are in bf16: a run may go on on another machine, which its log then does not show.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from grid import Budget, Grid, Run

# What of grid.json steps and evaluations read besides the run and the budget.
SHARED = ("window", "mix", "learning_rate", "muon_rate", "betas", "weight_decay", "clip", "warmup_steps", "decay_fraction",
          "prompt", "refresh")


class SettingsError(Exception):
    """A checkpoint is another run's.  The message names its folder, what differs, and what to do."""


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def settings_of(grid: Grid, run: Run, budget: Budget, data: Path) -> dict:
    """Flat, so that a difference has a name; of plain values, so that PyTorch loads it with `weights_only`."""
    out = {name: grid.raw[name] for name in SHARED}
    out |= {"seed": run.seed, "alpha": run.alpha, "modes": asdict(run.modes), "model": run.model}
    out |= {name: getattr(budget, name) for name in ("steps", "evaluate_every", "windows", "final_windows")}
    out["tokenizer.json"] = file_digest(data / "tokenizer.json")
    for name in (*grid.raw["mix"], "heldout"):
        out[f"tokens/{name}.npy"] = file_digest(data / "tokens" / f"{name}.npy")
    return json.loads(json.dumps(out))  # lists for tuples: equal to what is read back


def digest(settings: dict) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def check(folder: Path, saved: dict, settings: dict, steps: int) -> str | None:
    """Whether `saved`, the checkpoint of `folder`, is of these settings.  Returns a warning where that cannot be known:
    checkpoints had no settings once, and those of finished runs are accepted as what their folder says."""
    remedy = f"remove {folder} to train the run afresh"
    if "settings" not in saved:
        if saved["step"] != steps:
            raise SettingsError(f"{folder} has a checkpoint of step {saved['step']} of {steps} that does not say what "
                                f"settings it is of; {remedy}")
        return f"{folder} is finished, but its checkpoint does not say what settings it is of: taken unverified"
    old, names = saved["settings"], [*settings, *(name for name in saved["settings"] if name not in settings)]
    differ = [f"{name} was {old.get(name)}, is {settings.get(name)}"
              for name in names if old.get(name) != settings.get(name)]
    if differ:
        raise SettingsError(f"{folder} is a run of other settings ({'; '.join(differ)}); {remedy}")
    return None
