"""Contrasts of estimated means: pairwise, with a reference, or the caller's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level, did_you_mean
from alliance_stats.engine.multiple_tests import (
    Adjust,
    JointT,
    bonferroni_critical,
    holm,
    tukey_critical,
    tukey_p,
)
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line, two_sided_p
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.asked_model import link_of
from alliance_stats.multilevel.after.estimated_means import EstimatedMeans, cell, naming
from alliance_stats.multilevel.after.reference_grid import label_of
from alliance_stats.multilevel.linear_functions import LinearEstimates, f_p_value

__all__ = ["Contrasts", "contrasts"]

Method = Literal["pairwise", "reference"]


def coefficients_of(
    method: Method | Mapping[str, Sequence[float]], names: list[str], reference: object
) -> dict[str, Array]:
    """Return name -> coefficients of the means called `names`; see :func:`contrasts`."""
    if not isinstance(method, str):
        return _custom(method, names)
    check_choice(method, ("pairwise", "reference"), name="method")
    return _pairwise(names) if method == "pairwise" else _versus(names, reference)


def mean_name(values: Sequence[object]) -> str:
    """Name a mean by the values of its predictors."""
    return " ".join(cell(value) for value in values)


def _pairwise(names: list[str]) -> dict[str, Array]:
    unit = np.eye(len(names))
    return {
        f"{names[i]} - {names[j]}": unit[i] - unit[j] for i, j in combinations(range(len(names)), 2)
    }


def _versus(names: list[str], reference: object) -> dict[str, Array]:
    wanted = names[0]
    if reference is not None:
        wanted = mean_name(reference if isinstance(reference, tuple) else (reference,))
    if wanted not in names:
        raise FormulaError(f"There is no mean of '{wanted}'. {did_you_mean(wanted, names)}")
    base, unit = names.index(wanted), np.eye(len(names))
    return {f"{name} - {wanted}": unit[i] - unit[base] for i, name in enumerate(names) if i != base}


def _custom(given: Mapping[str, Sequence[float]], names: list[str]) -> dict[str, Array]:
    found = {}
    for name, coefficients in given.items():
        values = np.asarray(coefficients, dtype=np.float64)
        if values.shape != (len(names),):
            raise FormulaError(
                f"The contrast '{name}' has {values.size} coefficients for {len(names)} means "
                f"({', '.join(names)})."
            )
        if not np.isfinite(values).all() or not values.any():
            raise DataError(f"The contrast '{name}' needs finite coefficients, not all zero.")
        found[name] = values
    if not found:
        raise FormulaError("The mapping of contrasts is empty.")
    return found


Scale = Literal["link", "ratio"]
Rows = npt.NDArray[np.int64]

# Contrasts whose covariance is formed, and those whose joint distribution is integrated.
MOST_CONTRASTS = 5000
MOST_JOINT = 500
ADJUSTMENTS = ("mvt", "tukey", "holm", "none")
_IN_WORDS = {
    "mvt": "adjusted jointly by the multivariate t distribution",
    "tukey": "adjusted by Tukey's range",
    "holm": "p-values adjusted by Holm's steps, intervals by Bonferroni's",
    "none": "not adjusted for their number",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Contrasts:
    """Contrasts of estimated means, made by :func:`contrasts`.

    Attributes
    ----------
    means
        The means that are compared.
    labels
        What each contrast is: the columns of `by`, then ``contrast``.
    families
        Row numbers of the contrasts that are adjusted together: one array a level of `by`.
    estimates
        The contrasts on the scale of the linear predictor.
    adjust
        How p-values and intervals honour the number of contrasts in a family.
    """

    means: EstimatedMeans
    labels: pd.DataFrame
    families: tuple[Rows, ...]
    estimates: LinearEstimates
    adjust: Adjust

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.means.rows

    @property
    def not_estimable(self) -> pd.DataFrame:
        """Contrasts that the data do not determine."""
        return self.labels[~self.estimates.estimable].reset_index(drop=True)

    def tidy(self, *, scale: Scale = "link", conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row a contrast.

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
            If ratios are asked of a link whose differences are none.
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

    def glance(self) -> pd.DataFrame:
        """Return the joint test that all contrasts are zero, one row a level of `by`.

        Returns
        -------
        DataFrame
            The columns of `by`, ``statistic, df1, df2, p_value`` (F; with the normal method Wald's
            chi-squared over `df1`, with infinite `df2`), ``adjust``, ``df_method``.
        """
        by, inference, lines = list(map(label_of, self.means.by)), self.means.inference, []
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
        """What was compared, on which scale, and how it was adjusted."""
        link = link_of(self.means.model).name
        return (
            "contrasts of estimated means"
            + ("" if link == "identity" else f" on the {link} scale")
            + f", {_IN_WORDS[self.adjust]}"
            + (f" within each level of {', '.join(self.means.by)}" if self.means.by else "")
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
        return Account(self.method, self.notes, sizes, (found,), rows=self.rows)

    summary = summary_of
    _repr_html_ = html_of

    def _adjusted(self, family: Rows, part: pd.DataFrame, conf_level: float) -> tuple[Array, Array]:
        """P-values and critical values of one family, each at its contrast's own df."""
        t, df = part["statistic"].to_numpy(), part["df"].to_numpy()
        known = np.flatnonzero(np.isfinite(t))
        if self.adjust == "none" or len(known) < 2:
            return two_sided_p(t, df=df), bonferroni_critical(df, 1, conf_level)
        if self.adjust == "holm":
            return holm(two_sided_p(t, df=df)), bonferroni_critical(df, len(known), conf_level)
        if self.adjust == "tukey":
            n_means = len(self.means.labels) // len(self.families)
            return tukey_p(t, df, n_means), tukey_critical(df, n_means, conf_level)
        rows = family[known]
        covariance = self.estimates.covariance[np.ix_(rows, rows)]
        scale = np.sqrt(np.diag(covariance))
        joint = JointT.of(covariance / np.outer(scale, scale))
        p = np.array([joint.p_value(a, b) for a, b in zip(t, df, strict=True)])
        values = {v: joint.critical(v, conf_level) for v in np.unique(df[known])}
        return p, np.array([values.get(v, np.nan) for v in df])

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


def contrasts(
    means: EstimatedMeans,
    method: Method | Mapping[str, Sequence[float]] = "pairwise",
    *,
    reference: object = None,
    adjust: Adjust = "mvt",
) -> Contrasts:
    """Compare estimated means, within each level of their `by`.

    Parameters
    ----------
    means
        From :func:`estimated_means`.
    method
        ``"pairwise"``: every mean minus every later one. ``"reference"``: every other mean minus
        the reference's. Or a mapping name -> coefficients, one for each mean in the order of
        ``means.tidy()`` (within a level of `by`); those that do not sum to zero are allowed.
    reference
        Level to compare with (a tuple where several predictors are shown); the first by default.
    adjust
        ``"mvt"`` (default): jointly, by the multivariate t distribution with the contrasts' own
        correlations, exact where the df are equal, balanced or not (Dunnett 1955,
        doi:10.1080/01621459.1955.10501294; Hothorn, Bretz & Westfall 2008,
        doi:10.1002/bimj.200810425). ``"tukey"``: Tukey and Kramer's range, for pairwise only.
        ``"holm"``: Holm's steps, with Bonferroni intervals. ``"none"``.

    Returns
    -------
    Contrasts
        With ``tidy()``, ``glance()`` (the joint test) and ``summary()``.

    Raises
    ------
    FormulaError
        A reference that is not among the means, coefficients that do not match them, or Tukey's
        range for other than pairwise contrasts.
    DataError
        A single mean, or coefficients that are not finite.
    NotIdentifiedError
        None of the contrasts is determined by the data.

    Notes
    -----
    Where the df differ between contrasts (Satterthwaite's and Kenward and Roger's do), each
    contrast's p-value and limits are taken from the joint distribution at its own df, as in R's
    emmeans; emmeans rounds df to whole numbers for ``"mvt"``, here they stay as they are.
    A contrast can be estimable although its means are not.
    """
    check_choice(adjust, ADJUSTMENTS, name="adjust")
    if not isinstance(means, EstimatedMeans):
        raise DataError(
            "contrasts compares estimated means, as in contrasts(estimated_means(model, 'arm')); "
            f"got {type(means).__name__}."
        )
    n_by = len(means.by)
    blocks = _blocks(means.labels, means.by)
    size = len(blocks[0])
    names = [mean_name(row) for row in means.labels.iloc[:size, n_by:].to_numpy(dtype=object)]
    if size < 2:
        raise DataError(
            "There is one mean to a family: nothing to compare. Show a predictor with two levels."
        )
    _check_budget(method, adjust, size, len(blocks))
    K = coefficients_of(method, names, reference)
    if adjust == "tukey" and method != "pairwise":
        raise FormulaError("adjust='tukey' is for pairwise contrasts; use 'mvt' or 'holm'.")
    K_matrix = np.array(list(K.values()))
    L = np.vstack([_combine(K_matrix, means.estimates.L[block]) for block in blocks])
    estimates = means.inference.of(L)
    if not estimates.estimable.any():
        raise NotIdentifiedError(
            "None of these contrasts is determined by the data: " + naming_means(means)
        )
    by_values = means.labels.iloc[[block[0] for block in blocks], :n_by]
    labels = by_values.loc[by_values.index.repeat(len(K))].reset_index(drop=True)
    labels["contrast"] = list(K) * len(blocks)
    families = tuple(np.arange(len(K)) + i * len(K) for i in range(len(blocks)))
    return Contrasts(means, labels, families, estimates, adjust)


def _check_budget(
    method: Method | Mapping[str, Sequence[float]], adjust: Adjust, n_means: int, n_blocks: int
) -> None:
    """Refuse what would fill the memory, or take minutes, before it begins."""
    n = n_means * (n_means - 1) // 2 if method == "pairwise" else n_means - 1
    n = n if isinstance(method, str) else len(method)
    if n * n_blocks > MOST_CONTRASTS:
        raise DataError(
            f"{n_means} means have {n * n_blocks} of these contrasts, more than {MOST_CONTRASTS}: "
            "compare with one of them (method='reference'), give the contrasts of interest, or "
            "show fewer levels with at=."
        )
    if adjust == "mvt" and n > MOST_JOINT:
        raise DataError(
            f"The joint distribution of {n} contrasts would take minutes (more than {MOST_JOINT}). "
            "Ask for adjust='tukey' (pairwise) or adjust='holm'."
        )


def naming_means(means: EstimatedMeans) -> str:
    """Name the means that are not estimable."""
    return " ".join(naming(means.not_estimable, "mean")) or "all coefficients are zero."


def _symbol(means: EstimatedMeans) -> str:
    return "z" if means.inference.df_method == "normal" else "t"


def _blocks(labels: pd.DataFrame, by: tuple[str, ...]) -> list[Rows]:
    """Row numbers of the means in each level of `by`; the grid has them next to one another."""
    if not by:
        return [np.arange(len(labels))]
    n = len(labels.iloc[:, : len(by)].drop_duplicates())
    return list(np.arange(len(labels)).reshape(n, -1))


def _combine(K: Array, L: Array) -> Array:
    """``K L``, where a mean that is undefined (no row in its cells) only spoils what uses it."""
    undefined: npt.NDArray[np.bool_] = np.asarray(np.isnan(L).any(axis=1))
    combined = K @ np.where(undefined[:, None], 0.0, L)
    combined[np.abs(K[:, undefined]).sum(axis=1) > 0] = np.nan
    return np.asarray(combined)
