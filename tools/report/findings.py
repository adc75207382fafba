"""Sentences that follow from the results: what was reached of the paper's claims and what was not."""

import markdown
from likelihood import against_chance, bits, differences
from plan import Plan
from results import best
from throughput import BASE


def ratios(rows: dict, plan: Plan, paper: dict) -> list[str]:
    """TPM over vanilla, beside the paper's claims."""
    out = []
    for case in plan.cases:
        found = []
        for batch in case.batches:
            row, base = rows.get((case.name, "photon recgen", batch)), rows.get((case.name, BASE, batch))
            if row and base:
                found.append(f"{markdown.number(row.tpm / base.tpm)} at batch {batch}")
        if found:
            out.append(f"{case.name} ({case.prompt} + {case.new} tokens): RecGen's TPM over vanilla's is {', '.join(found)}.")
        own, base = best(rows, case.name, "photon recgen"), best(rows, case.name, BASE)
        if own and base and len(found) > 1:
            out.append(f"{case.name}, each at its best batch ({own.run.batch} and {base.run.batch}): {markdown.number(own.tpm / base.tpm)}.")
    # The paper's lengths; what is longer is said above.
    regimes = set(paper["memory_gib_per_sequence"]) & {case.name for case in plan.cases}
    reached = {}
    for (case, _, batch), row in rows.items():
        base = rows.get((case, BASE, batch))
        if base and case in regimes:
            reached[row.tpm / base.tpm] = row.run
    if reached:
        most = max(reached)
        run = reached[most]
        for claim in paper["ratios"]:
            if claim["what"].startswith("throughput per memory"):
                verdict = "as high" if most >= claim["value"] else "not as high"
                out.append(f"{claim['what'].capitalize()} {claim['value']:,} ({claim['from']}): {verdict} here, on a CPU at the paper's lengths, where the "
                           f"highest ratio at equal batch is {markdown.number(most)} ({run.case}, {run.name}, batch {run.batch}). Ours divides by cache bytes, "
                           "the paper by memory that includes activations.")
    return out


def memory(rows: dict, limits: list[dict], paper: dict) -> list[str]:
    out = []
    for regime, known in paper["memory_gib_per_sequence"].items():
        if regime == "model":
            continue
        for name, theirs in known.items():
            row = rows.get((regime, name, 1))
            cuda = next((r for r in limits if (r["regime"], f"{r['model'].split('-')[0]} {r['mode']}") == (regime, name)), None)
            parts = [f"{markdown.gib(row.cache)} GiB on the CPU"] if row else []
            parts += [f"{markdown.gib(cuda['cache_bytes'])} on CUDA"] if cuda else []
            if parts:
                out.append(f"{regime}, {name}: a sequence's cache is {' and '.join(parts)}; the paper has {theirs:.3f} for all memory of a sequence.")
    return out


def likelihood(quality: list[dict]) -> list[str]:
    """How the parallel modes and the architectures compare, at this size."""
    out = []
    exact = {line["run"]: bits(line)["exact"]["value"] for line in quality}
    flat = next((line["run"] for line in quality if line["architecture"] == "vanilla"), None)
    if flat:
        worse = [(name, value - exact[flat]) for name, value in exact.items() if name != flat]
        behind = [f"{name} {value:+.3f}" for name, value in worse if value > 0]
        if behind:
            out.append(f"At equal tokens and FLOPs, bits per byte beyond `{flat}`'s, all in exact mode: {', '.join(behind)}. These are models of a few "
                       "million parameters after a few minutes; what the paper says of 600M and more is neither confirmed nor refuted.")
    for line in quality:
        known = differences(line)
        if "recgen" in known:
            out.append(f"{line['run']}: HierGen costs {markdown.interval(known['hiergen'], 3)} bits per byte beyond exact, RecGen "
                       f"{markdown.interval(known['recgen'], 3)}. The paper gives neither.")
    return out


def own_outputs(quality: list[dict]) -> list[str]:
    """What training on own outputs changes, for pairs of runs that differ in it alone."""
    out = []
    for line in quality:
        if line["own_output"] or not line["condition"]:
            continue
        twin = next((x for x in quality if x["own_output"] and all(x[k] == line[k] for k in ("architecture", "condition", "alpha"))), None)
        if twin:
            changes = [f"{mode} {bits(line)[mode]['value']:.3f} → {bits(twin)[mode]['value']:.3f}" for mode in ("exact", "hiergen", "recgen")]
            out.append(f"Training on own outputs, `{line['run']}` → `{twin['run']}`, bits per byte: {', '.join(changes)}.")
    return out


def accuracy(quality: list[dict]) -> list[str]:
    count, apart = against_chance(quality)
    text = (f"Task accuracy shows nothing at this size: of {count} accuracies, {count - len(apart)} have chance inside their 95 % interval. By luck alone "
            f"{0.05 * count:.0f} would be expected outside; {len(apart)} are")
    return [text + (": " + "; ".join(apart) + "." if apart else ".")]


def never(rows: dict, paper: dict) -> list[str]:
    """What has not been tried at all."""
    device = {row.record["device"] for row in rows.values()}
    out = [f"The paper's {missing} could not be had in a form that can be cited, so nothing stands beside ours there." for missing in paper["missing"]]
    if device <= {"cpu"}:
        out.append("No GPU was used: for GPUs there are exact cache bytes and bounds, not one time.")
    out.append("900M and 1.2B were not measured; no model of 600M was trained. Throughput is that of seeded random weights.")
    return out
