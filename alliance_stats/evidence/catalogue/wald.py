"""An estimate, its standard error, its interval and its p."""

from scipy import stats

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.catalogue.core import (
    Box,
    Image,
    Relation,
    Setting,
    no_df,
    p_relations,
    row_df,
)
from alliance_stats.evidence.intervals import Interval, corners, point, quotient

__all__ = ["RELATIONS", "critical_value", "midpoint_relations"]

_WALD = "Wald 1943, doi:10.1090/S0002-9947-1943-0012401-3"
_ALTMAN = "Altman & Bland 2011, doi:10.1136/bmj.d2304"


def critical_value(df: Interval | None, setting: Setting) -> Interval:
    """Return t(1 - alpha/2; df), normal where `df` is ``None``."""
    upper = (1.0 - setting.conf_level) / 2.0
    if df is None:
        return point(float(stats.norm.isf(upper)))
    if df.low <= 0.0:
        raise NotIdentifiedError("no degrees of freedom are left")
    return corners(lambda nu: float(stats.t.isf(upper, nu)), df)


def half_width_se(box: Box, setting: Setting, df: Interval | None) -> Interval:
    """Return the feasible set of SE = (high - low) / (2 q)."""
    se = corners(
        lambda low, high, q: (high - low) / (2.0 * q),
        box["conf_low"],
        box["conf_high"],
        critical_value(df, setting),
    )
    return se.within(0.0, float("inf")) or point(0.0)


def _ratio(box: Box, _: Setting) -> Interval:
    return quotient(box["estimate"], box["std_error"])


def _squared_ratio(box: Box, setting: Setting) -> Interval:
    return corners(lambda z: z**2, _ratio(box, setting), turns=((0.0,),))


def _limit(side: int, *, on_df: bool) -> Image:
    def image(box: Box, setting: Setting) -> Interval:
        critical = critical_value(box["df"] if on_df else None, setting)
        return corners(
            lambda b, se, q: b + side * q * se, box["estimate"], box["std_error"], critical
        )

    return image


def _se_from_interval(*, on_df: bool) -> Image:
    return lambda box, setting: half_width_se(box, setting, box["df"] if on_df else None)


def _ratio_from_interval(*, on_df: bool) -> Image:
    def image(box: Box, setting: Setting) -> Interval:
        se = half_width_se(box, setting, box["df"] if on_df else None)
        return quotient(box["estimate"], se)

    return image


def _midpoint(box: Box, _: Setting) -> Interval:
    return corners(lambda low, high: (low + high) / 2.0, box["conf_low"], box["conf_high"])


def _mirror(owner: str, other: str) -> Image:
    return lambda box, _: corners(lambda b, limit: 2.0 * b - limit, box[owner], box[other])


def midpoint_relations(owner: str) -> tuple[Relation, ...]:
    """Return the relations of an estimate to an interval that is symmetric about it."""
    said = f"({owner} in the middle of its interval)"
    return (
        Relation(
            f"midpoint_{owner}", owner, ("conf_low", "conf_high"), _midpoint,
            f"{owner} = (low + high) / 2", _ALTMAN, path=f"midpoint {owner}",
        ),
        Relation(
            f"mirror_low_{owner}", "conf_low", (owner, "conf_high"), _mirror(owner, "conf_high"),
            f"low = 2 {owner} - high {said}", _ALTMAN, path="mirror", fallback=True,
        ),
        Relation(
            f"mirror_high_{owner}", "conf_high", (owner, "conf_low"), _mirror(owner, "conf_low"),
            f"high = 2 {owner} - low {said}", _ALTMAN, path="mirror", fallback=True,
        ),
    )  # fmt: skip


_ESTIMATE = ("estimate", "std_error")
_INTERVAL = ("conf_low", "conf_high")
_WALD_T = Relation("t_wald", "t", _ESTIMATE, _ratio, "t = estimate / SE", _WALD, path="wald")
_WALD_Z = Relation("z_wald", "z", _ESTIMATE, _ratio, "z = estimate / SE", _WALD, path="wald")
_WALD_T_DF = Relation(
    "", "t", (*_ESTIMATE, "df"), _ratio, "t = estimate / SE on df", _WALD, path="wald"
)
_INTERVAL_T = Relation(
    "", "t", ("estimate", *_INTERVAL, "df"), _ratio_from_interval(on_df=True),
    "t = estimate / SE, SE from the interval's width, on df", _ALTMAN, path="interval",
)  # fmt: skip
_INTERVAL_Z = Relation(
    "", "z", ("estimate", *_INTERVAL), _ratio_from_interval(on_df=False),
    "z = estimate / SE, SE from the interval's width", _ALTMAN, path="interval",
)  # fmt: skip

RELATIONS: tuple[Relation, ...] = (
    _WALD_T,
    _WALD_Z,
    Relation(
        "wald", "wald", _ESTIMATE, _squared_ratio, "Wald = (estimate / SE) squared", _WALD, "wald"
    ),
    *p_relations(_WALD_T_DF, name="p_wald_t", df=row_df),
    *p_relations(_WALD_Z, name="p_wald_z", df=no_df),
    *(
        Relation(
            f"{limit}_{law}", limit, (*_ESTIMATE, *needs), _limit(side, on_df=bool(needs)),
            f"estimate {'-' if side < 0 else '+'} {quantile} SE", _WALD, path="wald",
        )
        for limit, side in (("conf_low", -1), ("conf_high", 1))
        for law, needs, quantile in (("t", ("df",), "t(df)"), ("z", (), "z"))
    ),
    *(
        Relation(
            f"se_{law}_interval", "std_error", (*_INTERVAL, *needs),
            _se_from_interval(on_df=bool(needs)), f"SE = (high - low) / (2 {quantile})", _ALTMAN,
            path="interval",
        )
        for law, needs, quantile in (("t", ("df",), "t(df)"), ("z", (), "z"))
    ),
    *p_relations(_INTERVAL_T, name="p_interval_t", df=row_df),
    *p_relations(_INTERVAL_Z, name="p_interval_z", df=no_df),
    *(relation for owner in ("estimate", "d", "g") for relation in midpoint_relations(owner)),
)  # fmt: skip
