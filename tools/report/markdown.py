"""Markdown, and numbers as the tables show them."""

from statistics import median


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """All columns but the first `left` are right-aligned."""
    lines = [head, ["---"] * left + ["---:"] * (len(head) - left), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """Three digits that count, more before the point."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def times(value: float | None) -> str:
    return "–" if value is None else f"{number(value)} ×"


def ratios(values: list[float]) -> str:
    """The median of rounds, and between which they lie."""
    middle = times(median(values))
    return middle if min(values) == max(values) else f"{middle} ({number(min(values))}–{number(max(values))})"


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def gib(size: float | None) -> str:
    return "–" if size is None else f"{size / (1 << 30):.4f}"


def interval(estimate: dict, digits: int, sign: str = "") -> str:
    """A value with half the width of its 95 % interval; with the sign `+`, positive ones have it too."""
    value = f"{estimate['value']:{sign}.{digits}f}"
    if estimate["interval"] is None:
        return value
    low, high = estimate["interval"]
    return f"{value} ± {(high - low) / 2:.{digits}f}"


def sentences(items: list[str]) -> str:
    """A list."""
    return "\n".join(f"- {item}" for item in items)
