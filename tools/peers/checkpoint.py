"""Random weights of the flat Transformer, in the names and shapes of this repository's checkpoints."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator

import numpy as np
from safetensors.numpy import save_file


@dataclasses.dataclass(frozen=True)
class Config:
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    layers: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 1e4
    max_position_embeddings: int = 4096

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


def digest() -> str:
    """Of what makes a file of weights: the shapes, how they are drawn and how they are written."""
    here = pathlib.Path(__file__).parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in ("checkpoint.py", "gguf_file.py"))).hexdigest()[:8]


# `vanilla-600m` of src/presets.rs, with positions for the longest case.
FULL = Config(32000, 1664, 4096, 32, 32, 16, max_position_embeddings=16384)
# The same head width. Fewer key-value heads than heads, so that a peer that pairs them in another order is found out; rows are whole
# blocks of q8_0.
SMALL = Config(96, 416, 256, 8, 4, 2)


def shapes(config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes, in the order of the forward pass."""
    d, hidden = config.hidden_size, config.intermediate_size
    kv = config.num_key_value_heads * config.head_dim
    yield "embed_tokens.weight", (config.vocab_size, d)
    for i in range(config.layers):
        layer = f"layers.{i}."
        yield layer + "input_layernorm.weight", (d,)
        yield layer + "self_attn.q_proj.weight", (d, d)
        yield layer + "self_attn.k_proj.weight", (kv, d)
        yield layer + "self_attn.v_proj.weight", (kv, d)
        yield layer + "self_attn.o_proj.weight", (d, d)
        yield layer + "post_attention_layernorm.weight", (d,)
        yield layer + "mlp.gate_proj.weight", (hidden, d)
        yield layer + "mlp.up_proj.weight", (hidden, d)
        yield layer + "mlp.down_proj.weight", (d, hidden)
    yield "norm.weight", (d,)
    yield "lm_head.weight", (config.vocab_size, d)


def random_tensors(config: Config, seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """The same f32 values for every reader, one tensor in memory at a time."""
    # Drawn once and repeated: 600 million draws take longer than a round of measurements. A prime number of them, so
    # that no two rows of a matrix are the same.
    drawn = np.random.default_rng(seed).standard_normal(1_000_003, dtype=np.float32)
    at = 0
    for name, shape in shapes(config):
        values = np.resize(np.roll(drawn, -at), shape)
        at = (at + values.size) % drawn.size
        if len(shape) == 1:
            # Off 1, so that a norm whose weight is forgotten shows.
            yield name, 1 + 0.1 * values
        else:
            # Rows that keep the size of what they multiply: logits differ by about 1, and an error shows in them.
            yield name, values * np.float32(shape[1] ** -0.5)


def write(config: Config, folder: pathlib.Path) -> None:
    """A checkpoint directory that `photon score --model` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = dataclasses.asdict(config) | {"model_type": "vanilla", "bos_token_id": None, "eos_token_id": None}
    (folder / "config.json").write_text(json.dumps(fields))
    save_file(dict(random_tensors(config)), folder / "model.safetensors")
