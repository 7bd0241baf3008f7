"""Contrasts of estimated means and of slopes, adjusted for their number."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.arguments import kind_of
from alliance_stats.checks import check_choice, check_conf_level, did_you_mean
from alliance_stats.engine.multiple_tests import (
    Adjust,
    tukey_critical,
    tukey_p,
)
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers, named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.asked_model import link_of
from alliance_stats.multilevel.after.contrast_families import (
    Method,
    adjusted,
    coefficients_of,
    n_contrasts,
)
from alliance_stats.multilevel.after.estimated_means import EstimatedMeans, naming
from alliance_stats.multilevel.after.reference_grid import label_of
from alliance_stats.multilevel.after.simple_slopes import SimpleSlopes
from alliance_stats.multilevel.linear_functions import LinearEstimates, f_p_value
from alliance_stats.renaming import renamed

__all__ = ["Contrasts", "contrasts"]

Scale = Literal["link", "ratio"]

# Contrasts whose covariance is formed, and those whose joint distribution is integrated.
MOST_CONTRASTS = 5000
MOST_JOINT = 500
ADJUSTMENTS = ("mvt", "tukey", "dunnett", "holm", "bonferroni", "sidak", "fdr", "none")
_SOURCES = {  # of an adjustment
    "mvt": ("hothorn2008",),
    "dunnett": ("hothorn2008",),
    "holm": ("holm1979",),
    "fdr": ("benjamini1995",),
}
_IN_WORDS = {
    "mvt": "adjusted jointly by the multivariate t distribution",
    "tukey": "adjusted by Tukey's range",
    "dunnett": "adjusted by Dunnett's distribution of comparisons with one mean",
    "holm": "p-values adjusted by Holm's steps, intervals by Bonferroni's",
    "bonferroni": "adjusted by Bonferroni",
    "sidak": "adjusted by Sidak",
    "fdr": "p-values adjusted by Benjamini and Hochberg (false discovery rate), intervals not",
    "none": "not adjusted for their number",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Contrasts:
    """Contrasts of estimated means or of slopes, made by :func:`contrasts`.

    Attributes
    ----------
    means
        The means, or the slopes, that are compared.
    labels
        What each contrast is: the columns of `by`, then ``contrast``.
    families
        Row numbers of the contrasts that are adjusted together: one array per level of `by`.
    estimates
        The contrasts on the scale of the linear predictor.
    adjust
        How p-values and intervals account for the number of contrasts in a family.
    """

    means: EstimatedMeans | SimpleSlopes
    labels: pd.DataFrame
    families: tuple[Integers, ...]
    estimates: LinearEstimates
    adjust: Adjust

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.means.rows

    @property
    def by(self) -> tuple[str, ...]:
        """Predictors within whose levels comparisons are made."""
        return tuple(self.labels.columns[:-1])

    @property
    def not_estimable(self) -> pd.DataFrame:
        """Contrasts that are not estimable from the data."""
        return self.labels[~self.estimates.estimable].reset_index(drop=True)

    def tidy(self, *, scale: Scale = "link", conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per contrast.

        Parameters
        ----------
        scale
            ``"link"``: differences on the scale of the linear predictor (that of the outcome for a
            linear model). ``"ratio"``: their exponentials, with limits transformed and standard
            errors by the delta method: odds ratios (logit), hazard ratios (cloglog), rate ratios
            (log), at random effects of zero. Tests are the same.
        conf_level
            Joint coverage within a family, unless ``adjust="none"``.

        Returns
        -------
        DataFrame
            The columns of `by`, ``contrast, estimate, std_error, statistic, df, p_value, conf_low,
            conf_high``; p-values and limits are adjusted, `statistic` and `df` are each contrast's
            own.

        Raises
        ------
        ValueError
            If ratios are requested for a link whose differences do not exponentiate to ratios.
        """
        check_choice(scale, ("link", "ratio"), name="scale")
        check_conf_level(conf_level)
        table = self.estimates.columns(conf_level=conf_level)
        critical = np.full(len(table), np.nan)
        for family in self.families:
            part = table.iloc[family]
            p, c = self._adjusted(family, part, conf_level)
            table.loc[family, "p_value"] = p
            critical[family] = c
        half = critical * table["std_error"]
        table["conf_low"], table["conf_high"] = table["estimate"] - half, table["estimate"] + half
        if scale == "ratio":
            table = self._as_ratios(table)
        return pd.concat([self.labels, table], axis=1)

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the contrasts, on the scale of the link, named as their rows."""
        labels = self.labels
        return named_covariance(self.estimates.covariance, *(labels[name] for name in labels))

    def glance(self) -> pd.DataFrame:
        """Return the joint test that all contrasts are zero, one row per level of `by`.

        Returns
        -------
        DataFrame
            The columns of `by`, ``statistic, df1, df2, p_value`` (F; with the normal method Wald's
            chi-squared over `df1`, with infinite `df2`), ``adjust``, ``df_method``.
        """
        by, inference, lines = self.by, self.means.inference, []
        for family in self.families:
            test = inference.joint_test(self.estimates.L[family])
            lines.append(
                {
                    **{name: self.labels[name].iloc[family[0]] for name in by},
                    "statistic": test.statistic,
                    "df1": test.df1,
                    "df2": test.df2,
                    "p_value": f_p_value(test),
                    "adjust": self.adjust,
                    "df_method": inference.df_method,
                }
            )
        return pd.DataFrame(lines)

    @property
    def method(self) -> str:
        """What was compared, on which scale, and with which adjustment."""
        link, by = link_of(self.means.model).name, self.by
        slopes = isinstance(self.means, SimpleSlopes)
        return (
            (f"contrasts of {self.means.method}" if slopes else "contrasts of estimated means")
            + ("" if slopes or link == "identity" else f" on the {link} scale")
            + f", {_IN_WORDS[self.adjust]}"
            + (f" within each level of {', '.join(by)}" if by else "")
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading: no convergence, extrapolation, what is not estimable."""
        return (*self.means.notes, *naming(self.not_estimable, "contrast"))

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the contrasts as data, opening with what is not estimable or extrapolated."""
        found = Section(
            "",
            self.tidy(conf_level=conf_level),
            names=tuple(self.labels.columns),
            measure="difference",
            conf_level=conf_level,
        )
        sizes = {"rows": self.rows.n_used}
        return Account.of(
            self, sizes, (found,), sources=("searle1980", *_SOURCES.get(self.adjust, ()))
        )

    summary = summary_of
    _repr_html_ = html_of

    def _adjusted(
        self, family: Integers, part: pd.DataFrame, conf_level: float
    ) -> tuple[Array, Array]:
        """P-values and critical values of one family, each at its contrast's own df."""
        t, df = part["statistic"].to_numpy(), part["df"].to_numpy()
        if self.adjust == "tukey" and np.isfinite(t).sum() >= 2:
            n_means = len(self.means.labels) // len(self.families)
            return tukey_p(t, df, n_means), tukey_critical(df, n_means, conf_level)
        covariance = self.estimates.covariance[np.ix_(family, family)]
        return adjusted(self.adjust, part, covariance, conf_level)

    def _as_ratios(self, table: pd.DataFrame) -> pd.DataFrame:
        link = link_of(self.means.model)
        if link.ratio is None:
            raise ValueError(
                f"Differences on the {link.name} scale are no log ratios: use scale='link', or "
                "comparisons() for the response scale."
            )
        ratio = np.exp(table["estimate"])
        return table.assign(
            estimate=ratio,
            std_error=ratio * table["std_error"],
            conf_low=np.exp(table["conf_low"]),
            conf_high=np.exp(table["conf_high"]),
        )


@renamed(within="by")
def contrasts(
    means: EstimatedMeans | SimpleSlopes,
    method: Method = "pairwise",
    *,
    by: str | Sequence[str] = (),
    reference: object = None,
    adjust: Adjust = "mvt",
) -> Contrasts:
    """Compare estimated means, within each level of their `by`, or slopes with one another.

    Parameters
    ----------
    means
        From :func:`estimated_means` or :func:`simple_slopes`.
    method
        ``"pairwise"``: every mean minus every later one. ``"reference"``: every other mean minus
        the reference's. ``"consecutive"``: every mean minus the one before. ``"polynomial"``:
        linear, quadratic, ... trends over the values of a number or the positions of levels, in
        integers where possible. One family per predictor shown, as in ``("pairwise",
        "polynomial")``: interaction contrasts, the products of both. Or a mapping name ->
        coefficients, one for each mean in the order of ``means.tidy()`` (within a level of `by`);
        those that do not sum to zero are allowed.
    by
        Moderators of slopes within whose levels they are compared, such as ``"role"`` for
        ``simple_slopes(model, "session", by=["arm", "role"])``; for means use
        ``estimated_means(by=...)``. Each level is a family.
    reference
        Level to compare with (a tuple where several predictors are shown); the first by default.
    adjust
        ``"mvt"`` (default): jointly, by the multivariate t distribution with the contrasts' own
        correlations, exact where the df are equal, balanced or not (Dunnett 1955,
        doi:10.1080/01621459.1955.10501294; Hothorn, Bretz & Westfall 2008,
        doi:10.1002/bimj.200810425). ``"dunnett"``: the same, for comparisons with a reference only.
        ``"tukey"``: Tukey and Kramer's range, for pairwise only. ``"holm"``: Holm's steps, with
        Bonferroni intervals. ``"bonferroni"``, ``"sidak"`` (1967,
        doi:10.1080/01621459.1967.10482935). ``"fdr"``: the false discovery rate (Benjamini &
        Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x); its intervals are each contrast's
        own. ``"none"``.

    Returns
    -------
    Contrasts
        With ``tidy()``, ``glance()`` (the joint test) and ``summary()``.

    Raises
    ------
    FormulaError
        A reference that is not among the means, families or coefficients that do not match them,
        or Tukey's or Dunnett's method for contrasts it was not made for.
    DataError
        A single mean, or coefficients that are not finite.
    NotIdentifiedError
        None of the contrasts is estimable from the data.

    Notes
    -----
    Where the df differ between contrasts (Satterthwaite's and Kenward and Roger's do), each
    contrast's p-value and limits are taken from the joint distribution at its own df, as in R's
    emmeans; emmeans rounds df to whole numbers for ``"mvt"``; here they are not rounded.
    A contrast can be estimable although its means are not.

    Examples
    --------
    >>> from alliance_stats import contrasts, estimated_means, example_study, lmm
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + role + (1 | family/person)", sessions)
    >>> means = estimated_means(model, "role")
    >>> contrasts(means, method="pairwise").tidy()[["contrast", "estimate", "p_value"]].round(3)
               contrast  estimate  p_value
    0    child - father    -0.120    0.099
    1    child - mother    -0.385    0.000
    2   child - partner    -0.308    0.000
    3   father - mother    -0.265    0.000
    4  father - partner    -0.188    0.040
    5  mother - partner     0.077    0.572
    """
    check_choice(adjust, ADJUSTMENTS, name="adjust")
    if not isinstance(means, EstimatedMeans | SimpleSlopes):
        raise DataError(
            "contrasts compares estimated means, as in contrasts(estimated_means(model, 'arm')), "
            f"or slopes, as in contrasts(simple_slopes(...)); got {kind_of(means)}."
        )
    kept = _within(means, by)
    n_by, order = len(kept), _order(means.labels, kept)
    asked = means.labels[[*kept, *(c for c in means.labels if c not in kept)]].iloc[order]
    blocks = _blocks(asked, kept)
    shown = asked.iloc[: len(blocks[0]), n_by:]
    if len(shown) < 2:
        what = "slope" if isinstance(means, SimpleSlopes) else "mean"
        raise DataError(
            f"There is one {what} to a family: nothing to compare. Show a predictor with two "
            "levels."
        )
    _check_budget(method, adjust, shown, len(blocks))
    K = coefficients_of(method, shown, reference)
    if adjust == "tukey" and method != "pairwise":
        raise FormulaError("adjust='tukey' is for pairwise contrasts; use 'mvt' or 'holm'.")
    if adjust == "dunnett" and method != "reference":
        raise FormulaError("adjust='dunnett' is for contrasts with a reference; use 'mvt'.")
    K_matrix = np.array(list(K.values()))
    L = np.vstack([_combine(K_matrix, means.estimates.L[order[block]]) for block in blocks])
    estimates = means.inference.of(L)
    if not estimates.estimable.any():
        raise NotIdentifiedError(
            "None of these contrasts is determined kept the data: " + naming_means(means)
        )
    by_values = asked.iloc[[block[0] for block in blocks], :n_by]
    labels = by_values.loc[by_values.index.repeat(len(K))].reset_index(drop=True)
    labels["contrast"] = list(K) * len(blocks)
    families = tuple(np.arange(len(K)) + i * len(K) for i in range(len(blocks)))
    return Contrasts(means, labels, families, estimates, adjust)


def _within(
    means: EstimatedMeans | SimpleSlopes, asked: str | Sequence[str]
) -> tuple[Hashable, ...]:
    """Return the predictors within whose levels comparisons are made."""
    known = list(means.labels.columns)
    own = means.by if isinstance(means, EstimatedMeans) else ()
    more = (asked,) if isinstance(asked, str) else tuple(asked)
    for name in more:
        if label_of(name) not in known:
            raise FormulaError(f"by= names '{name}'. {did_you_mean(name, known)}")
    return tuple(dict.fromkeys(label_of(name) for name in (*own, *more)))


def _order(labels: pd.DataFrame, by: tuple[Hashable, ...]) -> Integers:
    """Order rows by the levels of `by`, each in the order in which it comes first."""
    if not by:
        return np.arange(len(labels))
    places = [pd.factorize(labels[name])[0] for name in by]
    return np.asarray(np.lexsort(places[::-1]), dtype=np.int64)


def _check_budget(method: Method, adjust: Adjust, shown: pd.DataFrame, n_blocks: int) -> None:
    """Refuse, before starting, what would exhaust memory or take minutes."""
    n = n_contrasts(method, [shown[column].nunique() for column in shown])
    if n * n_blocks > MOST_CONTRASTS:
        raise DataError(
            f"{len(shown)} means have {n * n_blocks} of these contrasts, more than "
            f"{MOST_CONTRASTS}: compare with one of them (method='reference'), give the contrasts "
            "of interest, or show fewer levels with at=."
        )
    if adjust in ("mvt", "dunnett") and n > MOST_JOINT:
        raise DataError(
            f"The joint distribution of {n} contrasts would take minutes (more than {MOST_JOINT}). "
            "Ask for adjust='tukey' (pairwise) or adjust='holm'."
        )


def naming_means(means: EstimatedMeans | SimpleSlopes) -> str:
    """Name the means, or slopes, that are not estimable."""
    what = "mean" if isinstance(means, EstimatedMeans) else "slope"
    return " ".join(naming(means.not_estimable, what)) or "all coefficients are zero."


def _blocks(labels: pd.DataFrame, by: tuple[Hashable, ...]) -> list[Integers]:
    """Row numbers of the means in each level of `by`; the grid has them next to one another."""
    if not by:
        return [np.arange(len(labels))]
    n = len(labels.iloc[:, : len(by)].drop_duplicates())
    return list(np.arange(len(labels)).reshape(n, -1))


def _combine(K: Array, L: Array) -> Array:
    """``K L``, where a mean that is undefined (no row in its cells) only spoils what uses it."""
    undefined: Booleans = np.asarray(np.isnan(L).any(axis=1))
    combined = K @ np.where(undefined[:, None], 0.0, L)
    combined[np.abs(K[:, undefined]).sum(axis=1) > 0] = np.nan
    return np.asarray(combined)
