"""Sampling in every mode, for the samples in the model card.  Slow and simple: the crate is what generates quickly.

    python generate.py MODEL_DIR OUT.json
"""

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from photon import Photon
from score import Evolution, load, pad

PROMPTS = [
    "It is a truth universally acknowledged, that",
    "Emma was not at all surprised when Mr. Knightley",
    "The old captain looked out upon the sea, and",
]
# name -> (mode, refresh); hiergen is refresh 1
MODES = {"exact": ("exact", 0), "hiergen": ("recgen", 1), "recgen, refresh 4": ("recgen", 4), "recgen": ("recgen", 0)}
NEW, TEMPERATURE, TOP_P, SEED = 96, 0.7, 0.9, 1


def draw(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> Tensor:
    """[n, V] -> [n] ids; temperature 0 is greedy."""
    if temperature == 0:
        return logits.argmax(-1)
    p, order = (logits / temperature).softmax(-1).sort(descending=True)
    p = p.masked_fill(p.cumsum(-1) - p >= top_p, 0.0)
    return order.gather(1, torch.multinomial(p, 1, generator=generator))[:, 0]


def fill(model: Photon, latents: Tensor, known: Tensor, how: tuple) -> Tensor:
    """Decodes n chunks side by side.  latents [n, d]; known [n, j]: tokens already there -> [n, C_1]"""
    length = model.config.levels[0].chunk_length
    while known.shape[1] < length:
        padded = torch.nn.functional.pad(known, (0, length - known.shape[1]))
        hats = model.token_states(latents[:, None], padded)
        known = torch.cat((known, draw(model.lm_head(hats[:, known.shape[1]]), *how)[:, None]), 1)
    return known


@torch.no_grad()
def exact(model: Photon, tokens: list[int], count: int, how: tuple) -> list[int]:
    """`count` tokens appended to `tokens`, chunk by chunk, everything re-encoded for each."""
    length, end = model.config.levels[0].chunk_length, len(tokens) + count
    while len(tokens) < end:
        chunk = len(tokens) // length
        # One token more than there is, so that the chunk to come lies within the padding.
        padded = pad(model, torch.tensor([tokens + [0]]))
        states = model.encode(padded)
        latents = model.reconstruct(model.shift(model.depth, states[-1]), states)[-1]
        tokens = tokens[: chunk * length] + fill(
            model, latents[:, chunk], torch.tensor([tokens[chunk * length :]], dtype=torch.long), how)[0].tolist()
    return tokens[:end]


@torch.no_grad()
def generate(model: Photon, prompt: list[int], count: int, mode: str, refresh: int, how: tuple) -> list[int]:
    """New tokens only.  A prompt's tail meta-context is completed in `exact` mode, then the parallel mode starts."""
    c = model.config.meta
    if mode == "exact":
        return exact(model, prompt, count, how)[len(prompt) :]
    tokens = exact(model, prompt, -len(prompt) % c, how)
    state = Evolution(model, torch.tensor([tokens], dtype=torch.long), refresh)
    while len(tokens) < len(prompt) + count:
        latents = state.latents()[0]
        meta = fill(model, latents, torch.empty(len(latents), 0, dtype=torch.long), how).flatten()
        state.advance(meta[None])
        tokens += meta.tolist()
    return tokens[len(prompt) : len(prompt) + count]


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    directory = Path(sys.argv[1])
    model, tokenizer = load(directory), Tokenizer.from_file(str(directory / "tokenizer.json"))
    out = []
    for prompt in PROMPTS:
        for name, (mode, refresh) in MODES.items():
            how = (TEMPERATURE, TOP_P, torch.Generator().manual_seed(SEED))
            ids = generate(model, tokenizer.encode(prompt).ids, NEW, mode, refresh, how)
            out.append({"prompt": prompt, "mode": name, "text": tokenizer.decode(ids)})
            print(f"--- {name}\n{prompt}{out[-1]['text']}\n")
    settings = {"new_tokens": NEW, "temperature": TEMPERATURE, "top_p": TOP_P, "seed": SEED}
    Path(sys.argv[2]).write_text(json.dumps({"settings": settings, "samples": out}, indent=1) + "\n")


if __name__ == "__main__":
    main()
