"""Models fitted by other libraries, imported with their own numbers; those of lifelines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import lifelines
import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.association.goodness_of_fit import explained
from alliance_stats.association.regression_questions import coefficient_section, refuse_df_method
from alliance_stats.checks import check_conf_level
from alliance_stats.design.design import Design, code_new_rows
from alliance_stats.engine.degrees_of_freedom import ConstantDf
from alliance_stats.engine.search import Convergence
from alliance_stats.errors import DataError, NotIdentifiedError, WrongObjectError
from alliance_stats.estimates import Array, Coefficients, named_covariance, one_line
from alliance_stats.ledger import LedgerStep, RowLedger
from alliance_stats.multilevel import Inference, Link, RSquared
from alliance_stats.named import named

__all__ = ["BroughtModel", "Reading", "from_lifelines", "ledger_of", "no_one_response"]


class Reading(NamedTuple):
    """An imported model in this package's columns.

    Attributes
    ----------
    design
        Its formula and frame, read here.
    beta, covariance
        Its coefficients for those columns, (p,) and (p, p).
    """

    design: Design
    beta: Array
    covariance: Array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BroughtModel:
    """A model fitted by another library; every number is that library's.

    Attributes
    ----------
    library, kind
        The library and the kind of model: ``"statsmodels 0.14.4"``, ``"OLS"``.
    formula
        The formula, or the name of the outcome.
    errors
        Type of the standard errors, in the library's term: ``"HC3"``, ``"cluster"``; empty for the
        usual ones.
    estimates
        The coefficients with their covariance and df.
    others
        Further parameters (thresholds, variances): ``term, estimate, std_error``.
    link
        From the linear predictor to the response.
    facts
        Column of ``glance()`` -> value reported by the library.
    reading
        The model in this package's columns; None where no further inference is possible.
    unasked
        Why no further inference is possible.
    convergence
        Whether its optimisation converged.
    rows
        Ledger of the rows used and set aside.
    """

    library: str
    kind: str
    formula: str
    errors: str
    estimates: Coefficients
    others: pd.DataFrame
    link: Link
    facts: Mapping[str, float]
    reading: Reading | None
    unasked: str
    convergence: Convergence
    rows: RowLedger

    __repr__ = one_line

    @property
    def design(self) -> Design:
        """The model in this package's columns; refused with the reason where it cannot be read."""
        return self._read().design

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self.rows.n_used

    @property
    def beta(self) -> pd.Series:
        """Coefficients on the scale of the link."""
        own = self.estimates
        return pd.Series(own.estimate, index=list(own.terms), name="estimate")

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the coefficients."""
        return named_covariance(self.estimates.vcov, self.estimates.terms)

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return nothing: random effects stay with the library."""
        return {}

    def inference(self, df_method: str | None = None) -> Inference:
        """Prepare inference after the fit, with the library's covariance and df."""
        refuse_df_method(df_method)
        read, df = self._read(), float(np.max(self.estimates.df))
        name, method = ("residual", ConstantDf(df)) if np.isfinite(df) else ("normal", None)
        return Inference(name, method, read.design, read.beta, read.covariance, 1.0)

    def _read(self) -> Reading:
        if self.reading is None:
            raise NotIdentifiedError(
                f"This cannot be asked of the {self.kind} of {self.library}: {self.unasked}."
            )
        return self.reading

    def explained(self) -> RSquared:
        """Return the library's R2 by name as :func:`~alliance_stats.r_squared` does."""
        named = tuple(
            (name, float(self.facts[name]), self.library)
            for name in ("r2", "r2_adjusted", "r2_mcfadden")
            if name in self.facts
        )
        if not named:
            raise NotIdentifiedError(
                f"The {self.kind} of {self.library} has no R2 of its own. Fit it with regression, "
                "lmm or glmm and ask there."
            )
        share = named[0][1]
        return explained(share, (share, 1.0 - share), named, self.rows, "its own scale")

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient: ``term`` and the columns of every table of estimates.

        On the scale of the link, with the library's standard errors and df.
        """
        return self.estimates.table(conf_level=conf_level)

    def ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return exponentiated coefficients except the intercept: odds, hazard, rate ratios.

        Raises
        ------
        NotIdentifiedError
            Where exponentiated coefficients have no meaning (a linear model).
        """
        if self.link.ratio is None:
            raise NotIdentifiedError(f"The coefficients of {self.kind} are no logs of ratios.")
        table = self.estimates.ratios(conf_level=conf_level)
        return table[table["term"] != "(Intercept)"].reset_index(drop=True)

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs, converged`` and what the library reports about the fit."""
        row = {"nobs": self.nobs, **self.facts, "converged": self.convergence.converged}
        return pd.DataFrame([row])

    def predict(self, newdata: pd.DataFrame) -> pd.DataFrame:
        """Return ``estimate``, the expected response of new rows (random effects at zero)."""
        read = self._read()
        coded = code_new_rows(read.design, newdata, with_units=False)
        mean = self.link.mean(coded.X @ read.beta + coded.offset)
        return pd.DataFrame({"estimate": mean}, index=newdata.index)

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        how = f", {self.errors} standard errors" if self.errors else ""
        return f"{self.kind} by {self.library}: {self.formula}{how}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know, most serious first."""
        if self.convergence.converged:
            return ()
        return (f"NOT CONVERGED, says {self.library}: do not use the numbers.",)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return coefficients, ratios and further parameters as data."""
        table = self.tidy(conf_level=check_conf_level(conf_level))
        sections = [coefficient_section(table, ratio=self.link.ratio, conf_level=conf_level)]
        if len(self.others):
            sections.append(Section("Further parameter", self.others, ("term",)))
        remarks = (f"No questions after the fit: {self.unasked}.",) if self.unasked else ()
        sizes = {"rows": self.nobs}
        return Account.of(self, sizes, sections, remarks)

    summary = summary_of
    _repr_html_ = html_of


def ledger_of(used: int, dropped: int) -> RowLedger:
    """Return the ledger of a model for which only the counts of rows are known."""
    came = LedgerStep("came in", 0, used + dropped, {})
    lost = LedgerStep("a value is missing", dropped, used, {})
    return RowLedger({}, (came, lost) if dropped else (came,))


@named
def no_one_response(eta: Array) -> Array:
    """Refuse the scale of the response where a model has none."""
    del eta
    raise NotIdentifiedError(
        "This model has no one expected outcome: ask on the scale of its linear predictor."
    )


_UNASKED = (
    "its coefficients speak of hazards or times without a level to take means from. Fit it with "
    "cox_ph or discrete_hazard for curves, and compare by its ratios"
)


def from_lifelines(fitter: object) -> BroughtModel:
    """Import a regression fitted by lifelines, for use in tables, figures and sentences.

    Parameters
    ----------
    fitter
        A fitted ``CoxPHFitter``, ``CoxTimeVaryingFitter`` or accelerated-failure-time fitter
        (``WeibullAFTFitter``, ``LogNormalAFTFitter``, ``LogLogisticAFTFitter``).

    Returns
    -------
    BroughtModel
        ``tidy()`` has the coefficients (log hazard ratios, or log time ratios) with lifelines'
        standard errors, ``ratios()`` their exponentials. Inference after the fit is refused with
        the reason.

    Raises
    ------
    WrongObjectError
        Not a fitted lifelines regression.
    DataError
        A fitter that estimates curves, or was not fitted.

    Examples
    --------
    >>> import pandas as pd
    >>> from lifelines import CoxPHFitter
    >>> from alliance_stats import from_lifelines
    >>> data = pd.DataFrame(
    ...     {"weeks": [2, 4, 5, 7, 9, 12], "left": [1, 1, 0, 1, 1, 0], "x": [1, 0, 1, 1, 0, 0]}
    ... )
    >>> model = from_lifelines(CoxPHFitter().fit(data, "weeks", "left"))
    >>> list(model.ratios()["term"])
    ['x']
    """
    found: Any = fitter
    kind = type(found).__name__
    if not type(found).__module__.startswith("lifelines"):
        raise WrongObjectError(f"from_lifelines takes a fitter of lifelines; got {kind}.")
    if not hasattr(found, "params_") or not hasattr(found, "variance_matrix_"):
        raise DataError(
            f"{kind} has no coefficients: it estimates a curve, or was not fitted. Curves are "
            "kaplan_meier and cumulative_incidence here."
        )
    params, V = found.params_, np.asarray(found.variance_matrix_, dtype=np.float64)
    own = np.ones(len(params), dtype=bool)
    ratio = "hazard ratio" if kind.startswith("Cox") else None
    if isinstance(params.index, pd.MultiIndex):  # the first parameter is of the location
        main = params.index.get_level_values(0)
        own = np.asarray(main == main[0])
        ratio = "time ratio" if kind.endswith("AFTFitter") else ratio
    names = [_name(label, first=bool(mine)) for label, mine in zip(params.index, own, strict=True)]
    named, values = np.array(names, dtype=object), params.to_numpy(dtype=np.float64)
    estimates = Coefficients(named[own].tolist(), values[own], V[np.ix_(own, own)])
    others = pd.DataFrame(
        {
            "term": named[~own].tolist(),
            "estimate": values[~own],
            "std_error": np.sqrt(np.diag(V))[~own],
        }
    )
    robust = bool(getattr(found, "robust", False))
    return BroughtModel(
        f"lifelines {lifelines.__version__}",
        kind,
        _formula(found),
        "robust" if robust else "",
        estimates,
        others,
        Link("its own", no_one_response, no_one_response, ratio),
        _facts(found),
        None,
        _UNASKED,
        Convergence(True, 0, np.nan, 0, "lifelines refuses what does not converge"),
        ledger_of(len(found.durations) if hasattr(found, "durations") else _rows(found), 0),
    )


def _name(label: object, *, first: bool) -> str:
    if isinstance(label, tuple):
        parameter, column = (str(part) for part in label)
        return _constant(column) if first else f"{parameter}: {_constant(column)}"
    return _constant(str(label))


def _constant(name: str) -> str:
    return "(Intercept)" if name in ("Intercept", "_intercept") else name


def _formula(found: Any) -> str:
    outcome = getattr(found, "duration_col", None) or getattr(found, "stop_col", None) or "time"
    formula = getattr(found, "formula", None)
    return f"{outcome} ~ {formula}" if isinstance(formula, str) else str(outcome)


def _rows(found: Any) -> int:
    return int(getattr(found, "_n_examples", len(getattr(found, "event_observed", []))))


def _facts(found: Any) -> dict[str, float]:
    names = {"log_lik": "log_likelihood_", "concordance": "concordance_index_"}
    names["aic"] = "AIC_partial_" if hasattr(found, "AIC_partial_") else "AIC_"
    facts = {}
    for name, theirs in names.items():
        value = getattr(found, theirs, None)
        if value is not None and np.isfinite(value):
            facts[name] = float(value)
    events = getattr(found, "event_observed", None)
    if events is not None:
        facts["n_event"] = float(np.asarray(events).sum())
    return facts
