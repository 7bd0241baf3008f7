"""An analyst's own estimate alongside published ones, on one effect-size scale."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Result, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice, check_conf_level, did_you_mean, require_columns
from alliance_stats.errors import DataError, NotIdentifiedError, WrongObjectError
from alliance_stats.estimates import one_line, wald_interval
from alliance_stats.evidence.printed.numerals import read_printed
from alliance_stats.evidence.printed.published_records import PublishedRecord, load_registry
from alliance_stats.ledger import RowLedger

__all__ = ["SCALES", "Comparison", "Scale", "compare_with", "published_effects"]

_COLUMNS = ("label", "origin", "about", "sample", "design", "estimate", "conf_low", "conf_high",
            "interval", "doi")  # fmt: skip
_NUMBERS = ("estimate", "conf_low", "conf_high")
OWN, PUBLISHED = "own", "published"
INTERVAL_PRINTED, NO_INTERVAL = "printed", "no interval on the page that was read"

_LOGIT_PER_D = np.pi / np.sqrt(3.0)

Conversion = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale: its family, and the way to and from the family's common scale.

    Common to r, d and odds ratios is d (groups of equal size); common to hazard ratios is their
    logarithm. Each step is increasing, so the ends of an interval convert one by one.
    """

    family: str
    to_common: Conversion
    from_common: Conversion


def _identity(value: float) -> float:
    return value


# r = d / sqrt(d^2 + 4), atanh r = asinh(d / 2), ln OR = d pi / sqrt(3)
SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "r": Scale("d", lambda r: 2.0 * r / np.sqrt(1.0 - r * r), lambda d: d / np.hypot(d, 2.0)),
        "fisher_z": Scale("d", lambda z: 2.0 * np.sinh(z), lambda d: np.arcsinh(d / 2.0)),
        "d": Scale("d", _identity, _identity),
        "g": Scale("d", _identity, _identity),
        "log_odds_ratio": Scale("d", lambda b: b / _LOGIT_PER_D, lambda d: d * _LOGIT_PER_D),
        "odds_ratio": Scale(
            "d", lambda x: np.log(x) / _LOGIT_PER_D, lambda d: np.exp(d * _LOGIT_PER_D)
        ),
        "log_hazard_ratio": Scale("hazard", _identity, _identity),
        "hazard_ratio": Scale("hazard", np.log, np.exp),
        "exp_b": Scale("hazard", np.log, np.exp),
    }
)

# where estimates are near normal, and differences are taken: Fisher's z, d, logarithms
STABLE = MappingProxyType({"d": "fisher_z", "hazard": "log_hazard_ratio"})


def _convert(value: float, scale: str, on: str) -> float:
    """Return `value` converted from `scale` to the scale `on` of the same family."""
    if scale == on:
        return float(value)
    with np.errstate(divide="ignore", over="ignore"):
        return float(SCALES[on].from_common(SCALES[scale].to_common(float(value))))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison:
    """One estimate among published ones.

    Attributes
    ----------
    on
        The scale on which all are shown.
    conf_level
        Coverage of your own interval and of the differences.
    frame
        What :meth:`tidy` returns.
    """

    on: str
    conf_level: float
    frame: pd.DataFrame

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row per estimate, your own first.

        Returns
        -------
        DataFrame
            ``label, origin`` ("own" or "published"), ``about, sample, design``, then ``estimate,
            conf_low, conf_high`` on the scale of the comparison, ``interval`` (whether one was
            printed) and ``doi``; ``difference, difference_low, difference_high`` are your own
            estimate minus the published one, on Fisher's z scale (log for hazard ratios), with
            the interval of two independent estimates, NaN where no interval was printed.
        """
        return self.frame.copy()

    def glance(self) -> pd.DataFrame:
        """Return one row: scale, number of published estimates, and how many have an interval."""
        others = self.frame[self.frame["origin"] == PUBLISHED]
        with_interval = int((others["interval"] == INTERVAL_PRINTED).sum())
        return pd.DataFrame(
            [{"on": self.on, "n_published": len(others), "n_with_interval": with_interval}]
        )

    @property
    def method(self) -> str:
        """What was compared, in a phrase."""
        return "an estimate of your own beside published ones"

    notes: ClassVar[tuple[str, ...]] = ()

    @property
    def rows(self) -> RowLedger:
        """One row per estimate; none is set aside."""
        return RowLedger.start(self.frame)

    def account(self, *, conf_level: float | None = None) -> Account:
        """Return the estimates as data; intervals have the level requested earlier.

        Raises
        ------
        ValueError
            If `conf_level` differs from that of the comparison: printed intervals have one.
        """
        if conf_level not in (None, self.conf_level):
            raise ValueError(
                f"The comparison was made at {self.conf_level:g}; ask compare_with(conf_level=) "
                "for another."
            )
        scale = SCALES[self.on]
        kind = "bounded" if self.on == "r" else "number"
        estimates = Section(
            "Study",
            self.frame,
            names=("label",),
            measure=self.on,
            kind="ratio" if self.on in ("odds_ratio", "hazard_ratio", "exp_b") else kind,
            columns={
                "difference": Column(
                    "difference (log)" if scale.family == "hazard" else "difference (Fisher's z)",
                    "number", "difference_low", "difference_high",
                ),
            },
            conf_level=self.conf_level,
        )  # fmt: skip
        remarks = [
            f"{label}: {NO_INTERVAL}; your own interval "
            f"{'contains' if inside else 'does not contain'} it."
            for label, interval, inside in zip(
                self.frame["label"], self.frame["interval"], self._inside(), strict=True
            )
            if interval == NO_INTERVAL
        ]
        remarks.append(
            "That one estimate differs from zero and another does not is no sign that they differ "
            "from one another: read the interval of the difference."
        )
        if scale.family == "hazard":
            remarks.append("Hazard ratios are per unit of each study's own predictor.")
        sizes = {"estimates": len(self.frame)}
        return Account(self.method, self.notes, sizes, (estimates,), tuple(remarks))

    summary = summary_of
    _repr_html_ = html_of

    def _inside(self) -> list[bool]:
        """Say whether your own interval contains each estimate."""
        own = self.frame.iloc[0]
        return list(self.frame["estimate"].between(own["conf_low"], own["conf_high"]))


def published_effects(
    *, on: str = "r", records: Sequence[str] | None = None, folder: str | Path | None = None
) -> pd.DataFrame:
    """Return published effect sizes on one scale.

    Parameters
    ----------
    on
        ``"r"``, ``"fisher_z"``, ``"d"``, ``"g"``, ``"odds_ratio"``, ``"log_odds_ratio"``,
        ``"hazard_ratio"``, ``"log_hazard_ratio"`` or ``"exp_b"``. r, d and odds ratios convert
        into one another for groups of equal size (Borenstein et al. 2009, ch. 7; Chinn 2000);
        hazard ratios do not convert into any of them.
    records
        Records, sources or files to use; by default every one with an effect on this scale.
    folder
        Folder of the records; by default the package's own.

    Returns
    -------
    DataFrame
        ``label, origin, about, sample, design, estimate, conf_low, conf_high, interval, doi``.

    Raises
    ------
    DataError
        If a named record does not exist.
    NotIdentifiedError
        If no record has an effect on this scale, or a named one has none.

    Examples
    --------
    >>> from alliance_stats.evidence import published_effects
    >>> len(published_effects(on="r")) > 10
    True
    """
    check_choice(on, tuple(SCALES), name="on")
    found = [
        _published_row(record, on)
        for record in _chosen(load_registry(folder), records)
        if _comparable(record, on, named=records is not None)
    ]
    if not found:
        raise NotIdentifiedError(f"No published record has an effect size on the scale of {on}.")
    return pd.DataFrame(found, columns=list(_COLUMNS))


def compare_with(
    result: Result,
    *,
    scale: str,
    term: str | None = None,
    on: str = "r",
    label: str = "This study",
    records: Sequence[str] | None = None,
    folder: str | Path | None = None,
    conf_level: float = 0.95,
) -> Comparison:
    """Compare your own estimate with published ones, on one effect-size scale.

    Parameters
    ----------
    result
        A result whose ``tidy`` has ``term, estimate, conf_low, conf_high``.
    scale
        The scale of that estimate (as for `on`). It is never guessed: a coefficient in units of
        the outcome is not an effect size.
    term
        Which row of the result; may be omitted if there is only one.
    on
        The scale of the comparison.
    label
        What to call your own estimate.
    records, folder
        As in :func:`published_effects`.
    conf_level
        Coverage of your own interval and of the difference. Printed intervals are taken as 95%.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If the result has no such term or no such columns.
    NotIdentifiedError
        If the two scales do not convert into one another.

    Examples
    --------
    >>> from alliance_stats import compare_with, correlations, example_study
    >>> first = example_study().sessions.query("session == 1")
    >>> found = correlations(first, ["alliance", "symptoms"])
    >>> beside = compare_with(found, scale="r", on="r")
    >>> beside.glance().shape[0]
    1
    """
    check_choice(scale, tuple(SCALES), name="scale")
    check_choice(on, tuple(SCALES), name="on")
    check_conf_level(conf_level)
    if SCALES[scale].family != SCALES[on].family:
        raise NotIdentifiedError(
            f"An effect on the scale of {scale} does not convert to {on}: hazard ratios stand "
            "apart from r, d and odds ratios."
        )
    own = _own_row(result, term, conf_level)
    values = {
        name: _convert(own[name], scale, on) for name in ("estimate", "conf_low", "conf_high")
    }
    first = {
        "label": label, "origin": OWN, "about": str(own.get("term", "")), "sample": "",
        "design": "", **values, "interval": "computed", "doi": "",
    }  # fmt: skip
    others = published_effects(on=on, records=records, folder=folder)
    frame = pd.concat([pd.DataFrame([first], columns=list(_COLUMNS)), others], ignore_index=True)
    return Comparison(on, conf_level, _with_differences(frame, on, conf_level))


def _own_row(result: Result, term: str | None, conf_level: float) -> pd.Series:
    require_kind(result, Result, asked="compare_with takes a result of this package")
    if "conf_level" not in inspect.signature(result.tidy).parameters:
        raise WrongObjectError(
            f"compare_with takes a result with an estimate and its interval; "
            f"a {type(result).__name__} has none."
        )
    tidy = result.tidy(conf_level=conf_level)  # type: ignore[call-arg]
    require_columns(tidy, ["term", "estimate", "conf_low", "conf_high"], what="result.tidy()")
    chosen = tidy if term is None else tidy[tidy["term"] == term]
    if len(chosen) != 1:
        terms = list(tidy["term"])
        found = "stands in several rows" if len(chosen) else "is not in the result"
        raise DataError(
            "The result has several terms; name one with term=. " + did_you_mean("", terms)
            if term is None
            else f"The term '{term}' {found}. {did_you_mean(term, terms)}"
        )
    return chosen.iloc[0]


def _chosen(
    records: Sequence[PublishedRecord], names: Sequence[str] | None
) -> Sequence[PublishedRecord]:
    if names is None:
        return records
    for name in names:
        if not any(name in record.names for record in records):
            known = [record.key for record in records]
            raise DataError(f"The registry has no record '{name}'. {did_you_mean(name, known)}")
    return [record for record in records if set(names) & set(record.names)]


def _comparable(record: PublishedRecord, on: str, *, named: bool) -> bool:
    fits = record.effect in SCALES and SCALES[record.effect].family == SCALES[on].family
    if named and not fits:
        raise NotIdentifiedError(
            f"Record '{record.key}' has no effect size that converts to {on}"
            + (f" (its effect is {record.effect})." if record.effect else ".")
        )
    # an intercept is the level where all predictors are zero, not an effect
    return fits and not record.key.endswith("intercept")


def _published_row(record: PublishedRecord, on: str) -> dict[str, object]:
    owns = record.row.interval_of == (record.effect,)
    limits = {
        name: _convert(_value(record, name), record.effect, on)
        if owns and name in record.texts
        else np.nan
        for name in ("conf_low", "conf_high")
    }
    return {
        "label": record.key,
        "origin": PUBLISHED,
        "about": record.about,
        "sample": record.sample,
        "design": record.source.design,
        "estimate": _convert(_value(record, record.effect), record.effect, on),
        **limits,
        "interval": NO_INTERVAL if np.isnan(limits["conf_low"]) else INTERVAL_PRINTED,
        "doi": record.source.doi,
    }


def _value(record: PublishedRecord, name: str) -> float:
    return float(read_printed(record.texts[name]).first)


def _with_differences(frame: pd.DataFrame, on: str, conf_level: float) -> pd.DataFrame:
    """Add your own estimate minus each published one, both taken as independent and normal.

    Standard errors come from the widths of the intervals on the stable scale.
    """
    stable = STABLE[SCALES[on].family]
    at = {name: np.array([_convert(x, on, stable) for x in frame[name]]) for name in _NUMBERS}
    levels = np.where(frame["origin"] == OWN, conf_level, 0.95)
    unit = [wald_interval(0.0, 1.0, conf_level=level)[1] for level in levels]
    std_error = (at["conf_high"] - at["conf_low"]) / (2.0 * np.array(unit, dtype=np.float64))
    difference = at["estimate"][0] - at["estimate"]
    low, high = wald_interval(difference, np.hypot(std_error[0], std_error), conf_level=conf_level)
    is_own = (frame["origin"] == OWN).to_numpy()
    return frame.assign(
        difference=np.where(is_own, np.nan, difference),
        difference_low=np.where(is_own, np.nan, low),
        difference_high=np.where(is_own, np.nan, high),
    )
