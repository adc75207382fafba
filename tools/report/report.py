#!/usr/bin/env python3
"""Writes the report from result files. No number in it is typed by hand.

    report.py OUT [--budget full|quick|tiny] [--results DIR] [--limits FILE] [--logs DIR] [--figures DIR] [--check]

With --check nothing is written; the exit status is 1 where OUT differs from what its results make.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import findings
import likelihood
import markdown
import throughput
from plan import BUDGETS, Plan
from quality import Grid
from results import lines, measured

ROOT = Path(__file__).resolve().parents[2]
PAPER = Path(__file__).with_name("paper.json")


class Report:
    def __init__(self, out: Path, results: Path, limits: Path, logs: Path, figures: Path, budget: str):
        self.out, self.figures, self.budget = out, figures, budget
        self.plan = Plan.load(budget)
        self.rows = measured(lines(results / "compare.json"), self.plan)
        self.quality = lines(results / "quality.json")
        self.peers = lines(results / "peers.json")
        self.limits = lines(limits)
        starts = [lines(file)[0] for file in logs.glob("*.jsonl")]
        order = [run.name for run in Grid.load().runs]
        self.starts = sorted(starts, key=lambda start: order.index(start["run"]))
        self.paper = json.loads(PAPER.read_text())

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
weights over the batch, activations included, which is nearer to what the paper divides by. Throughput is that of decoding; "with
the prompt" counts from the prompt's first token.

The paper is {self.paper['title']} ({self.paper['url']}). Its numbers are shown where they could be had; a dash is a number that
could not."""

    def measured(self) -> str:
        if not self.rows:
            return f"Not measured yet: `{self.command()}` measures it."
        parts = [throughput.spread(self.rows)]
        for case in self.plan.cases:
            table = throughput.case(self.rows, case.name, self.paper)
            part = f"### {case.name}: {case.prompt} + {case.new} tokens\n\n{table}"
            if case.middle and any(c == case.name and not row.whole for (c, _, _), row in self.rows.items()):
                part += (f"\n\nFrom a batch of {case.middle_from} on, the {case.middle} new tokens in the middle are generated, whose mean "
                         "context is that of all. The cache is that at the end nevertheless, and the peak is larger than this run's "
                         "by what the cache still grows.")
            parts.append(part)
        parts.append(f"### Each at its best batch\n\n{throughput.highest(self.rows, self.plan)}\n\nA batch is left out where the one "
                     f"before gained less than {100 * self.plan.gain:.0f} % in tokens a second.")
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
pass. With the machine's read bandwidth and FMA peak they bound the time of a token from below, and the ratio of these bounds is
what the counts predict. How near each model comes to its own bound is the rest: what activations, small products, synchronisation
and imperfect overlap of reading and computing cost. Above 100 % a processor cache helps, or instructions are faster than the f32
FMA whose peak was measured.

{throughput.factors(self.rows, self.plan)}"""

    def against_peers(self) -> str:
        if not self.peers:
            return "Not measured yet."
        versions = {f"{r['engine']} {r['version']}" for r in self.peers if r.get("version")}
        case = self.plan.cases[0].name
        return f"""Vanilla of 600M parameters in {', '.join(sorted(versions))} and here, batch 1, measured in turns in a run of its own;
`photon` is this repository. RecGen was not in that run: its ratio to our vanilla above is divided by how much faster the peer is
than ours, at the mean context of {case} between the two measured. The cache of a sequence is taken to be the same in all.

{throughput.peers(self.peers, self.rows, self.plan)}"""

    def gpu(self) -> str:
        if not self.limits:
            return "Not counted yet: `tools/limits.sh` counts it."
        return f"""Nothing here was measured. Cache bytes are what the CUDA backend allocates for a sequence, blocks and padded heads
included, which is why they are above the CPU's. Tokens a second are what remains where every launch takes no longer than its
weights, growing keys and values and FLOPs need at the ceilings that [limits.md]({self.link('docs/limits.md')}) states: an upper
bound each, so their ratios are of bounds and not bounds of ratios.

{throughput.counted(self.limits, self.paper)}

Cache of a sequence at the paper's lengths:

{throughput.memory(self.rows, self.limits, self.paper)}"""

    def quality_section(self) -> str:
        if not self.quality:
            return f"Not evaluated yet: `{self.command()}` trains the models and evaluates them."
        text = self.quality[0]["text"]
        return f"""Bits per byte of held-out text, {text['windows']} windows of {text['window']} tokens; the first {text['prompt_tokens']} of
each are given and the rest is scored, in all modes the same. Intervals are 95 %, over windows.

{likelihood.text(self.quality)}
{self.picture('pareto-bits', 'Throughput per memory of the full-size model against the likelihood of the small trained one')}
### Accuracy

{self.quality[0]['tasks'][0]['questions']} questions of each task, zero-shot, by likelihood per character, with 95 % intervals.

{likelihood.accuracy(self.quality)}
{self.picture('pareto-accuracy', 'Throughput per memory of the full-size model against the accuracy of the small trained one')}"""

    def refresh(self) -> str:
        if not self.quality:
            return f"Not evaluated yet: `{self.command()}` trains the models and evaluates them."
        return f"""RecGen continues from its own reconstruction of the latents. With refresh k, the last k meta-contexts are encoded
again after every k; k = 1 is HierGen. Bits per byte beyond the same model's exact mode, differences window by window:

{likelihood.refresh(self.quality)}
{self.picture('refresh', 'What RecGen costs by refresh, runs of two levels')}"""

    def training(self) -> str:
        if not self.starts:
            return f"Not trained yet: `{self.command()}` trains the models."
        head = ["run", "parameters", "training MFLOP a token", "α", "sequences in exact, hiergen, open loop"]
        rows = [[s["run"], f"{s['parameters']:,}", f"{s['training_flops_per_token'] / 1e6:.2f}", f"{s['alpha']:g}",
                 ", ".join(str(s["modes"][m]) for m in ("exact", "hiergen", "open_loop"))] for s in self.starts]
        pictures = (self.picture("curves", "Held-out bits per byte during training")
                    + self.picture("curves-nll", "Held-out nats per token of every PHOTON run, by mode")
                    + self.picture("curves-rec", "Cosine distance of reconstructed and encoded latents, by mode"))
        return markdown.table(head, rows) + "\n" + pictures

    def findings(self) -> str:
        parts = []
        if self.rows:
            parts.append("**Throughput per memory**\n\n" + markdown.sentences(findings.ratios(self.rows, self.plan, self.paper)))
        parts.append("**Memory**\n\n" + markdown.sentences(findings.memory(self.rows, self.limits, self.paper)))
        if self.quality:
            items = findings.likelihood(self.quality) + findings.own_outputs(self.quality) + findings.accuracy(self.quality)
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
tools/report.sh                  # everything in full, onto this page: one to two hours on two cores
tools/report.sh --only-write     # this page and its figures out of the committed results
tools/report.sh --only-write --check    # whether it is what they make
```

The last 25 minutes of the full run measure throughput and want a quiet machine. Results are kept and what is there is not measured
again: remove `docs/results/compare.json` or `docs/results/quality.json` for a fresh run."""


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
