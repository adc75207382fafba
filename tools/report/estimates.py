"""Estimates over windows of a text, as the program makes them where they are many: src/bin/photon/eval/statistics.rs."""

from math import sqrt
from statistics import NormalDist


def student(freedom: int) -> float:
    """97.5 % quantile of Student's t by Cornish and Fisher's expansion: right to 1e-3 from 8 degrees of freedom on."""
    z = NormalDist().inv_cdf(0.975)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2) \
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)


def ratio(above: list[float], below: list[float]) -> dict:
    """Sum over sum, with the linearised estimator's 95 % interval; none for fewer than 9 windows."""
    total, count = sum(below), len(below)
    value = sum(above) / total
    if count < 9:
        return {"value": value, "interval": None}
    squares = sum((a - value * b) ** 2 for a, b in zip(above, below, strict=True))
    half = student(count - 1) * sqrt(squares * count / (count - 1)) / total
    return {"value": value, "interval": [value - half, value + half]}
