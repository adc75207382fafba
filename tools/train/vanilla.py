"""The flat baseline: one LLaMA stack over tokens.

Parts of `photon.py` and its shapes: B sequences, T tokens, d hidden size, V vocabulary.  Parameter names are the
checkpoint's tensor names.  The Block Transformer needs no file of its own: it is `Photon` with one level.
"""

from dataclasses import asdict, dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from photon import Config, ContextStack, Photon


@dataclass(frozen=True)
class VanillaConfig:
    """config.json, key for key."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    layers: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    max_position_embeddings: int = 4096
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self):
        if self.layers < 1:
            raise ValueError(f"layers is {self.layers}; it must be at least 1")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @staticmethod
    def from_dict(raw: dict) -> "VanillaConfig":
        raw = dict(raw)
        if raw.pop("model_type") != "vanilla":
            raise ValueError("model_type must be 'vanilla'")
        return VanillaConfig(**raw)

    def to_dict(self) -> dict:
        return {"model_type": "vanilla", **asdict(self)}


class Vanilla(ContextStack):
    def __init__(self, c: VanillaConfig):
        super().__init__(c, c.layers)
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.lm_head = nn.Linear(c.hidden_size, c.vocab_size, bias=False)

    initialise = Photon.initialise  # goes by the names of tensors, which are the same

    def token_states(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] -> the states that the head reads for each of them [B, T, d].  Zero for the first: the model has
        no start latent, and zero means the uniform distribution."""
        states = self.context(self.embed_tokens(tokens))
        return F.pad(states[:, :-1], (0, 0, 1, 0))


def build(config: dict) -> Photon | Vanilla:
    """The model of a config.json."""
    if config["model_type"] == "vanilla":
        return Vanilla(VanillaConfig.from_dict(config))
    return Photon(Config.from_dict(config))
