"""How much of the variance lies at each level."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.formatting import format_percent
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.bootstrap import Bootstrap, parametric_bootstrap
from alliance_stats.multilevel.formula import variables_of
from alliance_stats.multilevel.groupings import random_columns
from alliance_stats.multilevel.lmm import LinearMixedModel

__all__ = ["VariancePartition", "variance_partition"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VariancePartition:
    """Variance of each level, and its share of the sum.

    Attributes
    ----------
    variances
        Variance of the random part of each grouping factor and of the residual, in squared units
        of the outcome.
    at
        Covariate values at which random slopes were evaluated.
    bootstrap
        Draws of the shares, or None.
    rows
        The fit's row ledger.
    """

    variances: pd.Series
    at: Mapping[str, object]
    bootstrap: Bootstrap | None
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``group, variance, estimate, conf_low, conf_high``, a row a level.

        ``estimate`` is the share (0 to 1) of the variance that the fixed effects leave; the
        interval is the bootstrap's percentile interval (NaN if none was asked for).
        """
        share = self.variances / self.variances.sum()
        table = pd.DataFrame(
            {
                "group": list(self.variances.index),
                "variance": self.variances.to_numpy(),
                "estimate": share.to_numpy(),
                "conf_low": np.nan,
                "conf_high": np.nan,
            }
        )
        if self.bootstrap is not None:
            intervals = self.bootstrap.tidy(conf_level=conf_level).set_index("term")
            for end in ("conf_low", "conf_high"):
                table[end] = intervals.loc[table["group"], end].to_numpy()
        return table

    def glance(self) -> pd.DataFrame:
        """Return one row: the total variance and the number of bootstrap draws."""
        draws = 0 if self.bootstrap is None else len(self.bootstrap.draws)
        return pd.DataFrame([{"total_variance": self.variances.sum(), "n_draws": draws}])

    def summary(self) -> str:
        """Return the shares in words."""
        parts = [
            f"{row.group} {format_percent(row.estimate, 1)}" for row in self.tidy().itertuples()
        ]
        at = "".join(f", at {name} = {value}" for name, value in self.at.items())
        return "Share of the variance that the fixed effects leave: " + "; ".join(parts) + at + "."


def variance_partition(
    model: LinearMixedModel,
    *,
    at: Mapping[str, object] | None = None,
    ci_method: str | None = None,
    n: int = 1000,
    seed: int | None = None,
    n_jobs: int | None = None,
) -> VariancePartition:
    """Split the variance that the fixed effects leave among the levels.

    Parameters
    ----------
    model
        A fitted linear mixed model.
    at
        Values of the covariates with random slopes, and of the column of ``VarianceBy``: the
        variance of a level depends on them.
    ci_method
        None or ``"bootstrap"`` (parametric, percentile intervals).
    n, seed, n_jobs
        Of the bootstrap.

    Returns
    -------
    VariancePartition
        With ``tidy(conf_level=...)``. For a model of random intercepts the shares are the
        intraclass correlations of each level (Raudenbush & Bryk 2002).

    Raises
    ------
    DataError
        If a covariate with a random slope has no value in `at`.
    """
    at = dict(at or {})
    if model.problem.known:
        raise DataError(
            "With known_variance= every row has a residual variance of its own, so there is no one "
            "share of the levels. meta_analysis gives I2 by level for a typical sampling variance."
        )
    variances = _variances(model, at)
    draws = None
    if ci_method is not None:
        check_choice(ci_method, ("bootstrap",), name="ci_method")
        if seed is None:
            raise ValueError("A bootstrap needs seed=, so that it can be repeated.")
        draws = parametric_bootstrap(model, partial(_shares, at=at), n=n, seed=seed, n_jobs=n_jobs)
    return VariancePartition(variances, at, draws, model.rows)


def _shares(model: LinearMixedModel, at: Mapping[str, object]) -> Mapping[str, float]:
    variances = _variances(model, at)
    shares = variances / variances.sum()
    return {str(group): float(share) for group, share in shares.items()}


def _variances(model: LinearMixedModel, at: Mapping[str, object]) -> pd.Series:
    point = pd.DataFrame([dict(at)]) if at else pd.DataFrame(index=[0])
    found = {}
    for grouping, covariance in zip(
        model.design.groupings, model.covariances().values(), strict=True
    ):
        columns = []
        for basis in grouping.terms:
            _require_values(basis.spec, model, at)
            columns.append(random_columns(basis, point)[0])
        z = np.concatenate(columns)
        found[grouping.name] = float(z @ covariance.to_numpy() @ z)
    found["Residual"] = _residual(model, at)
    return pd.Series(found)


def _require_values(spec: object, model: LinearMixedModel, at: Mapping[str, object]) -> None:
    for name in variables_of(spec.terms, model.design.frame):  # type: ignore[attr-defined]
        if name not in at:
            raise DataError(
                f"The variance of a level depends on '{name}', which has a random slope: say at "
                f"which value, at={{'{name}': ...}}."
            )


def _residual(model: LinearMixedModel, at: Mapping[str, object]) -> float:
    shape = model.problem.shape
    if shape is None or shape.column is None:
        return model.sigma**2
    if shape.column not in at:
        raise DataError(
            f"The residual variance depends on '{shape.column}': say for which value, "
            f"at={{'{shape.column}': ...}}."
        )
    labels = list(shape.labels)
    value = at[shape.column]
    if value not in labels:
        raise DataError(f"'{shape.column}' is never {value!r}. {did_you_mean(value, labels)}")
    return float((model.sigma * shape.relative_sd(model.fit.eta)[labels.index(value)]) ** 2)
