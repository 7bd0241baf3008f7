"""Counts, proportions, means of whole numbers, R squared and heterogeneity."""

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.catalogue.core import Box, Image, Relation, Setting, stars_twin
from alliance_stats.evidence.catalogue.statistics import chi2_tail, f_tail
from alliance_stats.evidence.intervals import Interval, corners, point

__all__ = ["RELATIONS"]

_GRIM = "Brown & Heathers 2017, doi:10.1177/1948550616673876"
_DEFINITION = "definition"
_COHEN = "Cohen et al. 2003, doi:10.4324/9780203774441"
_HIGGINS = "Higgins & Thompson 2002, doi:10.1002/sim.1186"


def lattice(step: float, near: Interval) -> Interval:
    """Return what of ``0, 1/step, 2/step, ...`` lies in `near`, or else the nearest such number.

    A mean of whole numbers can only be such a fraction; `near` is what the printed mean stands for.
    """
    first, last = np.ceil(near.low * step - 1e-9), np.floor(near.high * step + 1e-9)
    if first <= last:
        return Interval(float(first / step), float(last / step))
    middle = (near.low + near.high) / 2.0
    return point(float(np.round(middle * step) / step))


def _exact(box: Box, name: str) -> float:
    interval = box[name]
    if interval.low != interval.high:
        raise NotIdentifiedError(f"{name} is not printed as one whole number")
    return interval.low


def _grim(box: Box, _: Setting) -> Interval:
    items = _exact(box, "items")
    return lattice(_exact(box, "n") * items, box["mean"])


def _proportion(box: Box, _: Setting) -> Interval:
    events, n = _exact(box, "events"), _exact(box, "n")
    if events > n:
        raise NotIdentifiedError(f"{events:.0f} events among {n:.0f} is not a proportion")
    return point(events / n)


def _some_count(box: Box, _: Setting) -> Interval:
    return lattice(_exact(box, "n"), box["proportion"])


def _cells(box: Box) -> tuple[float, float, float, float]:
    a, n1, c, n2 = (_exact(box, name) for name in ("events1", "n1", "events2", "n2"))
    if a > n1 or c > n2:
        raise NotIdentifiedError("more events than members in a group")
    return a, n1 - a, c, n2 - c


def _odds_ratio(box: Box, _: Setting) -> Interval:
    a, b, c, d = _cells(box)
    if b * c == 0.0:
        raise NotIdentifiedError("an empty cell leaves the odds ratio without a value")
    return point(a * d / (b * c))


def _pearson(*, yates: bool) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        a, b, c, d = _cells(box)
        total, margins = a + b + c + d, (a + b) * (c + d) * (a + c) * (b + d)
        if margins == 0.0:
            raise NotIdentifiedError("an empty margin leaves chi-squared without a value")
        gap = abs(a * d - b * c)
        gap = max(gap - total / 2.0, 0.0) if yates else gap
        return point(total * gap**2 / margins)

    return image


def _f_of_r_squared(box: Box, _: Setting) -> Interval:
    k, free = _exact(box, "k"), _free(box)
    return corners(lambda r2: (r2 / k) / ((1.0 - r2) / free), box["r_squared"])


def _free(box: Box) -> float:
    n, k = _exact(box, "n"), _exact(box, "k")
    if n - k - 1 <= 0:
        raise NotIdentifiedError(f"n = {n:.0f} and k = {k:.0f} leave no degrees of freedom")
    return n - k - 1.0


def _p_of_r_squared(box: Box, setting: Setting) -> Interval:
    f = _f_of_r_squared(box, setting)
    return f_tail(f, point(_exact(box, "k")), point(_free(box)))


def _i_squared(box: Box, _: Setting) -> Interval:
    df = _exact(box, "k_studies") - 1.0
    if box["q"].high <= 0.0:
        return point(0.0)
    return corners(lambda q: max(0.0, (q - df) / q) if q > 0 else 0.0, box["q"])


def _p_of_q(box: Box, _: Setting) -> Interval:
    return chi2_tail(box["q"], point(_exact(box, "k_studies") - 1.0))


def _mean_n(box: Box, _: Setting) -> Interval:
    return point(_exact(box, "n_total") / _exact(box, "k_studies"))


_R2 = Relation(
    "p_r_squared", "p_value", ("r_squared", "k", "n"), _p_of_r_squared,
    "p from F = (R2 / k) / ((1 - R2) / (n - k - 1))", _COHEN, path="R2",
)  # fmt: skip
_Q = Relation(
    "p_q", "p_value", ("q", "k_studies"), _p_of_q, "p from Q on k - 1 df", _HIGGINS, path="Q"
)
_TABLE = ("events1", "n1", "events2", "n2")

RELATIONS: tuple[Relation, ...] = (
    Relation("grim", "mean", ("mean", "n", "items"), _grim,
             "mean of n x items whole numbers", _GRIM, path="grim"),
    Relation("proportion", "proportion", ("events", "n"), _proportion, "proportion = events / n",
             _DEFINITION, path="share"),
    Relation("proportion_grim", "proportion", ("proportion", "n"), _some_count,
             "proportion = a whole number of events / n", _GRIM, path="whole", fallback=True),
    Relation("odds_ratio_counts", "odds_ratio", _TABLE, _odds_ratio, "OR = a d / (b c)",
             _DEFINITION, path="counts"),
    Relation("chi2_counts", "chi2", _TABLE, _pearson(yates=False), "Pearson's chi-squared",
             "Pearson 1900, doi:10.1080/14786440009463897", path="counts"),
    Relation("chi2_counts_yates", "chi2", _TABLE, _pearson(yates=True),
             "chi-squared with continuity correction", "Yates 1934, doi:10.2307/2983604",
             path="counts"),
    Relation("f_r_squared", "f", ("r_squared", "k", "n"), _f_of_r_squared,
             "F = (R2 / k) / ((1 - R2) / (n - k - 1))", _COHEN, path="R2"),
    Relation("df1_k", "df1", ("r_squared", "k"), lambda box, _: box["k"], "df1 = k", _COHEN,
             path="df1"),
    Relation("df2_n_k", "df2", ("r_squared", "k", "n"), lambda box, _: point(_free(box)),
             "df2 = n - k - 1", _COHEN, path="df2"),
    _R2,
    stars_twin(_R2),
    Relation("i_squared", "i_squared", ("q", "k_studies"), _i_squared, "I2 = (Q - (k - 1)) / Q",
             _HIGGINS, path="I2"),
    _Q,
    stars_twin(_Q),
    Relation("mean_n", "mean_n", ("n_total", "k_studies"), _mean_n, "mean n = total n / studies",
             _DEFINITION, path="mean n"),
)  # fmt: skip
