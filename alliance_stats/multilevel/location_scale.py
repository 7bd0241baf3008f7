"""Location-scale models: predictors of the mean and of the spread within units."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level, check_frame
from alliance_stats.design.coding import Coding, code_terms, independent_columns
from alliance_stats.design.design import Design, build_design, code_new_rows
from alliance_stats.design.formula import (
    INTERCEPT,
    MixedFormula,
    Terms,
    bound_terms,
    parse_terms,
    variables_of,
)
from alliance_stats.design.rows import columns_as_read
from alliance_stats.engine.location_scale_likelihood import (
    LocationScaleMinimum,
    ScaleProblem,
    fit_location_scale,
)
from alliance_stats.errors import FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, estimate_columns, named_covariance, one_line
from alliance_stats.ledger import RowLedger

__all__ = ["LocationScaleModel", "location_scale"]


# spreads between units, and their words
_SPREADS = {
    "sd__(Intercept)": "SD of means",
    "sd__log_sd": "SD of log SDs",
    "cor__(Intercept).log_sd": "correlation of means and log SDs",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LocationScaleModel:
    """A location-scale model, made by :func:`location_scale`.

    Attributes
    ----------
    design
        Design of the mean model.
    scale
        How the columns of the log SD are coded.
    minimum
        Where the deviance is lowest, in units of `unit`.
    unit
        The engine's unit of the outcome.
    varying
        Whether the spread varies between units.
    scale_text
        The formula of the log SD.
    """

    design: Design
    scale: Coding
    minimum: LocationScaleMinimum
    unit: float
    varying: bool
    scale_text: str

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.design.rows

    @property
    def _sizes(self) -> tuple[int, int]:
        """Numbers of coefficients of the mean and of the log SD."""
        return len(self.design.fixed.kept), len(self.scale.names)

    @property
    def log_lik(self) -> float:
        """Log-likelihood."""
        return -self.minimum.deviance / 2.0 - len(self.design.y) * float(np.log(self.unit))

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient.

        Returns
        -------
        DataFrame
            ``effect`` (``location``: the mean, in units of the outcome; ``scale``: the log of the
            SD within units), ``term, estimate, std_error, statistic, df, p_value, conf_low,
            conf_high`` (Wald), and ``ratio, ratio_low, ratio_high``: for a scale term the ratio of
            SDs per unit of the predictor, for its constant the SD itself.
        """
        check_conf_level(conf_level)
        p, q = self._sizes
        names = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        table = estimate_columns(
            np.concatenate([self.beta, self.tau]),
            np.sqrt(np.diag(self.vcov().to_numpy())),
            conf_level=conf_level,
        )
        table.insert(0, "effect", ["location"] * p + ["scale"] * q)
        table.insert(1, "term", [*names, *self.scale.names])
        scale = (table["effect"] == "scale").to_numpy()
        for name, column in (
            ("ratio", "estimate"),
            ("ratio_low", "conf_low"),
            ("ratio_high", "conf_high"),
        ):
            table[name] = np.where(scale, np.exp(np.where(scale, table[column], 0.0)), np.nan)
        return table

    def predict(self, newdata: pd.DataFrame) -> pd.DataFrame:
        """Return mean and SD within units of new rows, for a unit whose random effects are 0.

        Parameters
        ----------
        newdata
            Rows with the columns of both formulas.

        Returns
        -------
        DataFrame
            ``estimate`` (the mean) and ``sd`` (within a unit), in units of the outcome, under the
            rows' own labels.
        """
        newdata = check_frame(newdata, what="newdata")
        X = code_new_rows(self.design, newdata, with_units=False).X
        W = self.scale.columns(columns_as_read(newdata, list(self.scale.variables)))
        return pd.DataFrame(
            {"estimate": X @ self.beta, "sd": np.exp(W @ self.tau)}, index=newdata.index
        )

    def spreads(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return how units differ: SDs and their correlation.

        Returns
        -------
        DataFrame
            ``term``: ``sd__(Intercept)`` (of the units' means, in units of the outcome),
            ``sd__log_sd`` (of their log SDs: its exponential is the SD ratio for a unit one SD
            above the middle) and ``cor__(Intercept).log_sd``; ``estimate, conf_low, conf_high``
            (Wald, on the scales of logarithms and of the inverse hyperbolic tangent).
        """
        check_conf_level(conf_level)
        p, q = self._sizes
        theta = self.minimum.theta[p + q :]
        error = np.sqrt(np.diag(self.minimum.covariance)[p + q :])
        wide = estimate_columns(theta, error, conf_level=conf_level)
        back: list[Callable[[float], float]] = [
            lambda x: self.unit * float(np.exp(x)), lambda x: float(np.exp(x)),
            lambda x: float(np.tanh(x)),
        ]  # fmt: skip
        terms = list(_SPREADS)
        return pd.DataFrame(
            [
                {
                    "term": term,
                    **{
                        column: float(undo(wide[column].iloc[k]))
                        for column in ("estimate", "conf_low", "conf_high")
                    },
                }
                for k, (term, undo) in enumerate(zip(terms, back, strict=True))
                if k < len(theta)
            ]
        )

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the coefficients: those of the mean, then of the log SD."""
        p, q = self._sizes
        back = linalg.block_diag(self.unit * linalg.inv(self.design.fixed.R), np.eye(q))
        names = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        names += [f"scale:{name}" for name in self.scale.names]
        covariance = back @ self.minimum.covariance[: p + q, : p + q] @ back.T
        return named_covariance(covariance, names)

    @property
    def beta(self) -> Array:
        """Coefficients of the mean."""
        p, fixed = self._sizes[0], self.design.fixed
        added = self.unit * self.minimum.theta[:p]
        return np.asarray(fixed.offset + linalg.solve_triangular(fixed.R, added))

    @property
    def tau(self) -> Array:
        """Coefficients of the log SD."""
        p, q = self._sizes
        tau = self.minimum.theta[p : p + q].copy()
        if INTERCEPT in self.scale.names:
            tau[self.scale.names.index(INTERCEPT)] += np.log(self.unit)
        return tau

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, fit, convergence."""
        k, n = len(self.minimum.theta), len(self.design.y)
        (grouping,) = self.design.groupings
        return pd.DataFrame(
            [
                {
                    "nobs": n,
                    f"n_{grouping.name}": len(grouping.labels),
                    "log_lik": self.log_lik,
                    "deviance": -2.0 * self.log_lik,
                    "aic": -2.0 * self.log_lik + 2.0 * k,
                    "bic": -2.0 * self.log_lik + np.log(n) * k,
                    "n_parameters": k,
                    "converged": self.minimum.converged,
                    "singular": self.minimum.boundary,
                }
            ]
        )

    @property
    def method(self) -> str:
        """What was fitted, and how."""
        (grouping,) = self.design.groupings
        own = f", each {grouping.name} with a spread of its own" if self.varying else ""
        return (
            f"location-scale model fitted by maximum likelihood ({self.design.formula.text}; log "
            f"SD within {grouping.name}: {self.scale_text}{own}), Wald z tests"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before any number."""
        found = []
        if not self.minimum.converged:
            found.append("NOT CONVERGED: the gradient does not vanish; do not use these numbers.")
        if self.minimum.boundary:
            found.append(
                "Boundary (singular) fit: a variance between units is zero; standard errors are "
                "those of the model without it."
            )
        return tuple(found)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return coefficients and spreads as data."""
        table = self.tidy(conf_level=conf_level)
        location = table[table["effect"] == "location"].drop(
            columns=["effect", "ratio", "ratio_low", "ratio_high"]
        )
        scale = table[table["effect"] == "scale"].drop(columns="effect")
        (grouping,) = self.design.groupings
        between = self.spreads(conf_level=conf_level)
        between["term"] = between["term"].map(_SPREADS)
        ratio = {"ratio": Column("SD ratio", "ratio", "ratio_low", "ratio_high")}
        scale = scale.reset_index(drop=True)
        sections = (
            Section("Mean", location, names=("term",), measure="b", conf_level=conf_level,
                    lead="Mean"),
            Section("Log SD within units", scale, names=("term",), measure="b", columns=ratio,
                    conf_level=conf_level, lead="Log SD within units"),
            Section("Between units", between, names=("term",), measure="", conf_level=conf_level),
        )  # fmt: skip
        sizes = {"rows": len(self.design.y), grouping.name: len(grouping.labels)}
        likelihood = Phrase("Log-likelihood {}.", ((self.log_lik, 2),))
        return Account.of(self, sizes, sections, (likelihood,), sources=("hedeker2008",))

    summary = summary_of
    _repr_html_ = html_of


def location_scale(
    formula: str | MixedFormula,
    data: pd.DataFrame,
    *,
    scale: str | Terms = "1",
    varying: bool = True,
) -> LocationScaleModel:
    """Model the mean of an outcome, and the log of its SD within units.

    Parameters
    ----------
    formula
        Formula of the mean, with one random intercept: ``"alliance ~ session + (1 | person)"``.
    data
        One row per observation. Rows in which a needed column is missing are set aside.
    scale
        Right-hand side of the log SD within units: ``"session + role"``.
    varying
        Whether spread also varies between units beyond that: a normal random effect on the log SD,
        correlated with the intercept.

    Returns
    -------
    LocationScaleModel
        With ``tidy()``, ``spreads()``, ``glance()``, ``summary()``.

    Raises
    ------
    FormulaError
        A formula without exactly one random intercept, or with an offset.
    NotIdentifiedError
        Linearly dependent columns of `scale`, or a flat likelihood.

    Notes
    -----
    ``y = x'beta + b_i + e``, ``log SD(e) = z'tau + omega_i``, ``(b, omega)`` bivariate normal over
    units (Hedeker, Mermelstein & Demirtas 2008, doi:10.1111/j.1541-0420.2007.00924.x, who write the
    log variance: twice these coefficients). b is integrated in closed form, omega numerically.
    Without `varying` and with a numeric z it is ``lmm(..., residual=VarianceExponential(z),
    reml=False)``.

    Examples
    --------
    >>> from alliance_stats import example_study, location_scale
    >>> sessions = example_study().sessions
    >>> model = location_scale("alliance ~ session + (1 | person)", sessions, scale="session")
    >>> list(model.spreads()["term"])
    ['sd__(Intercept)', 'sd__log_sd', 'cor__(Intercept).log_sd']
    """
    if not isinstance(varying, bool):
        raise TypeError(f"varying must be True or False; got {varying!r}.")
    data = check_frame(data)
    terms = bound_terms(parse_terms(scale), list(data.columns))
    design, used = build_design(formula, data, also=variables_of(terms))
    if len(design.groupings) != 1 or design.groupings[0].names != (INTERCEPT,):
        raise FormulaError(
            f"location_scale takes one random intercept, as '(1 | person)'; got "
            f"{design.formula.text!r}."
        )
    if design.offset is not None or terms.offset:
        raise FormulaError("location_scale has no offset().")
    coding, Z = code_terms(terms, columns_as_read(used, variables_of(terms)), learn=data)
    if len(independent_columns(Z)) < Z.shape[1]:
        raise NotIdentifiedError(
            f"The columns of scale= ({', '.join(coding.names)}) are not independent of one another."
        )
    (grouping,) = design.groupings
    if varying and np.bincount(grouping.codes).max() < 3:
        raise NotIdentifiedError(
            f"No '{grouping.name}' has three rows or more: that units differ in their spread "
            "cannot be told from chance. Use varying=False."
        )
    unit = float(design.residual.std())
    # columns at unit length, so that no step depends on the unit of a predictor
    size = np.abs(Z).max(axis=0)
    problem = ScaleProblem(design.residual / unit, design.Q.T, Z / size, grouping.codes, varying)
    found = fit_location_scale(problem)
    p, q = len(design.fixed.kept), Z.shape[1]
    back = np.ones(len(found.theta))
    back[p : p + q] = 1.0 / size
    minimum = LocationScaleMinimum(
        found.theta * back,
        found.deviance,
        found.covariance * np.outer(back, back),
        found.boundary,
        found.converged,
    )
    return LocationScaleModel(design, coding, minimum, unit, varying, str(terms))
