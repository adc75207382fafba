"""Sentences that follow from the results: what was reached of the paper's claims and what was not."""

import markdown
import paper as papers
import training
from coverage import BASE
from likelihood import against_chance, bits, differences
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
    exact = {line["run"]: bits(line)["exact"]["value"] for line in quality}
    flat = next((line["run"] for line in quality if line["architecture"] == "vanilla"), None)
    if flat and len(exact) > 1:
        others = [f"{name} {value - exact[flat]:+.3f}" for name, value in exact.items() if name != flat]
        out.append(f"Bits per byte beyond `{flat}`'s at equal tokens and FLOPs, all in exact mode: {', '.join(others)}. {NO_INTERVAL} "
                   f"{training.size(runs)}: what the paper says of 600M and more is neither confirmed nor refuted.")
    costs = []
    for line in quality:
        known = differences(line)
        if "recgen" in known:
            costs.append(f"{line['run']} {markdown.interval(known['hiergen'], 3)} and {markdown.interval(known['recgen'], 3)}")
    if costs:
        out.append("Bits per byte of HierGen and RecGen beyond the same model's exact mode, which the paper does not give: "
                   + "; ".join(costs) + ".")
    return out


NO_INTERVAL = ("Differences between runs have no interval: that would have to be taken window by window, as those between modes of one "
               "model are, and the results have no likelihood of single windows. The runs' own intervals say little of it, since "
               "most of their width is how windows differ from one another, in all runs alike; and every run has one seed.")


def own_outputs(quality: list[dict]) -> list[str]:
    """What training on own outputs changes, for pairs of runs that differ in it alone."""
    def same(a: dict, b: dict) -> bool:
        return all(a[key] == b[key] for key in ("architecture", "condition", "alpha"))

    out = []
    for line in quality:
        twin = next((x for x in quality if x["own_output"] and not line["own_output"] and same(x, line)), None)
        if twin:
            before, after = bits(line), bits(twin)
            changes = [f"{mode} {before[mode]['value']:.3f} → {after[mode]['value']:.3f}" for mode in ("exact", "hiergen", "recgen")]
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
