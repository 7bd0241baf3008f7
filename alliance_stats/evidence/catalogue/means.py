"""Means, standard deviations and group sizes: t, df, p, d and g."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from alliance_stats.effect_sizes import hedges_correction
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.catalogue.core import Box, Image, Relation, Setting, p_relations
from alliance_stats.evidence.intervals import Interval, corners, point, quotient

__all__ = ["RELATIONS"]

_STUDENT = "Student 1908, doi:10.1093/biomet/6.1.1"
_WELCH = "Welch 1947, doi:10.1093/biomet/34.1-2.28"
_COHEN = "Cohen 1988, doi:10.4324/9780203771587"
_HEDGES = "Hedges 1981, doi:10.3102/10769986006002107"

_MOMENTS = ("mean1", "sd1", "mean2", "sd2")
_GROUPS = (*_MOMENTS, "n1", "n2")


def _difference(box: Box) -> Interval:
    return corners(lambda a, b: a - b, box["mean1"], box["mean2"])


def _size(box: Box, name: str) -> float:
    n = box[name]
    if n.low != n.high or n.low < 2:
        raise NotIdentifiedError(f"{name} must be a whole number of at least 2 to yield an SD")
    return n.low


def _pooled_sd(box: Box) -> Interval:
    free1, free2 = _size(box, "n1") - 1, _size(box, "n2") - 1
    return corners(
        lambda s1, s2: np.sqrt((free1 * s1**2 + free2 * s2**2) / (free1 + free2)),
        box["sd1"],
        box["sd2"],
    )


def _pooled_se(box: Box) -> Interval:
    root = np.sqrt(1.0 / _size(box, "n1") + 1.0 / _size(box, "n2"))
    return corners(lambda sd: sd * root, _pooled_sd(box))


def _welch_se(box: Box) -> Interval:
    n1, n2 = _size(box, "n1"), _size(box, "n2")
    return corners(lambda s1, s2: np.sqrt(s1**2 / n1 + s2**2 / n2), box["sd1"], box["sd2"])


def _over(scale: Callable[[Box], Interval]) -> Image:
    """Difference of means over an SE or SD; the two share no printed number, so this is exact."""
    return lambda box, _: quotient(_difference(box), scale(box))


def _pooled_df(box: Box) -> Interval:
    return point(_size(box, "n1") + _size(box, "n2") - 2.0)


def _welch_df(box: Box) -> Interval:
    """Return the feasible Welch-Satterthwaite df.

    With the first group's share s of the squared SE,
    ``df = 1 / (s^2/(n1 - 1) + (1 - s)^2/(n2 - 1))``, which turns once, at
    ``s = (n1 - 1)/(n1 + n2 - 2)``.
    """
    n1, n2 = _size(box, "n1"), _size(box, "n2")
    if box["sd1"].high <= 0.0 or box["sd2"].high <= 0.0:
        raise NotIdentifiedError("Welch's df need standard deviations above zero")
    share = corners(lambda s1, s2: (s1**2 / n1) / (s1**2 / n1 + s2**2 / n2), box["sd1"], box["sd2"])
    turn = (n1 - 1.0) / (n1 + n2 - 2.0)
    return corners(
        lambda s: 1.0 / (s**2 / (n1 - 1.0) + (1.0 - s) ** 2 / (n2 - 1.0)), share, turns=((turn,),)
    )


def approximate_correction(df: float) -> float:
    """Return 1 - 3 / (4 df - 1)."""
    return 1.0 - 3.0 / (4.0 * df - 1.0)


def _g(correction: Callable[[float], float]) -> Image:
    def image(box: Box, setting: Setting) -> Interval:
        shrink = correction(_pooled_df(box).low)
        return corners(lambda d: d * shrink, _over(_pooled_sd)(box, setting))

    return image


def _g_from_d(correction: Callable[[float], float]) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        shrink = correction(_pooled_df(box).low)
        return corners(lambda d: d * shrink, box["d"])

    return image


def _average_sd(box: Box) -> Interval:
    return corners(lambda s1, s2: np.sqrt((s1**2 + s2**2) / 2.0), box["sd1"], box["sd2"])


def _d_from_t(box: Box, _: Setting) -> Interval:
    root = np.sqrt(1.0 / _size(box, "n1") + 1.0 / _size(box, "n2"))
    return corners(lambda t: t * root, box["t"])


def _change_sd(box: Box) -> Interval:
    """Return the feasible SD of change, sqrt(s1^2 + s2^2 - 2 r s1 s2).

    The square is convex in each SD and falls with r, so its greatest value lies at a corner; its
    least lies on an edge of the box, where one SD is at an end and the other as near as it can
    be to r times the first (the only other stationary point has both SDs zero).
    """
    s1, s2, r = box["sd1"], box["sd2"], box["r_paired"]

    def square(a: float, b: float, rho: float) -> float:
        return a * a + b * b - 2.0 * rho * a * b

    highest = max(square(a, b, r.low) for a in (s1.low, s1.high) for b in (s2.low, s2.high))
    lowest = min(
        *(square(a, min(max(r.high * a, s2.low), s2.high), r.high) for a in (s1.low, s1.high)),
        *(square(min(max(r.high * b, s1.low), s1.high), b, r.high) for b in (s2.low, s2.high)),
    )
    return Interval(float(np.sqrt(max(lowest, 0.0))), float(np.sqrt(highest)))


def _paired_t(box: Box, _: Setting) -> Interval:
    root = np.sqrt(_size(box, "n"))
    return corners(lambda t: t * root, quotient(_difference(box), _change_sd(box)))


def _paired_df(box: Box) -> Interval:
    return point(_size(box, "n") - 1.0)


_POOLED = Relation(
    "t_pooled", "t", _GROUPS, _over(_pooled_se), "pooled t = (M1 - M2) / (sp sqrt(1/n1 + 1/n2))",
    _STUDENT, path="two means",
)  # fmt: skip
_WELCH_T = Relation(
    "t_welch", "t", _GROUPS, _over(_welch_se), "Welch t = (M1 - M2) / sqrt(s1^2/n1 + s2^2/n2)",
    _WELCH, path="two means",
)  # fmt: skip
_PAIRED = Relation(
    "t_paired", "t", (*_MOMENTS, "r_paired", "n"), _paired_t,
    "paired t = (M1 - M2) sqrt(n) / sqrt(s1^2 + s2^2 - 2 r s1 s2)", _STUDENT, path="paired",
)  # fmt: skip

RELATIONS: tuple[Relation, ...] = (
    _POOLED,
    _WELCH_T,
    *p_relations(_POOLED, name="p_pooled", df=_pooled_df),
    # t and df share the SDs: both sets are exact, the p from both encloses
    *p_relations(replace(_WELCH_T, exact=False), name="p_welch", df=_welch_df),
    _PAIRED,
    *p_relations(_PAIRED, name="p_paired", df=_paired_df),
    Relation("df_pooled", "df", ("t", "n1", "n2"), lambda box, _: _pooled_df(box),
             "df = n1 + n2 - 2", _STUDENT, path="df"),
    Relation("df_welch", "df", ("t", "sd1", "sd2", "n1", "n2"), lambda box, _: _welch_df(box),
             "Welch-Satterthwaite df", _WELCH, path="df"),
    Relation("d_pooled", "d", _GROUPS, _over(_pooled_sd), "d = (M1 - M2) / sp", _COHEN,
             path="d means"),
    Relation("d_average_sd", "d", _MOMENTS, _over(_average_sd),
             "d = (M1 - M2) / sqrt((s1^2 + s2^2) / 2)", _COHEN, path="d means"),
    Relation("d_t", "d", ("t", "n1", "n2"), _d_from_t, "d = t sqrt(1/n1 + 1/n2)", _COHEN,
             path="d t"),
    *(
        Relation(f"{name}_{law}", "g", inputs, image, f"g = {correction} {what}", _HEDGES, path)
        for name, inputs, what, path, make in (
            ("g_means", _GROUPS, "(M1 - M2) / sp", "g means", _g),
            ("g_d", ("d", "n1", "n2"), "d", "g d", _g_from_d),
        )
        for law, correction, image in (
            ("exact", "J(df)", make(hedges_correction)),
            ("approximate", "(1 - 3/(4 df - 1))", make(approximate_correction)),
        )
    ),
)  # fmt: skip
