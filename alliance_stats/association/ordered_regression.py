"""Regression on ordered categories: the likelihood of proportional odds, and its model.

``logit P(Y <= k) = threshold_k - x'beta`` (McCullagh 1980, doi:10.1111/j.2517-6161.1980.tb01109.x).
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg, special

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.association.goodness_of_fit import explained
from alliance_stats.association.regression_questions import (
    Clusters,
    coefficient_section,
    few_clusters,
    refuse_df_method,
)
from alliance_stats.checks import check_choice
from alliance_stats.design.design import Design, all_fixed_columns, code_new_rows
from alliance_stats.engine.sandwich import ClusterRobust, cr2, turned
from alliance_stats.engine.search import Convergence
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Coefficients, Integers, named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import Inference, Link, RSquared

__all__ = ["OrderedRegression", "clustered", "fit_ordered"]

_MOST_STEPS, _MOST_HALVINGS = 60, 40


def _maximum(X: Array, codes: Integers) -> tuple[Array, Array]:
    """Return coefficients and thresholds at the maximum of the likelihood, which is concave.

    Newton's steps (Pratt 1981, doi:10.1080/01621459.1981.10477613, shows the concavity), halved
    where the likelihood would fall, from the thresholds of a model without columns.
    """
    b, shares = np.zeros(X.shape[1]), np.bincount(codes) / len(codes)
    tau = special.logit(np.cumsum(shares)[:-1])
    now = _log_lik_of(b, tau, X, codes)
    for _ in range(_MOST_STEPS):
        gradient, information, _ = _derivatives(b, tau, X, codes)
        step = linalg.lstsq(information, gradient)[0]
        for _ in range(_MOST_HALVINGS):
            b_new, tau_new = b + step[: len(b)], tau + step[len(b) :]
            found = _log_lik_of(b_new, tau_new, X, codes)
            if found >= now - 1e-12 * abs(now):
                break
            step = step / 2.0
        else:
            break
        settled = np.abs(gradient @ step) < 1e-16 * len(codes)
        b, tau, now = b_new, tau_new, found
        if settled:
            break
    return b, tau


def _log_lik_of(b: Array, tau: Array, X: Array, codes: Integers) -> float:
    """Return the log-likelihood; minus infinity where thresholds are out of order."""
    if (np.diff(tau) <= 0).any():
        return -np.inf
    with np.errstate(divide="ignore"):  # a probability of 0 is no place to go to
        return float(np.log(_probabilities(b, tau, X, codes)).sum())


def _edges(b: Array, tau: Array, X: Array, codes: Integers) -> tuple[Array, Array]:
    eta = X @ b
    padded = np.concatenate([[-np.inf], tau, [np.inf]])
    return padded[codes] - eta, padded[codes + 1] - eta


def _probabilities(b: Array, tau: Array, X: Array, codes: Integers) -> Array:
    low, high = _edges(b, tau, X, codes)
    # of two differences the one of small numbers loses no digits
    return np.asarray(
        np.where(low > 0, special.expit(-low) - special.expit(-high),
                 special.expit(high) - special.expit(low))
    )  # fmt: skip


def _derivatives(b: Array, tau: Array, X: Array, codes: Integers) -> tuple[Array, Array, Array]:
    """Return gradient, observed information and the rows' scores in (beta, thresholds)."""
    low, high = _edges(b, tau, X, codes)
    P = _probabilities(b, tau, X, codes)
    f_low, f_high = (special.expit(e) * special.expit(-e) for e in (low, high))
    g_low, g_high = (
        f * (special.expit(-e) - special.expit(e)) for f, e in ((f_low, low), (f_high, high))
    )
    J_low, J_high = _edge_slopes(X, codes, len(tau))
    slope = (f_high[:, None] * J_high - f_low[:, None] * J_low) / P[:, None]
    second = (J_high * (g_high / P)[:, None]).T @ J_high - (J_low * (g_low / P)[:, None]).T @ J_low
    return slope.sum(axis=0), slope.T @ slope - second, slope


def clustered(b: Array, tau: Array, X: Array, codes: Integers, clusters: Integers) -> ClusterRobust:
    """Return CR2 of coefficients and thresholds.

    Row and category make a row of the multinomial's working linear model, ``sqrt(P) d log P`` with
    the residual ``(1{y = k} - P) / sqrt(P)``: sums of products are scores and expected information.
    Each cluster's residuals are corrected as there (Bell & McCaffrey 2002; for estimating equations
    Kauermann & Carroll 2001, doi:10.1198/016214501753382309).
    """
    columns, left = [], []
    for k in range(len(tau) + 1):
        own = np.full(len(X), k)
        root = np.sqrt(_probabilities(b, tau, X, own))
        columns.append(_derivatives(b, tau, X, own)[2] * root[:, None])
        left.append(((codes == k) - root**2) / root)
    whole, residual = np.stack(columns, axis=1), np.stack(left, axis=1)
    order = np.argsort(clusters, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(clusters))[:-1])
    halves, rests = [], []
    for rows in parts:
        # the correction lives in the span of the columns: a few rows say all of a large cluster
        Q, R = linalg.qr(whole[rows].reshape(-1, whole.shape[2]), mode="economic")
        halves.append(R)
        rests.append(Q.T @ residual[rows].ravel())
    return cr2(halves, rests, [np.eye(len(half)) for half in halves])


def _edge_slopes(X: Array, codes: Integers, m: int) -> tuple[Array, Array]:
    """Return the derivatives of each row's two edges in (beta, thresholds)."""
    n = len(X)
    D_low, D_high = np.zeros((n, m + 2)), np.zeros((n, m + 2))
    D_low[np.arange(n), codes] = 1.0
    D_high[np.arange(n), codes + 1] = 1.0
    low, high = np.column_stack([-X, D_low[:, 1:-1]]), np.column_stack([-X, D_high[:, 1:-1]])
    return low, high


_FLAT = 1e-6  # of the gradient's largest element, at which the search counts as settled
_RAN_OFF = 15.0  # log odds per SD of a column that no data bear out


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OrderedRegression:
    """A proportional-odds regression, returned by :func:`regression` with ``family="ordinal"``.

    Attributes
    ----------
    design
        What was read; the outcome is the category's place, 0, 1, ...
    categories
        The categories in order.
    beta
        (p,) coefficients: a positive one moves towards higher categories.
    thresholds
        (categories - 1,) log odds of the lower categories where all columns are 0.
    information
        Observed information of coefficients and thresholds, (p + categories - 1) square.
    scores
        Each row's score of them, (n, p + categories - 1).
    log_lik
        Log-likelihood.
    clusters
        The clusters of the rows, or None.
    robust
        CR2 of coefficients and thresholds where there are clusters.
    """

    design: Design
    categories: tuple[Hashable, ...]
    beta: Array
    thresholds: Array
    information: Array
    scores: Array
    log_lik: float
    clusters: Clusters | None
    robust: ClusterRobust | None

    __repr__ = one_line

    @property
    def formula(self) -> str:
        """The formula as the caller wrote it."""
        return self.design.formula.text

    @property
    def rows(self) -> RowLedger:
        """Ledger of the rows used and set aside."""
        return self.design.rows

    @property
    def nobs(self) -> int:
        """Rows used."""
        return len(self.design.y)

    @property
    def convergence(self) -> Convergence:
        """How the search ended; one that did not converge is refused."""
        return Convergence(True, 0, 0.0, 0, "Newton's steps ended at the maximum")

    @property
    def link(self) -> Link:
        """The scale of inference after the fit: log odds of higher categories."""
        return Link("logit", _no_one_response, _no_one_response, "cumulative odds ratio")

    def vcov(self, kind: str | None = None) -> pd.DataFrame:
        """Return the covariance of coefficients and thresholds; `kind` as `vcov` of `tidy`."""
        return named_covariance(self._covariance(kind)[0], [*self._names, *self._threshold_names])

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return nothing: there are no random effects."""
        return {}

    def inference(self, df_method: str | None = None) -> Inference:
        """Prepare inference after the fit: log odds of being above the mean threshold."""
        refuse_df_method(df_method)
        p, m = len(self.beta), len(self.thresholds)
        T = np.eye(p, p + m)
        if len(self.design.fixed.kept) > p:  # the constant stands for the thresholds
            place = list(self.design.fixed.kept).index(self.design.fixed.names.index("(Intercept)"))
            T = np.insert(T, place, np.append(np.zeros(p), np.full(m, -1.0 / m)), axis=0)
        estimate = T @ np.concatenate([self.beta, self.thresholds])
        if self.robust is None:
            V = T @ self._covariance("classical")[0] @ T.T
            return Inference("normal", None, self.design, estimate, V, 1.0)
        robust = turned(self.robust, T)
        return Inference("CR2", robust, self.design, estimate, robust.vcov, 1.0)

    def explained(self) -> RSquared:
        """Return pseudo-R2 by name as :func:`~alliance_stats.r_squared` does."""
        counts = np.bincount(self.design.y.astype(np.int64))
        null = float((counts * np.log(counts / counts.sum())).sum())
        kept = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        X = self.design.X[:, [kept.index(name) for name in self._names]]
        spread, rest = float((X @ self.beta).var(ddof=1)), np.pi**2 / 3.0
        named = (
            ("mcfadden", 1.0 - self.log_lik / null, "McFadden 1974"),
            ("latent", spread / (spread + rest), "McKelvey & Zavoina 1975"),
        )
        scale = "the logit scale (residual variance implied by the link)"
        return explained(named[1][1], (spread, rest), named, self.rows, scale)

    def _covariance(self, vcov: str | None) -> tuple[Array, Array]:
        """Return the covariance of coefficients and thresholds, and the df of each."""
        chosen = vcov or ("classical" if self.robust is None else "CR2")
        check_choice(chosen, ("classical", "CR1", "CR2"), name="vcov")
        bread = np.asarray(linalg.inv(self.information))
        if chosen == "classical":
            return bread, np.full(len(bread), np.inf)
        if self.robust is None or self.clusters is None:
            raise ValueError(f"vcov='{chosen}' needs clusters: give cluster= to regression().")
        if chosen == "CR2":
            return self.robust.vcov, self.robust.df(np.eye(len(bread)))
        codes = self.clusters.codes
        n = int(codes.max()) + 1
        summed = np.zeros((n, self.scores.shape[1]))
        np.add.at(summed, codes, self.scores)
        V = bread @ (summed.T @ summed) @ bread * (n / (n - 1.0))
        return np.asarray(V), np.full(len(bread), n - 1.0)

    def tidy(self, *, vcov: str | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient, then one per threshold.

        Parameters
        ----------
        vcov
            ``"classical"``, ``"CR2"`` (clusters, with Satterthwaite df, of the multinomial's
            working linear model; the default where ``cluster=`` was given) or ``"CR1"`` (sums of
            scores over clusters times ``G/(G - 1)``, with G - 1 df: too small with few clusters).
        conf_level
            Coverage of each interval taken separately.

        Returns
        -------
        DataFrame
            ``effect`` (``coefficient`` or ``threshold``) ``, term, estimate, std_error, statistic,
            df, p_value, conf_low, conf_high``: log odds. A threshold is that between two
            categories, ``"1|2"``.
        """
        covariance, df = self._covariance(vcov)
        terms = [*self._names, *self._threshold_names]
        estimate = np.concatenate([self.beta, self.thresholds])
        table = Coefficients(terms, estimate, covariance, df).table(conf_level=conf_level)
        kinds = ["coefficient"] * len(self.beta) + ["threshold"] * len(self.thresholds)
        table.insert(0, "effect", kinds)
        return table

    def ratios(self, *, vcov: str | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the cumulative odds ratios: of any higher category, per unit of a column."""
        covariance, df = self._covariance(vcov)
        p = len(self.beta)
        own = Coefficients(self._names, self.beta, covariance[:p, :p], df[:p])
        return own.ratios(conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs, n_categories, log_lik, aic, bic``."""
        k = len(self.beta) + len(self.thresholds)
        return pd.DataFrame(
            [
                {
                    "nobs": self.nobs,
                    "n_categories": len(self.categories),
                    "log_lik": self.log_lik,
                    "aic": -2.0 * self.log_lik + 2.0 * k,
                    "bic": -2.0 * self.log_lik + np.log(self.nobs) * k,
                }
            ]
        )

    def predict(self, newdata: pd.DataFrame) -> pd.DataFrame:
        """Return the probability of each category, one column per category, for new rows."""
        names = list(self.design.fixed.names)
        coded = code_new_rows(self.design, newdata, with_units=False)
        del coded  # refuses what the fit has not seen
        X = all_fixed_columns(self.design, newdata)
        X = X[:, [names.index(name) for name in self._names]]
        below = special.expit(self.thresholds[None] - (X @ self.beta)[:, None])
        edges = np.column_stack([np.zeros(len(X)), below, np.ones(len(X))])
        return pd.DataFrame(
            np.diff(edges, axis=1), index=newdata.index, columns=list(self.categories)
        )

    @property
    def _names(self) -> list[str]:
        kept = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        return [name for name in kept if name != "(Intercept)"]

    @property
    def _threshold_names(self) -> list[str]:
        pairs = zip(self.categories[:-1], self.categories[1:], strict=True)
        return [f"{low}|{high}" for low, high in pairs]

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        text = f"proportional-odds regression: {self.formula}"
        if self.clusters is None:
            return text
        return f"{text}, CR2 standard errors over clusters of {self.clusters.column}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know, most serious first."""
        return few_clusters(self.clusters)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return coefficients, thresholds and odds ratios as data."""
        table = self.tidy(conf_level=conf_level)
        own = table[table["effect"] == "coefficient"].drop(columns="effect")
        thresholds = table.loc[table["effect"] == "threshold", ["term", "estimate", "std_error"]]
        ratio = self.link.ratio
        sizes = {"rows": self.nobs}
        if self.clusters is not None:
            sizes["clusters"] = int(self.clusters.codes.max()) + 1
        sections = (
            coefficient_section(own, ratio=ratio, conf_level=conf_level),
            Section("Threshold", thresholds, ("term",), measure="log odds"),
        )
        return Account.of(
            self,
            sizes,
            sections,
            sources=("mccullagh1980",)
            if self.clusters is None
            else ("mccullagh1980", "pustejovsky2018"),
        )

    summary = summary_of
    _repr_html_ = html_of


def _no_one_response(eta: Array) -> Array:
    """Refuse the scale of the response: it has several categories."""
    del eta
    raise NotIdentifiedError(
        "Ordered categories have no one expected outcome: ask on the scale of log odds, or "
        "predict() each category's probability."
    )


def fit_ordered(
    design: Design, categories: tuple[Hashable, ...], clusters: Clusters | None
) -> OrderedRegression:
    """Fit ``logit P(Y <= k) = threshold_k - x'beta`` (McCullagh 1980).

    Raises
    ------
    NotIdentifiedError
        No column besides the constant, or a coefficient that diverges.
    """
    kept = [design.fixed.names[i] for i in design.fixed.kept]
    columns = [i for i, name in enumerate(kept) if name != "(Intercept)"]
    if not columns:
        raise NotIdentifiedError("A regression needs a column beside the constant.")
    X = design.X[:, columns]
    centre, scale = X.mean(axis=0), X.std(axis=0)
    if (scale == 0).any():
        raise NotIdentifiedError(f"'{kept[columns[int(np.argmin(scale))]]}' does not vary.")
    codes = design.y.astype(np.int64)
    X = (X - centre) / scale
    b, tau = _maximum(X, codes)
    gradient, information, scores = _derivatives(b, tau, X, codes)
    if np.abs(gradient).max() > _FLAT * len(codes) ** 0.5 or np.abs(b).max() > _RAN_OFF:
        raise NotIdentifiedError(
            "The regression on ordered categories did not settle: a coefficient runs off. Is the "
            "order of the outcome predicted without error by a predictor?"
        )
    p = X.shape[1]
    # from standardised columns back: eta = tau - (x - c)'b/s
    T = np.zeros((p + len(tau), p + len(tau)))
    T[:p, :p] = np.diag(1.0 / scale)
    T[p:, :p] = centre / scale
    T[p:, p:] = np.eye(len(tau))
    back = linalg.inv(T)
    robust = None
    if clusters is not None:
        robust = turned(clustered(b, tau, X, codes, clusters.codes), T)
    beta, thresholds = np.split(T @ np.concatenate([b, tau]), [p])
    return OrderedRegression(
        design,
        categories,
        beta,
        thresholds,
        back.T @ information @ back,
        scores @ back,
        _log_lik_of(b, tau, X, codes),
        clusters,
        robust,
    )
