"""Trains the byte-level BPE and turns the texts into token streams.

    python tokenizer.py WORKDIR VOCABULARY [--check]

reads what data.py wrote, writes WORKDIR/tokenizer.json (loads in the `tokenizers` crate), WORKDIR/tokens/NAME.npy
(uint16, books separated by <|endoftext|>) and WORKDIR/tokens/heldout.npy.  Prints tokens and bytes per token.
With --check it writes nothing, and fails where what is there was made of other texts or with another tokenizer.
"""

import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data import SEPARATOR
from score import byte_lengths

END = "<|endoftext|>"
CHECKED = 4000  # characters at the head of a text that are encoded again


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


def texts_of(work: Path) -> dict[str, str]:
    """The training sources by name, and `heldout`."""
    texts = {p.stem: p.read_text() for p in sorted((work / "text").glob("*.txt"))}
    if "austen" not in texts:
        sys.exit(f"tokenizer.py: no texts in {work}/text: run data.py first")
    return {**texts, "heldout": (work / "heldout.txt").read_text()}


def stale(work: Path, vocabulary: int) -> list[str]:
    """What of WORKDIR's tokenizer and token streams does not belong together, a sentence each.  Needs no record of how
    they were made: a stream spells as many bytes as its text and begins with the tokens that the text begins with."""
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    if tokenizer.get_vocab_size() != vocabulary:
        return [f"tokenizer.json has {tokenizer.get_vocab_size()} tokens, not {vocabulary}"]
    lengths, out = byte_lengths(tokenizer), []
    for name, text in texts_of(work).items():
        file = work / "tokens" / f"{name}.npy"
        if not file.exists():
            out.append(f"tokens/{name}.npy is missing")
            continue
        ids, first = np.load(file), text.split(SEPARATOR)[0]
        head = tokenizer.encode(first[:CHECKED]).ids
        head = head[:-16] if len(first) > CHECKED else head  # a cut in the middle of a word changes its tokens
        if ids.max() >= vocabulary or lengths[ids].sum() != len(text.replace(SEPARATOR, "").encode()) \
                or ids[: len(head)].tolist() != head:
            out.append(f"tokens/{name}.npy is of another text or tokenizer")
    return out


def main() -> None:
    if len(sys.argv) != 3 and sys.argv[3:] != ["--check"]:
        sys.exit(__doc__)
    work, vocabulary = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:]:
        wrong = stale(work, vocabulary)
        if wrong:
            sys.exit(f"tokenizer.py: {work}: {'; '.join(wrong)}. Remove {work}/tokens to make them afresh, "
                     "and what was trained on them")
        return
    texts = texts_of(work)
    held_out = texts.pop("heldout")
    # The novels twice: they are what the model is sampled for.
    tokenizer = train([t.replace(SEPARATOR, "\n") for t in texts.values()] + [texts["austen"].replace(SEPARATOR, "\n")],
                      vocabulary)
    tokenizer.save(str(work / "tokenizer.json"))
    end = tokenizer.token_to_id(END)
    texts["heldout"] = held_out
    (work / "tokens").mkdir(exist_ok=True)
    print(f"{'source':<12}{'tokens':>12}{'bytes/token':>14}")
    for name, text in texts.items():
        books = text.split(SEPARATOR)
        ids = np.concatenate([np.array(tokenizer.encode(b).ids + [end], dtype=np.uint16) for b in books])
        np.save(work / "tokens" / f"{name}.npy", ids)
        print(f"{name:<12}{len(ids):>12,}{len(text.encode()) / len(ids):>14.2f}")


if __name__ == "__main__":
    main()
