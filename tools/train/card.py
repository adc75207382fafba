"""Writes the model card.  Every number in it comes from the files that training and scoring left.

    python card.py CONFIG WORKDIR MODEL_DIR
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open

SOURCES = {
    "austen": ("Jane Austen: Emma, Mansfield Park, Persuasion, Pride and Prejudice, Sense and Sensibility",
               "r-cran-janeaustenr"),
    "melville": ("Herman Melville: Moby Dick", "r-cran-tokenizers"),
    "henry": ("Matthew Henry's Concise Commentary, without the sentences that cite verses", "sword-comm-mhcc"),
    "web": ("World English Bible with Deuterocanon", "sword-text-web"),
}


def table(head: list[str], rows: list[list]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def parameters(path: Path) -> int:
    with safe_open(path, "pt") as f:
        return sum(int(np.prod(f.get_slice(name).get_shape())) for name in f.keys())


def data_table(work: Path, mix: dict, seen: int) -> str:
    total, rows = sum(mix.values()), []
    for name, weight in mix.items():
        title, package = SOURCES[name]
        tokens = len(np.load(work / "tokens" / f"{name}.npy"))
        size = (work / "text" / f"{name}.txt").stat().st_size
        share = weight / total
        rows.append([title, f"`{package}`", f"{size:,}", f"{tokens:,}", f"{share:.0%}", f"{share * seen / tokens:.1f}"])
    return table(["text", "Debian package", "bytes", "tokens", "share of the windows", "passes"], rows)


def score_table(scores: dict) -> str:
    names = {"exact": "`exact`", "hiergen": "`hiergen`", "recgen": "`recgen`, open loop"}
    names |= {f"refresh {k}": f"`recgen`, refresh {k}" for k in (1, 2, 4, 8)}
    order = ["exact", "hiergen", "refresh 1", "refresh 2", "refresh 4", "refresh 8", "recgen"]
    bits, base = scores["bits_per_byte"], scores["bits_per_byte"]["exact"]
    return table(["mode", "bits per byte", "against `exact`"],
                 [[names[n], f"{bits[n]:.4f}", f"{100 * (bits[n] / base - 1):+.1f} %"] for n in order])


def quoted(prompt: str, text: str) -> str:
    body = f"**{prompt}**{text}".replace("<|endoftext|>", "").strip()
    return "\n".join(f"> {line}".rstrip() for line in body.split("\n"))


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    config, work, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), Path(sys.argv[3])
    scores = json.loads((out / "scores.json").read_text())
    generated = json.loads((work / "samples.json").read_text())
    log = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text().splitlines()]
    last, model, loss = log[-1], config["model"], config["loss"]
    bits = scores["bits_per_byte"]
    by_meta = scores["recgen_bits_per_byte_by_meta"]
    lost = bits["recgen"] - bits["exact"]
    samples = []
    for prompt in dict.fromkeys(s["prompt"] for s in generated["samples"]):
        for s in generated["samples"]:
            if s["prompt"] == prompt:
                samples.append(f"`{s['mode']}`\n\n{quoted(prompt, s['text'])}")
    settings = generated["settings"]
    levels = model["levels"]
    metas = config["window"] // int(np.prod([level["chunk_length"] for level in levels]))
    # A run whose settings were changed on the way says so in a file of its own.
    remark = work / "run" / "remarks.txt"
    remarks = f" ({remark.read_text().strip()})" if remark.exists() else ""
    heldout = (work / "heldout.txt").stat().st_size
    card = f"""# {config['name']}

A PHOTON of {parameters(out / 'model.safetensors'):,} parameters, trained from scratch on public-domain English prose, so that every
generation mode can be tried, and its cost in quality seen, on any machine. In `exact` mode it writes in the manner of
its few books. It knows nothing, follows no instructions, and is of no use beyond showing how the modes work.

Made by `tools/train/run.sh`, which also wrote this page; the numbers are in `scores.json`.

## Model

Hidden size {model['hidden_size']}, {model['num_attention_heads']} heads of {model['hidden_size'] // model['num_attention_heads']}, intermediate {model['intermediate_size']}, {levels[0]['encoder_layers']} layers in each of the {2 * len(levels)} stacks, chunks of {' and '.join(str(l['chunk_length']) for l in levels)}
(a meta-context is {int(np.prod([l['chunk_length'] for l in levels]))} tokens), prefixes of {levels[0]['prefix_length']}, `condition` = `{model['condition']}`, byte-level BPE of {model['vocab_size']:,} tokens, stored as BF16.
Trained on windows of {config['window']:,} tokens; what comes behind that many has positions it never saw in training.

## Data

{data_table(work, config['mix'], last['tokens'])}

Held out: Austen's Northanger Abbey, {heldout:,} bytes, which neither the tokenizer nor the training saw (its author's other
novels are in the training data, so this is the kindest of held-out texts). Quotes and dashes are reduced to ASCII and
hard-wrapped lines joined to paragraphs. The novels and the commentary are in the public domain by age; the World
English Bible was dedicated to it by its translators. None of the text is in this repository.

## Training

{last['step']:,} steps of {config['batch']} x {config['window']:,} tokens, {last['tokens'] / 1e6:.1f} M tokens in {last['seconds'] / 60:.0f} minutes of wall-clock time on one CPU core, part of it shared with other
work ({last['tokens'] / last['seconds']:,.0f} tokens a second). Muon for the matrices of the stacks, AdamW for the rest; constant rate after {config['warmup_steps']} steps
of warm-up, then decay to zero over the last {config['decay_fraction']:.0%} of the time.
Loss: NLL(`exact`) + {loss['hiergen']} NLL(`hiergen`) + {loss['open_loop']} NLL(open loop) + {loss['rec']} L_rec. The open-loop term, which is not in the paper,
is RecGen's situation one step deep: the top-level input is the chunk of a reconstruction, and the meta behind it is scored.
`exact` is scored on all metas of a window, hiergen on {config['hiergen_metas']} and the open loop on {config['open_loop_metas']} of the {metas}, drawn anew each step{remarks}. Dropout {config['dropout']}
outside level 1's decoder.

## Held-out bits per byte

{scores['windows']} windows of {scores['window']} tokens of the held-out novel; the first {scores['prompt']} tokens of each are the prompt and the other
{scores['window'] - scores['prompt']} are scored ({scores['scored_tokens']:,} tokens, {scores['scored_bytes']:,} bytes), the same ones in every mode. These are the BF16 weights computed with in F32.

{score_table(scores)}

**How far RecGen falls behind.** {lost:.3f} bits per byte, {100 * lost / bits['exact']:.1f} %, behind `exact` and {bits['recgen'] - bits['hiergen']:.3f} behind `hiergen`. In its first meta-context behind
the prompt it is `hiergen` ({by_meta[0]:.3f}); in the last of the {len(by_meta)} it is at {by_meta[-1]:.3f}. The likelihood understates what a reader
notices: open loop, the latents never learn which tokens were drawn, and in both parallel modes the chunks of a
meta-context do not see each other's tokens. Each piece is plausible where it stands and the seams do not fit, so the
text of `hiergen` is broken, and that of `recgen` more so, where `exact` is English in grammar and manner, though seldom
in sense. A model this small cannot decide in its latents what the next sixteen tokens are.

## Samples

{settings['new_tokens']} tokens, temperature {settings['temperature']}, top-p {settings['top_p']}, seed {settings['seed']}; the first draw, not the best. The prompt is bold.

{chr(10).join(s + chr(10) for s in samples)}"""
    (out / "README.md").write_text(card.rstrip() + "\n")
    print(out / "README.md")


if __name__ == "__main__":
    main()
