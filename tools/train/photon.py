"""PHOTON: the model.

Shapes use B sequences, T tokens, C_l units per chunk of level l, N_l = T / (C_1..C_l) units at level l, R_l prefix
rows, d hidden size, H heads, D head_dim.  Parameter names are the checkpoint's tensor names, so export is
`state_dict()` and nothing else.  T is always a multiple of C = C_1..C_L here: pad first, drop the padding's scores
later (the model is causal).

Every forward pass in this file is parallel over chunks and metas; `reference.py` computes the same one unit at a time.
"""

import json
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Level:
    """One level of the hierarchy, as in config.json's `levels`."""

    chunk_length: int
    chunker: str
    encoder_layers: int
    decoder_layers: int
    prefix_length: int


@dataclass(frozen=True)
class Config:
    """config.json, key for key."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    encoder_embedding_size: int
    levels: tuple[Level, ...]
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    condition: str = "current"
    max_position_embeddings: int = 4096
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self):
        if self.condition not in ("current", "previous"):
            raise ValueError(f"condition must be 'current' or 'previous', not {self.condition!r}")
        if not self.levels:
            raise ValueError("levels: at least one is needed")
        if self.hidden_size % self.num_attention_heads or self.head_dim % 2:
            raise ValueError("hidden_size must be num_attention_heads times an even head_dim")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_key_value_heads must divide num_attention_heads")
        for i, level in enumerate(self.levels, 1):
            if level.chunker not in ("concat", "linear"):
                raise ValueError(f"level {i}: chunker must be 'concat' or 'linear', not {level.chunker!r}")
            if level.chunker == "concat" and level.chunk_length * self.width_below(i) != self.hidden_size:
                raise ValueError(f"level {i}: concat needs chunk_length * {self.width_below(i)} = hidden_size")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def meta(self) -> int:
        """C: tokens in one meta-context."""
        c = 1
        for level in self.levels:
            c *= level.chunk_length
        return c

    def width_below(self, level: int) -> int:
        """Width of the units that level `level` (from 1) chunks."""
        return self.encoder_embedding_size if level == 1 else self.hidden_size

    @staticmethod
    def from_dict(raw: dict) -> "Config":
        raw = dict(raw)
        if raw.pop("model_type", "photon") != "photon":
            raise ValueError("model_type must be 'photon'")
        raw["levels"] = tuple(Level(**level) for level in raw["levels"])
        return Config(**raw)

    @staticmethod
    def load(path) -> "Config":
        with open(path) as f:
            return Config.from_dict(json.load(f))

    def to_dict(self) -> dict:
        return {"model_type": "photon", **asdict(self), "levels": [asdict(level) for level in self.levels]}


# The five functions below are all the arithmetic between matrix products.  `compile_parts` replaces them by fused
# versions for training: compiling the whole step instead takes longer than the compiler ever gives back here.


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """In f32 whatever the storage: bf16 sums of 208 squares lose 1 %."""
    y = x.float()
    return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


def swiglu(gate_up: Tensor) -> Tensor:
    """[..., 2·I] -> [..., I]"""
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


def add(x: Tensor, y: Tensor, dropout: float) -> Tensor:
    """Residual connection."""
    return x + (F.dropout(y, dropout) if dropout else y)


def heads_of(qkv: Tensor, cos: Tensor, sin: Tensor, heads: int, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """qkv [..., rows, (H + 2·H_kv)·D] -> rotated q, rotated k, v, each [..., rows, H, D] (KV heads repeated to H)."""
    rows = qkv.unflatten(-1, (heads + 2 * kv_heads, -1))
    q, k, v = rows.split((heads, kv_heads, kv_heads), -2)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    if heads > kv_heads:
        k, v = k.repeat_interleave(heads // kv_heads, -2), v.repeat_interleave(heads // kv_heads, -2)
    return q, k, v


def chunk_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention inside chunks of a handful of rows; q [M, r, H, D], k and v [M, n, H, D], r <= n, where q holds
    the last r rows.  Written as products and sums, not as a batch of 5x5 matrix products: a compiler fuses these into
    one pass over the rows, and a matrix-multiply call for each of 10^4 chunks and heads would be all overhead."""
    r, n = q.shape[1], k.shape[1]
    scores = (q[:, :, None] * k[:, None]).float().sum(-1) * q.shape[-1] ** -0.5  # [M, r, n, H]
    hidden = torch.ones(r, n, dtype=torch.bool).triu(n - r + 1)
    p = scores.masked_fill(hidden[None, :, :, None], float("-inf")).softmax(2).to(v.dtype)
    return (p[..., None] * v[:, None]).sum(2)


def compile_parts() -> None:
    torch._dynamo.config.recompile_limit = 128  # one version a shape and gradient mode; there are about 20
    for name in ("rms_norm", "swiglu", "add", "heads_of", "chunk_attention"):
        globals()[name] = torch.compile(globals()[name], dynamic=False)


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


def rope_tables(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """cos and sin, each [positions, head_dim/2]."""
    inverse = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = positions.double()[:, None] * inverse[None, :]
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE, half-split, in f32.  x [..., rows, heads, D]; cos, sin [rows, D/2]."""
    cos, sin = cos[:, None], sin[:, None]
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Attention(nn.Module):
    """The four projections and the two ways they are used: long causal sequences and tiny chunks."""

    def __init__(self, c: Config):
        super().__init__()
        d, kv = c.hidden_size, c.num_key_value_heads * c.head_dim
        self.heads, self.kv_heads, self.head_dim = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        self.q_proj = nn.Linear(d, d, bias=False)
        self.k_proj = nn.Linear(d, kv, bias=False)
        self.v_proj = nn.Linear(d, kv, bias=False)
        self.o_proj = nn.Linear(d, d, bias=False)

    def qkv(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., rows, d] -> rotated q, rotated k, v, each [..., rows, H, D] (KV heads repeated to H)."""
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))
        return heads_of(F.linear(x, weight), cos, sin, self.heads, self.kv_heads)

    def out(self, heads: Tensor) -> Tensor:
        return self.o_proj(heads.flatten(-2))


def long_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention over whole sequences; q [B, r, H, D], k and v [B, n, H, D], q holds the last r of n rows."""
    r, n = q.shape[1], k.shape[1]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if r == n:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
    seen = torch.ones(r, n, dtype=torch.bool).tril(n - r)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2)


class MLP(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(swiglu(F.linear(x, torch.cat((self.gate_proj.weight, self.up_proj.weight)))))


class Layer(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.mlp = MLP(c)
        self.dropout = 0.0

    def finish(self, x: Tensor, heads: Tensor) -> Tensor:
        """All of the layer behind the attention.  x [..., d], heads [..., H, D]"""
        dropout = self.dropout if self.training else 0.0
        x = add(x, self.self_attn.out(heads), dropout)
        return add(x, self.mlp(self.post_attention_layernorm(x)), dropout)


class Stack(nn.Module):
    """Layers and the one final norm.  Base of the encoders and the local decoders."""

    def __init__(self, c: Config, layers: int):
        super().__init__()
        self.config = c
        self.layers = nn.ModuleList(Layer(c) for _ in range(layers))
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)

    def tables(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        return rope_tables(torch.arange(start, end), self.config.head_dim, self.config.rope_theta)


class ContextStack(Stack):
    """A stack over a whole sequence: causal attention over all rows so far."""

    def context(self, x: Tensor, cache: list | None = None) -> Tensor:
        """F_l alone.  x [B, n, d], units already chunked, -> [B, n, d].

        `cache` (evaluation only) is a list of (k, v) per layer, [B, seen, H, D]; it is extended in place and the new
        units come after the ones seen."""
        seen = cache[0][0].shape[1] if cache else 0
        cos, sin = self.tables(seen, seen + x.shape[1])
        for i, layer in enumerate(self.layers):
            q, k, v = layer.self_attn.qkv(layer.input_layernorm(x), cos, sin)
            if cache is not None:
                # A cache that was cut back to nothing has entries of length 0.
                if i < len(cache):
                    k, v = torch.cat((cache[i][0], k), 1), torch.cat((cache[i][1], v), 1)
                    cache[i] = (k, v)
                else:
                    cache.append((k, v))
            x = layer.finish(x, long_attention(q, k, v))
        return self.norm(x)


class Chunker(nn.Module):
    """C_l units of one level -> one row of the next."""

    def __init__(self, c: Config, level: int):
        super().__init__()
        spec = c.levels[level - 1]
        self.length = spec.chunk_length
        if spec.chunker == "linear":
            width = spec.chunk_length * c.width_below(level)
            self.norm = RMSNorm(width, c.rms_norm_eps)
            self.proj = nn.Linear(width, c.hidden_size)
        else:
            self.norm = self.proj = None

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D_in] -> [B, N / C_l, d]"""
        rows = x.unflatten(1, (-1, self.length)).flatten(2)
        return rows if self.proj is None else self.proj(self.norm(rows))


class EncoderLevel(ContextStack):
    """chunk_l and F_l."""

    def __init__(self, c: Config, level: int):
        super().__init__(c, c.levels[level - 1].encoder_layers)
        self.chunker = Chunker(c, level)

    def forward(self, units: Tensor, cache: list | None = None) -> Tensor:
        """units [B, n·C_l, D_in] -> states [B, n, d].  cache: see `context`."""
        return self.context(self.chunker(units), cache)


class DecoderLevel(Stack):
    """Converter U_l, local decoder G_l and start latent s_l."""

    def __init__(self, c: Config, level: int):
        spec = c.levels[level - 1]
        super().__init__(c, spec.decoder_layers)
        self.length, self.prefix = spec.chunk_length, spec.prefix_length
        self.start = nn.Parameter(torch.zeros(c.hidden_size))
        self.converter = nn.Linear(c.hidden_size, spec.prefix_length * c.hidden_size)

    def rows(self, latents: Tensor) -> Tensor:
        """Prefix rows.  [M, d] -> [M, R, d]"""
        return self.converter(latents).unflatten(-1, (self.prefix, -1))

    def forced(self, latents: Tensor, content: Tensor) -> Tensor:
        """Given content.  latents [M, d], content [M, C (or C - 1), d] -> outputs [M, C, d]"""
        x = torch.cat((self.rows(latents), content[:, : self.length - 1].to(latents.dtype)), 1)
        cos, sin = self.tables(0, x.shape[1])
        for i, layer in enumerate(self.layers):
            q, k, v = layer.self_attn.qkv(layer.input_layernorm(x), cos, sin)
            if i == len(self.layers) - 1:
                # Rows before the last prefix row are never read again: do not finish them.
                q, x = q[:, self.prefix - 1 :], x[:, self.prefix - 1 :]
            x = layer.finish(x, chunk_attention(q, k, v))
        return self.norm(x)

    def free(self, latents: Tensor) -> Tensor:
        """Own outputs as content.  latents [M, d] -> outputs [M, C, d], C sequential steps."""
        x, outputs, keys, values = self.rows(latents), [], [None] * len(self.layers), [None] * len(self.layers)
        for _ in range(self.length):
            seen = 0 if keys[0] is None else keys[0].shape[1]
            cos, sin = self.tables(seen, seen + x.shape[1])
            for i, layer in enumerate(self.layers):
                q, k, v = layer.self_attn.qkv(layer.input_layernorm(x), cos, sin)
                if seen:
                    k, v = torch.cat((keys[i], k), 1), torch.cat((values[i], v), 1)
                keys[i], values[i] = k, v
                if i == len(self.layers) - 1:
                    q, x = q[:, -1:], x[:, -1:]
                x = layer.finish(x, chunk_attention(q, k, v))
            x = self.norm(x)
            outputs.append(x)
        return torch.cat(outputs, 1)


class Half(nn.Module):
    """Token table and levels "1".."L" of the encoder or the decoder."""

    def __init__(self, embedding: nn.Embedding, levels: list[nn.Module]):
        super().__init__()
        self.embed_tokens = embedding
        self.levels = nn.ModuleDict({str(i): level for i, level in enumerate(levels, 1)})

    def __getitem__(self, level: int):
        return self.levels[str(level)]


class Photon(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.config = c
        numbers = range(1, len(c.levels) + 1)
        table = nn.Embedding(c.vocab_size, c.encoder_embedding_size)
        self.encoder = Half(table, [EncoderLevel(c, i) for i in numbers])
        self.decoder = Half(nn.Embedding(c.vocab_size, c.hidden_size), [DecoderLevel(c, i) for i in numbers])
        self.lm_head = nn.Linear(c.hidden_size, c.vocab_size, bias=False)

    @property
    def depth(self) -> int:
        return len(self.config.levels)

    def initialise(self, seed: int) -> None:
        """Normal, std 0.02 (embeddings 1: pre-norm rows want unit scale), residual outputs scaled down by depth."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, p in self.named_parameters():
                if name.endswith(("norm.weight", "layernorm.weight")):
                    p.fill_(1.0)
                elif name.endswith(".bias"):
                    p.zero_()
                elif name.endswith(("embed_tokens.weight", ".start")):
                    p.normal_(0.0, 0.5, generator=generator)
                elif name.endswith(("o_proj.weight", "down_proj.weight")):
                    p.normal_(0.0, 0.6 * p.shape[1] ** -0.5, generator=generator)
                elif name == "lm_head.weight":
                    p.normal_(0.0, 0.02, generator=generator)
                else:
                    p.normal_(0.0, p.shape[1] ** -0.5, generator=generator)

    def encode(self, tokens: Tensor, caches: list[list] | None = None) -> list[Tensor]:
        """tokens [B, T] -> [X_1, .., X_L], X_l [B, N_l, d].  caches: one list a level, see EncoderLevel."""
        states, x = [], self.encoder.embed_tokens(tokens)
        for l in range(1, self.depth + 1):
            x = self.encoder[l](x, None if caches is None else caches[l - 1])
            states.append(x)
        return states

    def shift(self, level: int, units: Tensor, first: Tensor | None = None) -> Tensor:
        """[B, N, d] -> the unit before each: `first` ([B, 1, d]; the start latent if None), then all but the last."""
        if first is None:
            first = self.decoder[level].start.expand(units.shape[0], 1, -1)
        return torch.cat((first.to(units.dtype), units[:, :-1]), 1)

    def condition(self, level: int, units: Tensor, first: Tensor | None = None) -> Tensor:
        """Latents that condition the chunks of `level` < L, from the reconstruction X̂_level of its units."""
        return units if self.config.condition == "current" else self.shift(level, units, first)

    def decode_level(self, level: int, latents: Tensor, content: Tensor | None) -> Tensor:
        """latents [B, N, d], content [B, N·C, d] or None for own outputs -> X̂ below [B, N·C, d]"""
        b, n, d = latents.shape
        decoder, flat = self.decoder[level], latents.reshape(b * n, d)
        if content is None:
            out = decoder.free(flat)
        else:
            out = decoder.forced(flat, content.reshape(b * n, -1, d))
        return out.reshape(b, -1, d)

    def reconstruct(self, top: Tensor, states: list[Tensor] | None, carry: list | None = None) -> list[Tensor]:
        """From the top's conditioning latents to the level-1 latents.

        top [B, N_L, d]: conditioning latents of level L (already shifted).  states: the encoder's, for `exact`
        content; None for own outputs.  carry: per level l < L the X̂_l before the first (condition `previous`).
        Returns [X̂_{L-1}, .., X̂_1, latents of level 1]; for L = 1 only the last."""
        out, latents = [], top
        for l in range(self.depth, 1, -1):
            x = self.decode_level(l, latents, None if states is None else states[l - 2])
            out.append(x)
            latents = self.condition(l - 1, x, None if carry is None else carry[l - 2])
        return out + [latents]

    def token_states(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """Level 1, teacher forced.  latents [B, N_1, d], tokens [B, T] -> X̂_0 [B, T, d]"""
        c = self.config.levels[0].chunk_length
        content = self.decoder.embed_tokens(tokens.unflatten(1, (-1, c))[..., : c - 1])
        content = F.pad(content, (0, 0, 0, 1)).flatten(1, 2)
        return self.decode_level(1, latents, content)
