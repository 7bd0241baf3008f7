"""An estimate, its standard error, its interval and its p."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.relation import (
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    any_df,
    corners,
    loosened,
    no_df,
    p_relations,
    point,
    quotient,
    row_df,
    tail_probability,
)

__all__ = [
    "ALTMAN",
    "OTHER_INTERVAL",
    "RELATIONS",
    "ROBUST",
    "WALD",
    "WIDER",
    "any_critical_value",
    "beside_own_p",
    "critical_value",
    "exponentiated",
    "midpoint_relations",
    "robust",
    "widened",
]

WALD = "Wald 1943, doi:10.1090/S0002-9947-1943-0012401-3"
ALTMAN = "Altman & Bland 2011, doi:10.1136/bmj.d2304"

# An interval that was not made from the printed standard error (bootstrap, profile likelihood,
# exact, cluster-robust) is taken to reach at most twice, and at least half, as far on a side.
WIDER = 2.0
# exact intervals of proportions near 0 or 1 reach many times further on one side
_SKEW_OF_SHARES = 1e6
_ONCE = Interval(1.0, 1.0)
OTHER_INTERVAL = "the interval was bootstrapped, profiled or made from another standard error"
# An unstated standard error over clusters, or robust, is taken to be at most three times the plain
# one, and at least two thirds of it.
_ROBUST_TIMES = Interval(1.0 / 3.0, 1.5)
ROBUST = "its standard error, which is not said, allows for clusters or unequal variances"
_NULL_SE = "it is by another standard error than the printed one, as that under the null hypothesis"
# By the error under the null hypothesis z is at most so many times estimate / SE: in simulated
# tables of two to four categories and 15 to 150 cases all of tau-b and gamma and .97 of kappas.
# It may be far smaller where the coefficient is large, as the error at the estimate goes to 0.
_MOST_UNDER_NULL = 1.6
_FEW = "it is one of t on few df, which are not printed"
_SOME_DF = "the test was a t test on few df, which are not printed"
_OF_ANOTHER = "the p is that of another test in the row"


def critical_value(df: Interval | None, setting: Setting) -> Interval:
    """Return t(1 - alpha/2; df), normal where `df` is ``None``."""
    upper = (1.0 - setting.conf_level) / 2.0
    if df is None:
        return point(_quantile(upper, np.inf))
    if df.high <= 0.0:
        raise NotIdentifiedError("no degrees of freedom are left")
    return corners(lambda nu: _quantile(upper, nu), df)


def _quantile(upper: float, df: float) -> float:
    return float(-special.ndtri(upper) if np.isinf(df) else -special.stdtrit(df, upper))


def any_critical_value(setting: Setting) -> Interval:
    """Return all t(1 - alpha/2) from the normal one to that on one df."""
    return critical_value(any_df({}), setting)


def widened(interval: Interval, *, times: float = WIDER) -> Interval:
    """Return what is at most so many times as far from zero, and at least so many times less."""
    return corners(lambda x, by: x * by, interval, Interval(1.0 / times, times))


def robust(image: Image) -> Image:
    """Return what a statistic may be by a standard error over clusters."""
    return lambda box, setting: corners(lambda t, by: t * by, image(box, setting), _ROBUST_TIMES)


def beside_own_p(image: Image, usual: Sequence[Relation]) -> Image:
    """Return what `image` allows of a t or z, unless the printed p contradicts it.

    It does where it is the p that one of the `usual` relations yields on the printed df, and not
    that of the printed statistic: then the statistic is the number that does not fit.
    """
    target = usual[0].target

    def beside(box: Box, setting: Setting) -> Interval:
        df = None if target == "z" else box.get("df", any_df(box))
        own, *others = (
            tail_probability(statistic, df, setting.tails)
            for statistic in (box[target], *(r.image(box, setting) for r in usual))
        )
        for p in (box[name] for name in ("p_value", "stars") if name in box):
            if not p.meets(own) and any(p.meets(other) for other in others):
                raise NotIdentifiedError(f"the p is not that of the printed {target}")
        return image(box, setting)

    return beside


def _by_another_error(box: Box, setting: Setting) -> Interval:
    """Return the statistic of an agreement or association by its error under the null."""
    estimate = box["estimate"].within(-1.0, 1.0)
    if estimate is None:
        raise NotIdentifiedError("the estimate is no coefficient of agreement or association")
    least = min(1.0 / WIDER, 1.0 - max(abs(estimate.low), abs(estimate.high)))
    return corners(lambda z, by: z * by, _ratio()(box, setting), Interval(least, _MOST_UNDER_NULL))


def _p_by_another_error(statistic: str) -> Image:
    """Return the p of a printed z, or t without df, that may be by an error under the null."""

    def image(box: Box, setting: Setting) -> Interval:
        if not box[statistic].meets(_by_another_error(box, setting)):
            raise NotIdentifiedError(f"the {statistic} is of another size than estimate / SE")
        df = any_df(box) if statistic == "t" else None
        return tail_probability(box[statistic], df, setting.tails)

    return image


def _ratio(owner: str = "estimate") -> Image:
    return lambda box, _: quotient(box[owner], box["std_error"])


def _squared_ratio(box: Box, setting: Setting) -> Interval:
    return corners(lambda z: z**2, _ratio()(box, setting), turns=((0.0,),))


# a row and its setting -> the critical value of its interval
Critical = Callable[[Box, Setting], Interval]


def _by_t(box: Box, setting: Setting) -> Interval:
    return critical_value(box["df"], setting)


def _by_z(_: Box, setting: Setting) -> Interval:
    return critical_value(None, setting)


def _by_any_t(_: Box, setting: Setting) -> Interval:
    return any_critical_value(setting)


def _by_other(_: Box, setting: Setting) -> Interval:
    return widened(critical_value(None, setting))


_LAWS: tuple[tuple[str, tuple[str, ...], str, Critical], ...] = (
    ("t", ("df",), "t(df)", _by_t),
    ("z", (), "z", _by_z),
)


def _reach(owner: str, side: int, critical: Critical) -> Image:
    return lambda box, setting: corners(
        lambda b, se, q: b + side * q * se, box[owner], box["std_error"], critical(box, setting)
    )


def _width(critical: Critical) -> Image:
    """Return the image of SE = (high - low) / (2 q)."""
    return lambda box, setting: corners(
        lambda low, high, q: max(high - low, 0.0) / (2.0 * q),
        box["conf_low"],
        box["conf_high"],
        critical(box, setting),
    )


def _midpoint(box: Box, _: Setting) -> Interval:
    return corners(lambda low, high: (low + high) / 2.0, box["conf_low"], box["conf_high"])


def _inside(skew: float) -> Image:
    """Return where an estimate can lie if one side is at most `skew` times the other."""
    share = Interval(1.0 / (1.0 + skew), skew / (1.0 + skew))
    return lambda box, _: corners(
        lambda low, high, s: low + s * (high - low), box["conf_low"], box["conf_high"], share
    )


def _mirror(owner: str, other: str, times: Interval = _ONCE) -> Image:
    return lambda box, _: corners(
        lambda b, limit, s: b - s * (limit - b), box[owner], box[other], times
    )


def midpoint_relations(owner: str, *, skew: float = WIDER**2) -> tuple[Relation, ...]:
    """Return the relations of an estimate to an interval that is symmetric about it.

    An interval of another kind may reach `skew` times as far on one side as on the other.
    """
    times = Interval(1.0 / skew, skew)
    said = f"({owner} in the middle of its interval)"
    middle = Relation(
        f"midpoint_{owner}", owner, ("conf_low", "conf_high"), _midpoint,
        f"{owner} = (low + high) / 2", ALTMAN, path=f"midpoint {owner}",
    )  # fmt: skip
    low = Relation(
        f"mirror_low_{owner}", "conf_low", (owner, "conf_high"), _mirror(owner, "conf_high"),
        f"low = 2 {owner} - high {said}", ALTMAN, path="mirror", fallback=True,
    )  # fmt: skip
    high = Relation(
        f"mirror_high_{owner}", "conf_high", (owner, "conf_low"), _mirror(owner, "conf_low"),
        f"high = 2 {owner} - low {said}", ALTMAN, path="mirror", fallback=True,
    )  # fmt: skip
    loose = (
        (middle, _inside(skew)),
        (low, _mirror(owner, "conf_high", times)),
        (high, _mirror(owner, "conf_low", times)),
    )
    return (
        middle,
        low,
        high,
        *(
            replace(
                loosened(
                    firm, image, OTHER_INTERVAL, name=f"{firm.name}_other", about_interval=True
                ),
                fallback=firm.fallback,
            )
            for firm, image in loose
        ),
    )


_INTERVAL = ("conf_low", "conf_high")
_EVERY_P = Interval(0.0, 1.0)


def _limits(owner: str) -> tuple[Relation, ...]:
    """Return the reach of an interval computed from the standard error."""
    end = _suffix(owner)
    found: list[Relation] = []
    for limit, side in (("conf_low", -1), ("conf_high", 1)):
        on_t, on_z = (
            Relation(
                f"{limit}_{law}{end}", limit, (owner, "std_error", *needs),
                _reach(owner, side, critical),
                f"{owner} {'-' if side < 0 else '+'} {quantile} SE", WALD, path="wald",
                unless=_not_of(owner),
            )
            for law, needs, quantile, critical in _LAWS
        )  # fmt: skip
        few, other = _reach(owner, side, _by_any_t), _reach(owner, side, _by_other)
        found += [
            on_t,
            on_z,
            loosened(on_z, few, _FEW, name=f"{limit}_any_df{end}", unless=("df", "z")),
            loosened(
                on_z, other, OTHER_INTERVAL, name=f"{limit}_other_interval{end}",
                about_interval=True,
            ),
        ]  # fmt: skip
    return tuple(found)


def _errors(owner: str) -> tuple[Relation, ...]:
    """Return the standard error from the interval's width."""
    end = _suffix(owner)
    on_t, on_z = (
        Relation(
            f"se_{law}_interval{end}", "std_error", (owner, *_INTERVAL, *needs), _width(critical),
            f"SE = (high - low) / (2 {quantile})", ALTMAN, path="interval", unless=_not_of(owner),
        )
        for law, needs, quantile, critical in _LAWS
    )  # fmt: skip
    few, other = f"se_any_df_interval{end}", f"se_other_interval{end}"
    return (
        on_t,
        on_z,
        loosened(on_z, _width(_by_any_t), _FEW, name=few, unless=("df", "z")),
        loosened(on_z, _width(_by_other), OTHER_INTERVAL, name=other, about_interval=True),
    )


def _p_of_interval(owner: str) -> tuple[Relation, ...]:
    """Return p from an estimate and the width of its interval."""
    end, said = _suffix(owner), f"{owner} / SE, SE from the interval's width"

    def statistic(critical: Critical) -> Image:
        return lambda box, setting: quotient(box[owner], _width(critical)(box, setting))

    on_t, on_z = (
        Relation(
            "", law, (owner, *_INTERVAL, *needs), statistic(critical), f"{law} = {said}", ALTMAN,
            path="interval",
        )
        for law, needs, _, critical in _LAWS
    )  # fmt: skip
    wide = replace(on_z, image=statistic(_by_other))
    return (
        *p_relations(on_t, name=f"p_interval_t{end}", df=row_df),
        *p_relations(on_z, name=f"p_interval_z{end}", df=no_df),
        *(
            loosened(r, r.image, OTHER_INTERVAL, name=r.name, about_interval=True)
            for r in p_relations(wide, name=f"p_other_interval{end}", df=any_df)
        ),
    )


def _p_of_wald() -> tuple[Relation, ...]:
    on_df = replace(_WALD_T, inputs=(*_WALD_T.inputs, "df"), formula="t = estimate / SE on df")
    some = p_relations(_WALD_Z, name="p_wald_any_df", df=any_df)
    return (
        *p_relations(on_df, name="p_wald_t", df=row_df),
        *(
            replace(r, unless=("df", "t"))
            for r in p_relations(
                replace(
                    _WALD_T, inputs=(*_WALD_T.inputs, "df2"), formula="t = estimate / SE on df2"
                ),
                name="p_wald_t_df2",
                df=lambda box: box["df2"],
            )
        ),
        *p_relations(_WALD_Z, name="p_wald_z", df=no_df),
        *(loosened(r, r.image, _SOME_DF, name=r.name, unless=("df", "z")) for r in some),
        *(
            loosened(
                r,
                lambda box, setting: _EVERY_P,  # noqa: ARG005
                _OF_ANOTHER,
                name=f"{r.name.removesuffix('_any_df')}_beside_{another}",
                also=(another,),
            )
            for r in some
            for another in ("f", "chi2")
        ),
        *(
            loosened(r, _p_by_another_error(statistic), _NULL_SE, name=f"{r.name}_null_{statistic}",
                     also=(statistic,), unless=("df",), is_exception=True)
            for statistic in ("z", "t")
            for r in p_relations(_WALD_Z, name="p_wald", df=no_df)
        ),
    )  # fmt: skip


def _standardised(owner: str) -> tuple[Relation, ...]:
    """Return z and p of a standardised difference from its standard error."""
    z = Relation(
        f"z_{owner}", "z", (owner, "std_error"), _ratio(owner), f"z = {owner} / SE", WALD,
        path="wald", unless=("estimate",),
    )  # fmt: skip
    of_t_test = "the p is that of a t test, whose t is not d / SE"
    return (
        z,
        *p_relations(z, name=f"p_{owner}_se", df=no_df),
        *(
            loosened(
                r, lambda box, setting: _EVERY_P, of_t_test, name=r.name,  # noqa: ARG005
                unless=("z",),
            )
            for r in p_relations(z, name=f"p_{owner}_other_test", df=no_df)
        ),
    )  # fmt: skip


def _suffix(owner: str) -> str:
    return "" if owner == "estimate" else f"_{owner}"


def _not_of(owner: str) -> tuple[str, ...]:
    """Return what must not be printed, because the standard error would then belong to it."""
    return () if owner == "estimate" else ("estimate",)


def exponentiated(relation: Relation) -> Relation:
    """Return a relation for limits of exp(estimate), a ratio that is not printed."""

    def image(box: Box, setting: Setting) -> Interval:
        logs = {name: _log_limit(box[name]) for name in _INTERVAL if name in relation.inputs}
        found = relation.image({**box, **logs}, setting)
        return corners(np.exp, found) if relation.target in _INTERVAL else found

    return replace(
        relation,
        name=f"{relation.name}_exp",
        image=image,
        formula=f"{relation.formula}, the interval being one of exp(estimate)",
    )


def _log_limit(limit: Interval) -> Interval:
    if limit.high <= 0.0:
        raise NotIdentifiedError("a limit that is not above zero is none of a ratio")
    return corners(np.log, Interval(max(limit.low, 0.0), limit.high))


_WALD_T = Relation(
    "t_wald", "t", ("estimate", "std_error"), _ratio(), "t = estimate / SE", WALD, path="wald"
)
_WALD_Z = replace(_WALD_T, name="z_wald", target="z", formula="z = estimate / SE")
_OF_INTERVAL = (
    *_limits("estimate"),
    *_errors("estimate"),
    *_p_of_interval("estimate"),
    *midpoint_relations("estimate"),
)

RELATIONS: tuple[Relation, ...] = (
    _WALD_T,
    _WALD_Z,
    *(
        loosened(r, beside_own_p(_by_another_error, (r,)), _NULL_SE, name=f"{r.name}_null",
                 is_exception=True, unless=("df",))
        for r in (_WALD_T, _WALD_Z)
    ),
    Relation(
        "wald", "wald", ("estimate", "std_error"), _squared_ratio,
        "Wald = (estimate / SE) squared", WALD, "wald",
    ),
    *_p_of_wald(),
    *_OF_INTERVAL,
    *(exponentiated(relation) for relation in _OF_INTERVAL),
    *(
        relation
        for owner in ("d", "g", "mean")
        for relation in (
            *_limits(owner), *_errors(owner), *_p_of_interval(owner), *midpoint_relations(owner)
        )
    ),
    *(relation for owner in ("d", "g") for relation in _standardised(owner)),
    *midpoint_relations("proportion", skew=_SKEW_OF_SHARES),
)  # fmt: skip
