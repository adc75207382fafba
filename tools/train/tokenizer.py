"""Trains the byte-level BPE and turns the texts into token streams.

    python tokenizer.py WORKDIR VOCABULARY

reads what data.py wrote, writes WORKDIR/tokenizer.json (loads in the `tokenizers` crate), WORKDIR/tokens/NAME.npy
(uint16, books separated by <|endoftext|>) and WORKDIR/tokens/heldout.npy.  Prints tokens and bytes per token.
"""

import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data import SEPARATOR

END = "<|endoftext|>"


def train(texts: list[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    work, vocabulary = Path(sys.argv[1]), int(sys.argv[2])
    texts = {p.stem: p.read_text() for p in sorted((work / "text").glob("*.txt"))}
    if "austen" not in texts:
        sys.exit(f"tokenizer.py: no texts in {work}/text: run data.py first")
    # The novels twice: they are what the model is sampled for.
    tokenizer = train([t.replace(SEPARATOR, "\n") for t in texts.values()] + [texts["austen"].replace(SEPARATOR, "\n")],
                      vocabulary)
    tokenizer.save(str(work / "tokenizer.json"))
    end = tokenizer.token_to_id(END)
    texts["heldout"] = (work / "heldout.txt").read_text()
    (work / "tokens").mkdir(exist_ok=True)
    print(f"{'source':<12}{'tokens':>12}{'bytes/token':>14}")
    for name, text in texts.items():
        books = text.split(SEPARATOR)
        ids = np.concatenate([np.array(tokenizer.encode(b).ids + [end], dtype=np.uint16) for b in books])
        np.save(work / "tokens" / f"{name}.npy", ids)
        print(f"{name:<12}{len(ids):>12,}{len(text.encode()) / len(ids):>14.2f}")


if __name__ == "__main__":
    main()
