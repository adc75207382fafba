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

    With `exact` the cache is f32, not f16 as by default: f16 alone moves logits of size 4 by 3e-3. `batch` is the most tokens of a
    call, 2048 by default.
    """

    def __init__(self, model: Model, sequences: int, length: int, threads: int, flash: bool = False, exact: bool = False,
                 batch: int | None = None):
        params = llama_cpp.llama_context_default_params()
        params.n_batch = batch or params.n_batch
        # llama.cpp rounds the cache of a sequence up to 256 positions.
        params.n_ctx = sequences * (-(-length // 256) * 256)
        params.n_seq_max = sequences
        if sequences == 1 and length > params.n_batch:
            # A second one in the same cells, where `fill` puts what it repeats.
            params.n_seq_max, params.kv_unified = 2, True
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
        """Keys and values of `length` positions, the same in every sequence.

        They are a prompt's up to a batch, and after that the same again at the positions that follow: only the first
        layer's are what that longer prompt would have left, but the time of a step does not depend on values, and a prompt of
        16 thousand tokens takes minutes without flash attention, which single tokens are faster without.
        """
        block = min(length, self.step)
        self.feed(np.arange(block)[None] % self.model.vocabulary, 0)
        if length > block:
            self.repeat(block, length)
        for sequence in range(1, self.sequences):
            llama_cpp.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)

    def repeat(self, block: int, length: int) -> None:
        """The first `block` positions of the only sequence again and again, turned to where they come, up to `length`."""
        own, spare = 0, 1
        if llama_cpp.llama_n_seq_max(self.handle) != 2 or self.sequences != 1:
            raise SystemExit(f"{length} positions are more than one batch, which only a context made for as many of one sequence has")
        size = llama_cpp.llama_state_seq_get_size(self.handle, own)
        state = (ctypes.c_uint8 * size)()
        llama_cpp.llama_state_seq_get_data(self.handle, state, size, own)
        for at in range(block, length, block):
            if not llama_cpp.llama_state_seq_set_data(self.handle, state, size, spare):
                raise SystemExit(f"llama.cpp has no room for positions {at} to {at + block}: make the context longer")
            llama_cpp.llama_memory_seq_rm(self.memory, spare, length - at, -1)
            llama_cpp.llama_memory_seq_add(self.memory, spare, -1, -1, at)
            llama_cpp.llama_memory_seq_cp(self.memory, spare, own, -1, -1)
            llama_cpp.llama_memory_seq_rm(self.memory, spare, -1, -1)

    def cut(self, length: int) -> None:
        """Forgets the positions from `length` on."""
        for sequence in range(self.sequences):
            llama_cpp.llama_memory_seq_rm(self.memory, sequence, length, -1)
