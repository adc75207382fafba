"""The tables of throughput and memory: what was measured on the CPU, what explains it, what is counted for GPUs."""

import markdown
from plan import Plan
from results import Measured, best, least_seconds, limits, tpm

BASE = "vanilla exact"


def over(row: Measured, base: Measured | None, value) -> str:
    return markdown.times(value(row) / value(base) if base else None)


def case(rows: dict, name: str, paper: dict) -> str:
    """All configurations of a case, and their ratios to the vanilla model of the same batch."""
    head = ["model, mode, batch", "tokens/s", "× vanilla", "with the prompt", "cache, GiB a sequence", "peak, GiB a sequence",
            "paper's memory, GiB", "TPM", "× vanilla", "TPM of the peak", "× vanilla"]
    memory = paper["memory_gib_per_sequence"].get(name, {})
    out = []
    for (of, _, batch), row in rows.items():
        if of != name:
            continue
        base = rows.get((name, BASE, batch))
        out.append([
            f"{row.run.name}, {batch}", markdown.number(row.rate), over(row, base, lambda r: r.rate),
            markdown.number(row.rate_with_prompt) if row.whole else "–", markdown.gib(row.cache), markdown.gib(row.peak),
            f"{memory[row.run.name]:.3f}" if row.run.name in memory else "–", markdown.number(row.tpm),
            over(row, base, lambda r: r.tpm), markdown.number(row.tpm_peak), over(row, base, lambda r: r.tpm_peak)])
    return markdown.table(head, out)


def spread(rows: dict) -> str:
    """How far rounds were apart, and the machine's limits."""
    read, fma = limits(rows)
    first = next(iter(rows.values())).record
    repeated = [max(row.rates) / min(row.rates) - 1 for row in rows.values() if len(row.rates) > 1]
    text = (f"{first['threads']} threads, {first['dtype']} weights with seeded random values. Measured in the same runs, memory is "
            f"read at {read / 1e9:.1f} GB/s and the FMA peak is {fma / 1e9:.0f} GFLOP/s (medians).")
    if repeated:
        text += f" Where there was more than one round the median is shown; rounds were up to {100 * max(repeated):.0f} % apart."
    return text


def pairs(rows: dict, plan: Plan) -> list[tuple[Measured, Measured]]:
    """Configurations of batch 1 and of the largest batch that vanilla has too, each with its vanilla."""
    out = []
    for each in plan.cases:
        batches = sorted({batch for (case, name, batch) in rows if (case, name) == (each.name, BASE)})
        for batch in dict.fromkeys((batches[:1] + batches[-1:])):
            base = rows[(each.name, BASE, batch)]
            out += [(row, base) for (case, name, b), row in rows.items()
                    if (case, b) == (each.name, batch) and name != BASE and row.run.refresh is None]
    return out


def factors(rows: dict, plan: Plan) -> str:
    """TPM over vanilla's = cache bytes x throughput; throughput = what counts and limits say x how near each comes."""
    read, fma = limits(rows)
    head = ["case, model, mode, batch", "TPM over vanilla's", "= cache bytes, fewer", "by shapes", "× tokens/s",
            "bytes read a token, fewer", "FLOPs a token, fewer", "tokens/s by the limits", "× nearness to them", "of vanilla", "own"]
    out = []
    for row, base in pairs(rows, plan):
        own, other = least_seconds(row, read, fma), least_seconds(base, read, fma)
        near, base_near = own * row.rate, other * base.rate
        shapes = base.record["cache_bytes_per_token"] / row.record["cache_bytes_per_token"]
        out.append([
            f"{row.run.case}, {row.run.name}, {row.run.batch}", markdown.times(row.tpm / base.tpm),
            markdown.times(base.cache / row.cache), markdown.times(shapes), markdown.times(row.rate / base.rate),
            markdown.times(base.bytes_per_token / row.bytes_per_token),
            markdown.times(base.flops_per_token / row.flops_per_token), markdown.times(other / own),
            markdown.times(near / base_near), f"{100 * base_near:.0f} %", f"{100 * near:.0f} %"])
    return markdown.table(head, out)


def highest(rows: dict, plan: Plan) -> str:
    """Every mode at the batch where its TPM is highest: the comparison of what each does best."""
    head = ["model, mode"] + [f"{each.name}: {what}" for each in plan.cases for what in ("TPM", "at batch", "× vanilla")]
    out = []
    for name in dict.fromkeys(row.run.name for row in rows.values() if row.run.refresh is None):
        line = [name]
        for each in plan.cases:
            row, base = best(rows, each.name, name), best(rows, each.name, BASE)
            if row is None:
                line += ["–"] * 3
            else:
                line += [markdown.number(row.tpm), str(row.run.batch), markdown.times(row.tpm / base.tpm if base else None)]
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


def memory(rows: dict, records: list[dict], paper: dict) -> str:
    """Cache bytes of one sequence at the paper's lengths: ours on both devices, and the paper's memory."""
    head = ["regime, model, mode", "CPU: cache, GiB", "CPU: peak at batch 1, GiB", "CUDA: cache, GiB", "paper: memory, GiB"]
    cuda = {(r["regime"], f"{r['model'].split('-')[0]} {r['mode']}"): r["cache_bytes"] for r in records}
    out = []
    for (regime, name), size in sorted(cuda.items(), key=lambda item: item[0][0]):
        row = rows.get((regime, name, 1))
        theirs = paper["memory_gib_per_sequence"].get(regime, {}).get(name)
        out.append([f"{regime}, {name}", markdown.gib(row.cache) if row else "–", markdown.gib(row.peak) if row else "–",
                    markdown.gib(size), f"{theirs:.3f}" if theirs else "–"])
    return markdown.table(head, out)


def seconds_at(context: float, points: dict[int, float]) -> float | None:
    """Seconds of a step at a context, from those at two others: keys and values are all that grows, and they grow linearly."""
    if len(points) < 2:
        return None
    (low, first), *_, (high, last) = sorted(points.items())
    return first + (last - first) * (context - low) / (high - low)


def peers(records: list[dict], rows: dict, plan: Plan) -> str:
    """RecGen against other engines' vanilla model, at batch 1 in the first case.

    A line of `records` has engine, dtype, batch, context, steps and tokens_per_s, where steps of 0 are of a prompt.  The peers
    were measured beside our vanilla at other contexts and not beside RecGen: what is carried over is how much faster they are
    than ours.
    """
    case = plan.cases[0]
    row, base = rows.get((case.name, "photon recgen", 1)), rows.get((case.name, BASE, 1))
    decode = [record for record in records if record["steps"] and record["batch"] == 1]
    points: dict[tuple, dict[int, float]] = {}
    for record in decode:
        points.setdefault((record["engine"], record["dtype"]), {})[record["context"]] = 1 / record["tokens_per_s"]
    middle = case.prompt + case.new / 2
    own = seconds_at(middle, points.get(("photon", "bf16"), {}))
    contexts = sorted({record["context"] for record in decode})
    head = (["vanilla of, weights"] + [f"tokens/s at {context}" for context in contexts]
            + [f"× our vanilla at {middle:,.0f}", f"recgen's tokens/s, × in {case.name}", f"recgen's TPM, × in {case.name}"])
    out = []
    for (engine, dtype), known in points.items():
        seconds = seconds_at(middle, known)
        faster = own / seconds if own and seconds else None
        out.append([f"{engine}, {dtype}"] + [markdown.number(1 / known[c]) if c in known else "–" for c in contexts] + [
            markdown.times(faster), markdown.times(row.rate / base.rate / faster if row and base and faster else None),
            markdown.times(row.tpm / base.tpm / faster if row and base and faster else None)])
    return markdown.table(head, out)
