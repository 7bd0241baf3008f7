"""The effect of one predictor at each level: within a person, and between persons and families."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_frame, did_you_mean, require_columns
from alliance_stats.design.formula import (
    CONSTANT,
    RandomTerm,
    column,
    formula_of,
    nested_intercepts,
    parse_formula,
    variables_of,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Coefficients, named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.linear_functions import inference_on
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel
from alliance_stats.multilevel.mixed_models import lmm
from alliance_stats.multilevel.parameter_tables import random_section
from alliance_stats.transforms import decompose

__all__ = ["WithinBetween", "within_between"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WithinBetween:
    """The effect of one predictor at each level.

    Attributes
    ----------
    model
        The mixed model of the outcome on the components.
    levels
        The levels, innermost first.
    components
        The components' columns, innermost first.
    reliability
        For each level, ``level, n_units, mean, lowest``: how reliable the units' observed means
        are (0 to 1).
    """

    model: LinearMixedModel
    levels: tuple[str, ...]
    components: tuple[str, ...]
    reliability: pd.DataFrame

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.model.rows

    def tidy(self, *, df_method: str = "satterthwaite", conf_level: float = 0.95) -> pd.DataFrame:
        """Return the effects: ``effect, term, estimate, std_error, statistic, df, ...``.

        Rows ``within``, then ``between <level>`` for each level, then ``contextual <level>``: the
        effect of the level's mean over and above that at the level below (between minus
        the effect one level below). Units of the outcome per unit of the predictor.
        """
        C, names, kinds = self._contrasts()
        inference = inference_on(self.model.fit, df_method)
        found = Coefficients(
            names, C @ inference.beta, C @ inference.covariance @ C.T, inference.df(C)
        ).table(conf_level=conf_level)
        found.insert(0, "effect", kinds)
        return found

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the effects, labelled by term."""
        C, names, _ = self._contrasts()
        return named_covariance(C @ self.model.fit.vcov @ C.T, names)

    def glance(self) -> pd.DataFrame:
        """Return the model's one row."""
        return self.model.glance()

    @property
    def method(self) -> str:
        """What the effects are, in a phrase."""
        slopes = [g.name for g in self.model.design.groupings if self.components[0] in g.names]
        return "effects within and between units of a linear mixed model" + (
            f", the within effect varying over {' and '.join(slopes)}" if slopes else ""
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before any number: the notes of the model."""
        return self.model.notes

    def account(self, *, df_method: str = "satterthwaite", conf_level: float = 0.95) -> Account:
        """Return the effects and the reliabilities as data; arguments as in `tidy`."""
        effects = Section(
            "Effect",
            self.tidy(df_method=df_method, conf_level=conf_level),
            names=("term",),
            measure="b",
            conf_level=conf_level,
        )
        reliable = Section(
            "Reliability of observed means",
            self.reliability,
            names=("level",),
            columns={
                "n_units": Column("units", "count"),
                "mean": Column("mean", "bounded"),
                "lowest": Column("lowest", "bounded"),
            },
        )
        pulled = Phrase("Unreliable means pull a between effect towards the effect below it.")
        sizes = {"rows": self.rows.n_used}
        slopes = any(self.components[0] in g.names for g in self.model.design.groupings)
        varying = (random_section(self.model.fit),) if slopes else ()
        sections = (effects, *varying, reliable)
        return Account.of(self, sizes, sections, (pulled,), sources=("enders2007", "ludtke2008"))

    summary = summary_of
    _repr_html_ = html_of

    def _contrasts(self) -> tuple[Array, list[str], list[str]]:
        fixed = self.model.design.fixed
        positions = {fixed.names[column]: i for i, column in enumerate(fixed.kept)}
        for component in self.components:
            if component not in positions:
                raise DataError(
                    f"The component '{component}' does not vary in the rows used (or other "
                    "predictors determine it), so it has no effect to estimate. Leave its level "
                    "out of levels=."
                )
        own = [np.eye(len(positions))[positions[name]] for name in self.components]
        contextual = [outer - inner for inner, outer in pairwise(own)]
        names = [
            f"within {self.levels[0]}",
            *(f"between {level}" for level in self.levels),
            *(f"contextual {level}" for level in self.levels),
        ]
        kinds = ["within"] + ["between"] * len(self.levels) + ["contextual"] * len(self.levels)
        return np.array([*own, *contextual]), names, kinds


def within_between(
    data: pd.DataFrame,
    *,
    outcome: str,
    predictor: str,
    levels: Sequence[str],
    covariates: str | None = None,
    slopes: Sequence[str] = (),
    reml: bool = True,
) -> WithinBetween:
    """Split a predictor into levels and estimate the effect of each part.

    Parameters
    ----------
    data
        Long table; not changed.
    outcome, predictor
        Numeric columns. Make a lagged predictor first with ``transforms.lag``.
    levels
        Id columns from the innermost to the outermost, ``["person", "family", "therapist"]``; each
        also gets a random intercept.
    covariates
        Further fixed effects, as a formula's right-hand side: ``"session + role"``.
    slopes
        Levels over whose units the within effect varies, such as ``["person"]`` or ``["person",
        "therapist"]``: a random slope of the innermost component, correlated with the intercept.
        Without one, the standard error of a within effect that does vary is too small (Barr et al.
        2013, doi:10.1016/j.jml.2012.11.001).
    reml
        As in :func:`lmm`.

    Returns
    -------
    WithinBetween
        Within, between and contextual effects, and the reliability of each level's observed means.

    Notes
    -----
    The components are those of ``transforms.decompose``: deviation from the person's mean, person
    mean minus family mean, and so on. The reliability of unit u's mean is ``tau^2 / (tau^2 + v_u)``
    with ``tau^2`` the predictor's variance at that level and ``v_u`` the sampling variance of the
    mean given the numbers of units and rows below it, from a variance components model of the
    predictor (Luedtke et al. 2008, doi:10.1037/a0012869). A mean over the whole course contains
    future values: these effects belong in models of outcome, never of dropout.

    Examples
    --------
    >>> from alliance_stats import example_study, within_between
    >>> sessions = example_study().sessions
    >>> found = within_between(
    ...     sessions, outcome="symptoms", predictor="alliance", levels=["person"]
    ... )
    >>> found.tidy()[["term", "estimate", "std_error"]].round(2)
                    term  estimate  std_error
    0      within person     -4.49       0.18
    1     between person     -3.52       0.50
    2  contextual person      0.97       0.53
    """
    data = check_frame(data)
    require_columns(data, [outcome, predictor, *levels])
    if not levels:
        raise DataError("levels= needs at least one id column, as in levels=['person'].")
    if isinstance(slopes, str):
        raise DataError(f"slopes= is a list of levels, as slopes=['{slopes}'].")
    for level in slopes:
        if level not in levels:
            raise DataError(f"slopes= names '{level}'. {did_you_mean(level, levels)}")
    further = parse_formula(covariates or "1", needs_response=False)
    named = [outcome, predictor, *levels, *variables_of(further.fixed)]
    named += [name for term in further.random for name in variables_of(term.terms)]
    named += [name for term in further.random for name in term.grouping]
    # the components are to meet no column that the model does not use
    own = data[[name for name in data.columns if name in named or str(name) in named]]
    split = decompose(own, predictor, levels=levels)
    components = [str(name) for name in split.columns if name not in own.columns]
    fixed = reduce(operator.add, map(column, components)) + further.fixed
    nested = nested_intercepts(list(reversed(levels)))
    random = [_with_slope(term, components[0], levels, slopes) for term in nested]
    model = lmm(formula_of(outcome, fixed, [*random, *further.random]), split, reml=reml)
    return WithinBetween(
        model, tuple(levels), tuple(components), _reliability(data, predictor, levels, nested)
    )


def _with_slope(
    term: RandomTerm, component: str, levels: Sequence[str], slopes: Sequence[str]
) -> RandomTerm:
    """Add a slope of the within component to a level's random intercept, where requested."""
    level = levels[len(levels) - len(term.grouping)]
    if level not in slopes:
        return term
    return RandomTerm(CONSTANT + column(component), term.grouping)


def _reliability(
    data: pd.DataFrame, predictor: str, levels: Sequence[str], nested: Sequence[RandomTerm]
) -> pd.DataFrame:
    """Reliability of each level's observed means of the predictor, mean and lowest over units."""
    used = data.dropna(subset=[predictor, *levels])
    model = lmm(formula_of(predictor, CONSTANT, nested), used)
    variances = {
        len(grouping.columns): float(covariance.iloc[0, 0])
        for grouping, covariance in zip(
            model.design.groupings, model.covariances().values(), strict=True
        )
    }
    found = []
    depth = len(levels)
    for position in range(depth):
        path = list(levels[position:])
        units = used.groupby(path, observed=True, sort=False)
        n_rows = units.size()
        sampling = model.sigma**2 / n_rows
        for below in range(position):
            inner = used.groupby(list(levels[below:]), observed=True, sort=False).size()
            squares = (inner**2).groupby(level=path, observed=True, sort=False).sum()
            sampling = sampling + variances[depth - below] * squares / n_rows**2
        own = variances[depth - position]
        reliability = own / (own + sampling)
        found.append(
            {
                "level": levels[position],
                "n_units": len(n_rows),
                "mean": float(reliability.mean()),
                "lowest": float(reliability.min()),
            }
        )
    return pd.DataFrame(found)
