"""R-squared measures of mixed models, each reported by name.

Marginal and conditional R2 of Nakagawa & Schielzeth (2013, doi:10.1111/j.2041-210x.2012.00261.x)
with random slopes by Johnson (2014, doi:10.1111/2041-210X.12225), and Rights & Sterba's (2019,
doi:10.1037/met0000184) partition of the model-implied variance by source, in total and within and
between the units of a grouping factor.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import did_you_mean
from alliance_stats.design.design import fixed_columns
from alliance_stats.design.groupings import Grouping, random_columns
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.asked_model import (
    FittedModel,
    GeneralizedModel,
    caveats,
    implied_variance,
    require_fitted,
)
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel
from alliance_stats.multilevel.ordinal_mixed_model import OrdinalMixedModel

__all__ = ["RSquared", "r_squared"]

NAKAGAWA = "Nakagawa & Schielzeth 2013; Johnson 2014"
RIGHTS = "Rights & Sterba 2019"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RSquared:
    """Explained variance, made by :func:`r_squared`.

    Attributes
    ----------
    marginal, conditional
        Nakagawa and Schielzeth's R2.
    sources
        Rights and Sterba's partition: ``source`` (``"fixed"``, ``"slopes"``: variation of random
        slopes, ``"means"``: variation of units' means, ``"residual"``), ``group`` (grouping factor
        of the random ones), ``scope`` (``"within"`` and ``"between"`` the units of `cluster`, or
        ``"total"``) and ``variance``, in squared units of the linear predictor.
    cluster
        The grouping factor that separates within from between variance, if one was named.
    scale
        The scale of the variances in words.
    notes
        What to know before reading.
    rows
        The ledger of the fit's rows.
    named
        For a model without random effects, its own measures: name, value, source.
    """

    marginal: float
    conditional: float
    sources: pd.DataFrame
    cluster: str | None
    scale: str
    notes: tuple[str, ...]
    rows: RowLedger
    named: tuple[tuple[str, float, str], ...] = ()

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row per measure.

        Returns
        -------
        DataFrame
            ``measure, scope, estimate, method``. Nakagawa and Schielzeth's ``marginal`` and
            ``conditional``; Rights and Sterba's share of the variance in `scope` that comes from
            ``f`` (fixed effects), ``fv`` (and random slopes), ``fvm`` (and units' means); with a
            cluster also within (``f1``, ``f1v``) and between (``f2``) its units. For a regression
            without random effects, its own measures.
        """
        if self.named:
            own = [(name, "total", value, source) for name, value, source in self.named]
            return pd.DataFrame(own, columns=["measure", "scope", "estimate", "method"])
        found = [
            ("marginal", "total", self.marginal, NAKAGAWA),
            ("conditional", "total", self.conditional, NAKAGAWA),
        ]
        sums = [("f", "total", ["fixed"]), ("fv", "total", ["fixed", "slopes"])]
        sums.append(("fvm", "total", ["fixed", "slopes", "means"]))
        if self.cluster is not None:
            sums += [
                ("f1", "within", ["fixed"]),
                ("f1v", "within", ["fixed", "slopes"]),
                ("f2", "between", ["fixed"]),
            ]
        found += [(name, scope, self._share(scope, of), RIGHTS) for name, scope, of in sums]
        return pd.DataFrame(found, columns=["measure", "scope", "estimate", "method"])

    def partition(self) -> pd.DataFrame:
        """Return one row per source: ``source, group, scope, variance, share``.

        ``share`` is the share of the total model-implied variance; the shares sum to 1.
        """
        return self.sources.assign(share=self.sources["variance"] / self.sources["variance"].sum())

    def glance(self) -> pd.DataFrame:
        """Return one row: both of Nakagawa and Schielzeth's, total variance, cluster and scale."""
        return pd.DataFrame(
            [
                {
                    "r2_marginal": self.marginal,
                    "r2_conditional": self.conditional,
                    "total_variance": float(self.sources["variance"].sum()),
                    "cluster": self.cluster,
                    "scale": self.scale,
                }
            ]
        )

    @property
    def method(self) -> str:
        """What is explained, on which scale."""
        return f"explained variance on {self.scale}"

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return the measures and the partition as data; they have no intervals."""
        measures = Section(
            "", self.tidy(), names=("measure", "scope", "method"), measure="R2", kind="bounded"
        )
        sources = Section(
            "Sources of variance",
            self.partition(),
            names=("source", "group", "scope"),
            columns={"variance": Column("variance"), "share": Column("share", "share")},
        )
        sizes = {"rows": self.rows.n_used}
        return Account.of(
            self, sizes, (measures, sources), sources=("nakagawa2013", "johnson2014", "rights2019")
        )

    summary = summary_of
    _repr_html_ = html_of

    def _share(self, scope: str, of: list[str]) -> float:
        inside = self.sources if scope == "total" else self.sources.query("scope == @scope")
        total = inside["variance"].sum()
        part = inside.loc[inside["source"].isin(of), "variance"].sum()
        return float(part / total) if total > 0 else np.nan


@runtime_checkable
class _ExplainsItself(Protocol):
    """A model without random effects that has its own measures."""

    def explained(self) -> RSquared:
        """Return its explained variance."""
        ...


def r_squared(model: FittedModel, *, cluster: str | None = None) -> RSquared:
    """Return the proportion of variance that a model explains, by definition and source.

    Parameters
    ----------
    model
        A fitted ``lmm``, ``glmm`` or ``regression``, or one imported by ``from_statsmodels``.
    cluster
        Grouping factor by whose units variance is split into within and between, ``"therapist"``.

    Returns
    -------
    RSquared
        ``tidy()`` gives the measures by name, ``partition()`` the variances by source.

    Raises
    ------
    FormulaError
        A `cluster` that is not a grouping factor of the model.
    DataError
        A `cluster` that is crossed with another grouping factor.
    NotIdentifiedError
        Residual variances that differ between rows (weights, strata) or are known beforehand, so
        that there is no single variance to partition.

    Notes
    -----
    With ``s_f`` the variance of the fixed part over the rows, z a row's random-effects columns, T
    their covariance and ``s_e`` the residual variance, marginal R2 is
    ``s_f / (s_f + mean z'Tz + s_e)`` and conditional R2 has ``mean z'Tz`` in the numerator too.

    Rights and Sterba split ``E z'Tz`` into ``tr(T cov(z))`` (slopes) and ``m'Tm`` with m the mean
    of z (means). The fixed part's deviations from the units' means are within variance, those means
    between. The same holds for z of a factor that is constant in the cluster's units; all variance
    of a factor nested in them is within. Where predictors are centred within the cluster this is
    their 2019 partition; for other predictors, slopes also contribute between-unit variance (Rights
    & Sterba 2021, doi:10.1080/00273171.2021.1985948, on any centring and more levels). Variances
    over rows divide by n - 1, as theirs do; Johnson's mean divides by n.

    For a generalized model everything is on the scale of the link, with the variance implied by the
    family as the residual: pi^2/3 (logit), 1 (probit), pi^2/6 (cloglog), and ``log(1 + 1 / mean
    count)`` for counts (Nakagawa, Johnson & Schielzeth 2017, doi:10.1098/rsif.2017.0213).

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, r_squared
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | family/person)", sessions)
    >>> r_squared(model).tidy().round(3)
           measure  scope  estimate                                    method
    0     marginal  total     0.028  Nakagawa & Schielzeth 2013; Johnson 2014
    1  conditional  total     0.677  Nakagawa & Schielzeth 2013; Johnson 2014
    2            f  total     0.028                      Rights & Sterba 2019
    3           fv  total     0.028                      Rights & Sterba 2019
    4          fvm  total     0.677                      Rights & Sterba 2019
    """
    if not isinstance(model, OrdinalMixedModel):
        require_fitted(model)
    if isinstance(model, _ExplainsItself):
        if cluster is not None:
            _cluster((), cluster)
        return model.explained()
    residual, scale = _residual(model)
    design = model.design
    beta = model.beta.to_numpy()[design.fixed.kept]
    fixed = fixed_columns(design, design.frame) @ beta
    columns = [
        np.hstack([random_columns(basis, design.frame) for basis in grouping.terms])
        for grouping in design.groupings
    ]
    covariances = [model.covariances()[g.name].to_numpy() for g in design.groupings]
    s_f = float(fixed.var(ddof=1))
    s_random = sum(
        float(np.einsum("ni,ij,nj->", Z, T, Z)) / len(Z)
        for Z, T in zip(columns, covariances, strict=True)
    )
    total = s_f + s_random + residual
    codes = None if cluster is None else _cluster(design.groupings, cluster).codes
    lines = _fixed_sources(fixed, codes)
    for grouping, Z, T in zip(design.groupings, columns, covariances, strict=True):
        lines += _random_sources(grouping, Z, T, codes)
    lines.append(("residual", None, "total" if codes is None else "within", residual))
    sources = pd.DataFrame(lines, columns=["source", "group", "scope", "variance"])
    return RSquared(
        s_f / total, (s_f + s_random) / total, sources, cluster, scale, caveats(model), model.rows
    )


Source = tuple[str, str | None, str, float]


def _fixed_sources(fixed: Array, codes: Integers | None) -> list[Source]:
    if codes is None:
        return [("fixed", None, "total", float(fixed.var(ddof=1)))]
    means = _unit_means(fixed[:, None], codes)[:, 0]
    return [
        ("fixed", None, "within", float((fixed - means).var(ddof=1))),
        ("fixed", None, "between", float(means.var(ddof=1))),
    ]


def _random_sources(grouping: Grouping, Z: Array, T: Array, codes: Integers | None) -> list[Source]:
    name, middle = grouping.name, Z.mean(axis=0)
    of_means = float(middle @ T @ middle)
    slopes = np.ptp(Z, axis=0).any()
    if codes is None or not _nested(codes, grouping.codes):
        # units within the cluster's: all that they differ in varies within
        scope = "total" if codes is None else "within"
        found = [("slopes", name, scope, _trace(T, Z))] if slopes else []
        return [*found, ("means", name, scope, of_means)]
    averages = _unit_means(Z, codes)
    found = [
        ("slopes", name, "within", _trace(T, Z - averages)),
        ("slopes", name, "between", _trace(T, averages)),
    ]
    return [*(found if slopes else []), ("means", name, "between", of_means)]


def _trace(T: Array, Z: Array) -> float:
    return float(np.trace(T @ np.atleast_2d(np.cov(Z, rowvar=False))))


def _unit_means(values: Array, codes: Integers) -> Array:
    counts = np.bincount(codes).astype(np.float64)
    means = np.column_stack([np.bincount(codes, weights=v) / counts for v in values.T])
    return np.asarray(means[codes])


def _nested(inner: Integers, outer: Integers) -> bool:
    """Whether every unit of `inner` lies in one unit of `outer`."""
    pairs = np.unique(np.column_stack([inner, outer]), axis=0)
    return len(pairs) == len(np.unique(inner))


def _cluster(groupings: tuple[Grouping, ...], cluster: str) -> Grouping:
    names = [grouping.name for grouping in groupings]
    if cluster not in names:
        meant = did_you_mean(cluster, names) if names else "It has no random effects."
        raise FormulaError(f"'{cluster}' is not a grouping factor of the model. {meant}")
    found = groupings[names.index(cluster)]
    for other in groupings:
        if not (_nested(found.codes, other.codes) or _nested(other.codes, found.codes)):
            raise DataError(
                f"'{cluster}' and '{other.name}' are crossed: the variance of '{other.name}' lies "
                f"neither within nor between the units of '{cluster}'. Leave cluster= out."
            )
    return found


def _residual(model: FittedModel) -> tuple[float, str]:
    """Residual variance, and the scale it is on."""
    if isinstance(model, LinearMixedModel):
        shape = model.problem.shape
        uneven = np.ptp(model.design.root_weights) > 0 or (shape is not None and shape.spreads)
        if model.problem.known or uneven:
            raise NotIdentifiedError(
                "The residual variance differs between rows (weights, strata, or known sampling "
                "variances), so that there is no single variance to explain. Fit without them for "
                "R2, or report the variances themselves."
            )
        return model.sigma**2, "the scale of the outcome"
    if not isinstance(model, GeneralizedModel):
        raise TypeError(f"{type(model).__name__} has no residual variance and no family.")
    link = model.family.link
    variance = implied_variance(model)
    if link != "log":
        return variance, f"the {link} scale (residual variance implied by the link)"
    mean = float(model.design.y.mean())
    return variance, f"the log scale (residual variance at a mean of {mean:.3g})"
