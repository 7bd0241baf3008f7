"""Shares of variance: R squared with its F and p, of a whole model or of its last step."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.count_relations import exact
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
)
from alliance_stats.evidence.printed.statistic_relations import f_tail

__all__ = ["RELATIONS"]

_COHEN = "Cohen et al. 2003, doi:10.4324/9780203774441"


def _f_of_r_squared(box: Box, _: Setting) -> Interval:
    k, free = exact(box, "k"), _free(box)
    return corners(lambda r2: (r2 / k) / ((1.0 - r2) / free), box["r_squared"])


def _free(box: Box) -> float:
    n, k = exact(box, "n"), exact(box, "k")
    if n - k - 1 <= 0:
        raise NotIdentifiedError(f"n = {n:.0f} and k = {k:.0f} leave no degrees of freedom")
    return n - k - 1.0


def _p_of_r_squared(box: Box, setting: Setting) -> Interval:
    f = _f_of_r_squared(box, setting)
    return f_tail(f, point(exact(box, "k")), point(_free(box)))


def _f_on_df(box: Box, _: Setting) -> Interval:
    if box["df1"].low <= 0.0:
        raise NotIdentifiedError("no degrees of freedom are left")
    return corners(
        lambda r2, df1, df2: (r2 / df1) / ((1.0 - r2) / df2),
        box["r_squared"], box["df1"], box["df2"],
    )  # fmt: skip


def _r_squared_of_f(box: Box, _: Setting) -> Interval:
    return corners(lambda f, df1, df2: f * df1 / (f * df1 + df2), box["f"], box["df1"], box["df2"])


def _or_zero(shrunk: Interval) -> Interval:
    """Return a shrunk share where a negative one may be printed as it is, or as 0."""
    return Interval(shrunk.low, max(shrunk.high, 0.0))


def _adjusted_of_f(box: Box, _: Setting) -> Interval:
    """Return adjusted R squared, which is epsilon squared of the F test as well."""
    return _or_zero(corners(
        lambda f, df1, df2: 1.0 - (df1 + df2) / (f * df1 + df2),
        box["f"], box["df1"], box["df2"],
    ))  # fmt: skip


def _omega_of_f(box: Box, _: Setting) -> Interval:
    return _or_zero(corners(
        lambda f, df1, df2: df1 * (f - 1.0) / (df1 * (f - 1.0) + df1 + df2 + 1.0),
        box["f"], box["df1"], box["df2"],
    ))  # fmt: skip


def _plain_of_adjusted(share: float, df1: float, df2: float) -> float:
    return 1.0 - (1.0 - share) * df2 / (df1 + df2)


def _plain_of_omega(share: float, df1: float, df2: float) -> float:
    f = 1.0 + share * (df1 + df2 + 1.0) / (df1 * (1.0 - share))
    return f * df1 / (f * df1 + df2)


def _if_shrunk(image: Image, plain_of: Callable[[float, float, float], float]) -> Image:
    """Return F or p from a share of variance that was shrunk: 0 for each F of at most 1."""

    def of_plain(box: Box, setting: Setting) -> Interval:
        if {"df1", "df2"} <= set(box):
            df1, df2 = box["df1"], box["df2"]
        else:
            df1, df2 = point(exact(box, "k")), point(_free(box))
        plain = corners(plain_of, box["r_squared"], df1, df2)
        low = 0.0 if box["r_squared"].low <= 0.0 else plain.low
        return image({**box, "r_squared": Interval(low, min(plain.high, 1.0))}, setting)

    return of_plain


def _p_on_df(box: Box, setting: Setting) -> Interval:
    return f_tail(_f_on_df(box, setting), box["df1"], box["df2"])


# groups that repeated measures are taken to be compared between, at most
_MOST_GROUPS = 12


def _of_repeated_measures(box: Box) -> bool:
    """Say whether df can only be those of w = levels - 1 contrasts within n people in g groups.

    They are ``df2 = w (n - g)``, more than n people leave any model between them, and ``df1 = w``,
    or ``w (g - 1)`` for the interaction with the groups.
    """
    sizes = [box[name] for name in ("n", "df1", "df2") if name in box]
    if len(sizes) < 3 or any(size.high - size.low > 1.0 for size in sizes):
        return False
    n, df1, least = (float(np.ceil(size.low)) for size in sizes)
    if df1 + least < n:
        return False
    groups = [g for g in range(1, _MOST_GROUPS + 1) if n > g]
    # whole df that were perhaps rounded are one whole number, or two where digits were cut off
    possible = (least, float(np.floor(sizes[2].high)))
    found = ((df2 / (n - g), g) for df2 in possible for g in groups)
    return any(w.is_integer() and df1 in (w, w * (g - 1)) for w, g in found)


# A share of all the variance, or a generalised one, is taken to be at least this part of the
# partial one: so small where persons differ 50 times as much as the sessions of one.
_LEAST_OF_PARTIAL = 1.0 / 50.0


def _f_of_all_variance(box: Box, setting: Setting) -> Interval:
    """Return F for a share of all the variance, or a generalised one: at most the partial one."""
    _demand_repeated_measures(box)
    most = box["r_squared"].high / _LEAST_OF_PARTIAL
    if most >= 1.0:
        return Interval(_f_on_df(box, setting).low, np.inf)
    return _f_on_df({**box, "r_squared": Interval(box["r_squared"].low, most)}, setting)


def _share_of_all_variance(box: Box, setting: Setting) -> Interval:
    _demand_repeated_measures(box)
    partial = _r_squared_of_f(box, setting)
    return Interval(partial.low * _LEAST_OF_PARTIAL, partial.high)


def _demand_repeated_measures(box: Box) -> None:
    if not _of_repeated_measures(box):
        raise NotIdentifiedError("the df are not those of repeated measures")


def _of_a_step(allowed: Interval, target: str) -> Image:
    """Return what a test of the last step, not of the whole model, allows.

    df1 = k says that it is the whole model's; F of repeated measures is not one of a step, but its
    p may be on corrected df.
    """

    def image(box: Box, _: Setting) -> Interval:
        if "k" in box and "df1" in box and box["df1"].meets(box["k"]):
            raise NotIdentifiedError("df1 = k are those of the whole model")
        if target in ("f", "r_squared") and _of_repeated_measures(box):
            raise NotIdentifiedError("the df are those of repeated measures")
        return allowed

    return image


def _whole_model() -> tuple[Relation, ...]:
    """Return F and p of R squared: of the whole model, unless a step was tested."""
    step = "the test is that of a step, and R2 that of the whole model"
    of_all = "R2 is eta squared of all the variance, or generalised, not the partial one"
    said = "F = (R2 / k) / ((1 - R2) / (n - k - 1))"
    on_df = "F = (R2 / df1) / ((1 - R2) / df2)"
    f = Relation("f_r_squared", "f", ("r_squared", "k", "n"), _f_of_r_squared, said, _COHEN, "R2")
    f_df = Relation("f_r_squared_df", "f", ("r_squared", "df1", "df2"), _f_on_df, on_df, _COHEN,
                    "R2")  # fmt: skip
    p = Relation("p_r_squared", "p_value", ("r_squared", "k", "n"), _p_of_r_squared,
                 f"p from {said}", _COHEN, "R2")  # fmt: skip
    p_df = Relation("p_r_squared_df", "p_value", ("r_squared", "df1", "df2"), _p_on_df,
                    f"p from {on_df}", _COHEN, "R2")  # fmt: skip
    back = Relation("r_squared_f", "r_squared", ("f", "df1", "df2"), _r_squared_of_f,
                    "R2 = F df1 / (F df1 + df2)", _COHEN, "R2")  # fmt: skip
    df1 = Relation("df1_k", "df1", ("r_squared", "k"), lambda box, _: box["k"], "df1 = k", _COHEN,
                   path="df1")  # fmt: skip
    df2 = Relation("df2_n_k", "df2", ("r_squared", "k", "n"), lambda box, _: point(_free(box)),
                   "df2 = n - k - 1", _COHEN, path="df2")  # fmt: skip
    of_plain = (f, f_df, p, p_df, stars_twin(p), stars_twin(p_df))
    firm = (*of_plain, back, *_shrunk(of_plain, back))
    ends = {"f": Interval(0.0, np.inf), "r_squared": Interval(-1.0, 1.0)}
    return (
        *firm,
        *(
            loosened(r, image, of_all, name=f"{r.name}_of_all", also=("n",))
            for r, image in ((f_df, _f_of_all_variance), (back, _share_of_all_variance))
        ),
        *(
            loosened(r, _of_a_step(ends.get(r.target, Interval(0.0, 1.0)), r.target), step,
                     name=f"{r.name}_step")
            for r in firm
        ),
        df1,
        loosened(df1, lambda box, _: Interval(0.0, box["k"].high), step, name="df1_step"),
        df2,
    )  # fmt: skip


def _shrunk(of_plain: tuple[Relation, ...], back: Relation) -> tuple[Relation, ...]:
    """Return the same of shares of variance that are shrunk: adjusted, epsilon and omega."""
    return (
        *(
            replace(r, name=f"{r.name}_{law}", image=_if_shrunk(r.image, plain_of),
                    formula=f"{r.formula}, R2 from {said}", exact=False)
            for law, said, plain_of in (("adjusted", "the adjusted one", _plain_of_adjusted),
                                        ("omega", "omega squared", _plain_of_omega))
            for r in of_plain
        ),
        replace(back, name="r_squared_f_adjusted", image=_adjusted_of_f, exact=False,
                formula="adjusted R2 or epsilon squared = 1 - (df1 + df2) / (F df1 + df2)"),
        replace(back, name="omega_squared_f", image=_omega_of_f, exact=False,
                formula="omega squared = df1 (F - 1) / (df1 (F - 1) + df1 + df2 + 1)"),
    )  # fmt: skip


RELATIONS: tuple[Relation, ...] = _whole_model()
