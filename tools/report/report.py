#!/usr/bin/env python3
"""Writes the report from result files. No number in it is typed by hand.

    report.py OUT [--budget full|quick|tiny] [--results DIR] [--limits FILE] [--logs DIR] [--figures DIR] [--check]

With --check nothing is written; the exit status is 1 where OUT differs from what its results make.
"""

import argparse
import os
import sys
from pathlib import Path

import coverage
import engines
import findings
import likelihood
import markdown
import paper
import throughput
import training
from files import lines
from plan import BUDGETS, Plan
from results import measured, records

ROOT = Path(__file__).resolve().parents[2]


class Report:
    def __init__(self, out: Path, results: Path, limits: Path, logs: Path, figures: Path, budget: str):
        self.out, self.figures, self.budget = out, figures, budget
        self.plan = Plan.load(budget)
        self.records = records(results / "compare.json", self.plan)
        self.rows = measured(self.records, self.plan)
        self.unfinished = coverage.unfinished(self.records, self.plan)
        self.quality = lines(results / "quality.json")
        self.peers = lines(results / "peers.json")
        self.limits = lines(limits)
        self.runs = training.of(logs)
        self.paper = paper.load()

    def picture(self, name: str, text: str) -> str:
        """Where there is one: what a figure is made of may be missing.  The SVG is behind the PNG."""
        kinds = [kind for kind in (".svg", ".png") if (self.figures / name).with_suffix(kind).exists()]
        if not kinds:
            return ""
        file = Path(os.path.relpath(self.figures / name, self.out.parent))
        return f"\n[![{text}]({file.with_suffix('.png').as_posix()})]({file.with_suffix(kinds[0]).as_posix()})\n\n{text}.\n"

    def link(self, file: str) -> str:
        """To a file of the repository, from where the page is."""
        return Path(os.path.relpath(ROOT / file, self.out.resolve().parent)).as_posix()

    def compared(self) -> str:
        lengths = "; ".join(f"**{case.name}** {case.prompt} + {case.new}" for case in self.plan.cases)
        names = ", ".join(f"`{name}`" for name in self.plan.models.values())
        return f"""Three architectures that are configurations of the same parts: the flat (vanilla) Transformer, the Block
Transformer, and PHOTON in its three modes `exact`, `hiergen` and `recgen`. [model.md]({self.link('docs/model.md')}) defines each.
Two questions are put to them, with different models:

- **Throughput and memory** of {names} with random weights. Prompt and new tokens: {lengths}.
- **Likelihood and accuracy** of small models trained from scratch on equal tokens and FLOPs
  ([tools/train]({self.link('tools/train/README.md')})).

**TPM** is the paper's throughput per memory: tokens a second of the whole batch over the memory of one sequence, in thousand
tokens/s per GiB. Memory here is a sequence's cache, exact to the byte; a second column takes the peak of all memory in use besides
weights over the batch, activations included, which is what the paper divides by and what its claims are judged by below.
Throughput is that of decoding; "with the prompt" counts from the prompt's first token.

The paper is {self.paper['title']} ({self.paper['url']}). Its numbers are shown where they could be had; a dash is a number that
could not."""

    def measured(self) -> str:
        if not self.rows:
            return f"Not measured yet: `{self.command()}` measures it."
        parts = [throughput.spread(self.rows), coverage.text(self.records, self.plan)]
        for case in self.plan.cases:
            table = throughput.case(self.rows, case, self.paper)
            part = f"### {case.name}: {case.prompt} + {case.new} tokens\n\n{table}"
            short = [row for (c, _, _), row in self.rows.items() if c == case.name and not row.whole]
            if short:
                part += (f"\n\nFrom a batch of {case.middle_from} on, the {case.middle} new tokens in the middle are generated, whose mean "
                         "context is that of all. The cache is that at the end nevertheless. The peak is that while decoding, because "
                         "the prompt of such a run is longer than the case's, and by what the cache still grows larger than this run's.")
                if any(row.peak is None for row in short):
                    part += " A dash is a peak of decoding that was not measured."
            parts.append(part)
        table = throughput.highest(self.rows, self.unfinished, self.plan)
        parts.append(f"### Each at its best batch\n\n{table}\n\nThe best batch is the best of "
                     "those measured. A dash is a ratio of which one side is not known, because not all planned batches of it "
                     "were measured. Different batches are measured at different times, so unlike those above these ratios are of "
                     "medians over rounds where the batches differ, and the machine's state does not cancel in them.")
        return "\n\n".join(parts)

    def claims(self) -> str:
        head = ["claim", "model", "from", "value"]
        rows = [[c["what"], c["model"], f"[{c['from']}]({c['url']})", f"{c['value']:,} ×"] for c in self.paper["ratios"]]
        return markdown.table(head, rows, 3)

    def explained(self) -> str:
        if not self.rows:
            return f"Not measured yet: `{self.command()}` measures it."
        return f"""The ratio of TPM is that of cache bytes times that of throughput. Cache bytes follow from the shapes. Of
throughput, bytes read and FLOPs are counted while the model runs: weight matrices once an operation, cached keys and values once a
pass. With the machine's read bandwidth and FMA peak they bound the time of a token from below, and the ratio of these bounds under
the limits of vanilla's run is what the counts predict. Two more factors make the ratio that was measured. The limits are measured
behind each run, so one is what the limits of this run allow over those of vanilla's: the machine's state, at 1 where it was the
same. The other is how near each model comes to the bound under the limits of its own run: what activations, small products,
synchronisation and imperfect overlap of reading and computing cost. Above 100 % a processor cache helps, instructions are faster
than the f32 FMA whose peak was measured, or the state changed between a run and its limits. In each round the factors multiply to the
ratio; what is shown of each is its median over rounds.

{throughput.factors(self.rows, self.plan)}"""

    def against_peers(self) -> str:
        if not self.peers:
            return "Not measured yet."
        versions = {f"{r['engine']} {r['version']}" for r in self.peers if r.get("version")}
        count = " or ".join(map(str, sorted({len(r["rounds"]) for r in self.peers})))
        names = " and ".join(f"`{name}`" for name in engines.modes(self.peers))
        if names:
            of = (f"{names} of photon-600m took turns with them in the same rounds, from the same context on but for more tokens, so that a "
                  "whole number of its meta-contexts is timed. It is bf16 in every row, beside int8 and q8_0 too. TPM is of cache bytes, "
                  "by shapes: an engine's vanilla model caches as many keys and values as ours, here in 16 bits each; fewer were not tried, and "
                  "that llama.cpp is given heads padded from 52 to 64, at which it is faster, is not held against it.")
        else:
            of = "RecGen was not in that run, so that there is no ratio to it here."
        return f"""Vanilla of 600M parameters in {', '.join(sorted(versions))} and here, batch 1, by the tokens of context where the
timed ones begin; `photon` is this repository. All were measured in turns in a run of its own, {count} rounds. {of}
Ratios are taken round by round: the median, and in brackets the least and the most. No context but the measured ones is spoken of. The
middle of a case is where half of its new tokens have been generated. Our vanilla comes last, or first, in a round, and feeds a prompt that
the other engines need not: at the longest context its rows are minutes away from theirs and from PHOTON's.

{engines.table(self.peers, self.plan)}"""

    def gpu(self) -> str:
        if not self.limits:
            return "Not counted yet: `tools/limits.sh` counts it."
        return f"""Nothing here was measured. Cache bytes are what the CUDA backend allocates for a sequence, in whole blocks of 32
units, which is why they are above the CPU's where the last block is not full. Tokens a second are what remains where every launch takes no longer than its
weights, growing keys and values and FLOPs need at the ceilings that [limits.md]({self.link('docs/limits.md')}) states: an upper
bound each, so their ratios are of bounds and not bounds of ratios.

{throughput.counted(self.limits, self.paper)}

Cache of a sequence at the paper's lengths:

{throughput.memory(self.rows, self.limits, self.plan, self.paper)}"""

    def quality_section(self) -> str:
        if not self.quality:
            return f"Not evaluated yet: `{self.command()}` trains the models and evaluates them."
        text = self.quality[0]["text"]
        return f"""Bits per byte of held-out text, {text['windows']} windows of {text['window']} tokens; the first {text['prompt_tokens']} of
each are given and the rest is scored, in all modes the same{self.short(text)}. Intervals are 95 %, over windows.

{likelihood.text(self.quality)}
{self.picture('pareto-bits', 'Throughput per memory of the full-size model against the likelihood of the small trained one')}
### Accuracy

{self.quality[0]['tasks'][0]['questions']} questions of each task, zero-shot, by likelihood per character, with 95 % intervals.

{likelihood.accuracy(self.quality)}
{self.picture('pareto-accuracy', 'Throughput per memory of the full-size model against the accuracy of the small trained one')}"""

    @staticmethod
    def short(text: dict) -> str:
        """Of windows that end before anything is scored, that is the last of a text."""
        scored = len(text.get("scored_bytes", ()))
        return f"; {scored} have a rest" if 0 < scored < text["windows"] else ""

    def refresh(self) -> str:
        if not self.quality:
            return f"Not evaluated yet: `{self.command()}` trains the models and evaluates them."
        return f"""RecGen continues from its own reconstruction of the latents. With refresh k, the last k meta-contexts are encoded
again after every k; k = 1 is HierGen. Bits per byte beyond the same model's exact mode, differences window by window:

{likelihood.refresh(self.quality)}
{self.picture('refresh', 'What RecGen costs by refresh, runs of two levels')}"""

    def training(self) -> str:
        if not self.runs:
            return f"Not trained yet: `{self.command()}` trains the models."
        pictures = (self.picture("curves", "Held-out bits per byte during training")
                    + self.picture("curves-nll", "Held-out nats per token of every PHOTON run, by mode")
                    + self.picture("curves-rec", "Cosine distance of reconstructed and encoded latents, by mode"))
        text = training.text(self.runs, self.quality, self.link("docs/training.md"))
        return f"{text}\n\n{training.table(self.runs)}\n{pictures}"

    def findings(self) -> str:
        parts = []
        if self.rows:
            items = findings.ratios(self.rows, self.unfinished, self.plan, self.paper)
            items += findings.other_engines(self.peers, self.plan)
            parts.append("**Throughput per memory**\n\n" + markdown.sentences(items))
        parts.append("**Memory**\n\n" + markdown.sentences(findings.memory(self.rows, self.limits, self.plan, self.paper)))
        if self.quality:
            items = findings.likelihood(self.quality, self.runs) + findings.own_outputs(self.quality) + findings.accuracy(self.quality)
            parts.append("**Quality**\n\n" + markdown.sentences(items))
        parts.append("**Not tried, or not comparable**\n\n" + markdown.sentences(findings.never(self.rows, self.paper)))
        return "\n\n".join(parts)

    def command(self) -> str:
        return "tools/report.sh" + ("" if self.budget == "full" else f" --{self.budget}")

    def text(self) -> str:
        warning = ""
        if self.budget != "full":
            warning = f"**Written by `{self.command()}`: it shows that everything runs. Its numbers mean nothing.**\n\n"
        sections = {
            "What was compared": self.compared(),
            "Throughput per memory, on a CPU": self.measured(),
            "What the paper claims": self.claims(),
            "What explains the factors": self.explained(),
            "Against other engines": self.against_peers(),
            "On GPUs: counted, not measured": self.gpu(),
            "Quality of small trained models": self.quality_section(),
            "RecGen's likelihood, by refresh": self.refresh(),
            "Training": self.training(),
            "What reproduced and what did not": self.findings(),
            "How to make this page again": HOW,
        }
        body = "\n\n".join(f"## {title}\n\n{text.strip()}" for title, text in sections.items())
        return f"# PHOTON against vanilla and Block Transformers\n\n{warning}{body}\n"


HOW = """```sh
tools/report.sh --quick          # everything once, small: trains, evaluates, measures, writes target/report/quick
tools/report.sh                  # everything in full, onto this page
tools/report.sh --only-write     # this page and its figures, those of training too, out of the committed results
tools/report.sh --only-write --check    # whether the page is what they make
tools/peers.sh                   # the other engines, measured again
```

The last part of the full run measures throughput and wants a quiet machine. What is there is not done again as long as it is of the
same weights, texts and settings, throughput besides of the same build of the program and the same processor; a round of which a part is
missing is measured again. The full plan caps the rounds of each batch, `--rounds N` asks for fewer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    docs = ROOT / "docs"
    parser.add_argument("out", type=Path)
    parser.add_argument("--budget", choices=BUDGETS, default="full")
    parser.add_argument("--results", type=Path, default=docs / "results")
    parser.add_argument("--limits", type=Path, default=docs / "results" / "limits.json")
    parser.add_argument("--logs", type=Path, default=docs / "results" / "train")
    parser.add_argument("--figures", type=Path, default=docs / "figures")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text = Report(args.out, args.results, args.limits, args.logs, args.figures, args.budget).text()
    if not args.check:
        args.out.write_text(text)
    elif not args.out.exists() or args.out.read_text() != text:
        sys.exit(f"{args.out} is not what its results make; run tools/report.sh --only-write")


if __name__ == "__main__":
    main()
