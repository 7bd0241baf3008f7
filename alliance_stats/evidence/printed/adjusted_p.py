"""The value of a p after adjustment for several tests.

Bonferroni's p is the plain one times the number of tests, Holm's times a smaller whole number,
Benjamini and Hochberg's times the number of tests over a rank; Sidak's is 1 - (1 - p)^m, and
Tukey's the tail of the studentized range at sqrt(2) t.
"""

from collections.abc import Iterator

import numpy as np
from scipy import special, stats

from alliance_stats.evidence.printed.relation import Interval

__all__ = ["adjustments"]

# A p may be adjusted for so many tests without a word: the pairs of four groups.
_MOST_TESTS = 6
_WITHOUT_A_WORD = (3, 4)  # groups whose pairs are compared
_MOST_GROUPS = 12
_MOST_CAPPED = 45  # the pairs of ten groups


def adjustments(
    plain: Interval, tests: int, df: Interval | None, *, of_t: bool
) -> Iterator[tuple[str, Interval]]:
    """Yield the possible p after each adjustment, with its description.

    Parameters
    ----------
    plain
        The p before it.
    tests
        Number of tests for which the p is reported to be adjusted; 0 if not reported.
    df
        Degrees of freedom of its t; ``None`` for a z.
    of_t
        Whether it is the p of a difference, so that Tukey's range is possible.
    """
    for m in range(2, (tests or _MOST_TESTS) + 1):
        product = Interval(min(1.0, m * plain.low), min(1.0, m * plain.high))
        sidak = Interval(*(_sidak(p, m) for p in (plain.low, plain.high)))
        if product.meets(sidak):
            either = Interval(sidak.low, product.high)
            yield f"{m} tests (Bonferroni, Holm or Sidak)", either
        else:  # a p between the two is neither
            yield f"{m} tests (Bonferroni or Holm)", product
            yield f"{m} tests (Sidak)", sidak
    if not tests and _MOST_CAPPED * plain.high >= 1.0:
        yield "so many tests that it came to 1 (Bonferroni)", Interval(1.0, 1.0)
    for rank in range(2, tests):
        times = tests / rank
        found = Interval(min(1.0, times * plain.low), min(1.0, times * plain.high))
        yield f"{tests} tests (Benjamini and Hochberg)", found
    if of_t:
        for groups in _groups(tests):
            yield f"the pairs of {groups} groups (Tukey)", _tukey(plain, groups, df)


def _sidak(p: float, tests: int) -> float:
    return float(-np.expm1(tests * np.log1p(-min(p, 1.0 - 1e-16))))


def _groups(tests: int) -> tuple[int, ...]:
    """Return the number of groups whose pairwise comparisons are so many tests."""
    if not tests:
        return _WITHOUT_A_WORD
    return tuple(k for k in range(3, _MOST_GROUPS + 1) if k * (k - 1) // 2 == tests)


def _tukey(plain: Interval, groups: int, df: Interval | None) -> Interval:
    ends = [np.inf, np.inf] if df is None else [df.low, df.high]
    found = [
        float(stats.studentized_range.sf(np.sqrt(2.0) * _t_of(p, nu), groups, nu))
        for p in (plain.low, plain.high)
        for nu in ends
    ]
    return Interval(min(found), max(found))


def _t_of(p: float, df: float) -> float:
    """Return the t whose two-tailed p is `p`."""
    tail = max(p, np.finfo(float).tiny) / 2.0
    return float(-special.ndtri(tail) if np.isinf(df) else -special.stdtrit(df, tail))
