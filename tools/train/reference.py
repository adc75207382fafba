"""The model once more, one unit and one row at a time, straight from its definition.

Shares parameters with photon.py and no arithmetic: no caches, no batches, nothing parallel over chunks.  Everything is
recomputed from the tokens.  For tests; all functions take one sequence, a list of token ids.
"""

import torch
from torch import Tensor

from photon import Photon


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / torch.sqrt((x * x).mean() + eps) * weight


def turned(x: Tensor, position: int, theta: float) -> Tensor:
    """RoPE of one head's vector: element i is paired with element i + D/2."""
    half = len(x) // 2
    out = x.clone()
    for i in range(half):
        angle = torch.tensor(position * theta ** (-2 * i / len(x)), dtype=torch.float64)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        out[i] = x[i] * cos - x[i + half] * sin
        out[i + half] = x[i + half] * cos + x[i] * sin
    return out


def stack(module, rows: list[Tensor]) -> list[Tensor]:
    """A LLaMA stack over rows at positions 0, 1, ..; every row sees itself and those before."""
    c = module.config
    d = c.head_dim
    for layer in module.layers:
        at, queries, keys, values = layer.self_attn, [], [], []
        for position, x in enumerate(rows):
            y = norm(x, layer.input_layernorm.weight, c.rms_norm_eps)
            queries.append([turned(h, position, c.rope_theta) for h in (at.q_proj.weight @ y).split(d)])
            keys.append([turned(h, position, c.rope_theta) for h in (at.k_proj.weight @ y).split(d)])
            values.append((at.v_proj.weight @ y).split(d))
        new = []
        for position, x in enumerate(rows):
            heads = []
            for h in range(c.num_attention_heads):
                kv = h // (c.num_attention_heads // c.num_key_value_heads)
                scores = torch.stack([queries[position][h] @ keys[p][kv] for p in range(position + 1)]) / d**0.5
                p = torch.exp(scores - scores.max())
                p = p / p.sum()
                heads.append(sum(p[i] * values[i][kv] for i in range(position + 1)))
            x = x + at.o_proj.weight @ torch.cat(heads)
            y = norm(x, layer.post_attention_layernorm.weight, c.rms_norm_eps)
            gate, up = layer.mlp.gate_proj.weight @ y, layer.mlp.up_proj.weight @ y
            new.append(x + layer.mlp.down_proj.weight @ (gate / (1 + torch.exp(-gate)) * up))
        rows = new
    return [norm(x, module.norm.weight, c.rms_norm_eps) for x in rows]


def chunks(model: Photon, level: int, units: list[Tensor]) -> list[Tensor]:
    chunker = model.encoder[level].chunker
    out = []
    for at in range(0, len(units) - chunker.length + 1, chunker.length):
        x = torch.cat(units[at : at + chunker.length])
        if chunker.proj is not None:
            x = chunker.proj.weight @ norm(x, chunker.norm.weight, model.config.rms_norm_eps) + chunker.proj.bias
        out.append(x)
    return out


def encode(model: Photon, tokens: list[int]) -> list[list[Tensor]]:
    """[X_0, X_1, .., X_L]; units that are not complete are left out."""
    states = [[model.encoder.embed_tokens.weight[t] for t in tokens]]
    for level in range(1, model.depth + 1):
        states.append(stack(model.encoder[level], chunks(model, level, states[-1])))
    return states


def next_unit(model: Photon, level: int, latent: Tensor, content: list[Tensor]) -> Tensor:
    """Row R + len(content) of a chunk's local decoder: the reconstruction of unit len(content) + 1."""
    decoder = model.decoder[level]
    prefix = decoder.converter.weight @ latent + decoder.converter.bias
    return stack(decoder, list(prefix.split(len(latent))) + content)[-1]


def expand(model, level, latents, contents, carry):
    """All chunks of `level` whose latents are given.  contents: states one level down, or None for own outputs; carry:
    per level the X̂ before the first.  Returns the level-1 latents."""
    length = model.config.levels[level - 1].chunk_length
    if level == 1:
        return latents
    out = []
    for g, latent in enumerate(latents):
        chunk = []
        for j in range(length):
            seen = chunk if contents is None else contents[level - 1][g * length : g * length + j]
            chunk.append(next_unit(model, level, latent, list(seen)))
        out += chunk
    below = out
    if model.config.condition == "previous":
        first = carry[level - 1] if level - 1 in carry else model.decoder[level - 1].start
        below = [first] + out[:-1]
    carry[level - 1] = out[-1]
    carry["top"] = carry.get("top") or out  # X̂_{L-1} of this call
    return expand(model, level - 1, below, contents, carry)


def token_logprobs(model: Photon, latents: list[Tensor], tokens: list[int]) -> list[Tensor]:
    length, out = model.config.levels[0].chunk_length, []
    for i, t in enumerate(tokens):
        start = i // length * length
        content = [model.decoder.embed_tokens.weight[u] for u in tokens[start:i]]
        logits = model.lm_head.weight @ next_unit(model, 1, latents[i // length], content)
        out.append(logits[t] - torch.logsumexp(logits, 0))
    return out


def teacher_forced(model: Photon, tokens: list[int], mode: str) -> Tensor:
    states = encode(model, tokens)
    top = [model.decoder[model.depth].start] + states[-1][:-1]
    latents = expand(model, model.depth, top, states if mode == "exact" else None, {})
    return torch.stack(token_logprobs(model, latents, tokens))


def recgen(model: Photon, tokens: list[int], prompt: int, refresh: int = 0) -> Tensor:
    """Refresh k: the unit of meta g is the encoder's if g lies before the last multiple of k generated metas."""
    c, top = model.config.meta, model.encoder[model.depth]
    out = list(teacher_forced(model, tokens[:prompt], "hiergen")) if prompt else []
    carry, evolved = {}, []  # evolved: X̂_{L-1} of the generated metas
    if prompt:
        states = encode(model, tokens[:prompt])
        expand(model, model.depth, [model.decoder[model.depth].start] + states[-1][:-1], None, carry)
    for generated, at in enumerate(range(prompt, len(tokens), c)):
        known = prompt if not refresh else prompt + generated // refresh * refresh * c
        if model.depth == 1:
            known = at
        below = encode(model, tokens[:known])[-2]
        inputs = chunks(model, model.depth, below)
        for x in evolved[(known - prompt) // c :]:
            inputs += chunks(model, model.depth, x)
        latent = stack(top, inputs)[-1] if inputs else model.decoder[model.depth].start
        carry.pop("top", None)
        latents = expand(model, model.depth, [latent], None, carry)
        evolved.append(carry.get("top", []))
        out += token_logprobs(model, latents, tokens[at : at + c])
    return torch.stack(out)
