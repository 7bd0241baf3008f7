"""The wild cluster bootstrap-t of coefficients, for few clusters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.arguments import whole_number
from alliance_stats.checks import check_choice, check_conf_level, did_you_mean
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.engine.wild_bootstrap import (
    ClusterSums,
    cluster_weights,
    robust_t,
    wild_interval,
    wild_p_value,
)
from alliance_stats.errors import FormulaError
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import format_count, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.clusters import sums_by_cluster
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.seeds import Seed, generator_of

__all__ = ["WildBootstrap", "wild_bootstrap"]

Weights = Literal["rademacher", "webb"]
# Clusters below which signs alone give few distinct draws (Webb 2023).
FEW_FOR_SIGNS = 12


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WildBootstrap:
    """Wild cluster bootstrap tests of coefficients, made by :func:`wild_bootstrap`.

    Attributes
    ----------
    fit
        The fit whose coefficients they are.
    cluster
        The grouping whose units are the clusters.
    terms
        The coefficients.
    sums
        Each cluster's contribution to the normal equations.
    weights
        The weights of the clusters, one row per draw.
    kind
        The kind of weights.
    """

    fit: LinearFit
    cluster: str
    terms: tuple[str, ...]
    sums: ClusterSums
    weights: Array
    kind: Weights

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.fit.design.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient.

        Returns
        -------
        DataFrame
            ``term, estimate, std_error`` (cluster-robust, without a small-sample factor),
            ``statistic, p_value`` (bootstrap-t, the null hypothesis imposed), ``conf_low,
            conf_high`` (the values that the test does not reject; infinite where too few clusters
            reject none), in units of the outcome per unit of the predictor.
        """
        check_conf_level(conf_level)
        unit, lines = self.fit.units.outcome, []
        with one_blas_thread():
            for term in self.terms:
                j, c, null = self._function(term)
                t, error = robust_t(self.sums, c, null)
                p = wild_p_value(self.sums, c, null, self.weights)
                low, high = wild_interval(self.sums, c, self.weights, conf_level)
                lines.append(
                    {
                        "term": term,
                        "estimate": float(self.fit.beta[j]),
                        "std_error": unit * error,
                        "statistic": t,
                        "p_value": p,
                        "conf_low": unit * (low - null),
                        "conf_high": unit * (high - null),
                    }
                )
        return pd.DataFrame(lines)

    def p_values(self) -> dict[str, float]:
        """Return the p-value of each coefficient, without the search for limits."""
        with one_blas_thread():
            return {
                term: wild_p_value(self.sums, c, null, self.weights)
                for term, (_, c, null) in ((term, self._function(term)) for term in self.terms)
            }

    def _function(self, term: str) -> tuple[int, Array, float]:
        """Position of a coefficient, the function of the working ones, and its value there at 0."""
        fixed = self.fit.design.fixed
        j = [fixed.names[i] for i in fixed.kept].index(term)
        c = linalg.solve_triangular(fixed.R.T, np.eye(len(fixed.kept))[j], lower=True)
        return j, np.asarray(c), -float(fixed.offset[j]) / self.fit.units.outcome

    def glance(self) -> pd.DataFrame:
        """Return one row: clusters, draws, weights."""
        return pd.DataFrame(
            [
                {
                    "n_clusters": len(self.sums.A),
                    "n_resamples": len(self.weights),
                    "weights": self.kind,
                }
            ]
        )

    @property
    def method(self) -> str:
        """What was drawn, how often, and from what."""
        return (
            f"wild cluster bootstrap-t over {plural(len(self.sums.A), self.cluster)}, "
            f"{format_count(len(self.weights))} draws of "
            f"{'signs' if self.kind == 'rademacher' else 'six-point weights'}, null imposed"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading."""
        if 2 ** len(self.sums.A) <= 40 and self.kind == "rademacher":
            return (
                f"{len(self.sums.A)} clusters have {2 ** len(self.sums.A)} combinations of signs: "
                f"no p-value can be below {2.0 / 2 ** len(self.sums.A):.3g}.",
            )
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the tests as data."""
        found = Section(
            "Fixed effects",
            self.tidy(conf_level=conf_level),
            names=("term",),
            measure="b",
            statistic="b / SE",  # referred to the draws, not to z
            conf_level=conf_level,
        )
        sizes = {"rows": self.rows.n_used, self.cluster: len(self.sums.A)}
        return Account.of(self, sizes, (found,), sources=("cameron2008",))

    summary = summary_of
    _repr_html_ = html_of


def wild_bootstrap(
    model: LinearMixedModel,
    cluster: str,
    *,
    terms: Sequence[str] | None = None,
    n_resamples: int = 9999,
    seed: Seed,
    weights: Weights | None = None,
) -> WildBootstrap:
    """Test coefficients by the wild cluster bootstrap-t.

    Parameters
    ----------
    model
        A fitted ``lmm``; its covariance is the working covariance, held fixed in all draws.
    cluster
        A grouping factor of the model that contains every random effect, such as ``"therapist"``.
    terms
        Coefficients; by default all estimated ones.
    n_resamples
        Number of draws.
    seed
        Seed of the weights.
    weights
        ``"rademacher"``: random signs, or every combination once if there are no more than
        `n_resamples`; ``"webb"``: six points, the default with fewer than 12 clusters.

    Returns
    -------
    WildBootstrap
        With ``tidy()``, ``glance()``, ``summary()``.

    Raises
    ------
    DataError
        A cluster that is not a grouping factor, or is crossed with a random effect.
    FormulaError
        A term that the model does not have.
    NotIdentifiedError
        Fewer than two clusters.

    Notes
    -----
    The residuals of the model fitted under the null hypothesis are multiplied cluster by cluster;
    t uses a cluster-robust standard error in the data and in each draw (Cameron, Gelbach & Miller
    2008, doi:10.1162/rest.90.3.414). Intervals contain the values that are not rejected. With very
    few clusters that carry a predictor (two of fifteen therapists are trainees) the test rejects
    too rarely (MacKinnon & Webb 2018, doi:10.1111/ectj.12107).

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, wild_bootstrap
    >>> model = lmm("alliance ~ session + (1 | therapist/family/person)", example_study().sessions)
    >>> found = wild_bootstrap(model, "therapist", terms=["session"], n_resamples=999, seed=1)
    >>> list(found.tidy()["term"])
    ['session']
    """
    require_linear(model, asked="wild_bootstrap tests coefficients of")
    fixed = model.design.fixed
    known = [fixed.names[i] for i in fixed.kept]
    asked = tuple(known if terms is None else terms)
    for term in asked:
        if term not in known:
            raise FormulaError(f"The model estimates no '{term}'. {did_you_mean(term, known)}")
    whole_number(n_resamples, name="n_resamples", least=99, of="draws")
    sums = sums_by_cluster(model.fit, cluster)
    G = len(sums.A)
    kind: Weights = weights or ("webb" if G < FEW_FOR_SIGNS else "rademacher")
    check_choice(kind, ("rademacher", "webb"), name="weights")
    drawn = cluster_weights(G, n_resamples, kind, generator_of(seed))
    return WildBootstrap(model.fit, cluster, asked, sums, drawn, kind)
