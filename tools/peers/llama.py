"""A GGUF model in llama.cpp, by the low-level interface of llama-cpp-python."""

import ctypes
import pathlib
import sys

import llama_cpp
import numpy as np

# llama.cpp writes a page about every model that it loads, and warns of the missing tokenizer; errors stay.
LEVEL_ERROR = 4


@llama_cpp.llama_log_callback
def _log(level, text, _):
    if level == LEVEL_ERROR:
        print(text.decode(errors="replace"), end="", file=sys.stderr)


llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))


class Model:
    def __init__(self, path: pathlib.Path):
        llama_cpp.llama_backend_init()
        self.handle = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        if not self.handle:
            raise SystemExit(f"llama.cpp cannot load {path}: remove it, and it is written again")
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.handle))


class Context:
    """Sequences side by side, each with its own cache of `length` positions.

    With `exact` the cache is f32, not f16 as by default: f16 alone moves logits of size 4 by 3e-3.
    """

    def __init__(self, model: Model, sequences: int, length: int, threads: int, flash: bool = False, exact: bool = False):
        params = llama_cpp.llama_context_default_params()
        # llama.cpp rounds the cache of a sequence up to 256 positions.
        params.n_ctx = sequences * (-(-length // 256) * 256)
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if exact:
            params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
        self.model, self.sequences = model, sequences
        self.handle = llama_cpp.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise SystemExit(f"llama.cpp makes no context of {params.n_ctx} positions: is there memory left?")
        self.memory = llama_cpp.llama_get_memory(self.handle)
        self.step = llama_cpp.llama_n_batch(self.handle)

    def feed(self, tokens: np.ndarray, start: int, every: bool = False) -> np.ndarray:
        """Logits of tokens [sequences, T] at positions from `start`: of the last one [sequences, V], or of `every` [sequences, T, V]."""
        sequences, length = tokens.shape
        batch = llama_cpp.llama_batch_init(tokens.size, 0, 1)
        try:
            batch.n_tokens = tokens.size
            for at, ((sequence, position), token) in enumerate(np.ndenumerate(tokens)):
                batch.token[at] = int(token)
                batch.pos[at] = start + position
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = sequence
                batch.logits[at] = every or position == length - 1
            status = llama_cpp.llama_decode(self.handle, batch)
        finally:
            llama_cpp.llama_batch_free(batch)
        if status:
            raise SystemExit(f"llama_decode returned {status} for {tokens.shape} tokens at position {start}")
        rows = sequences * (length if every else 1)
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(self.handle), (rows, self.model.vocabulary))
        return logits.reshape(sequences, length, -1) if every else logits

    def fill(self, length: int) -> None:
        """A prompt of `length` tokens, the same in every sequence."""
        for at in range(0, length, self.step):
            count = min(self.step, length - at)
            self.feed(np.arange(at, at + count)[None] % self.model.vocabulary, at)
        for sequence in range(1, self.sequences):
            llama_cpp.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)

    def cut(self, length: int) -> None:
        """Forgets the positions from `length` on."""
        for sequence in range(self.sequences):
            llama_cpp.llama_memory_seq_rm(self.memory, sequence, length, -1)
