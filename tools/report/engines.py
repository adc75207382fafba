"""The table of other engines: their vanilla model beside ours, and beside PHOTON where it was in the same run."""

from statistics import median

import markdown
from plan import Plan


def decoding(records: list[dict]) -> list[dict]:
    """At batch 1; steps of 0 are of a prompt."""
    return [record for record in records if record["steps"] and record["batch"] == 1]


def mode(record: dict) -> str:
    return record.get("mode", "exact")


def modes(records: list[dict]) -> list[str]:
    """Of PHOTON, what was in the run."""
    return list(dict.fromkeys(mode(record) for record in decoding(records) if mode(record) != "exact"))


def paired(own: dict, other: dict) -> list[float]:
    """Tokens a second over another row's of the same round."""
    return [a / b for a, b in zip(own["rounds"], other["rounds"])]


def name(record: dict) -> str:
    return f"{record['engine']} {record['dtype']}"


def contexts(records: list[dict]) -> list[int]:
    return sorted({record["context"] for record in decoding(records)})


def flat(records: list[dict], context: int) -> list[dict]:
    """The vanilla models at a context."""
    return [record for record in decoding(records) if record["context"] == context and mode(record) == "exact"]


def ours(records: list[dict], context: int, dtype: str = "bf16") -> dict | None:
    """This repository's vanilla model at a context."""
    return next((record for record in flat(records, context) if name(record) == f"photon {dtype}"), None)


def at(context: int, plan: Plan) -> str:
    """A context, and of which cases of the plan it is the middle: where half of the new tokens have been generated."""
    cases = [case.name for case in plan.cases if case.prompt + case.new // 2 == context]
    return f"{context:,}, the middle of {' and '.join(cases)}" if cases else f"{context:,}"


class Against:
    """What a mode of PHOTON makes of a vanilla model's row of the same context: tokens a second, and those over cache bytes.

    Cache bytes are by shapes, a token's of ours: keys and values of an engine's vanilla model are as many, 16 bits each.
    """

    def __init__(self, records: list[dict], context: int, of: str):
        base = ours(records, context)
        self.own = next((record for record in decoding(records) if (record["context"], mode(record)) == (context, of)), None)
        self.fewer = base["cache_bytes_per_token"] / self.own["cache_bytes_per_token"] if self.own and base else None

    def faster(self, other: dict) -> list[float]:
        return paired(self.own, other) if self.fewer else []

    def tpm(self, other: dict) -> list[float]:
        return [each * self.fewer for each in self.faster(other)]


def against_the_best(records: list[dict], plan: Plan) -> list[str]:
    """RecGen over the vanilla model of another engine that comes nearest to it, where they were in one run, context by context."""
    out = []
    for context in contexts(records):
        recgen = Against(records, context, "recgen")
        others = [record for record in flat(records, context) if record["engine"] != "photon"]
        if not (recgen.fewer and others):
            continue
        best = min(others, key=lambda other: median(recgen.faster(other)))
        least = max(recgen.faster(best))
        near = [name(other) for other in others if other is not best and min(recgen.faster(other)) <= least]
        int8 = ours(records, context, "int8")
        own = f"; over our own vanilla in int8 it is {markdown.ratios(recgen.tpm(int8))}" if int8 else ""
        also = f" (or {', '.join(near)}, whose rounds overlap)" if near else ""
        out.append(f"at {at(context, plan)}, RecGen's TPM in bf16 is {markdown.ratios(recgen.tpm(best))} that of {name(best)}, which comes "
                   f"nearest to it{also}: {markdown.times(recgen.fewer)} by cache bytes and {markdown.ratios(recgen.faster(best))} by "
                   f"tokens/s{own}")
    return out


def table(records: list[dict], plan: Plan) -> str:
    """A row per context and vanilla model, measured there; nothing is carried from one context to another."""
    others = modes(records)
    head = ["context", "vanilla of, weights", "tokens/s", "× our vanilla"]
    head += [f"{of}'s {what}, ×" for of in others for what in ("tokens/s", "TPM")]
    out = []
    for context in contexts(records):
        base, photons = ours(records, context), [Against(records, context, of) for of in others]
        for record in flat(records, context):
            row = [at(context, plan), f"{record['engine']}, {record['dtype']}", markdown.number(record["tokens_per_s"]),
                   markdown.ratios(paired(record, base)) if base else "–"]
            for photon in photons:
                row += [markdown.ratios(values) if values else "–" for values in (photon.faster(record), photon.tpm(record))]
            out.append(row)
    return markdown.table(head, out, left=2)
