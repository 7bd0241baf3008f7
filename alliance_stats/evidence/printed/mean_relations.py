"""Means and SDs of two groups or two times: t, df, p, SE, intervals and totals."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.relation import (
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    corners,
    loosened,
    magnitude,
    p_relations,
    point,
    quotient,
)
from alliance_stats.evidence.printed.wald_relations import (
    OTHER_INTERVAL,
    ROBUST,
    beside_own_p,
    critical_value,
    robust,
    widened,
)

__all__ = [
    "GROUPS",
    "MOMENTS",
    "RELATIONS",
    "change_sd",
    "difference",
    "over",
    "pooled_df",
    "pooled_sd",
    "size",
]

_STUDENT = "Student 1908, doi:10.1093/biomet/6.1.1"
_WELCH = "Welch 1947, doi:10.1093/biomet/34.1-2.28"
_DEFINITION = "definition"

MOMENTS = ("mean1", "sd1", "mean2", "sd2")
GROUPS = (*MOMENTS, "n1", "n2")


def difference(box: Box) -> Interval:
    """Return the feasible difference of the two means."""
    return corners(lambda a, b: a - b, box["mean1"], box["mean2"])


def size(box: Box, name: str) -> float:
    """Return a group's size, which must be one whole number."""
    n = box[name]
    if n.low != n.high or n.low < 2:
        raise NotIdentifiedError(f"{name} must be a whole number of at least 2 to yield an SD")
    return n.low


def pooled_sd(box: Box) -> Interval:
    """Return the feasible pooled SD."""
    free1, free2 = size(box, "n1") - 1, size(box, "n2") - 1
    return corners(
        lambda s1, s2: np.sqrt((free1 * s1**2 + free2 * s2**2) / (free1 + free2)),
        box["sd1"],
        box["sd2"],
    )


def _pooled_se(box: Box) -> Interval:
    root = np.sqrt(1.0 / size(box, "n1") + 1.0 / size(box, "n2"))
    return corners(lambda sd: sd * root, pooled_sd(box))


def _welch_se(box: Box) -> Interval:
    n1, n2 = size(box, "n1"), size(box, "n2")
    return corners(lambda s1, s2: np.sqrt(s1**2 / n1 + s2**2 / n2), box["sd1"], box["sd2"])


def _se_of_errors(box: Box) -> Interval:
    return corners(lambda s1, s2: np.sqrt(s1**2 + s2**2), box["sd1"], box["sd2"])


def over(scale: Callable[[Box], Interval]) -> Image:
    """Difference of means over an SE or SD; the two share no printed number, so this is exact."""
    return lambda box, _: quotient(difference(box), scale(box))


def pooled_df(box: Box) -> Interval:
    """Return n1 + n2 - 2."""
    return point(size(box, "n1") + size(box, "n2") - 2.0)


def _welch_df(box: Box) -> Interval:
    """Return the feasible Welch-Satterthwaite df.

    With the first group's share s of the squared SE,
    ``df = 1 / (s^2/(n1 - 1) + (1 - s)^2/(n2 - 1))``, which has one turning point, at
    ``s = (n1 - 1)/(n1 + n2 - 2)``.
    """
    n1, n2 = size(box, "n1"), size(box, "n2")
    if box["sd1"].high <= 0.0 or box["sd2"].high <= 0.0:
        raise NotIdentifiedError("Welch's df need standard deviations above zero")
    share = corners(lambda s1, s2: (s1**2 / n1) / (s1**2 / n1 + s2**2 / n2), box["sd1"], box["sd2"])
    turn = (n1 - 1.0) / (n1 + n2 - 2.0)
    return corners(
        lambda s: 1.0 / (s**2 / (n1 - 1.0) + (1.0 - s) ** 2 / (n2 - 1.0)), share, turns=((turn,),)
    )


# Covariates that a test was adjusted for are taken to be at most this many.
_MOST_COVARIATES = 12


def _only_welch(box: Box) -> bool:
    """Say whether the printed df are Welch's and can hardly be others.

    Whole ones near n1 + n2 - 2 may be those of a test with covariates, n - 1 those of pairs.
    """
    if not {"df", *GROUPS} <= set(box) or min(box["sd1"].high, box["sd2"].high) <= 0.0:
        return False
    df, plain = box["df"], pooled_df(box)
    width = df.high - df.low
    if width > 1.0:
        return False  # "< 30"
    whole = width in (0.0, 1.0)
    # whichever way they were rounded
    room = 1.0 if whole else width
    found = Interval(df.low - room, df.high + room)
    pairs = box["n1"].meets(box["n2"]) and df.meets(point(size(box, "n1") - 1.0))
    other = pairs or df.meets(plain) or (whole and plain.low - df.high <= _MOST_COVARIATES)
    return not other and found.meets(_welch_df(box))


def _unless_welch(image: Image) -> Image:
    """Return what `image` allows of a test whose printed df are not Welch's."""

    def otherwise(box: Box, setting: Setting) -> Interval:
        if _only_welch(box):
            raise NotIdentifiedError("the df are those of Welch's test")
        return image(box, setting)

    return otherwise


def change_sd(box: Box) -> Interval:
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
    root = np.sqrt(size(box, "n"))
    return corners(lambda t: t * root, quotient(difference(box), change_sd(box)))


def _paired_df(box: Box) -> Interval:
    return point(size(box, "n") - 1.0)


def _welch_or_pairs(box: Box, _: Setting) -> Interval:
    """Return the possible df where the SDs are not both printed: Welch's, or those of pairs."""
    n1, n2 = size(box, "n1"), size(box, "n2")
    if {"sd1", "sd2"} <= set(box):
        raise NotIdentifiedError("Welch's df follow from the printed SDs")
    return Interval(min(n1, n2) - 1.0, n1 + n2 - 2.0)


def _pairs_df(box: Box, _: Setting) -> Interval:
    if size(box, "n1") != size(box, "n2"):
        raise NotIdentifiedError("pairs are as many first as second ones")
    return point(size(box, "n1") - 1.0)


def _if_adjusted(allowed: Interval) -> Image:
    """Return what a test adjusted for covariates allows: its df are not n1 + n2 - 2."""

    def image(box: Box, _: Setting) -> Interval:
        if "df" in box and box["df"].meets(pooled_df(box)):
            raise NotIdentifiedError("the df are those of two groups compared as they are")
        return allowed

    return _unless_welch(image)


def _adjusted_df(box: Box, setting: Setting) -> Interval:
    """Return the possible df of an adjusted test: fewer, unless t is that of the groups."""
    n1, n2 = size(box, "n1"), size(box, "n2")
    root = float(np.sqrt(1.0 / n1 + 1.0 / n2))
    if set(GROUPS) <= set(box):
        images = (over(_pooled_se), over(_welch_se))
        plain = any(magnitude(box["t"]).meets(magnitude(f(box, setting))) for f in images)
    else:
        own = corners(lambda t: t * root, magnitude(box["t"]))
        plain = any(name in box and magnitude(box[name]).meets(own) for name in ("d", "g"))
    if plain:
        raise NotIdentifiedError("t is that of two groups compared as they are")
    return Interval(1.0, n1 + n2 - 2.0)


def _df_of_clusters(box: Box, _: Setting) -> Interval:
    """Return df that are fewer than those of any test of independent persons."""
    return Interval(1.0, max(1.0, min(size(box, "n1"), size(box, "n2")) - 1.0))


def _if_paired(allowed: Interval) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        pairs = size(box, "n1") - 1.0
        if size(box, "n2") - 1.0 != pairs or not box["df"].meets(point(pairs)):
            raise NotIdentifiedError("the df are not those of pairs")
        return allowed

    return image


def _mean_error(box: Box, _: Setting) -> Interval:
    root = np.sqrt(size(box, "n"))
    return corners(lambda sd: sd / root, box["sd"])


def _mean_limits() -> tuple[Relation, ...]:
    found: list[Relation] = []
    for name, side in (("conf_low", -1), ("conf_high", 1)):

        def limit(box: Box, setting: Setting, *, law: str, sign: float = float(side)) -> Interval:
            q = critical_value(point(size(box, "n") - 1.0) if law == "t" else None, setting)
            return corners(
                lambda m, se, c: m + sign * c * se,
                box["mean"],
                _mean_error(box, setting),
                widened(q) if law == "other" else q,
            )

        def by(law: str, image: Callable[..., Interval] = limit) -> Image:
            return lambda box, setting: image(box, setting, law=law)

        sign = "-" if side < 0 else "+"
        on_t, on_z = (
            Relation(
                f"{name}_mean_{law}_sd", name, ("mean", "sd", "n"), by(law),
                f"mean {sign} {said} SD / sqrt(n)", _STUDENT, path="sd n",
            )
            for law, said in (("t", "t(n - 1)"), ("z", "z"))
        )  # fmt: skip
        found += [
            on_t,
            on_z,
            loosened(on_t, by("other"), OTHER_INTERVAL, name=f"{name}_mean_other_sd",
                     about_interval=True),
        ]  # fmt: skip
    return tuple(found)


def _sizes(box: Box) -> tuple[float, float]:
    n1, n2 = size(box, "n1"), size(box, "n2")
    if "n" in box and not box["n"].meets(point(n1 + n2)):
        raise NotIdentifiedError("n1 and n2 do not make up n")
    return n1, n2


def _total_mean(box: Box, _: Setting) -> Interval:
    n1, n2 = _sizes(box)
    return corners(lambda a, b: (n1 * a + n2 * b) / (n1 + n2), box["mean1"], box["mean2"])


def _total_sd(box: Box, _: Setting) -> Interval:
    n1, n2 = _sizes(box)
    between = n1 * n2 / (n1 + n2)
    return corners(
        lambda s1, s2, gap: np.sqrt(
            ((n1 - 1) * s1**2 + (n2 - 1) * s2**2 + between * gap**2) / (n1 + n2 - 1)
        ),
        box["sd1"],
        box["sd2"],
        difference(box),
        turns=((), (), (0.0,)),
    )


_POOLED = Relation(
    "t_pooled", "t", GROUPS, _unless_welch(over(_pooled_se)),
    "pooled t = (M1 - M2) / (sp sqrt(1/n1 + 1/n2))", _STUDENT, path="two means",
)  # fmt: skip
_WELCH_T = Relation(
    "t_welch", "t", GROUPS, over(_welch_se), "Welch t = (M1 - M2) / sqrt(s1^2/n1 + s2^2/n2)",
    _WELCH, path="two means",
)  # fmt: skip
_PAIRED = Relation(
    "t_paired", "t", (*MOMENTS, "r_paired", "n"), _paired_t,
    "paired t = (M1 - M2) sqrt(n) / sqrt(s1^2 + s2^2 - 2 r s1 s2)", _STUDENT, path="paired",
)  # fmt: skip

_DF_POOLED = Relation(
    "df_pooled", "df", ("t", "n1", "n2"), lambda box, _: pooled_df(box), "df = n1 + n2 - 2",
    _STUDENT, path="df",
)  # fmt: skip
_ADJUSTED = "the groups were compared by another test, as one adjusted for covariates"
_PAIRS = "the two are pairs whose correlation is not printed"

RELATIONS: tuple[Relation, ...] = (
    _POOLED,
    _WELCH_T,
    *p_relations(_POOLED, name="p_pooled", df=pooled_df),
    # t and df share the SDs: both sets are exact, the p from both encloses
    *p_relations(replace(_WELCH_T, exact=False), name="p_welch", df=_welch_df),
    _PAIRED,
    *p_relations(_PAIRED, name="p_paired", df=_paired_df),
    _DF_POOLED,
    loosened(_DF_POOLED, _welch_or_pairs, "they are Welch's, or those of pairs",
             name="df_unpooled"),
    loosened(_DF_POOLED, _pairs_df, _PAIRS, name="df_pairs"),
    loosened(_DF_POOLED, _adjusted_df, _ADJUSTED, name="df_adjusted"),
    loosened(_DF_POOLED, _df_of_clusters, "they are those of clusters, not of persons",
             name="df_clusters", is_exception=True),
    Relation("df_welch", "df", ("t", "sd1", "sd2", "n1", "n2"), lambda box, _: _welch_df(box),
             "Welch-Satterthwaite df", _WELCH, path="df"),
    *(
        loosened(r, _if_paired(Interval(-np.inf, np.inf)), _PAIRS, name=f"{r.name}_pairs",
                 also=("df",))
        for r in (_POOLED, _WELCH_T)
    ),
    *(
        loosened(r, _if_paired(Interval(0.0, 1.0)), _PAIRS, name=f"{r.name}_pairs", also=("df",))
        for r in p_relations(_POOLED, name="p_pooled", df=pooled_df)
    ),
    *(
        loosened(r, _if_adjusted(ends), _ADJUSTED, name=f"{r.name}_adjusted")
        for r, ends in (
            (_POOLED, Interval(-np.inf, np.inf)),
            *((p, Interval(0.0, 1.0)) for p in p_relations(_POOLED, name="p_pooled", df=pooled_df)),
        )
    ),
    *(
        loosened(r, r.image, "the SDs are the standard errors of the means", name=f"{r.name}_se",
                 is_exception=True)
        for own in (replace(_POOLED, image=over(_se_of_errors)),)
        for r in (own, *p_relations(own, name="p_pooled", df=pooled_df))
    ),
    *(
        loosened(r, _unless_welch(beside_own_p(robust(r.image), (_POOLED, _WELCH_T))), ROBUST,
                 name=f"{r.name}_robust", is_exception=True)
        for r in (_POOLED, _WELCH_T)
    ),
    *(
        loosened(p, p.image, ROBUST, name=f"{p.name}_robust", is_exception=True, unless=("t",))
        for p in p_relations(replace(_POOLED, image=robust(_POOLED.image)), name="p_pooled",
                             df=pooled_df)
    ),
    Relation("se_mean", "std_error", ("mean", "sd", "n"), _mean_error, "SE = SD / sqrt(n)",
             _DEFINITION, path="sd n", unless=("estimate", "d", "g")),
    *_mean_limits(),
    Relation("mean_total", "mean", ("mean1", "n1", "mean2", "n2"), _total_mean,
             "mean = (n1 M1 + n2 M2) / (n1 + n2)", _DEFINITION, path="total", unless=("r_paired",)),
    Relation("sd_total", "sd", GROUPS, _total_sd,
             "SD of both groups together", _DEFINITION, path="total sd", unless=("r_paired",)),
    Relation("sd_pooled", "sd", GROUPS, lambda box, _: pooled_sd(box),
             "pooled SD of the groups", _DEFINITION, path="total sd", unless=("r_paired",)),
)  # fmt: skip
