"""Held-out NLL and L_rec in every mode, all on the same tokens: windows of the held-out novel, of which the first part
is the prompt and the rest is scored (the protocol of `score.py`)."""

import math

import numpy as np
import torch
from torch import Tensor

from losses import distance
from photon import Photon
from score import Evolution, forced, token_logprobs
from vanilla import Vanilla


def windows(stream: np.ndarray, length: int, count: int) -> Tensor:
    """[count, length], spread over the whole stream."""
    starts = np.linspace(0, len(stream) - length, count).astype(int)
    return torch.from_numpy(np.stack([stream[at : at + length] for at in starts]).astype(np.int64))


def evolved(model: Photon, tokens: Tensor, prompt: int, refresh: int) -> tuple[Tensor, list[Tensor]]:
    """`recgen` behind the prompt.  tokens [B, T] -> log-probabilities [B, T - prompt] and [X̂_{L-1}, .., X̂_1]"""
    state, own, latents = Evolution(model, tokens[:, :prompt], refresh), [], []
    for meta in tokens[:, prompt:].split(model.config.meta, 1):
        latents.append(state.latents())
        own.append(state.own[:-1])
        state.advance(meta)
    return token_logprobs(model, torch.cat(latents, 1), tokens[:, prompt:]), [torch.cat(x, 1) for x in zip(*own)]


@torch.no_grad()
def every_mode(model: Photon | Vanilla, tokens: Tensor, lengths: Tensor, prompt: int, refresh: list[int]) -> dict:
    """tokens [B, T]; lengths [V]: bytes that a token spells.  Per mode nats per token, bits per byte and L_rec, as
    `nll MODE`, `bits MODE`, `rec MODE`.  A model of fewer than two levels has one mode and no L_rec."""
    model.eval()
    size = lengths[tokens[:, prompt:]].sum().item()
    out = {}

    def note(name: str, logprobs: Tensor) -> None:
        total = -logprobs.double().sum().item()
        out[f"nll {name}"], out[f"bits {name}"] = total / logprobs.numel(), total / math.log(2) / size

    if isinstance(model, Vanilla):
        logits = model.lm_head(model.token_states(tokens))
        note("exact", logits.log_softmax(-1).gather(-1, tokens[..., None])[:, prompt:, 0])
        return out
    if model.depth == 1:
        note("exact", forced(model, tokens, "exact")[0][:, prompt:])
        return out
    behind = model.encode(tokens)[-2::-1]  # X_{L-1} .. X_1
    behind = [x[:, prompt * x.shape[1] // tokens.shape[1] :] for x in behind]
    for mode in ("exact", "hiergen", "recgen"):
        if mode == "recgen":
            logprobs, own = evolved(model, tokens, prompt, 0)
        else:
            logprobs, own = forced(model, tokens, mode)
            logprobs = logprobs[:, prompt:]
            own = [x[:, -target.shape[1] :] for x, target in zip(own, behind)]
        note(mode, logprobs)
        out[f"rec {mode}"] = sum(distance(x, target).item() for x, target in zip(own, behind))
    for k in refresh:
        note(f"refresh {k}", evolved(model, tokens, prompt, k)[0])
    return out
