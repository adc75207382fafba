"""One peer in a process of its own: `worker.py ENGINE DTYPE THREADS [GGUF]`.

Loads the model, says `ready`, then answers each line of its input, the number of a case, with the seconds that the case
took. Peers do not share a process: each brings a thread pool, and idle threads of one would spin on the cores of another.
"""

import pathlib
import sys
import time

import numpy as np

from cases import CASES, Case


class Torch:
    def __init__(self, dtype: str, threads: int):
        import torch

        import checkpoint
        import pytorch

        torch.set_num_threads(threads)
        self.torch = torch
        self.model = pytorch.Vanilla(checkpoint.FULL, dtype)
        self.caches = {}

    def prepare(self, case: Case) -> None:
        self.caches[case] = self.model.cache(case.batch, case.context + case.steps)

    def run(self, case: Case, steps: int) -> None:
        tokens = self.torch.arange(case.batch)[:, None]
        with self.torch.inference_mode():
            if not case.steps:
                self.model.forward(self.torch.arange(case.context)[None], self.caches[case], 0, last=True)
            for step in range(steps):
                logits = self.model.forward(tokens, self.caches[case], case.context + step, last=True)
                tokens = logits[:, -1].argmax(-1, keepdim=True)


class Llama:
    def __init__(self, path: pathlib.Path, threads: int):
        import llama

        self.llama, self.threads = llama, threads
        self.model = llama.Model(path)
        self.contexts = {}

    def prepare(self, case: Case) -> None:
        # Its flash attention is faster for prompts (70 ms instead of 500 for a layer and 512 tokens, one core) and for many
        # sequences (158 tokens/s instead of 145 for 32 at 128 positions), and not for single ones: 54 tokens/s instead of 52 at
        # 128 positions in q8_0, 37 instead of 38 at 1152, 3.7 instead of 8.2 at 16,128. By default it is on for all.
        flash = not case.steps or case.batch > 1
        self.contexts[case] = self.llama.Context(self.model, case.batch, case.context + case.steps, self.threads, flash=flash)
        if case.steps:
            self.contexts[case].fill(case.context)

    def run(self, case: Case, steps: int) -> None:
        context = self.contexts[case]
        context.cut(case.context if case.steps else 0)
        if not case.steps:
            context.feed(np.arange(case.context)[None], 0)
        tokens = np.arange(case.batch)[:, None]
        for step in range(steps):
            tokens = context.feed(tokens, case.context + step).argmax(-1)[:, None]


def main() -> None:
    engine, dtype, threads, *path = sys.argv[1:]
    peer = Llama(pathlib.Path(path[0]), int(threads)) if engine == "llama.cpp" else Torch(dtype, int(threads))
    for case in CASES:
        if (engine, dtype) in case.engines:
            peer.prepare(case)
            # Libraries choose and compile kernels at their first call.
            peer.run(case, case.steps)
    print("ready", flush=True)
    for line in sys.stdin:
        case = CASES[int(line)]
        if case.steps:
            # Ours has fed its prompt just before it is timed; a worker has slept for minutes.
            peer.run(case, 1)
        begin = time.perf_counter()
        peer.run(case, case.steps)
        print(time.perf_counter() - begin, flush=True)


main()
