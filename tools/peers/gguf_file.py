"""Writes the flat Transformer as a GGUF file of llama.cpp's architecture `llama`."""

import pathlib
import re
from collections.abc import Iterable

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

from checkpoint import Config

TYPES = {"f32": GGMLQuantizationType.F32, "bf16": GGMLQuantizationType.BF16, "q8_0": GGMLQuantizationType.Q8_0}
FILE_TYPES = {"f32": gguf.LlamaFileType.ALL_F32, "bf16": gguf.LlamaFileType.MOSTLY_BF16,
              "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
NAMES = {
    "embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    layer, part = re.fullmatch(r"(?:layers\.(\d+)\.)?(.*)\.weight", name).groups()
    return (f"blk.{layer}." if layer else "") + NAMES[part] + ".weight"


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection for RoPE over neighbouring pairs.

    Our checkpoints turn row `i` of a head with row `i + head_dim / 2`; llama.cpp's architecture `llama` turns `2i` with `2i + 1`.
    """
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


# Elements that llama.cpp's products of f16 take at a time with AVX-512; what is left over it multiplies one by one, 52 of 52.
STEP = 64


def padded_rows(weight: np.ndarray, heads: int, width: int) -> np.ndarray:
    """Rows of a projection with zeros behind each head's."""
    rows, columns = weight.shape
    return np.pad(weight.reshape(heads, -1, columns), ((0, 0), (0, width - rows // heads), (0, 0))).reshape(-1, columns)


def write(config: Config, tensors: Iterable[tuple[str, np.ndarray]], dtype: str, path: pathlib.Path,
          pad: bool = False) -> None:
    """Matrices as `dtype`; norms are f32, as llama.cpp wants them.

    With `pad`, heads end in zeros up to a multiple of `STEP`: the same function with more weights and a larger cache, at which llama.cpp
    is faster nevertheless (q8_0 with heads of 52 at 1152 and 16,128 positions: 32 tokens/s become 38, 4.3 become 8.2).
    """
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    width = -(-config.head_dim // STEP) * STEP if pad else config.head_dim
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    writer = GGUFWriter(unfinished, "llama", use_temp_file=True)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_dimension_count(width)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(FILE_TYPES[dtype])
    writer.add_tokenizer_model("none")
    if width != config.head_dim:
        # RoPE goes over the padded width, pair i by theta^(-2i / width) over this factor: what it is for the true one.
        pairs = np.arange(width // 2)
        factors = float(config.rope_theta) ** (2 * pairs / config.head_dim - 2 * pairs / width)
        writer.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    for name, values in tensors:
        if name.endswith("q_proj.weight"):
            # llama.cpp divides by the root of the padded width.
            values = padded_rows(interleaved(values, heads), heads, width) * np.float32((width / config.head_dim) ** 0.5)
        elif name.endswith("k_proj.weight"):
            values = padded_rows(interleaved(values, kv_heads), kv_heads, width)
        elif name.endswith("v_proj.weight"):
            values = padded_rows(values, kv_heads, width)
        elif name.endswith("o_proj.weight"):
            values = padded_rows(values.T, heads, width).T
        kind = TYPES[dtype] if values.ndim == 2 else TYPES["f32"]
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.rename(path)
