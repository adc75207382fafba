"""The grid's loss: every token is scored once a step, in the mode that its sequence is trained in.

    loss = NLL + alpha·L_rec

With own-output training a batch has sequences of three modes, without it all are `exact`; tokens are the same and
FLOPs nearly so, while `losses.py` adds passes of the parallel modes on top of `exact`.  L_rec is the cosine distance of
X̂_{l-1} and the encoder's X_{l-1}, over all positions and whatever the mode, summed over l = 2..L, the target stopped.

A sequence of the open loop is RecGen one step deep, parallel over metas: from meta `cut` on, the top level's input is
not the encoder's unit but chunk_L of the hiergen reconstruction.  Metas up to the cut are those of hiergen.
"""

import numpy as np
import torch
from torch import Tensor

from grid import Modes
from losses import HeadLoss, distance
from photon import Photon
from vanilla import Vanilla


def cuts(seed: tuple[int, ...], sequences: int, metas: int) -> Tensor:
    """For each sequence of the open loop the first meta whose unit is replaced, in its first half.  [sequences]"""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, max(1, metas // 2), sequences))


def evolve(model: Photon, top: Tensor, below: Tensor, cut: Tensor) -> Tensor:
    """Level-L latents of the open loop.  top [B, N_L, d]: hiergen's latents; below [B, N_{L-1}, d]: the encoder's
    states; cut [B].  -> [B, N_L, d], equal to `top` up to and with the cut."""
    level = model.depth
    encoder = model.encoder[level]
    true, own = encoder.chunker(below), encoder.chunker(model.decode_level(level, top, None))
    late = torch.arange(true.shape[1])[None, :] >= cut[:, None]
    return model.shift(level, encoder.context(torch.where(late[..., None], own, true)))


def hidden_states(model: Photon | Vanilla, tokens: Tensor, modes: Modes, cut: Tensor) -> tuple[Tensor, Tensor]:
    """tokens [B, T], cut [open-loop sequences] -> X̂_0 [B, T, d] and L_rec, in the order of `modes`"""
    if isinstance(model, Vanilla):
        return model.token_states(tokens), torch.zeros(())
    forced, closed = modes.exact, modes.exact + modes.hiergen
    states = model.encode(tokens)
    top = model.shift(model.depth, states[-1])
    groups = [model.reconstruct(top[:forced], [x[:forced] for x in states])] if forced else []
    if modes.batch > forced:
        own = top[forced:]
        if modes.open_loop:
            own = torch.cat((top[forced:closed], evolve(model, top[closed:], states[-2][closed:], cut)))
        groups.append(model.reconstruct(own, None))
    *reconstructed, latents = [torch.cat(parts) for parts in zip(*groups)]
    rec = sum((distance(x, s) for x, s in zip(reconstructed, states[-2::-1])), torch.zeros(()))
    return model.token_states(latents, tokens), rec


class ModeLoss:
    """Callable: tokens, cut -> loss and its parts."""

    def __init__(self, model: Photon | Vanilla, modes: Modes, alpha: float):
        self.model, self.modes, self.alpha = model, modes, alpha

    def __call__(self, tokens: Tensor, cut: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        hidden, rec = hidden_states(self.model, tokens, self.modes, cut)
        share = torch.full((tokens.numel(),), 1 / tokens.numel())
        nll, rows = HeadLoss.apply(hidden.flatten(0, 1), self.model.lm_head.weight, tokens.flatten(), share)
        parts = {"nll": nll.detach(), "rec": rec.detach()}
        at = 0
        for name in ("exact", "hiergen", "open_loop"):
            n = getattr(self.modes, name) * tokens.shape[1]
            if n:
                parts[name] = rows[at : at + n].mean()
            at += n
        return nll + self.alpha * rec, parts
