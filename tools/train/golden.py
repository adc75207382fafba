"""Log-probabilities that the crate's reference must reproduce: writes tests/data/pytorch_scores.json.

    python tools/train/golden.py

Small models with weights from a formula, in all modes, by the PyTorch model of this folder in f64. RecGen runs here as
a generator would: one meta-context after another, with a cache of top-level units that a refresh cuts back and extends.
"""

import itertools
import json
from pathlib import Path

import torch

torch.Tensor.float = torch.Tensor.double  # photon.py computes norms and rotations in f32 whatever it stores
torch.set_num_threads(1)

from photon import Config, Photon  # noqa: E402

MASK = 0xFFFFFFFF
OUT = Path(__file__).parents[2] / "tests" / "data" / "pytorch_scores.json"

# query heads, KV heads; of each level chunk length, prefix length, chunker, layers of encoder and decoder
SHAPES = [
    (3, 3, [(4, 2, "concat", 2, 2)]),
    (3, 1, [(2, 2, "concat", 1, 2), (3, 1, "linear", 2, 1)]),
    (6, 3, [(3, 1, "linear", 1, 1), (1, 2, "concat", 1, 1), (2, 3, "linear", 1, 1)]),
]


def number(name: str, i: int) -> float:
    """In [-1/2, 1/2), a multiple of 2^-16 (so that sums with 1 are exact in f32): FNV-1a of the name, then MurmurHash3's finaliser."""
    x = 0x811C9DC5
    for byte in name.encode():
        x = (x ^ byte) * 0x01000193 & MASK
    x = (x + i * 0x9E3779B9) & MASK
    x = (x ^ x >> 16) * 0x85EBCA6B & MASK
    x = (x ^ x >> 13) * 0xC2B2AE35 & MASK
    return ((x ^ x >> 16) >> 16) / 2**16 - 0.5


def fill(model: Photon) -> None:
    """Gains around 1, embeddings and start latents of 4 times the size of other weights."""
    for name, p in model.named_parameters():
        gain = "norm" in name
        scale = 4.0 if "embed" in name or name.endswith("start") else 1.0
        values = [gain + scale * number(name, i) for i in range(p.numel())]
        p.copy_(torch.tensor(values, dtype=torch.float64).view_as(p))


def teacher_forced(model: Photon, tokens: torch.Tensor, exact: bool) -> torch.Tensor:
    """tokens [1, T] -> X̂_0 [1, T, d], true tokens at the top."""
    states = model.encode(tokens)
    latents = model.reconstruct(model.shift(model.depth, states[-1]), states if exact else None)[-1]
    return model.token_states(latents, tokens)


def recgen(model: Photon, tokens: torch.Tensor, prompt: int, refresh: int | None) -> torch.Tensor:
    """tokens [1, T], prompt in meta-contexts -> X̂_0 [1, T, d]"""
    if model.depth == 1:
        return teacher_forced(model, tokens, exact=False)
    top = model.encoder[model.depth]
    true = top.chunker(model.encode(tokens)[-2])
    latent = model.decoder[model.depth].start[None, None]
    cache, carry, out, stale = [], [None] * model.depth, [], 0
    for meta, piece in enumerate(tokens.split(model.config.meta, 1)):
        *hats, latents = model.reconstruct(latent, None, carry)
        for level, x in zip(range(model.depth - 1, 0, -1), hats):
            carry[level - 1] = x[:, -1:]
        out.append(model.token_states(latents, piece))
        stale = stale + 1 if meta >= prompt else 0
        unit = top.chunker(hats[0]) if stale else true[:, meta : meta + 1]
        latent = top.context(unit, cache)[:, -1:]
        if refresh is not None and stale == refresh:
            keep, stale = meta + 1 - refresh, 0
            cache = [(k[:, :keep], v[:, :keep]) for k, v in cache] if keep else []
            latent = top.context(true[:, keep : meta + 1], cache)[:, -1:]
    return torch.cat(out, 1)


@torch.no_grad()
def main() -> None:
    models = []
    for (heads, kv_heads, levels), condition in itertools.product(SHAPES, ("current", "previous")):
        keys = ("chunk_length", "prefix_length", "chunker", "encoder_layers", "decoder_layers")
        config = {
            "model_type": "photon", "vocab_size": 11, "hidden_size": 12, "intermediate_size": 20,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "condition": condition,
            "encoder_embedding_size": 12 // levels[0][0] if levels[0][2] == "concat" else 5,
            "levels": [dict(zip(keys, level)) for level in levels],
        }  # fmt: skip
        model = Photon(Config.from_dict(config)).double().eval()
        fill(model)
        meta = model.config.meta
        count = 4 * meta + 1
        tokens = [(i * i * 5 + 3 * i + 7) % 11 for i in range(count)]
        padded = torch.tensor([tokens + [0] * (-count % meta)])
        runs = [
            ({"mode": "exact"}, teacher_forced(model, padded, exact=True)),
            ({"mode": "hiergen"}, teacher_forced(model, padded, exact=False)),
        ]
        for prompt, refresh in ((0, None), (1, None), (1, 2), (0, 3)):
            settings = {"mode": "recgen", "prompt": prompt * meta, "refresh": refresh}
            runs.append((settings, recgen(model, padded, prompt, refresh)))
        scores = []
        for settings, hats in runs:
            rows = model.lm_head(hats)[0, :count].log_softmax(-1)
            picked = rows.gather(1, torch.tensor(tokens)[:, None])[:, 0]
            scores.append({**settings, "score": [round(x, 11) for x in picked.tolist()]})
        models.append({"config": config, "tokens": tokens, "runs": scores})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("[" + ",\n".join(json.dumps(model) for model in models) + "]\n")


if __name__ == "__main__":
    main()
