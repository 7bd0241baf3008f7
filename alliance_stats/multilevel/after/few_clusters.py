"""Inference with few clusters: wild bootstrap, permuted therapists, each therapist left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level, did_you_mean
from alliance_stats.engine.array_door import arranged, sorted_rows
from alliance_stats.engine.criterion import at_eta, minimise, pulled_rows, solve
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.engine.wild_bootstrap import (
    ClusterSums,
    cluster_sums,
    cluster_weights,
    robust_t,
    wild_interval,
    wild_p_value,
)
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line, two_sided_p
from alliance_stats.formatting import format_count, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.clusters import clusters_of, refitted_without, sums_by_cluster
from alliance_stats.multilevel.linear_fit import LinearFit, working_columns
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.seeds import Seed

__all__ = [
    "LeaveOneOut",
    "PermutationTest",
    "WildBootstrap",
    "leave_one_out",
    "permutation_test",
    "wild_bootstrap",
]

Weights = Literal["rademacher", "webb"]
# Clusters below which signs alone give few distinct draws (Webb 2023).
FEW_FOR_SIGNS = 12
# Relative spread within clusters that is rounding.
CONSTANT = 1e-9


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
        What each cluster adds to the normal equations.
    weights
        The weights of the clusters, a row a draw.
    kind
        Which weights they are.
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
        """Return one row a coefficient.

        Returns
        -------
        DataFrame
            ``term, estimate, std_error`` (cluster-robust, without small-sample factor),
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
        """Place of a coefficient, the function of the working ones, and its value there at 0."""
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
        """What was drawn, how often, and of what."""
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
            statistic="t",
            conf_level=conf_level,
        )
        sizes = {"rows": self.rows.n_used, self.cluster: len(self.sums.A)}
        return Account(self.method, self.notes, sizes, (found,), rows=self.rows)

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
        A fitted ``lmm``; its covariance is the working one, held in all draws.
    cluster
        A grouping factor of the model that contains every random effect, ``"therapist"``.
    terms
        Coefficients; all that are estimated by default.
    n_resamples
        Number of draws.
    seed
        Of the weights.
    weights
        ``"rademacher"``: signs, all combinations each once where they are at most `n_resamples`;
        ``"webb"``: six points, the default with fewer than 12 clusters.

    Returns
    -------
    WildBootstrap
        With ``tidy()``, ``glance()``, ``summary()``.

    Raises
    ------
    DataError
        A cluster that is no grouping factor, or that a random effect crosses.
    FormulaError
        A term that the model does not have.
    NotIdentifiedError
        Fewer than two clusters.

    Notes
    -----
    The residuals of the model fitted under the null hypothesis are multiplied cluster by cluster;
    t has a cluster-robust standard error in the data and in each draw (Cameron, Gelbach & Miller
    2008, doi:10.1162/rest.90.3.414). Intervals hold the values that are not rejected. With very
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
    if n_resamples < 99:
        raise ValueError(f"n_resamples must be a number of draws, at least 99; got {n_resamples}.")
    sums = sums_by_cluster(model.fit, cluster)
    G = len(sums.A)
    kind: Weights = weights or ("webb" if G < FEW_FOR_SIGNS else "rademacher")
    check_choice(kind, ("rademacher", "webb"), name="weights")
    drawn = cluster_weights(G, n_resamples, kind, np.random.default_rng(seed))
    return WildBootstrap(model.fit, cluster, asked, sums, drawn, kind)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PermutationTest:
    """A permutation test of a predictor of clusters, made by :func:`permutation_test`.

    Attributes
    ----------
    term
        The coefficient.
    cluster
        What was permuted.
    estimate, statistic
        The coefficient with the random effects of the null model, and its t there.
    drawn
        Its t in each permutation.
    n_clusters
        How many clusters.
    rows
        The ledger of the fit's rows.
    """

    term: str
    cluster: str
    estimate: float
    statistic: float
    drawn: Array
    n_clusters: int
    rows: RowLedger

    __repr__ = one_line

    @property
    def p_value(self) -> float:
        """Share of permutations (the one seen among them) with a t at least as far from zero."""
        far = np.abs(self.drawn) >= abs(self.statistic) * (1.0 - 1e-10)
        return float((1 + far.sum()) / (1 + len(far)))

    def tidy(self) -> pd.DataFrame:
        """Return one row: ``term, estimate, statistic, p_value``."""
        return pd.DataFrame(
            [
                {
                    "term": self.term,
                    "estimate": self.estimate,
                    "statistic": self.statistic,
                    "p_value": self.p_value,
                }
            ]
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: clusters and permutations."""
        return pd.DataFrame([{"n_clusters": self.n_clusters, "n_resamples": len(self.drawn)}])

    @property
    def method(self) -> str:
        """What was permuted, and how often."""
        return (
            f"permutation of the values of {self.term} over "
            f"{plural(self.n_clusters, self.cluster)}, {format_count(len(self.drawn))} times"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading: nothing."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return the test as data; it has no interval."""
        found = Section("", self.tidy(), names=("term",), measure="b", statistic="t")
        sizes = {"rows": self.rows.n_used, self.cluster: self.n_clusters}
        return Account(self.method, self.notes, sizes, (found,), rows=self.rows)

    summary = summary_of
    _repr_html_ = html_of


def permutation_test(
    model: LinearMixedModel, term: str, cluster: str, *, n_resamples: int = 9999, seed: Seed
) -> PermutationTest:
    """Test a predictor of clusters by permuting its values over them.

    Parameters
    ----------
    model
        A fitted ``lmm``.
    term
        A coefficient whose column is constant within clusters, as ``"experience"`` of therapists.
    cluster
        A grouping factor of the model that contains every random effect.
    n_resamples
        Number of permutations.
    seed
        Of the permutations.

    Returns
    -------
    PermutationTest
        With ``tidy()``, ``glance()``, ``summary()``.

    Raises
    ------
    FormulaError
        A term that the model does not have.
    DataError
        A column that varies within clusters, or a cluster that a random effect crosses.
    NotIdentifiedError
        A column that other columns determine once the term is left out.

    Notes
    -----
    The model without the term gives the covariance; the statistic is t of the term added to it.
    If the values were given to clusters regardless of all else (at random, say), every permutation
    is as likely as the one seen, and the p-value is exact whatever the distribution and the sizes
    of the clusters; with other predictors of clusters it is exact to the extent that these do not
    hang together with the term (Good 2005, doi:10.1007/b138696).

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, permutation_test
    >>> sessions = example_study().sessions.query("session == 1")
    >>> model = lmm("alliance ~ experience + (1 | therapist/family)", sessions)
    >>> test = permutation_test(model, "experience", "therapist", n_resamples=99, seed=1)
    >>> test.tidy()[["p_value"]].shape
    (1, 1)
    """
    require_linear(model, asked="permutation_test tests a coefficient of")
    fit, design = model.fit, model.design
    known = [design.fixed.names[i] for i in design.fixed.kept]
    if term not in known:
        raise FormulaError(f"The model estimates no '{term}'. {did_you_mean(term, known)}")
    clusters = clusters_of(fit, cluster)
    x = design.X[:, known.index(term)]
    first = np.unique(clusters, return_index=True)[1]
    z = x[first]
    if np.abs(x - z[clusters]).max() > CONSTANT * np.abs(x).max():
        raise DataError(
            f"'{term}' varies within units of '{cluster}': it is no property of the {cluster} that "
            "could be given to another."
        )
    sums, sigma = _null_sums(fit, known.index(term), clusters)
    rng = np.random.default_rng(seed)
    permuted = np.array([z, *(rng.permutation(z) for _ in range(n_resamples))])
    estimates, t = _added(sums, permuted)
    t = t / sigma
    if not np.isfinite(t[0]):
        raise NotIdentifiedError(f"Other columns determine '{term}': it has no effect of its own.")
    drawn = t[1:][np.isfinite(t[1:])]
    return PermutationTest(
        term, cluster, float(estimates[0]), float(t[0]), drawn, len(z), model.rows
    )


def _null_sums(
    fit: LinearFit, j: int, clusters: npt.NDArray[np.int64]
) -> tuple[ClusterSums, float]:
    """Fit the model without a column; sum columns, a constant and outcome over clusters.

    Returns the sums, V relative to the residual variance, and the null model's residual SD.
    """
    design, problem = fit.design, fit.problem
    roots = design.root_weights
    others = np.delete(design.X, j, axis=1) * roots[:, None]
    n = len(others)
    Q = np.ascontiguousarray(linalg.qr(others, mode="economic")[0].T) * np.sqrt(n)
    y = (design.y if design.offset is None else design.y - design.offset) * roots
    left = y - Q.T @ (Q @ y / n)
    shape = problem.shape
    if shape is not None:
        shape = shape.sorted(np.argsort(problem.layout.order))
    columns = working_columns(design, fit.units)[1]
    Xy = np.concatenate([Q, left[None] / fit.units.outcome])
    null = arranged(Xy, columns, reml=problem.reml, known=problem.known, shape=shape)
    start = [factor + 1e-2 * np.eye(len(factor)) for factor in fit.minimum.Lambda]
    minimum = minimise(null, start, fit.eta)
    wide = np.concatenate([Q, roots[None], y[None]])
    more = arranged(wide, columns, reml=False, known=True, shape=shape)
    more = at_eta(more, minimum.other)
    rows = more.white
    if rows is None:
        rows = sorted_rows(more.layout, wide, columns)
    pulled = pulled_rows(more, rows, minimum.Lambda)
    found = at_eta(null, minimum.other)
    rss = solve(found, minimum.Lambda).rss
    sigma = 1.0 if null.known else fit.units.outcome * float(np.sqrt(rss / null.N))
    return cluster_sums(rows.Xy, pulled, clusters[more.layout.order]), sigma


def _added(sums: ClusterSums, z: Array) -> tuple[Array, Array]:
    """Coefficient and t of cluster values (draws, clusters), added to the null model's columns.

    The last column of the sums is the constant of each cluster, weighted as its rows are.
    """
    F = sums.A.sum(axis=0)[:-1, :-1]
    b, q, r = sums.A[:, :-1, -1], sums.A[:, -1, -1], sums.u[:, -1]
    cross = z @ b
    explained = np.linalg.solve(F, cross.T).T if F.size else cross
    spread = z**2 @ q - (cross * explained).sum(axis=1)
    pull = z @ r - explained @ sums.u[:, :-1].sum(axis=0)
    known = spread > 1e-10 * (z**2 @ q)
    spread = np.where(known, spread, np.nan)
    return pull / spread, pull / np.sqrt(spread)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LeaveOneOut:
    """A model refitted without each cluster in turn, made by :func:`leave_one_out`.

    Attributes
    ----------
    cluster
        What was left out.
    table
        A row a cluster and term; see :meth:`tidy`.
    rows
        The ledger of the fit's rows.
    """

    cluster: str
    table: pd.DataFrame
    rows: RowLedger

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row a cluster and coefficient.

        Returns
        -------
        DataFrame
            ``level`` (who was left out), ``n`` (its rows), ``term, estimate, std_error, statistic,
            p_value`` (normal) of the model without it, ``change`` (that estimate minus the whole
            model's, in its standard errors) and ``sd_<grouping>`` (SD of the intercepts, or of the
            first random effect). NaN where what is left does not determine the coefficients.
        """
        return self.table.copy()

    def glance(self) -> pd.DataFrame:
        """Return one row a coefficient: the range of its estimates, and who changes it most."""
        found = []
        for term, own in self.table.groupby("term", sort=False):
            known = own.dropna(subset="change")
            most = known.loc[known["change"].abs().idxmax()] if len(known) else None
            found.append(
                {
                    "term": term,
                    "lowest": own["estimate"].min(),
                    "highest": own["estimate"].max(),
                    "most_by": None if most is None else most["level"],
                    "change": np.nan if most is None else most["change"],
                }
            )
        return pd.DataFrame(found)

    @property
    def method(self) -> str:
        """What was done."""
        n = self.table["level"].nunique()
        return f"model refitted {format_count(n)} times, each time without one {self.cluster}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Who alone carries a coefficient."""
        lost = self.table.loc[self.table["estimate"].isna(), "level"].drop_duplicates()
        if not len(lost):
            return ()
        return (
            f"Without {', '.join(map(str, lost))} the rest does not determine the coefficients.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return the range of each coefficient, and who changes it most."""
        found = Section(
            "Coefficients without one",
            self.glance(),
            names=("term", "most_by"),
            columns={
                "lowest": Column("lowest"),
                "highest": Column("highest"),
                "change": Column("change in SE"),
            },
            measure="",
        )
        sizes = {"rows": self.rows.n_used, self.cluster: self.table["level"].nunique()}
        return Account(self.method, self.notes, sizes, (found,), rows=self.rows)

    summary = summary_of
    _repr_html_ = html_of


def leave_one_out(model: LinearMixedModel, cluster: str) -> LeaveOneOut:
    """Refit a model without each cluster in turn: variances and coefficients.

    Parameters
    ----------
    model
        A fitted ``lmm``.
    cluster
        A grouping factor of the model that contains every random effect.

    Returns
    -------
    LeaveOneOut
        With ``tidy()`` (a row a cluster and coefficient), ``glance()`` (who changes most).

    Raises
    ------
    DataError
        A cluster that is no grouping factor, or that a random effect crosses.
    NotIdentifiedError
        Fewer than three clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import meta_analysis
    >>> from alliance_stats.evidence import leave_one_out
    >>> studies = pd.DataFrame({"r": [0.2, 0.3, 0.25, 0.4], "n": [50, 80, 120, 60]})
    >>> leave_one_out(meta_analysis(studies, r="r", n="n"))["estimate"].round(3).tolist()
    [0.31, 0.288, 0.318, 0.262]
    """
    require_linear(model, asked="leave_one_out refits")
    fit = model.fit
    clusters = clusters_of(fit, cluster)
    found = [g for g in fit.design.groupings if g.name == cluster]
    if not found:
        raise DataError(f"'{cluster}' has no random effect: leave_one_out leaves out such units.")
    grouping = found[0]
    if len(grouping.labels) < 3:
        raise NotIdentifiedError(f"leave_one_out needs three units of '{cluster}' or more.")
    names = [fit.design.fixed.names[i] for i in fit.design.fixed.kept]
    whole, error, frames = fit.beta, np.sqrt(np.diag(fit.vcov)), []
    for unit, label in enumerate(grouping.labels):
        kept = clusters != unit
        columns = {
            "estimate": np.full(len(names), np.nan),
            "std_error": np.full(len(names), np.nan),
        }
        sds = {f"sd_{g.name}": np.nan for g in fit.design.groupings}
        try:
            left = refitted_without(fit, kept)
            columns = {"estimate": left.beta, "std_error": np.sqrt(np.diag(left.vcov))}
            for g, D in zip(left.design.groupings, left.covariances, strict=True):
                sds[f"sd_{g.name}"] = float(np.sqrt(D[0, 0]))
        except np.linalg.LinAlgError:  # the unit alone determines a coefficient
            pass
        t = columns["estimate"] / columns["std_error"]
        frames.append(
            pd.DataFrame(
                {
                    "level": label,
                    "n": int((~kept).sum()),
                    "term": names,
                    **columns,
                    "statistic": t,
                    "p_value": two_sided_p(t, df=np.full(len(t), np.inf)),
                    "change": (columns["estimate"] - whole) / error,
                    **sds,
                }
            )
        )
    return LeaveOneOut(cluster, pd.concat(frames, ignore_index=True), model.rows)
