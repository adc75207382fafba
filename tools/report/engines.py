"""The table of other engines: their vanilla model beside ours, and beside PHOTON where it was in the same run."""

from statistics import median

import markdown


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


def fastest(records: list[dict]) -> list[tuple[int, str, float]]:
    """The best that other engines do with a vanilla model, of whatever weights, at each context: the context, the engine, and its
    tokens a second over ours in bf16, the median of paired rounds."""
    found = [record for record in decoding(records) if mode(record) == "exact"]
    ours = {record["context"]: record for record in found if (record["engine"], record["dtype"]) == ("photon", "bf16")}
    best = {}
    for record in found:
        context = record["context"]
        if record["engine"] == "photon" or context not in ours:
            continue
        each = (context, f"{record['engine']} {record['dtype']}", median(paired(record, ours[context])))
        best[context] = max(each, best.get(context, each), key=lambda one: one[2])
    return [best[context] for context in sorted(best)]


def table(records: list[dict]) -> str:
    """A row per vanilla model.  A column is of one context, measured there; nothing is carried from one context to another.

    Cache bytes are by shapes, a token's of ours: keys and values of an engine's vanilla model are as many, 16 bits each.
    """
    found = decoding(records)
    at = {(record["context"], mode(record), record["engine"], record["dtype"]): record for record in found}
    contexts, others = sorted({record["context"] for record in found}), modes(records)
    base = ("exact", "photon", "bf16")
    head = ["vanilla of, weights"]
    for context in contexts:
        head += [f"at {context:,}: tokens/s", "× our vanilla"]
        head += [f"{name}'s {what}, ×" for name in others for what in ("tokens/s", "TPM")]
    out = []
    for engine, dtype in dict.fromkeys((record["engine"], record["dtype"]) for record in found if mode(record) == "exact"):
        row = [f"{engine}, {dtype}"]
        for context in contexts:
            own, ours = at.get((context, "exact", engine, dtype)), at.get((context, *base))
            row += [markdown.number(own["tokens_per_s"]) if own else "–",
                    markdown.ratios(paired(own, ours)) if own and ours else "–"]
            for name in others:
                photon = at.get((context, name, "photon", "bf16"))
                if not (photon and own and ours):
                    row += ["–", "–"]
                    continue
                faster = paired(photon, own)
                fewer = ours["cache_bytes_per_token"] / photon["cache_bytes_per_token"]
                row += [markdown.ratios(faster), markdown.ratios([each * fewer for each in faster])]
        out.append(row)
    return markdown.table(head, out)
