"""The tables of throughput and memory: what was measured on the CPU, what explains it, what is counted for GPUs."""

import markdown
import paper as papers
from coverage import BASE
from plan import Case, Plan
from results import Pair, best, best_ratio, limits, pair, tpm


def case(rows: dict, which: Case, paper: dict) -> str:
    """All configurations of a case, and their ratios to the vanilla model of the same batch, taken round by round."""
    head = ["model, mode, batch", "rounds", "tokens/s", "× vanilla", "with the prompt", "cache, GiB a sequence",
            "peak, GiB a sequence", "paper's memory, GiB", "TPM", "× vanilla", "TPM of the peak", "× vanilla"]
    memory = papers.memory(paper, which)
    out = []
    for (of, _, batch), row in rows.items():
        if of != which.name:
            continue
        both = pair(rows, row)
        out.append([
            f"{row.run.name}, {batch}", str(len(row.rounds)), markdown.number(row.rate),
            markdown.ratios(both.speedups) if both else "–",
            markdown.number(row.rate_with_prompt) if row.whole else "–", markdown.gib(row.cache), markdown.gib(row.peak),
            f"{memory[row.run.name]:.3f}" if row.run.name in memory else "–", markdown.number(row.tpm),
            markdown.times(both.tpm if both else None), markdown.number(row.tpm_peak),
            markdown.times(both.tpm_peak if both else None)])
    return markdown.table(head, out)


def spread(rows: dict) -> str:
    """How far rounds were apart, and the machine's limits."""
    read, fma = limits(rows)
    records = [record for row in rows.values() for record in row.rounds.values()]
    first = records[0]
    repeated = [max(row.rates) / min(row.rates) - 1 for row in rows.values() if len(row.rates) > 1]
    text = (f"{first['threads']} threads, {first['dtype']} weights with seeded random values. Behind each run the machine's limits are "
            f"measured: over all runs, memory was read at {min(read):.0f} to {max(read):.0f} GB/s and the FMA peak was "
            f"{min(fma) / 1e9:.0f} to {max(fma) / 1e9:.0f} GFLOP/s. What is compared at one batch is therefore measured back to back, in "
            "turned order every other round, and ratios to vanilla are taken round by round: the median is shown, and in brackets "
            "the least and the most. The tokens a second beside them are medians over rounds, so they need not divide to the same.")
    if repeated:
        text += f" Rounds of one row were up to {100 * max(repeated):.0f} % apart."
    else:
        text += " Every row has one round: a ratio whose two runs met the machine in two states is off by as much."
    return text + origin(records)


def origin(records: list[dict]) -> str:
    """Where, when and by what the records were measured, as far as they say."""
    programs = sorted({record["program"] for record in records if "program" in record})
    machines = sorted({record["cpu"] for record in records if "cpu" in record})
    times = sorted(record["time"] for record in records if "time" in record)
    if not times:
        return " These records are of a time when the program and the machine were not written down with them."
    text = f" Measured by {' and '.join(programs)} on {' and '.join(machines)}, {times[0][:16]} to {times[-1][:16]} UTC"
    if len(programs) > 1 or len(machines) > 1 or len(times) < len(records):
        text += "; **these are not of one program and machine, and a run that was stopped has to be finished first**"
    seconds = [record.get("wall_seconds") for record in records]
    return text + (f"; the runs took {markdown.duration(sum(seconds))} together." if None not in seconds else ".")


def pairs(rows: dict, plan: Plan) -> list[Pair]:
    """Configurations of batch 1 and of the largest batch that vanilla has too, each with its vanilla."""
    out = []
    for each in plan.cases:
        batches = sorted({batch for (case, name, batch) in rows if (case, name) == (each.name, BASE)})
        for batch in dict.fromkeys((batches[:1] + batches[-1:])):
            found = [pair(rows, row) for (case, name, b), row in rows.items()
                     if (case, b) == (each.name, batch) and name != BASE and row.run.refresh is None]
            out += [both for both in found if both]
    return out


def factors(rows: dict, plan: Plan) -> str:
    """TPM over vanilla's = cache bytes x throughput; throughput = what counts say x the machine's state x nearness to the limits."""
    head = ["case, model, mode, batch", "TPM over vanilla's", "= cache bytes, fewer", "by shapes", "× tokens/s",
            "bytes read a token, fewer", "FLOPs a token, fewer", "tokens/s by the counts", "× limits, against vanilla's run",
            "× nearness to them", "of vanilla", "own"]
    out = []
    for both in pairs(rows, plan):
        row, base = both.row, both.base
        shapes = base.record["cache_bytes_per_token"] / row.record["cache_bytes_per_token"]
        out.append([
            f"{row.run.case}, {row.run.name}, {row.run.batch}", markdown.times(both.tpm),
            markdown.times(base.cache / row.cache), markdown.times(shapes), markdown.times(both.speedup),
            markdown.times(base.bytes_per_token / row.bytes_per_token),
            markdown.times(base.flops_per_token / row.flops_per_token), markdown.times(both.predicted), markdown.times(both.luck),
            markdown.times(both.nearer), f"{100 * base.nearness:.0f} %", f"{100 * row.nearness:.0f} %"])
    return markdown.table(head, out)


def highest(rows: dict, unfinished: set, plan: Plan) -> str:
    """Every mode at the batch where its TPM is highest: the comparison of what each does best."""
    head = ["model, mode"] + [f"{each.name}: {what}" for each in plan.cases for what in ("TPM", "at batch", "× vanilla")]
    out = []
    for name in dict.fromkeys(row.run.name for row in rows.values() if row.run.refresh is None):
        line = [name]
        for each in plan.cases:
            row = best(rows, each.name, name)
            if row is None:
                line += ["–"] * 3
            else:
                line += [markdown.number(row.tpm), str(row.run.batch), markdown.times(best_ratio(rows, unfinished, each.name, name))]
        out.append(line)
    return markdown.table(head, out)


def counted(records: list[dict], paper: dict) -> str:
    """For GPUs: cache bytes, and tokens a second that the counted bytes and operations leave at most."""
    head = ["regime, model, mode, batch", "cache bytes a sequence", "GiB", "paper's memory, GiB", "cache, × fewer than vanilla's",
            "H100: tokens/s at most", "× vanilla's", "H200: tokens/s at most", "× vanilla's", "H100: TPM at most", "× vanilla's"]

    def rates(record: dict) -> tuple[float, float]:
        tokens = record["tokens"] * record["batch"]
        return tokens / record["h100_us"] * 1e6, tokens / record["h200_us"] * 1e6

    found = {}
    for record in records:
        total = record["total"]
        family = record["model"].split("-")[0]
        found[(record["regime"], f"{family} {record['mode']}", record["batch"])] = {
            **record, "h100_us": total["h100_lasting_us"], "h200_us": total["h200_lasting_us"]}
    out = []
    for (regime, name, batch), record in sorted(found.items(), key=lambda item: item[0][0]):
        base = found[(regime, BASE, batch)]
        size, own, other = record["cache_bytes"], rates(record), rates(base)
        memory = paper["memory_gib_per_sequence"].get(regime, {}).get(name)
        out.append([
            f"{regime}, {name}, {batch}", f"{size:,}", markdown.gib(size), f"{memory:.3f}" if memory else "–",
            markdown.times(base["cache_bytes"] / size), markdown.number(own[0]), markdown.times(own[0] / other[0]),
            markdown.number(own[1]), markdown.times(own[1] / other[1]), markdown.number(tpm(own[0], size)),
            markdown.times(tpm(own[0], size) / tpm(other[0], base["cache_bytes"]))])
    return markdown.table(head, out)


def memory(rows: dict, records: list[dict], plan: Plan, paper: dict) -> str:
    """Cache bytes of one sequence at the paper's lengths: ours on both devices, and the paper's memory."""
    head = ["regime, model, mode", "CPU: cache, GiB", "CPU: peak at batch 1, GiB", "CUDA: cache, GiB", "paper: memory, GiB"]
    cuda = {(r["regime"], f"{r['model'].split('-')[0]} {r['mode']}"): r["cache_bytes"] for r in records}
    same = {each.name for each in plan.cases if papers.at_its_lengths(paper, each)}
    out = []
    for (regime, name), size in sorted(cuda.items(), key=lambda item: item[0][0]):
        row = rows.get((regime, name, 1)) if regime in same else None
        theirs = paper["memory_gib_per_sequence"].get(regime, {}).get(name)
        out.append([f"{regime}, {name}", markdown.gib(row.cache) if row else "–", markdown.gib(row.peak) if row else "–",
                    markdown.gib(size), f"{theirs:.3f}" if theirs else "–"])
    return markdown.table(head, out)
