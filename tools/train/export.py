"""Writes the checkpoint directory that the crate loads.

    python export.py CONFIG WORKDIR MODEL_DIR

config.json, model.safetensors (BF16, round to nearest even) and tokenizer.json.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from photon import Config, Photon


def write(model: nn.Module, tokenizer: Path, out: Path) -> int:
    """Returns the size of model.safetensors in bytes."""
    tensors = {name: p.to(torch.bfloat16).contiguous() for name, p in model.state_dict().items()}
    broken = [name for name, p in tensors.items() if not torch.isfinite(p).all()]
    if broken:
        sys.exit(f"export.py: {broken[0]} is not finite")
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(model.config.to_dict(), indent=2) + "\n")
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    shutil.copyfile(tokenizer, out / "tokenizer.json")
    return (out / "model.safetensors").stat().st_size


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    config, work, out = json.loads(Path(sys.argv[1]).read_text())["model"], Path(sys.argv[2]), Path(sys.argv[3])
    model = Photon(Config.from_dict(config))
    saved = torch.load(work / "run" / "checkpoint.pt", weights_only=True)
    model.load_state_dict(saved["model"])
    size = write(model, work / "tokenizer.json", out)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{out}: step {saved['step']}, {parameters:,} parameters, {size:,} bytes")


if __name__ == "__main__":
    main()
