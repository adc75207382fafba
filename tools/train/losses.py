"""The training loss.

    loss = NLL(exact) + w·NLL(hiergen) + o·NLL(open loop) + alpha·L_rec

The open-loop term is RecGen's situation, one step deep and parallel over metas: from a random meta on, the top-level
input is not the encoder's unit but chunk_L of the hiergen reconstruction, and a sample of the metas behind that point
is scored.  Gradients flow through own outputs everywhere; L_rec's target is stopped.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import photon
from photon import Photon


def distance(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean cosine distance; [B, N, d] both, the target's gradient stopped."""
    return (1 - F.cosine_similarity(reconstruction.float(), target.detach().float(), dim=-1)).mean()


def pick(x: Tensor, metas: Tensor, length: int) -> Tensor:
    """The units of some meta-contexts.  x [B, N·length, ...], metas [B, K] -> [B·K, length, ...]"""
    x = x.unflatten(1, (-1, length))
    return x[torch.arange(len(x))[:, None], metas].flatten(0, 1)


def open_loop(model: Photon, states: list[Tensor], own: Tensor, cut: Tensor, picked: Tensor) -> tuple[Tensor, Tensor]:
    """states: the encoder's; own [B, N_{L-1}, d]: X̂_{L-1} as hiergen reconstructs it; cut [B]: first meta whose unit
    is replaced; picked [B, K] metas.  Returns level-1 latents of the picked metas [B·K, C / C_1, d] and a L_rec term."""
    level, c = model.depth, model.config.levels[-1].chunk_length
    encoder = model.encoder[level]
    true, replaced = encoder.chunker(states[-2]), encoder.chunker(own)
    late = torch.arange(true.shape[1])[None, :] >= cut[:, None]
    evolved = encoder.context(torch.where(late[..., None], replaced, true))
    latents = pick(model.shift(level, evolved), picked, 1)
    x = model.decode_level(level, latents, None)
    rec = distance(x, pick(states[-2], picked, c))
    for l in range(level - 1, 1, -1):
        x = model.decode_level(l, model.condition(l, x), None)
    return model.condition(1, x), rec


def hidden_states(model: Photon, tokens: Tensor, batch: "Sample") -> tuple[Tensor, Tensor, Tensor]:
    """tokens [B, T].  Returns X̂_0 of every scored token [rows, d], those tokens [rows] and L_rec.  The rows are all of
    `exact`, then hiergen's, then the open loop's."""
    c = model.config
    states = model.encode(tokens)
    top = model.shift(model.depth, states[-1])
    exact = model.reconstruct(top, states)
    hier = model.reconstruct(top, None)
    rec = sum((distance(x, s) + distance(y, s)) / 2 for x, y, s in zip(exact[:-1], hier[:-1], states[-2::-1]))
    length = c.levels[0].chunk_length
    latents = [exact[-1].flatten(0, 1), pick(hier[-1], batch.hiergen, c.meta // length).flatten(0, 1)]
    scored = [tokens.flatten(), pick(tokens, batch.hiergen, c.meta).flatten()]
    if batch.open_loop.shape[1] and model.depth > 1:
        below, extra = open_loop(model, states, hier[0], batch.cut, batch.open_loop)
        rec = rec + extra / 2
        latents.append(below.flatten(0, 1))
        scored.append(pick(tokens, batch.open_loop, c.meta).flatten())
    # One call for all chunks: level 1 is most of the work and prefers tall matrices.
    targets = torch.cat(scored)
    hats = model.token_states(torch.cat(latents)[:, None], targets.view(-1, length))
    return hats.flatten(0, 1), targets, rec


class Sample:
    """Which meta-contexts of each row the parallel modes are scored on.

    Exact scores all tokens.  Hiergen's level-1 gradients resemble exact's, so a part of the metas is enough for them,
    and level 1 with its LM head is most of a step."""

    def __init__(self, seed: tuple[int, ...], rows: int, metas: int, hiergen: int, open_loop: int):
        random = np.random.default_rng(seed)
        cut = random.integers(0, max(1, metas // 2), rows)
        self.cut = torch.from_numpy(cut)
        self.hiergen = torch.from_numpy(np.stack([random.choice(metas, hiergen, replace=False) for _ in cut]))
        behind = [random.choice(np.arange(c + 1, metas), open_loop, replace=False) for c in cut]
        self.open_loop = torch.from_numpy(np.stack(behind))


def softmax_gradient(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """NLL of each row and weights · softmax; compiled, so that the logits are read twice and nothing else is stored."""
    x = logits.float()
    top = x.amax(-1, keepdim=True)
    e = (x - top).exp()
    total = e.sum(-1, keepdim=True)
    nll = (total.log() + top - x.gather(-1, targets[:, None])).squeeze(-1)
    return nll, (e * (weights[:, None] / total)).to(logits.dtype)


class HeadLoss(torch.autograd.Function):
    """LM head and cross entropy in slices of rows, gradients computed on the way forward: 20,000 x 4096 logits are never
    in memory at once, and a slice's logits stay in the cache between the three matrix products."""

    SLICE = 1024
    kernel = staticmethod(softmax_gradient)

    @staticmethod
    def forward(ctx, hidden, weight, targets, weights):
        """hidden [N, d], weight [V, d], targets and weights [N] -> sum of weights · NLL, NLL [N]"""
        low = torch.bfloat16 if torch.is_autocast_enabled("cpu") else hidden.dtype
        w, wt = weight.to(low), weight.to(low).t()
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight)
        nll = torch.empty(len(hidden))
        for at in range(0, len(hidden), HeadLoss.SLICE):
            rows = slice(at, at + HeadLoss.SLICE)
            h = hidden[rows].to(low)
            nll[rows], p = HeadLoss.kernel(h @ wt, targets[rows], weights[rows])
            p[torch.arange(len(p)), targets[rows]] -= weights[rows].to(low)
            grad_hidden[rows] = (p @ w).to(hidden.dtype)
            grad_weight += p.t() @ h
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.mark_non_differentiable(nll)
        return (nll * weights).sum(), nll

    @staticmethod
    def backward(ctx, grad, _):
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad, grad_weight * grad, None, None


class Loss:
    """Callable: model, batch -> loss and its parts."""

    def __init__(self, model: Photon, weights: dict, compiled: bool):
        self.model, self.weights = model, weights
        if compiled:
            photon.compile_parts()
            HeadLoss.kernel = staticmethod(torch.compile(softmax_gradient, dynamic=False))

    def __call__(self, tokens: Tensor, sample: Sample) -> tuple[Tensor, dict]:
        w = self.weights
        hidden, targets, rec = hidden_states(self.model, tokens, sample)
        per_meta = self.model.config.meta
        counts = {"exact": tokens.numel(), "hiergen": sample.hiergen.numel() * per_meta}
        if len(targets) > sum(counts.values()):
            counts["open_loop"] = sample.open_loop.numel() * per_meta
        share = torch.cat([torch.full((n,), w.get(name, 1.0) / n) for name, n in counts.items()])
        nll, rows = HeadLoss.apply(hidden, self.model.lm_head.weight, targets, share)
        parts = {name: part.mean() for name, part in zip(counts, rows.split(list(counts.values())))}
        return nll + w["rec"] * rec, {**parts, "rec": rec.detach()}
