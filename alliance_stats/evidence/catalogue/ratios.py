"""Odds ratios, hazard ratios and other exponentiated coefficients."""

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.catalogue.core import Box, Image, Relation, Setting, no_df, p_relations
from alliance_stats.evidence.catalogue.wald import critical_value
from alliance_stats.evidence.intervals import Interval, corners, quotient

__all__ = ["RATIOS", "RELATIONS"]

RATIOS = ("odds_ratio", "hazard_ratio", "exp_b")

_LOG = "definition"
_ALTMAN = "Altman & Bland 2011, doi:10.1136/bmj.d2304"
_WALD = "Wald 1943, doi:10.1090/S0002-9947-1943-0012401-3"


def _log(interval: Interval, *, what: str = "a ratio") -> Interval:
    if interval.high <= 0.0:
        raise NotIdentifiedError(f"{what} printed as zero or less has no logarithm")
    return corners(np.log, Interval(max(interval.low, 0.0), interval.high))


def _exp(box: Box, _: Setting) -> Interval:
    return corners(np.exp, box["estimate"])


def _log_of(ratio: str) -> Image:
    return lambda box, _: _log(box[ratio])


def _log_width(box: Box, setting: Setting) -> Interval:
    low, high = (_log(box[name], what="a limit") for name in ("conf_low", "conf_high"))
    critical = critical_value(None, setting)
    se = corners(lambda a, b, q: (b - a) / (2.0 * q), low, high, critical)
    return Interval(max(se.low, 0.0), se.high)


def _statistic(ratio: str) -> Image:
    return lambda box, setting: quotient(_log(box[ratio]), _log_width(box, setting))


def _statistic_from_se(ratio: str) -> Image:
    return lambda box, _: quotient(_log(box[ratio]), box["std_error"])


def _geometric_middle(box: Box, _: Setting) -> Interval:
    low, high = (_log(box[name], what="a limit") for name in ("conf_low", "conf_high"))
    return corners(lambda a, b: np.exp((a + b) / 2.0), low, high)


def _mirror(ratio: str, other: str) -> Image:
    return lambda box, _: corners(
        lambda b, limit: np.exp(2.0 * b - limit), _log(box[ratio]), _log(box[other], what="a limit")
    )


def _limit(ratio: str, side: int) -> Image:
    def image(box: Box, setting: Setting) -> Interval:
        return corners(
            lambda b, se, q: np.exp(b + side * q * se),
            _log(box[ratio]),
            box["std_error"],
            critical_value(None, setting),
        )

    return image


def _se_from_wald(ratio: str) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        size = corners(abs, _log(box[ratio]), turns=((0.0,),))
        return quotient(size, corners(np.sqrt, box["wald"]))

    return image


def _of(ratio: str) -> tuple[Relation, ...]:
    from_interval = Relation(
        f"z_{ratio}", "z", (ratio, "conf_low", "conf_high"), _statistic(ratio),
        f"z = ln({ratio}) / SE, SE from the interval's width on the log scale", _ALTMAN,
        path="log interval",
    )  # fmt: skip
    from_se = Relation(
        f"z_{ratio}_se", "z", (ratio, "std_error"), _statistic_from_se(ratio),
        f"z = ln({ratio}) / SE, SE on the log scale", _WALD, path="log SE",
    )  # fmt: skip
    limits = ("conf_low", "conf_high")
    return (
        Relation(f"{ratio}_b", ratio, ("estimate",), _exp, f"{ratio} = exp(b)", _LOG, "exp b"),
        Relation(f"b_{ratio}", "estimate", (ratio,), _log_of(ratio), f"b = ln({ratio})", _LOG,
                 f"ln {ratio}"),
        Relation(f"midpoint_{ratio}", ratio, limits, _geometric_middle,
                 f"{ratio} = sqrt(low high)", _ALTMAN, path=f"midpoint {ratio}"),
        Relation(f"mirror_low_{ratio}", "conf_low", (ratio, "conf_high"),
                 _mirror(ratio, "conf_high"), f"low = {ratio}^2 / high", _ALTMAN, path="mirror",
                 fallback=True),
        Relation(f"mirror_high_{ratio}", "conf_high", (ratio, "conf_low"),
                 _mirror(ratio, "conf_low"), f"high = {ratio}^2 / low", _ALTMAN, path="mirror",
                 fallback=True),
        *(
            Relation(f"{limit}_{ratio}_se", limit, (ratio, "std_error"), _limit(ratio, side),
                     f"{ratio} exp({side:+d} z SE), SE on the log scale", _WALD, path="wald")
            for limit, side in (("conf_low", -1), ("conf_high", 1))
        ),
        Relation(f"se_{ratio}_interval", "std_error", (ratio, *limits),
                 _log_width,
                 "SE = ln(high / low) / (2 z)", _ALTMAN, path="interval"),
        Relation(f"se_{ratio}_wald", "std_error", (ratio, "wald"), _se_from_wald(ratio),
                 f"SE = |ln({ratio})| / sqrt(Wald)", _WALD, path="wald chi2"),
        *p_relations(from_interval, name=f"p_{ratio}", df=no_df),
        *p_relations(from_se, name=f"p_{ratio}_se", df=no_df),
        from_interval,
        from_se,
    )  # fmt: skip


RELATIONS: tuple[Relation, ...] = tuple(relation for ratio in RATIOS for relation in _of(ratio))
