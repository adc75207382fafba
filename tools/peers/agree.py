"""The peers compute the model that this repository computes: `agree.py PHOTON FOLDER`.

A small random checkpoint, in f32, through `photon score`, PyTorch (at once, and token after token with its cache) and llama.cpp.
"""

import dataclasses
import pathlib
import sys

import numpy as np
import torch

import checkpoint
import gguf_file
import llama
import ours
import pytorch

# Logits reach 4; a wrong rotation, norm or order of heads moves them by more than 0.1, summation in f32 by 4e-6.
TOLERANCE = 1e-3
# Of attention in f16: 2e-3.
TOLERANCE_F16 = 1e-2
LENGTH = 80
# Not a divisor of it: the last block is cut.
BLOCK = 32


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def of_torch(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the whole text at once, and those of one token after another."""
    model = pytorch.Vanilla(checkpoint.SMALL, "f32")
    ids = torch.from_numpy(tokens)[None]
    with torch.inference_mode():
        whole = model.forward(ids, model.cache(1, LENGTH), 0, last=False)
        cache = model.cache(1, LENGTH)
        steps = [model.forward(ids[:, at : at + 1], cache, at, last=True) for at in range(LENGTH)]
    return whole[0].numpy(), torch.cat(steps, 1)[0].numpy()


def of_llama(tokens: np.ndarray, path: pathlib.Path) -> list[np.ndarray]:
    """The same of llama.cpp; the second as the second of two sequences side by side; a third with flash attention, which is in f16."""
    model = llama.Model(path)
    whole, flash = (llama.Context(model, 1, LENGTH, 1, exact=True, flash=flash).feed(tokens[None], 0, every=True)[0].copy()
                    for flash in (False, True))
    pair = llama.Context(model, 2, LENGTH, 1, exact=True)
    texts = np.stack([tokens[::-1], tokens])
    return [whole, np.stack([pair.feed(texts[:, at : at + 1], at)[1].copy() for at in range(LENGTH)]), flash]


def repeated(folder: pathlib.Path) -> float:
    """By how much logits differ behind a context of repeated blocks and behind the same tokens fed one block after another.

    In a model of one layer they are the same: its keys and values depend on nothing but token and position.
    """
    config = dataclasses.replace(checkpoint.SMALL, layers=1)
    path = folder / "layer.gguf"
    gguf_file.write(config, checkpoint.random_tensors(config), "f32", path, pad=True)
    model = llama.Model(path)
    text = np.append(np.resize(np.arange(BLOCK), LENGTH), 7)
    expected = llama.Context(model, 1, LENGTH + 1, 1, exact=True).feed(text[None], 0).copy()
    context = llama.Context(model, 1, LENGTH + 1, 1, exact=True, batch=BLOCK)
    context.fill(LENGTH)
    # A step and the step again, as when it is timed in several rounds.
    for _ in range(2):
        context.cut(LENGTH)
        found = context.feed(np.array([[7]]), LENGTH).copy()
    return float(np.abs(found - expected).max())


def main() -> None:
    photon, folder = map(pathlib.Path, sys.argv[1:])
    checkpoint.write(checkpoint.SMALL, folder / "small")
    gguf_file.write(checkpoint.SMALL, checkpoint.random_tensors(checkpoint.SMALL), "f32", folder / "small.gguf", pad=True)
    tokens = np.random.default_rng(1).integers(checkpoint.SMALL.vocab_size, size=LENGTH)

    # The first token follows nothing: uniform here, unknown to the peers.
    scores = np.array(ours.score(photon, folder / "small", tokens.tolist()))[1:]
    logits = dict(zip(["PyTorch", "PyTorch by tokens"], of_torch(tokens)))
    logits |= zip(["llama.cpp", "llama.cpp by tokens", "llama.cpp, flash attention"], of_llama(tokens, folder / "small.gguf"))
    for name, values in logits.items():
        theirs = log_softmax(values.astype(np.float64))
        # Our command line tells the text's own tokens; of the rest of the vocabulary the peers judge each other.
        own = np.abs(theirs[np.arange(LENGTH - 1), tokens[1:]] - scores).max()
        rest = np.abs(theirs - log_softmax(logits["PyTorch"].astype(np.float64))).max()
        print(f"{name}: log-probabilities differ from ours by {own:.1e}, from PyTorch's by {rest:.1e}")
        if not max(own, rest) < (TOLERANCE_F16 if "flash" in name else TOLERANCE):
            raise SystemExit(f"{name} computes another model than `photon score`; times would compare nothing")
    apart = repeated(folder)
    print(f"llama.cpp: behind repeated positions logits differ by {apart:.1e}")
    if not apart < TOLERANCE:
        raise SystemExit("llama.cpp attends to other positions than it was given; its times at long contexts would be of others")


main()
