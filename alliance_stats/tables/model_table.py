"""Models as papers print them, from their accounts: one, or several side by side."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.account import NOUNS, Account, Accountable, Section, Speaker, method_and_notes
from alliance_stats.account.speaker import as_float, is_missing, named_words
from alliance_stats.arguments import kind_of
from alliance_stats.checks import check_choice
from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.estimates import LINK_WORDS, link_words
from alliance_stats.formatting import (
    MISSING,
    format_bounded,
    format_count,
    format_df,
    format_level,
    format_number,
    format_p,
    localised,
)
from alliance_stats.multilevel import GeneralizedLinearMixedModel, LinearMixedModel
from alliance_stats.tables.report_table import PRINTED_BY, ReportTable, remembers_call

__all__ = ["model_table"]

Scale = Literal["link", "ratio"]
DfMethod = Literal["satterthwaite", "kenward-roger", "normal"]
_SIZES, _FIT, _BETWEEN = "Sizes", "Fit", "Between units"
_EXPLAINED = {
    "r2": "R²",
    "r2_adjusted": "Adjusted R²",
    "r2_mcfadden": "McFadden's R²",
    "r2_nagelkerke": "Nagelkerke's R²",
}
_SHORT = {words.ratio: words.short for words in LINK_WORDS.values() if words.ratio} | {
    "subdistribution hazard ratio": "SHR",
    "cumulative odds ratio": "OR",
    "risk ratio": "RR",
    "ratio of means": "RoM",
}


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of one model, in print; what it does not have is empty."""

    section: str
    name: str
    estimate: str
    interval: str = ""
    std_error: str = ""
    df: str = ""
    statistic: str = ""
    p: str = ""
    last: bool = False  # of its section: the residual


@dataclass(frozen=True, slots=True)
class _Printed:
    """One model: its heading, what its estimates are (``b``, ``OR``), its test, its lines."""

    heading: str
    measure: str
    statistic: str
    lines: tuple[_Line, ...]


@dataclass(frozen=True, slots=True)
class _Model:
    """A model's account, the section of its coefficients, and the labels of its names."""

    heading: str
    model: Accountable
    account: Account
    section: Section
    speaker: Speaker
    ratios: bool

    @property
    def measure(self) -> str:
        """Name of a coefficient: ``"b"``, ``"odds ratio"``."""
        columns = self.section.columns
        return str(columns["ratio"].called) if self.ratios else self.section.measure

    @property
    def others(self) -> list[Section]:
        """The sections of further estimates: the spread between units, thresholds."""
        return [s for s in self.account.sections if s is not self.section and "estimate" in s.frame]


@remembers_call
def model_table(
    models: Accountable | Mapping[str, Accountable],
    *,
    label: str,
    caption: str,
    note: str = "",
    words: Mapping[str, str] | None = None,
    df_method: DfMethod = "satterthwaite",
    conf_level: float = 0.95,
    digits: int = 2,
    scale: Scale = "link",
    decimal: str = ".",
) -> ReportTable:
    """Print models: coefficients or ratios, spread between units, sizes, events, fit.

    Parameters
    ----------
    models
        A model of :func:`lmm`, :func:`glmm`, :func:`regression`, :func:`cox_ph`, :func:`fine_gray`,
        :func:`discrete_hazard`, :func:`competing_hazards`, one brought by :func:`from_statsmodels`
        or :func:`from_lifelines`, or another result whose account has coefficients; or heading ->
        model, printed side by side in that order. Different kinds may be combined.
    note
        Text to add to each model's method, notes and kind of ratio, which are always given.
    words
        Name of a coefficient, a grouping factor, a unit or an ending -> label to print; others keep
        their own names, so that none is omitted.
    df_method
        Of linear mixed models, as in :meth:`LinearMixedModel.tidy`.
    digits
        Minimum number of decimals of coefficients, limits and SDs; more where their interval needs
        them.
    scale
        Of models with a link: ``"link"`` for coefficients (log odds, log rates); ``"ratio"`` for
        their exponentials with intervals. An intercept is no ratio and is then left out. Models of
        endings are always printed as ratios.
    decimal
        The decimal sign, ``"."`` or ``","``.

    Returns
    -------
    ReportTable
        One model: estimate, SE, interval, df, test, p. Several: two columns each, estimate with
        interval, and p; a coefficient that a model does not have is left blank. The heading of a
        column names the scale: b, HR (hazard ratio), SHR (ratio of subdistribution hazards), OR,
        RR; these answer different questions and are not comparable in size. A model of competing
        endings has columns for each ending. AIC is printed for maximum-likelihood fits only:
        restricted likelihoods of different fixed parts are not comparable.

    Raises
    ------
    DataError
        If there is no model, or two rows of one would have the same name.
    ValueError
        If ratios are requested for a link that has none (probit).
    WrongObjectError
        If a result has no coefficients.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm
    >>> from alliance_stats.tables import model_table
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | family/person)", sessions)
    >>> model_table(model, label="tbl-alliance", caption="Alliance").frame.iloc[:2]
              Term Estimate     SE          95% CI       df       t       p
    0  (Intercept)     4.35   0.04    [4.28, 4.42]    258.4  123.57  < .001
    1      session    0.029  0.002  [0.026, 0.032]  5,017.9   18.71  < .001
    """
    check_choice(scale, ("link", "ratio"), name="scale")
    named = dict(models) if isinstance(models, Mapping) else {"": models}
    if not named:
        raise DataError("models is empty: name at least one model.")
    accounts = {
        name: _account(model, df_method=df_method, conf_level=conf_level)
        for name, model in named.items()
    }
    speaker = Speaker(named_words(words), decimal, terms_as_code=False, at_least=digits)
    read = [
        _read(name, named[name], account, speaker, ratios=scale == "ratio")
        for name, account in accounts.items()
    ]
    printed = [part for one in read for part in _printed(one, read)]
    if len(printed) == 1 and not isinstance(models, Mapping):
        frame, sections = _alone(printed[0], conf_level=conf_level)
    else:
        frame, sections = _side_by_side(printed, conf_level=conf_level)
    said = " ".join([*dict.fromkeys(_notes(read)), note]).strip()
    return ReportTable(frame, label, caption, said, sections)


def _account(model: object, *, df_method: DfMethod, conf_level: float) -> Account:
    if isinstance(model, LinearMixedModel):
        return model.account(df_method=df_method, conf_level=conf_level)
    if isinstance(model, Accountable) and not isinstance(model, type):
        account = model.account(conf_level=conf_level)
        if any(map(_has_coefficients, account.sections)):
            return account
    name = type(model).__name__
    right = f" For a {name}: {PRINTED_BY[name]}." if name in PRINTED_BY else ""
    raise WrongObjectError(
        f"model_table prints models whose account has coefficients; got {kind_of(model)}.{right}"
    )


def _has_coefficients(section: Section) -> bool:
    return "estimate" in section.frame and ("term" in section.names or "effect" in section.names)


def _read(
    heading: str, model: Accountable, account: Account, speaker: Speaker, *, ratios: bool
) -> _Model:
    section = next(s for s in account.sections if _has_coefficients(s))
    has_ratios = "ratio" in section.columns
    if ratios and not has_ratios and isinstance(model, GeneralizedLinearMixedModel):
        raise ValueError(f"The {model.family.link} link has no ratio: ask for scale='link'.")
    return _Model(heading, model, account, section, speaker, ratios and has_ratios)


def _printed(one: _Model, read: Sequence[_Model]) -> Iterator[_Printed]:
    """Yield a model's columns: one, or one per ending."""
    found = one.section.frame["state"] if "state" in one.section.names else [None]
    states = list(dict.fromkeys(found))
    several = len(states) > 1
    for state in states if several else [None]:
        heading = one.heading
        if state is not None:
            heading = ", ".join(part for part in (heading, one.speaker.name(state)) if part)
        first = read[0].section.title
        lines = [
            *_estimates(one, one.section, first, state),
            *(
                line
                for i, section in enumerate(one.others)
                for line in _estimates(one, section, _title(i, read), state)
            ),
            *_sizes(one, state),
            *(() if several else _fit(one)),
        ]
        called = _SHORT.get(one.measure) or (one.measure if one.ratios else "b")
        yield _Printed(heading, called, _statistic(one.section), (*lines,))


def _title(place: int, read: Sequence[_Model]) -> str:
    """Return the heading of the further estimates of all models."""
    titles = {one.others[place].title for one in read if len(one.others) > place}
    return titles.pop() if len(titles) == 1 else _BETWEEN


def _statistic(section: Section) -> str:
    infinite = "df" not in section.frame or bool(np.isinf(section.frame["df"].astype(float)).all())
    return "z" if section.statistic == "t" and infinite else section.statistic


def _estimates(
    one: _Model, section: Section, title: str, state: str | None = None
) -> Iterator[_Line]:
    """Yield the lines of a section's rows (of one ending)."""
    say, ratio = one.speaker, one.ratios and section is one.section
    frame = section.frame
    if state is not None and "state" in section.names:
        frame = frame[frame["state"] == state]
    for row in frame.to_dict("records"):
        if ratio and is_missing(row["ratio"]) and not is_missing(row["estimate"]):
            continue  # an intercept is no ratio
        name = _name(row, section, say)
        if is_missing(row["estimate"]):
            yield _Line(title, name, section.undefined)
            continue
        column = section.columns["ratio"] if ratio else section.main(row)
        found = say.written(row, column, "ratio" if ratio else "estimate")
        df = as_float(row.get("df"))
        yield _Line(
            title,
            name,
            found.estimate,
            found.interval.replace(MISSING, ""),
            found.std_error.replace(MISSING, ""),
            "" if math.isnan(df) or math.isinf(df) else localised(format_df(df), say.decimal),
            _known(row.get("statistic"), format_number, say),
            _known(row.get("p_value"), format_p, say),
            last="group" in section.names and is_missing(row["group"]),
        )


def _known(value: object, write: Callable[[float], str], say: Speaker) -> str:
    return "" if is_missing(value) else localised(write(as_float(value)), say.decimal)


def _name(row: Mapping[str, object], section: Section, say: Speaker) -> str:
    """Return the name of a row; an ending heads its column instead."""
    parts = [
        say.term(row[name]) if name == "term" else say.name(row[name])
        for name in section.names
        if name != "state" and not is_missing(row[name])
    ]
    return ", ".join(parts)


def _sizes(one: _Model, state: str | None) -> Iterator[_Line]:
    """Yield the counts; for an ending, its events."""
    say, account = one.speaker, one.account
    ledger = {} if account.rows is None else account.rows.steps[-1].units_left
    for key, n in {
        **account.sizes,
        **{k: n for k, n in ledger.items() if k not in account.sizes},
    }.items():
        known = say.name(key)
        name = f"{known[:1].upper()}{known[1:]}" if key in NOUNS else f"Units: {known}"
        yield _Line(_SIZES, name, localised(format_count(float(n)), say.decimal))
    for section in account.sections:
        if "estimate" not in section.frame and "state" in section.names:
            for row in section.frame[section.frame["state"] == state].to_dict("records"):
                for name, column in section.columns.items():
                    called = str(column.called)
                    cell = say.written(row, column, name).estimate
                    yield _Line(_SIZES, f"{called[:1].upper()}{called[1:]}", cell)


def _fit(one: _Model) -> Iterator[_Line]:
    """Yield likelihood and AIC of a model that is printed as coefficients of a likelihood."""
    fit = one.model.glance().iloc[0] if hasattr(one.model, "glance") else {}
    if "log_lik" not in fit or one.section.measure != "b":
        return
    for column, called in _EXPLAINED.items():
        if column in fit and math.isfinite(fit[column]):
            yield _Line(_FIT, called, localised(format_bounded(fit[column]), one.speaker.decimal))
    restricted = bool(fit.get("reml", False))
    name = "Log-likelihood, restricted" if restricted else "Log-likelihood"
    yield _Line(_FIT, name, localised(format_number(fit["log_lik"]), one.speaker.decimal))
    if not restricted and "aic" in fit:
        yield _Line(_FIT, "AIC", localised(format_number(fit["aic"]), one.speaker.decimal))


def _notes(read: Sequence[_Model]) -> Iterator[str]:
    """Yield each model's method and notes, the kind of its ratios, and to whom they apply."""
    for one in read:
        said = method_and_notes(one.account).replace("WARNING: ", "")
        yield f"{one.heading}: {said}" if one.heading else said
    for one in read:
        short = _SHORT.get(one.measure)
        if short:
            yield f"{short}: {one.measure}."
    scales = {_link_scale(one) for one in read} - {""}
    for scale in sorted(scales):
        yield f"b of a model with a link: {scale}."
    if any(one.ratios for one in read):
        yield "Intercepts, which are no ratios, are left out."
    if any(_SHORT.get(one.measure) and _spread(one) for one in read):
        yield "Ratios are for units with the same random effects."


def _link_scale(one: _Model) -> str:
    own = getattr(getattr(one.model, "link", None), "name", "identity")
    link = getattr(getattr(one.model, "family", None), "link", own)
    known = isinstance(link, str) and link != "identity" and one.measure == "b"
    support = getattr(getattr(one.model, "family", None), "support", "")
    return link_words(link, support).scale if known and link in LINK_WORDS else ""


def _spread(one: _Model) -> bool:
    return any({"group", "parameter"} & set(section.names) for section in one.others)


def _alone(model: _Printed, *, conf_level: float) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Print one model: one column per known property of an estimate."""
    lines = _in_order([model])
    columns = {
        "Term": [line.name for line in lines],
        "Estimate" if model.measure == "b" else model.measure: [line.estimate for line in lines],
        "SE": [line.std_error for line in lines],
        f"{format_level(conf_level)} CI": [line.interval for line in lines],
        "df": [line.df for line in lines],
        model.statistic: [line.statistic for line in lines],
        "p": [line.p for line in lines],
    }
    known = {name: cells for name, cells in columns.items() if any(cells)}
    return pd.DataFrame(known), tuple(line.section for line in lines)


def _side_by_side(
    models: Sequence[_Printed], *, conf_level: float
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Print models in two columns each: estimate with interval, and p."""
    keys = list(dict.fromkeys((line.section, line.name) for line in _in_order(models)))
    level = format_level(conf_level)
    columns: dict[str, list[str]] = {"Term": [name for _, name in keys]}
    for model in models:
        found = {(line.section, line.name): line for line in model.lines}
        lines = [found.get(key, _Line(*key, "")) for key in keys]
        heading = f"{model.heading}: {model.measure} [{level} CI]"
        if heading in columns:
            raise DataError(f"Two models have the heading '{model.heading}'.")
        columns[heading] = [f"{line.estimate} {line.interval}".strip() for line in lines]
        columns[f"{model.heading}: p"] = [line.p for line in lines]
    return pd.DataFrame(columns), tuple(section for section, _ in keys)


def _in_order(models: Sequence[_Printed]) -> list[_Line]:
    """Return all lines by section, in the order in which the models have them; residuals last."""
    for model in models:
        keys = [(line.section, line.name) for line in model.lines]
        twice = next((name for section, name in keys if keys.count((section, name)) > 1), None)
        if twice is not None:
            raise DataError(
                f"Two rows of one model are named '{twice}' in words=; each needs its own name."
            )
    lines = [line for model in models for line in model.lines]
    sections = [s for s in dict.fromkeys(line.section for line in lines) if s not in (_SIZES, _FIT)]
    order = [*sections, _SIZES, _FIT]
    return sorted(lines, key=lambda line: (order.index(line.section), line.last))
