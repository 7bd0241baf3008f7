"""Counts, proportions and means of whole numbers."""

from collections.abc import Callable
from contextlib import suppress
from itertools import product

import numpy as np
from scipy import special, stats

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.relation import (
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    corners,
    loosened,
    point,
    stars_twin,
    tail_probability,
)
from alliance_stats.evidence.printed.wald_relations import OTHER_INTERVAL, critical_value

__all__ = ["RELATIONS", "Cells", "cells_of_box", "exact", "fisher_p", "pearson", "woolf_p"]

_GRIM = "Brown & Heathers 2017, doi:10.1177/1948550616673876"
_DEFINITION = "definition"


def lattice(step: float, near: Interval) -> Interval:
    """Return the values of ``0, 1/step, 2/step, ...`` in `near`, or else the nearest one.

    A mean of whole numbers can only be such a fraction; `near` is the range that the printed mean
    denotes.
    """
    first, last = np.ceil(near.low * step - 1e-9), np.floor(near.high * step + 1e-9)
    if first <= last:
        return Interval(float(first / step), float(last / step))
    middle = (near.low + near.high) / 2.0
    return point(float(np.round(middle * step) / step))


def exact(box: Box, name: str) -> float:
    """Return a count, which must be one whole number."""
    interval = box[name]
    if interval.low != interval.high:
        raise NotIdentifiedError(f"{name} is not printed as one whole number")
    return interval.low


def _grim(box: Box, _: Setting) -> Interval:
    steps = exact(box, "n") * exact(box, "items")
    return _fraction_of(steps, box["mean"], f"a sum of {steps:.0f} whole numbers")


def _fraction_of(steps: float, near: Interval, what: str) -> Interval:
    """Return the lattice near a printed number, unless it has too few decimals to miss one."""
    if near.high - near.low >= (1.0 - 1e-9) / steps:
        raise NotIdentifiedError(
            f"{what} can give every number of so few decimals: the test has no power here"
        )
    return lattice(steps, near)


def _proportion(events_name: str, n_name: str) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        events, n = exact(box, events_name), exact(box, n_name)
        if events > n:
            raise NotIdentifiedError(f"{events:.0f} events among {n:.0f} is not a proportion")
        return point(events / n)

    return image


def _some_count(box: Box, _: Setting) -> Interval:
    n = exact(box, "n")
    return _fraction_of(n, box["proportion"], f"a count among {n:.0f}")


Cells = tuple[float, float, float, float]


def cells_of_box(box: Box) -> Cells:
    """Return events and others of the first group, then of the second."""
    a, n1, c, n2 = (exact(box, name) for name in ("events1", "n1", "events2", "n2"))
    if a > n1 or c > n2:
        raise NotIdentifiedError("more events than members in a group")
    return a, n1 - a, c, n2 - c


def _odds_ratio(box: Box, _: Setting) -> Interval:
    a, b, c, d = cells_of_box(box)
    if b * c == 0.0:
        raise NotIdentifiedError("an empty cell leaves the odds ratio without a value")
    return point(a * d / (b * c))


def _conditional_odds_ratio(box: Box, _: Setting) -> Interval:
    """Return the odds ratio of highest likelihood given both margins, as with Fisher's test."""
    cells = cells_of_box(box)
    if min(cells) == 0.0 or max(cells) > _LARGEST_CONDITIONAL:
        raise NotIdentifiedError("the conditional odds ratio is not computed for these counts")
    table = np.array(cells, dtype=np.int64).reshape(2, 2)
    return point(float(stats.contingency.odds_ratio(table, kind="conditional").statistic))


_LARGEST_CONDITIONAL = 2_000  # beyond, it is the crude one to the printed digits


def _of_those_who_answered(name: str, events_name: str, n_name: str) -> Image:
    """Return the share among some of the n, at least half of them, nearest to the printed one."""

    def image(box: Box, _: Setting) -> Interval:
        events, n = exact(box, events_name), exact(box, n_name)
        if not 0.0 < events <= n:
            raise NotIdentifiedError("a share of nothing is nothing, whoever answered")
        shares = events / np.arange(max(events, np.ceil(n / 2.0)), n)
        near = box[name]
        inside = shares[(shares >= near.low) & (shares <= near.high)]
        if len(inside):
            return Interval(float(inside.min()), float(inside.max()))
        if not len(shares):
            return point(events / n)
        middle = (near.low + near.high) / 2.0
        return point(float(shares[np.argmin(np.abs(shares - middle))]))

    return image


def _shares() -> tuple[Relation, ...]:
    found: list[Relation] = []
    for end in ("", "1", "2"):
        name, events, n = (f"{stem}{end}" for stem in ("proportion", "events", "n"))
        of_all = Relation(
            name, name, (events, n), _proportion(events, n), "proportion = events / n",
            _DEFINITION, path="proportion",
        )  # fmt: skip
        found += [
            of_all,
            loosened(
                of_all, _of_those_who_answered(name, events, n),
                f"it is a share of those who answered, fewer than {n}", name=f"{name}_answered",
                is_exception=True,
            ),
        ]  # fmt: skip
    return tuple(found)


def _pearson(*, yates: bool) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        return point(pearson(cells_of_box(box), yates=yates))

    return image


def pearson(cells: Cells, *, yates: bool) -> float:
    """Return chi-squared of a 2 x 2 table, with or without the correction for continuity."""
    a, b, c, d = cells
    total, margins = a + b + c + d, (a + b) * (c + d) * (a + c) * (b + d)
    if margins == 0.0:
        raise NotIdentifiedError("an empty margin leaves chi-squared without a value")
    gap = abs(a * d - b * c)
    gap = max(gap - total / 2.0, 0.0) if yates else gap
    return float(total * gap**2 / margins)


def _likelihood_ratio(box: Box, _: Setting) -> Interval:
    cells = np.array(cells_of_box(box)).reshape(2, 2)
    if not (cells.sum(axis=0) > 0.0).all() or not (cells.sum(axis=1) > 0.0).all():
        raise NotIdentifiedError("an empty margin leaves chi-squared without a value")
    expected = np.outer(cells.sum(axis=1), cells.sum(axis=0)) / cells.sum()
    return point(float(2.0 * special.xlogy(cells, cells / expected).sum()))


def _p_of_counts(chi_squared: Image) -> Image:
    """Return p of a 2 x 2 table by its chi-squared (half of it, or the rest, for one tail)."""

    def image(box: Box, setting: Setting) -> Interval:
        z = float(np.sqrt(chi_squared(box, setting).low))
        return tail_probability(point(z), None, setting.tails)

    return image


def _fisher_exact(box: Box, setting: Setting) -> Interval:
    a, b, c, d = cells_of_box(box)
    if max(a + b, c + d) > _LARGEST_TABLE:
        raise NotIdentifiedError("Fisher's p is not computed for groups of this size")
    return point(fisher_p((a, b, c, d), setting.tails))


def woolf_p(cells: Cells, tails: str) -> float:
    """Return p of z = log odds ratio / its SE (Woolf 1955); 1 where a cell is empty."""
    if min(cells) == 0:
        return 1.0
    a, b, c, d = cells
    z = np.log(a * d / (b * c)) / np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    return tail_probability(point(float(z)), None, tails).low


def _mid_p(box: Box, setting: Setting) -> Interval:
    """Return Fisher's p with half the probability of the table itself."""
    whole = _fisher_exact(box, setting).low  # which refuses large groups
    a, b, c, d = cells_of_box(box)
    own = float(stats.hypergeom.pmf(a, a + b + c + d, a + c, a + b))
    return point(whole - own / 2.0)


def fisher_p(cells: Cells, tails: str) -> float:
    """Return Fisher's exact p of a 2 x 2 table: of both tails, the smaller or the larger one."""
    a, b, c, d = cells
    first, second = a + b, c + d
    events = np.arange(max(0.0, a + c - second), min(first, a + c) + 1)
    shares = stats.hypergeom.pmf(events, first + second, a + c, first)
    if tails == "two":
        own = shares[np.flatnonzero(events == a)[0]]
        return float(min(1.0, shares[shares <= own * (1.0 + 1e-7)].sum()))
    sides = float(shares[events <= a].sum()), float(shares[events >= a].sum())
    return min(1.0, min(sides) if tails == "one" else max(sides))


# With more in a group Fisher's p and Pearson's agree to the printed digits.
_LARGEST_TABLE = 100_000


def _share(box: Box) -> Interval:
    if "events" in box:
        return _proportion("events", "n")(box, Setting())
    return box["proportion"]


# share, n, critical value, side (-1 or 1) -> limit
Limit = Callable[[float, float, float, int], float]


def _wald_limit(p: float, n: float, q: float, side: int) -> float:
    return float(p + side * q * np.sqrt(p * (1.0 - p) / n))


def _wilson_limit(p: float, n: float, q: float, side: int) -> float:
    middle, reach = p + q * q / (2 * n), q * np.sqrt(p * (1 - p) / n + q * q / (4 * n * n))
    return float((middle + side * reach) / (1.0 + q * q / n))


def _exact_limit(p: float, n: float, q: float, side: int) -> float:
    tail, x = stats.norm.sf(q), p * n
    if side < 0:
        return float(stats.beta.ppf(tail, x, n - x + 1)) if x > 0 else 0.0
    return float(stats.beta.isf(tail, x + 1, n - x)) if x < n else 1.0


def _limit_of_share(limit: Limit, side: int) -> Image:
    def image(box: Box, setting: Setting) -> Interval:
        n, q = exact(box, "n"), critical_value(None, setting).low
        # Wald's limit turns once within 0 to 1, where its slope in p is zero
        turn = 0.5 + side * 0.5 * np.sqrt(n / (n + q * q))
        turns = ((turn,),) if limit is _wald_limit else ()
        return corners(lambda p: limit(p, n, q, side), _share(box), turns=turns)

    return image


def _limits_of_share() -> tuple[Relation, ...]:
    """Return the intervals of a proportion: Wald, Wilson, exact."""
    laws = (
        ("wald", "Wald's limit of a proportion, p -+ z sqrt(p (1 - p) / n)", _wald_limit),
        ("wilson", "Wilson's limit of a proportion", _wilson_limit),
        ("exact", "the exact (Clopper-Pearson) limit of a proportion", _exact_limit),
    )
    found: list[Relation] = []
    for name, side in (("conf_low", -1), ("conf_high", 1)):
        own = [
            Relation(
                f"{name}_share_{law}", name, ("proportion", "n"), _limit_of_share(limit, side),
                said, _SHARES, path="share",
            )
            for law, said, limit in laws
        ]  # fmt: skip
        other = loosened(
            own[0], _some_limit(side), OTHER_INTERVAL, name=f"{name}_share_other",
            about_interval=True,
        )  # fmt: skip
        found += [*own, other]
    return tuple(found)


def _some_limit(side: int) -> Image:
    return lambda box, _: (
        Interval(0.0, _share(box).high) if side < 0 else Interval(_share(box).low, 1.0)
    )


def _sum_of(total: str, first: str, second: str) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        if total in box and (box[total].meets(box[first]) or box[total].meets(box[second])):
            raise NotIdentifiedError(f"{total} is that of one group")
        return corners(lambda a, b: a + b, box[first], box[second])

    return image


def _total_share(box: Box, _: Setting) -> Interval:
    a, b, c, d = cells_of_box(box)
    total = a + b + c + d
    if "n" in box and not box["n"].meets(point(total)):
        raise NotIdentifiedError("n1 and n2 do not make up n")
    return point((a + c) / total)


def _if_adjusted(allowed: Interval) -> Image:
    """Return what a model with covariates allows: its odds ratio is not that of the counts."""

    def image(box: Box, setting: Setting) -> Interval:
        own = [_odds_ratio(box, setting)]
        with suppress(NotIdentifiedError):
            own.append(_conditional_odds_ratio(box, setting))
        turned = corners(lambda ratio: 1.0 / ratio, box["odds_ratio"])  # of the second to the first
        if any(one.meets(ratio) for ratio in own for one in (box["odds_ratio"], turned)):
            raise NotIdentifiedError("the odds ratio is that of the counts")
        return allowed

    return image


def _if_fewer_answered(image: Image) -> Image:
    """Return the result for a table of those who answered, from printed shares."""

    def of_them(box: Box, setting: Setting) -> Interval:
        groups = [
            [
                point(n)
                for n in np.arange(max(exact(box, f"events{i}"), 1.0), exact(box, f"n{i}") + 1.0)
                if point(exact(box, f"events{i}") / n).meets(box[f"proportion{i}"])
            ]
            for i in (1, 2)
        ]
        found = [image({**box, "n1": n1, "n2": n2}, setting) for n1, n2 in product(*groups)]
        if not found or len(found) > _MOST_PAIRS:
            raise NotIdentifiedError("the shares do not say how many answered")
        return Interval(min(one.low for one in found), max(one.high for one in found))

    return of_them


_MOST_PAIRS = 400


def _of_the_interval(box: Box, setting: Setting) -> Interval:
    """Return the p of an odds ratio by the width of its interval, on a log scale."""
    low, high, ratio = (box[name] for name in ("conf_low", "conf_high", "odds_ratio"))
    if min(low.low, ratio.low) <= 0.0 or high.low <= low.high:
        raise NotIdentifiedError("the interval is none of a ratio")
    width = 2.0 * float(-special.ndtri((1.0 - setting.conf_level) / 2.0))
    z = corners(lambda a, b, c: np.log(c) * width / np.log(b / a), low, high, ratio)
    return tail_probability(z, None, setting.tails)


def _fourfold() -> tuple[Relation, ...]:
    """Return the odds ratio, chi-squared and p of two groups' counts, and what they may be else."""
    tables = (
        ("", _pearson(yates=False), "Pearson's chi-squared",
         "Pearson 1900, doi:10.1080/14786440009463897"),
        ("_yates", _pearson(yates=True), "chi-squared with continuity correction",
         "Yates 1934, doi:10.2307/2983604"),
        ("_ratio", _likelihood_ratio, "likelihood-ratio chi-squared",
         "Wilks 1938, doi:10.1214/aoms/1177732360"),
    )  # fmt: skip
    chi2 = tuple(
        Relation(f"chi2_counts{end}", "chi2", _TABLE, image, said, source, path="counts")
        for end, image, said, source in tables
    )
    p_value = (
        *(
            Relation(f"p_counts{end}", "p_value", _TABLE, _p_of_counts(image), f"p of {said}",
                     source, path="p counts")
            for end, image, said, source in tables
        ),
        Relation("p_counts_fisher", "p_value", _TABLE, _fisher_exact, "Fisher's exact p",
                 "Fisher 1922, doi:10.2307/2340521", path="p counts"),
        Relation("p_counts_woolf", "p_value", _TABLE,
                 lambda box, setting: point(woolf_p(cells_of_box(box), setting.tails)),
                 "p of the log odds ratio over its SE",
                 "Woolf 1955, doi:10.1111/j.1469-1809.1955.tb01348.x", path="p counts"),
    )  # fmt: skip
    crude = Relation("odds_ratio_counts", "odds_ratio", _TABLE, _odds_ratio, "OR = a d / (b c)",
                     _DEFINITION, path="counts")  # fmt: skip
    return (
        crude,
        Relation("odds_ratio_conditional", "odds_ratio", _TABLE, _conditional_odds_ratio,
                 "the conditional odds ratio", "Fisher 1935, doi:10.2307/2342435", path="counts"),
        *chi2,
        *p_value,
        *(stars_twin(r) for r in p_value),
        *_otherwise_fourfold(crude, chi2, p_value),
    )  # fmt: skip


def _otherwise_fourfold(
    crude: Relation, chi2: tuple[Relation, ...], p_value: tuple[Relation, ...]
) -> tuple[Relation, ...]:
    """Return what the odds ratio, chi-squared and p may be where they do not follow from counts."""
    return (
        loosened(
            crude, _if_adjusted(Interval(0.0, np.inf)), _ADJUSTED, name="odds_ratio_adjusted",
            also=("conf_low", "conf_high"),
        ),
        *(
            loosened(r, _if_fewer_answered(r.image), "it is of those who answered, fewer than n",
                     name=f"{r.name}_answered", also=("proportion1", "proportion2"),
                     is_exception=True)
            for r in (crude, *chi2, *p_value)
        ),
        loosened(p_value[-2], _mid_p, "it is Fisher's mid-p", name="p_counts_mid",
                 is_exception=True),
        *(
            loosened(r, _of_the_interval, _CLUSTERED,
                     name=f"{r.name}_clustered", also=("odds_ratio", "conf_low", "conf_high"),
                     is_exception=True)
            for r in (p_value[0], stars_twin(p_value[0]))
        ),
        *(
            loosened(r, _if_adjusted(Interval(0.0, 1.0)), _ADJUSTED, name=f"{r.name}_adjusted",
                     also=("odds_ratio", "conf_low", "conf_high"))
            for r in (p_value[0], stars_twin(p_value[0]))
        ),
    )  # fmt: skip


_CLUSTERED = "the test and the interval, not the odds ratio, allow for clusters or covariates"
_ADJUSTED = "the odds ratio, with its interval and test, was adjusted for covariates"
_TABLE = ("events1", "n1", "events2", "n2")
_SHARES = "Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E"

RELATIONS: tuple[Relation, ...] = (
    Relation("grim", "mean", ("mean", "n", "items"), _grim,
             "mean of n x items whole numbers", _GRIM, path="grim"),
    *_shares(),
    Relation("proportion_total", "proportion", _TABLE, _total_share,
             "proportion of both groups together", _DEFINITION, path="total"),
    Relation("proportion_grim", "proportion", ("proportion", "n"), _some_count,
             "proportion = a whole number of events / n", _GRIM, path="whole", fallback=True),
    Relation("n_groups", "n", ("n1", "n2"), _sum_of("n", "n1", "n2"), "n = n1 + n2", _DEFINITION,
             path="total"),
    Relation("events_groups", "events", ("events1", "events2"),
             _sum_of("events", "events1", "events2"), "events = events1 + events2",
             _DEFINITION, path="total"),
    *_limits_of_share(),
    *_fourfold(),
)  # fmt: skip
