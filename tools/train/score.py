"""Likelihood of a text in the three modes, and held-out bits per byte.

    python score.py MODEL_DIR WORKDIR OUT.json

Protocol: the held-out novel is cut into non-overlapping windows of 512 tokens.  In each the first 256 tokens are the
prompt and the last 256 (16 meta-contexts) are scored, in every mode on the same tokens: `exact` teacher forced,
`hiergen` with own outputs as content, `recgen` open loop from the prompt on (nothing of the scored tokens is ever
seen), `recgen` with refresh k.  Bits per byte = sum of -log2 p over the bytes those tokens spell.

OUT.json also holds, under "check", the log-probabilities of the novel's first 90 tokens (prompt 32), so that another
implementation can be compared token by token.
"""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from photon import Photon
from vanilla import Vanilla, build

WINDOW, PROMPT = 512, 256
REFRESH = (1, 2, 4, 8)
CHECK_TOKENS, CHECK_PROMPT = 90, 32


def load(directory: Path) -> Photon | Vanilla:
    """A checkpoint, computed with in f32 whatever it is stored in."""
    model = build(json.loads((directory / "config.json").read_text()))
    model.load_state_dict({k: v.float() for k, v in load_file(directory / "model.safetensors").items()})
    return model.eval()


def pad(model: Photon, tokens: Tensor) -> Tensor:
    """To whole meta-contexts; the model is causal, so what the padding is does not matter."""
    return F.pad(tokens, (0, -tokens.shape[1] % model.config.meta))


def token_logprobs(model: Photon, latents: Tensor, tokens: Tensor) -> Tensor:
    """Level-1 latents [B, N_1, d], tokens [B, T] -> log-probability of each token [B, T]"""
    logits = model.lm_head(model.token_states(latents, tokens))
    return logits.log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)


def forced(model: Photon, tokens: Tensor, mode: str) -> tuple[Tensor, list[Tensor]]:
    """`exact` or `hiergen`.  tokens [B, T] -> log-probabilities [B, T] and [X̂_{L-1}, .., X̂_1]"""
    states = model.encode(tokens)
    *own, latents = model.reconstruct(model.shift(model.depth, states[-1]), states if mode == "exact" else None)
    return token_logprobs(model, latents, tokens), own


@torch.no_grad()
def teacher_forced(model: Photon, tokens: Tensor, mode: str) -> Tensor:
    """`exact` or `hiergen`.  [B, T] -> [B, T]"""
    return forced(model, pad(model, tokens), mode)[0][:, : tokens.shape[1]]


class Evolution:
    """RecGen's state: latents that evolve on their own, and with `refresh` = k are replaced every k metas by those of
    the tokens.  Knows nothing of how tokens come about, so scoring and generation share it."""

    def __init__(self, model: Photon, prompt: Tensor, refresh: int = 0):
        """prompt [B, P], P a multiple of C"""
        if prompt.shape[1] % model.config.meta:
            raise ValueError(f"the prompt's length {prompt.shape[1]} is not a multiple of {model.config.meta}")
        # At depth 1 there is no latent bottleneck: RecGen is HierGen, which is refresh 1.
        self.model, self.refresh = model, 1 if model.depth == 1 else refresh
        self.caches = [[] for _ in range(model.depth)]
        self.last = model.decoder[model.depth].start.expand(prompt.shape[0], 1, -1)
        self.carry = [None] * model.depth  # X̂_l of the last meta, for condition `previous`
        self.pending = []  # tokens since the last refresh
        if prompt.shape[1]:
            states = model.encode(prompt, self.caches)
            own = model.reconstruct(model.shift(model.depth, states[-1]), None)
            self.last = states[-1][:, -1:]
            self.remember(own)

    def remember(self, own: list[Tensor]) -> None:
        for level, x in zip(range(self.model.depth - 1, 0, -1), own):
            self.carry[level - 1] = x[:, -1:]

    def latents(self) -> Tensor:
        """Level-1 latents of the next meta-context [B, C / C_1, d]; call once a meta."""
        self.own = self.model.reconstruct(self.last, None, self.carry)
        self.remember(self.own)
        return self.own[-1]

    def advance(self, tokens: Tensor) -> None:
        """The meta is over; its tokens [B, C] are looked at only by a refresh."""
        top = self.model.encoder[self.model.depth]
        if self.refresh:
            self.pending.append(tokens)
        if self.refresh and len(self.pending) == self.refresh:
            behind = self.refresh - 1  # this meta's own unit was never appended
            if behind:
                self.caches[-1][:] = [(k[:, :-behind], v[:, :-behind]) for k, v in self.caches[-1]]
            self.last = self.model.encode(torch.cat(self.pending, 1), self.caches)[-1][:, -1:]
            self.pending = []
        else:
            self.last = top(self.own[0], self.caches[-1])[:, -1:]


@torch.no_grad()
def recgen(model: Photon, tokens: Tensor, prompt: int, refresh: int = 0) -> Tensor:
    """[B, T] -> [B, T]; the prompt scored as `hiergen`, the rest open loop."""
    c = model.config.meta
    state = Evolution(model, tokens[:, :prompt], refresh)
    out = [teacher_forced(model, tokens[:, :prompt], "hiergen")] if prompt else []
    padded = pad(model, tokens)
    for at in range(prompt, padded.shape[1], c):
        meta = padded[:, at : at + c]
        out.append(token_logprobs(model, state.latents(), meta))
        state.advance(meta)
    return torch.cat(out, 1)[:, : tokens.shape[1]]


def byte_lengths(tokenizer: Tokenizer) -> np.ndarray:
    """Bytes each token spells; special tokens spell none."""
    special = {i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special}
    size = tokenizer.get_vocab_size()
    return np.array([0 if i in special else len(tokenizer.id_to_token(i)) for i in range(size)])


def held_out_bits(model: Photon, stream: np.ndarray, tokens: int, window: int = 2048) -> dict:
    """During training: mean NLL in nats per token over the first `tokens` tokens, whole windows."""
    model.eval()
    x = torch.from_numpy(stream[:tokens].astype(np.int64)).view(-1, window)
    return {mode: -teacher_forced(model, x, mode).mean().item() for mode in ("exact", "hiergen")}


def check(model: Photon, tokens: list[int]) -> dict:
    x = torch.tensor([tokens])
    logprobs = {mode: teacher_forced(model, x, mode) for mode in ("exact", "hiergen")}
    logprobs["recgen"] = recgen(model, x, CHECK_PROMPT)
    logprobs["refresh 2"] = recgen(model, x, CHECK_PROMPT, 2)
    rounded = {mode: [round(v, 5) for v in p[0].tolist()] for mode, p in logprobs.items()}
    return {"prompt": CHECK_PROMPT, "tokens": tokens, "logprobs": rounded}


def indented(result: dict) -> str:
    """JSON with lists of numbers on one line."""
    text = json.dumps(result, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m[0].split()), text) + "\n"


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    directory, work, out = map(Path, sys.argv[1:])
    model = load(directory)
    lengths = byte_lengths(Tokenizer.from_file(str(directory / "tokenizer.json")))
    stream = np.load(work / "tokens" / "heldout.npy")[:-1]  # without the closing <|endoftext|>
    windows = torch.from_numpy(stream[: len(stream) // WINDOW * WINDOW].astype(np.int64)).view(-1, WINDOW)
    sizes = torch.from_numpy(lengths)[windows][:, PROMPT:].double()

    def bits(logprobs: Tensor) -> float:
        return -logprobs[:, PROMPT:].double().sum().item() / math.log(2) / sizes.sum().item()

    scores = {mode: teacher_forced(model, windows, mode) for mode in ("exact", "hiergen")}
    scores["recgen"] = recgen(model, windows, PROMPT)
    for k in REFRESH:
        scores[f"refresh {k}"] = recgen(model, windows, PROMPT, k)
    result = {
        "windows": len(windows), "window": WINDOW, "prompt": PROMPT,
        "scored_tokens": sizes.numel(), "scored_bytes": int(sizes.sum()),
        "bits_per_byte": {name: bits(s) for name, s in scores.items()},
        "nll_per_token": {name: -s[:, PROMPT:].mean().item() for name, s in scores.items()},
        "largest_difference_refresh_1_hiergen": (scores["refresh 1"] - scores["hiergen"]).abs().max().item(),
        "recgen_bits_per_byte_by_meta": (
            -scores["recgen"][:, PROMPT:].double().unflatten(1, (-1, model.config.meta)).sum((0, 2))
            / math.log(2) / sizes.unflatten(1, (-1, model.config.meta)).sum((0, 2))
        ).tolist(),
        "check": check(model, stream[:CHECK_TOKENS].tolist()),
    }
    out.write_text(indented(result))
    print(indented({k: v for k, v in result.items() if k != "check"}))


if __name__ == "__main__":
    main()
