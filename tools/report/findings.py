"""Sentences that follow from the results: what was reached of the paper's claims and what was not."""

import engines
import markdown
import paper as papers
import training
from coverage import BASE
from likelihood import against_chance, beyond, bits, differences
from plan import Plan
from results import best, best_ratio, pair


def ratios(rows: dict, unfinished: set, plan: Plan, paper: dict) -> list[str]:
    """RecGen's TPM over vanilla's, and the paper's claims of it."""
    out = []
    for case in plan.cases:
        found, of_peak = [], []
        for batch in case.batches:
            row = rows.get((case.name, "photon recgen", batch))
            both = pair(rows, row) if row else None
            if both:
                found.append(f"{markdown.number(both.tpm)} at batch {batch}")
                of_peak.append(markdown.number(both.tpm_peak))
        if found:
            lengths = f"{case.name} ({case.prompt} + {case.new} tokens)"
            out.append(f"{lengths}: RecGen's TPM over vanilla's is {', '.join(found)}. Divided by peaks instead of caches it is "
                       f"{', '.join(of_peak)}.")
        own, base = best(rows, case.name, "photon recgen"), best(rows, case.name, BASE)
        ratio = best_ratio(rows, unfinished, case.name, "photon recgen")
        if ratio and len(case.batches) > 1:
            out.append(f"{case.name}, each at its best batch ({own.run.batch} and {base.run.batch}): {markdown.number(ratio)}.")
        elif own and base and len(case.batches) > 1:
            out.append(f"{case.name}, each at its best batch: not known, because not all planned batches were measured.")
    return out + claims(rows, plan, paper)


def claims(rows: dict, plan: Plan, paper: dict) -> list[str]:
    """The paper's ratios beside the highest one at the paper's lengths, by peak memory as the paper has it."""
    regimes = {case.name for case in plan.cases if papers.at_its_lengths(paper, case)}
    found = [both for (case, name, _), row in rows.items() if case in regimes and name != BASE and (both := pair(rows, row))]
    if not found:
        return ["Nothing was measured at the paper's lengths, so its ratios of throughput per memory have nothing to stand beside."]
    known = [both for both in found if both.tpm_peak]
    peak, cache = max(known, key=lambda both: both.tpm_peak, default=None), max(found, key=lambda both: both.tpm)

    def where(both) -> str:
        return f"{both.row.run.case}, {both.row.run.name}, batch {both.row.run.batch}"

    out = []
    for claim in paper["ratios"]:
        if not claim["what"].startswith("throughput per memory"):
            continue
        head = f"{claim['what'][0].upper()}{claim['what'][1:]} {claim['value']:,} ({claim['from']})"
        if peak is None:
            text = f"{head}: not judged, no peak of both models was measured."
        else:
            verdict = "as high" if peak.tpm_peak >= claim["value"] else "not as high"
            text = (f"{head}: {verdict} here, on a CPU at the paper's lengths. Divided by the peak of all memory beside weights, which is "
                    f"what the paper divides by, the highest ratio at equal batch is {markdown.number(peak.tpm_peak)} ({where(peak)}).")
            if len(known) < len(found):
                text += f" {len(found) - len(known)} of {len(found)} ratios have no peak and are not among them."
        out.append(f"{text} Divided by cache bytes alone it is {markdown.number(cache.tpm)} ({where(cache)}).")
    return out


def other_engines(peers: list[dict], plan: Plan) -> list[str]:
    """RecGen's TPM over that of the best vanilla model of other engines, where one run has both."""
    found = "; ".join(engines.against_the_best(peers, plan))
    return [f"Against other engines' vanilla at batch 1, by cache bytes, since peaks of theirs were not measured: {found}."] if found else []


def memory(rows: dict, limits: list[dict], plan: Plan, paper: dict) -> list[str]:
    """Cache bytes beside the paper's memory."""
    cuda = {(r["regime"], f"{r['model'].split('-')[0]} {r['mode']}"): r["cache_bytes"] for r in limits}
    same = {case.name for case in plan.cases if papers.at_its_lengths(paper, case)}
    out = []
    for regime, known in paper["memory_gib_per_sequence"].items():
        if regime == "model":
            continue
        for name, theirs in known.items():
            row = rows.get((regime, name, 1)) if regime in same else None
            parts = [f"{markdown.gib(row.cache)} GiB on the CPU"] if row else []
            parts += [f"{markdown.gib(cuda[regime, name])} GiB on CUDA"] if (regime, name) in cuda else []
            if parts:
                out.append(f"{regime}, {name}: a sequence's cache is {' and '.join(parts)}; the paper has {theirs:.3f} for all memory "
                           "of a sequence.")
    return out


def likelihood(quality: list[dict], runs: list[dict]) -> list[str]:
    """How the architectures and the parallel modes compare, at this size."""
    out = []
    flat = next((line for line in quality if line["architecture"] == "vanilla"), None)
    others = [(line["run"], beyond(line, flat)) for line in quality if flat and line is not flat]
    others = [f"{name} {markdown.interval(more, 3, sign='+')}" for name, more in others if more]
    if others:
        out.append(f"Bits per byte beyond `{flat['run']}`'s at equal tokens and FLOPs, all in exact mode, window by window: "
                   f"{', '.join(others)}. {ONE_TEXT} {training.size(runs)}: what the paper says of 600M and more is neither confirmed nor "
                   "refuted.")
    out += seeds(quality)
    costs = []
    for line in quality:
        known = differences(line)
        if "recgen" in known:
            costs.append(f"{line['run']} {markdown.interval(known['hiergen'], 3)} and {markdown.interval(known['recgen'], 3)}")
    if costs:
        out.append("Bits per byte of HierGen and RecGen beyond the same model's exact mode, which the paper does not give: "
                   + "; ".join(costs) + ".")
    return out


ONE_TEXT = "The intervals are of the windows of one text. What another seed of training would change is not in them."


def same(a: dict, b: dict) -> bool:
    """Whether runs differ in their seed or in training on own outputs alone."""
    return all(a[key] == b[key] for key in ("architecture", "condition", "alpha"))


def seeds(quality: list[dict]) -> list[str]:
    """What a second seed changes."""
    out = []
    for twin in quality:
        line = next((x for x in quality if x.get("seed") is None and same(x, twin) and x["own_output"] == twin["own_output"]), None)
        if twin.get("seed") is None or line is None:
            continue
        changes = [f"{mode} {markdown.interval(more, 3, sign='+')}" for mode in ("exact", "hiergen", "recgen")
                   if (more := beyond(twin, line, mode))]
        if changes:
            out.append(f"Another seed, `{line['run']}` → `{twin['run']}`, bits per byte: {', '.join(changes)}. One pair bounds nothing, but "
                       "differences of that size between other runs are not to be read as theirs.")
    return out


def own_outputs(quality: list[dict]) -> list[str]:
    """What training on own outputs changes, for pairs of runs that differ in it alone."""
    out = []
    for line in quality:
        twin = next((x for x in quality if x["own_output"] and x.get("seed") == line.get("seed") and same(x, line)), None)
        if twin and not line["own_output"]:
            before, after = bits(line), bits(twin)
            changes = []
            for mode in ("exact", "hiergen", "recgen"):
                more = beyond(twin, line, mode)
                changes.append(f"{mode} {before[mode]['value']:.3f} → {after[mode]['value']:.3f}"
                               + (f" ({markdown.interval(more, 3, sign='+')})" if more else ""))
            out.append(f"Training on own outputs, `{line['run']}` → `{twin['run']}`, bits per byte: {', '.join(changes)}.")
    return out


def accuracy(quality: list[dict]) -> list[str]:
    """Whether any accuracy is told from chance."""
    count, apart = against_chance(quality)
    inside = count - len(apart)
    verdict = "shows nothing at this size" if inside >= 0.9 * count else "is told from chance in places"
    text = (f"Task accuracy {verdict}: of {count} accuracies {inside} have chance inside their 95 % interval. By luck alone "
            f"{0.05 * count:.0f} would be expected outside; {len(apart)} are")
    return [text + (": " + "; ".join(apart) if apart else "") + ". They are no independent trials: all answer the same questions, and "
            "modes of one model or models of one text tend to agree, so that they leave their intervals together or not at all."]


def never(rows: dict, paper: dict) -> list[str]:
    """What has not been tried, or has nothing to stand beside."""
    out = [f"The paper's {missing}: not to be had in a form that can be cited, so nothing stands beside ours."
           for missing in paper["missing"]]
    if {row.record["device"] for row in rows.values()} <= {"cpu"}:
        out.append("No GPU was used: for GPUs there are exact cache bytes and bounds, not one time.")
    out.append("900M and 1.2B were not measured, and no model of 600M was trained: throughput is that of seeded random weights.")
    return out
