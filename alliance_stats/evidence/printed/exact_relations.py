"""Exact and sampled p of a table of counts, printed with its chi-squared.

Where an expected count is small, papers print chi-squared together with the p of Fisher's exact
test, of chi-squared with Yates' correction, or of a Monte Carlo sample of tables. Such a row is
right, though p is not that of chi-squared: it holds only if one of these was used.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy import special, stats

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.evidence.printed.count_relations import (
    Cells,
    cells_of_box,
    exact,
    fisher_p,
    pearson,
    woolf_p,
)
from alliance_stats.evidence.printed.relation import (
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    loosened,
    magnitude,
    point,
    tail_probability,
)
from alliance_stats.evidence.printed.statistic_relations import (
    P_OF_CHI2,
    P_OF_FOURFOLD,
    P_OF_Z,
    chi2_tail,
)

__all__ = ["RELATIONS"]

# All tables of so many persons are gone through; beyond, the bounds of tables of any size serve.
_LEAST_PERSONS, _MOST_PERSONS = 2, 120
# Monte Carlo samples have at least so many tables, and a p lies within so many standard errors.
_TABLES, _ERRORS = 1_000, 3.5
# Of 140,000 2 x 2 tables of 4 to 2,000 persons with expected counts of at least 1, Fisher's and
# Yates' p lie between those of z (1.12 z + 0.1) and of z - 1.1, z being the root of chi-squared.
_SHARPER, _SHARPER_BY, _BLUNTER_BY = 1.12, 0.1, 1.1
# Of larger tables with expected counts of at least 1.5 the exact p is within so many probits.
_PROBITS = 0.5


def _one_df(box: Box) -> None:
    if not box["df"].meets(point(1.0)):
        raise NotIdentifiedError("chi-squared on more than one df is not of a 2 x 2 table")


def _of_these_counts(box: Box, setting: Setting) -> Interval:
    """Return the p of Fisher, Yates or Woolf that is nearest to the printed p."""
    _one_df(box)
    cells = cells_of_box(box)
    if max(cells) > _LARGEST_CELL:
        raise NotIdentifiedError("Fisher's p is not computed for groups of this size")
    tails = setting.tails
    found = [fisher_p(cells, tails), _yates_p(cells, setting), woolf_p(cells, tails)]
    return _nearest(box, np.array(found))


_LARGEST_CELL = 100_000


def _yates_p(cells: Cells, setting: Setting) -> float:
    corrected = float(np.sqrt(pearson(cells, yates=True)))
    return tail_probability(point(corrected), None, setting.tails).low


def _nearest(box: Box, found: Array) -> Interval:
    """Return the span of the values that the printed p may be, or the one nearest to it."""
    printed = box["p_value"] if "p_value" in box else box["stars"]
    inside = found[(found >= printed.low - _DUST) & (found <= printed.high + _DUST)]
    if len(inside):
        return Interval(float(inside.min()), float(inside.max()))
    middle = (printed.low + printed.high) / 2.0
    return point(float(found[np.argmin(np.abs(found - middle))]))


_DUST = 1e-12


def _of_so_many(box: Box, setting: Setting) -> Interval:
    """Return the exact p, of tables of n persons with this chi-squared, nearest to the printed."""
    _one_df(box)
    if set(_COUNTS) <= set(box):
        raise NotIdentifiedError("the counts say which table it is")
    first = int(exact(box, "n1")) if {"n1", "n2"} <= set(box) else 0
    n = int(first + exact(box, "n2")) if first else int(exact(box, "n"))
    if n < _LEAST_PERSONS:
        raise NotIdentifiedError("a 2 x 2 table of one person has no chi-squared")
    if n > _MOST_PERSONS:
        return _bounds(box, setting)
    found = _exact_p(box["chi2"].low, box["chi2"].high, n, first, setting.tails)
    if not len(found):
        raise NotIdentifiedError(f"no 2 x 2 table of {n} persons has this chi-squared")
    return _nearest(box, found)


@lru_cache(maxsize=64)  # p and stars of a row, in each rounding, ask for the same tables
def _exact_p(low: float, high: float, n: int, first: int, tails: str) -> Array:
    """Return the exact p of all tables of n persons with this chi-squared."""
    chi2, setting = Interval(low, high), Setting(tails=tails)
    tables = _tables_with(chi2, n, first).tolist()
    found = [p for a, b, c, d in tables for p in _p_of((a, b, c, d), setting)]
    found += [] if first else _mcnemar(chi2, n, setting)
    return np.array(found)


def _mcnemar(chi2: Interval, n: int, setting: Setting) -> list[float]:
    """Return the exact p of McNemar's tests of n pairs whose chi-squared is the printed one."""
    found = []
    for changed in range(1, n + 1):
        more = np.arange(changed // 2 + 1, changed + 1)
        gap = 2.0 * more - changed
        for statistic in (gap**2 / changed, (gap - 1.0) ** 2 / changed):
            fits = (statistic >= chi2.low - _DUST) & (statistic <= chi2.high + _DUST)
            tails = stats.binom.sf(more[fits] - 1, changed, 0.5)
            found += list(np.minimum(1.0, tails * (2.0 if setting.tails == "two" else 1.0)))
    return found


def _p_of(cells: Cells, setting: Setting) -> tuple[float, float]:
    return fisher_p(cells, setting.tails), _yates_p(cells, setting)


def _tables_with(chi2: Interval, n: int, first: int) -> Array:
    """Return the 2 x 2 tables of n persons whose chi-squared, corrected or not, is the printed.

    Tables that are mirror images appear once: the first margins are at most half.
    """
    rows = [min(first, n - first)] if first else range(1, n // 2 + 1)
    found = []
    for row in rows:
        column, a = (grid.ravel() for grid in np.mgrid[1 : n // 2 + 1, 0 : row + 1])
        possible = (a <= column) & (n - row - column + a >= 0)
        column, a = column[possible], a[possible]
        gap = np.abs(a * n - row * column)
        scale = n / (row * (n - row) * column * (n - column))
        plain, corrected = scale * gap**2, scale * np.maximum(gap - n / 2.0, 0.0) ** 2
        fits = np.zeros(len(a), dtype=bool)
        for statistic in (plain, corrected):
            fits |= (statistic >= chi2.low - _DUST) & (statistic <= chi2.high + _DUST)
        a, column = a[fits], column[fits]
        found.append(np.column_stack([a, row - a, column - a, n - row - column + a]))
    return np.concatenate(found)


def _of_any_table(box: Box, setting: Setting) -> Interval:
    """Return the bounds of Fisher's and Yates' p where only df = 1 is known of the table."""
    _one_df(box)
    if {"n1", "n2"} <= set(box):
        raise NotIdentifiedError("the sizes say which tables it can be")
    return _bounds(box, setting)


def _bounds(box: Box, setting: Setting) -> Interval:
    low, high = (float(np.sqrt(end)) for end in (box["chi2"].low, box["chi2"].high))
    least = 2.0 * special.ndtr(-(_SHARPER * high + _SHARPER_BY))
    most = 2.0 * special.ndtr(-max(low - _BLUNTER_BY, 0.0))
    return Interval(least if setting.tails == "two" else least / 2.0, _sampled(most, 1))


def _of_a_sample(box: Box, _: Setting) -> Interval:
    """Return the bounds of the exact or sampled p of a table on more than one df."""
    if box["df"].meets(point(1.0)):
        raise NotIdentifiedError("of a 2 x 2 table the exact p is known")
    p = chi2_tail(box["chi2"], box["df"])
    least = special.ndtr(special.ndtri(p.low) - _PROBITS)
    most = special.ndtr(special.ndtri(p.high) + _PROBITS)
    return Interval(max(_sampled(least, -1), 1.0 / _TABLES), _sampled(most, 1))


def _sampled(p: float, side: int) -> float:
    error = np.sqrt(p * (1.0 - p) / _TABLES)
    return float(min(1.0, p + side * _ERRORS * error))


def _of_ranks(box: Box, setting: Setting) -> Interval:
    """Return the bounds of the exact p of a rank test on few persons whose z is printed."""
    if setting.tails == "other":
        raise NotIdentifiedError("the exact p of a rank test is of both tails or the nearer one")
    if {"n1", "n2"} <= set(box):
        n1, n2 = exact(box, "n1"), exact(box, "n2")
        n, fewest, spread = n1 + n2, min(n1, n2), np.sqrt(n1 * n2 * (n1 + n2 + 1.0) / 12.0)
    else:
        n = fewest = exact(box, "n")
        spread = np.sqrt(n * (n + 1.0) * (2.0 * n + 1.0) / 24.0)
    if n > _FEW_RANKED:
        raise NotIdentifiedError("of so many persons the exact p of a rank test is that of z")
    size = magnitude(box["z"])
    sharper = size.high + (size.high**3 / 4.0 + 1.0) / fewest
    blunter = max(size.low - (size.low + 1.5) / n - 1.0 / spread, 0.0)
    sides = 2.0 if setting.tails == "two" else 1.0
    return Interval(sides * special.ndtr(-sharper), sides * special.ndtr(-blunter))


def _of_one_group(name: str) -> Image:
    """Return the bounds where the size of one group alone is printed, the other at least four."""

    def image(box: Box, setting: Setting) -> Interval:
        other = _FEWEST_RANKED
        if "n" in box:
            other = exact(box, "n") - exact(box, name)
        if other < 1.0:
            raise NotIdentifiedError("a group is as large as both together")
        return _of_ranks({**box, "n1": box[name], "n2": point(other)}, setting)

    return image


_FEWEST_RANKED = 4.0
_FEW_RANKED = 50  # the 60,343 exact p of up to so many persons lie within these bounds

_EXACT = "the p is that of Fisher's exact test, or of chi-squared with Yates' correction"
_SOME = f"{_EXACT}, of a table with expected counts of at least 1"
_MONTE_CARLO = "the p is an exact or a Monte Carlo p of a table with small expected counts"
_COUNTS = ("events1", "n1", "events2", "n2")
# beside these chi-squared is a model's, not a table's
_OF_A_MODEL = ("estimate", "std_error", "z", "t", "k", "hazard_ratio", "exp_b")
_NO_RANKS = ("estimate", "std_error", "chi2", "r1", "r12", "odds_ratio", "hazard_ratio", "exp_b")
_FISHER = "Fisher 1922, doi:10.2307/2340521"
_WAYS: tuple[tuple[str, Image, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("counts", _of_these_counts, _EXACT, _COUNTS, ()),
    ("groups", _of_so_many, _EXACT, ("n1", "n2"), _OF_A_MODEL),
    ("n", _of_so_many, _EXACT, ("n",), _OF_A_MODEL),
    ("table", _of_any_table, _SOME, (), ("n", *_OF_A_MODEL)),
    ("sampled", _of_a_sample, _MONTE_CARLO, ("n",), _OF_A_MODEL),
)


def _on_one_df(image: Image) -> Image:
    return lambda box, setting: image({**box, "df": point(1.0)}, setting)


_WAYS_ON_ONE_DF = tuple(
    (end, _on_one_df(image), said, also, (*unless, "df"))
    for end, image, said, also, unless in _WAYS
    if image is not _of_a_sample
)
RELATIONS: tuple[Relation, ...] = tuple(
    replace(
        loosened(
            firm, image, said, name=f"{firm.name}_exact_{end}", also=also, unless=unless,
            is_exception=True,
        ),
        source=_FISHER,
    )
    for pair, ways in ((P_OF_CHI2, _WAYS), (P_OF_FOURFOLD, _WAYS_ON_ONE_DF))
    for firm in pair
    for end, image, said, also, unless in ways
) + tuple(
    loosened(
        firm, image, "it is the exact p of a rank test", name=f"{firm.name}_ranks_{end}",
        also=also, unless=(*unless, *_NO_RANKS), is_exception=True,
    )
    for firm in P_OF_Z
    for end, image, also, unless in (
        ("groups", _of_ranks, ("n1", "n2"), ()),
        ("n", _of_ranks, ("n",), ("n1", "n2")),
        ("n1", _of_one_group("n1"), ("n1",), ("n2",)),
        ("n2", _of_one_group("n2"), ("n2",), ("n1",)),
    )
)  # fmt: skip
