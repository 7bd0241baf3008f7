"""The mixed model alongside an analysis of variance: no sphericity, and every person is used."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.association.analysis_of_variance import AnalysisOfVariance
from alliance_stats.checks import group_codes
from alliance_stats.design.formula import CONSTANT, OwnColumn, RandomTerm, Terms, column, formula_of
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm

__all__ = ["MixedAnova", "mixed_anova"]

# Share of the residual variance that is held to be each rating's own: the rest of the covariance
# is free, so that it stands for any covariance but one singular to this degree.
_OWN_SHARE = 1e-3


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MixedAnova:
    """An analysis of variance alongside the mixed model of the same design.

    Returned by :func:`mixed_anova`.

    Attributes
    ----------
    analysis
        The analysis of variance.
    model
        The mixed model.
    tests
        Its F tests, in the order of the analysis.
    """

    analysis: AnalysisOfVariance
    model: LinearMixedModel
    tests: pd.DataFrame

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows of the mixed model."""
        return self.model.rows

    @property
    def method(self) -> str:
        """What is compared, in a phrase."""
        return (
            f"{self.analysis.method}, beside a mixed model with an unstructured covariance of the "
            "cells (REML, Kenward-Roger F)"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know first."""
        return self.model.notes

    def tidy(self) -> pd.DataFrame:
        """Return one row per effect and method.

        Returns
        -------
        DataFrame
            ``term, method`` (``"analysis of variance"``, corrected as Greenhouse and Geisser do,
            or ``"mixed model"``) ``, statistic`` (F), ``df1, df2, p_value, n_persons``.
        """
        plain = self.analysis.tidy()[["term", "statistic", "df1", "df2", "p_value"]]
        parts = [
            plain.assign(method="analysis of variance", n_persons=len(self.analysis.scores)),
            self.tests.assign(method="mixed model", n_persons=self.n_persons),
        ]
        table = pd.concat(parts, ignore_index=True)
        order = {term: i for i, term in enumerate(plain["term"])}
        table = table.iloc[np.argsort(table["term"].map(order).to_numpy(), kind="stable")]
        shown = ["term", "method", "statistic", "df1", "df2", "p_value", "n_persons"]
        return table[shown].reset_index(drop=True)

    @property
    def n_persons(self) -> int:
        """Persons of the mixed model."""
        return len(self.model.design.groupings[0].labels)

    def glance(self) -> pd.DataFrame:
        """Return one row: rows and persons of both, and the mixed model's likelihood."""
        own = self.model.glance().iloc[0]
        return pd.DataFrame(
            [
                {
                    "nobs": int(own["nobs"]),
                    "n_persons": self.n_persons,
                    "n_persons_anova": len(self.analysis.scores),
                    "log_lik": float(own["log_lik"]),
                    "converged": bool(own["converged"]),
                }
            ]
        )

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return both tests of each effect, and what differs, as data."""
        effects = Section("Effect", self.tidy(), names=("term", "method"), statistic="F")
        sizes = {"rows": self.rows.n_used, "persons": self.n_persons}
        return Account.of(
            self, sizes, (effects,), self._differences(), sources=("maxwell2018", "kenward1997")
        )

    def _differences(self) -> tuple[str, ...]:
        """Say what differs between the two."""
        more = self.n_persons - len(self.analysis.scores)
        epsilon = self.analysis.tidy()["epsilon_gg"].min()
        said = []
        if more:
            said.append(
                f"The mixed model has {plural(more, 'person')} more, who lack a cell: it is right "
                "where leaving depends on what was seen before, the analysis of variance where it "
                "depends on nothing."
            )
        if epsilon < 1.0:
            said.append(
                "The analysis of variance takes differences of cells to vary alike and corrects "
                f"its df for what it finds (smallest epsilon {epsilon:.2f}); the mixed model lets "
                "each cell vary and go with the others in its own way, at the price of fewer df."
            )
        return tuple(said)

    summary = summary_of
    _repr_html_ = html_of


def mixed_anova(analysis: AnalysisOfVariance) -> MixedAnova:
    """Fit the mixed model of an analysis of variance with factors within persons.

    Parameters
    ----------
    analysis
        From :func:`~alliance_stats.anova`, with ``within=``.

    Returns
    -------
    MixedAnova
        ``tidy()`` has both tests of each effect, ``model`` the mixed model (for
        ``estimated_means`` and ``contrasts``), ``summary()`` what differs.

    Raises
    ------
    NotIdentifiedError
        Without a factor within persons (both are then the same), or where the persons are too few
        for the covariances of so many cells.

    Notes
    -----
    The covariance of a person's cells is free (unstructured), estimated by REML from all ratings;
    F tests of type III by Kenward and Roger (1997, doi:10.2307/2533558). With one factor within
    persons and no missing cell they are Hotelling's T-squared of the contrasts, which does not
    assume sphericity (Maxwell, Delaney & Kelley 2018, doi:10.4324/9781315642956, chapter 13).

    Examples
    --------
    >>> from alliance_stats import anova, example_study, mixed_anova
    >>> three = example_study().sessions.query("session in (1, 2, 3) and role == 'mother'")
    >>> found = anova(three, outcome="alliance", within="session", person="person")
    >>> list(mixed_anova(found).tidy()["method"])
    ['analysis of variance', 'mixed model']
    """
    require_kind(analysis, AnalysisOfVariance, asked="mixed_anova takes an analysis of anova()")
    if not analysis.within:
        raise NotIdentifiedError(
            "Without a factor within persons the mixed model is the analysis of variance itself."
        )
    n_cells, n = len(analysis.within_cells), analysis.long[analysis.person].nunique()
    if n <= n_cells + len(analysis.cells) // n_cells:
        raise NotIdentifiedError(
            f"{plural(n, 'person')} are too few for the covariances of {n_cells} cells. Fit lmm "
            "with fewer of them, as (1 | person)."
        )
    labels = {name: OwnColumn(name) for name in
              (*analysis.between, *analysis.within, *analysis.covariates)}  # fmt: skip
    frame = _frame(analysis, labels)
    fixed, said = CONSTANT, {}
    for effect in analysis.effects:
        names = (*effect.between, *effect.within)
        term = Terms((tuple(column(labels[name]).terms[0][0] for name in names),))
        fixed, said[str(term).removeprefix("0 + ")] = fixed + term, ":".join(names)
    person, cell, own = str(analysis.person), OwnColumn("cell"), OwnColumn(analysis.outcome)
    share = f"own variance of {person}"
    frame = frame.assign(
        **{person: analysis.long[person].to_numpy(), share: _own_variance(analysis)}
    )
    frame[cell], frame[own] = _cells(analysis), analysis.long[analysis.outcome].to_numpy()
    random = RandomTerm(column(cell), (person,))
    model = lmm(formula_of(own, fixed, [random]), frame, known_variance=share)
    found = model.anova(kind="III", df_method="kenward-roger")
    tests = found[["statistic", "df1", "df2", "p_value"]]
    tests.insert(0, "term", found["term"].map(said))
    return MixedAnova(analysis, model, tests)


def _frame(analysis: AnalysisOfVariance, labels: dict[str, OwnColumn]) -> pd.DataFrame:
    """Return factors as categories and covariates at their means, under separate labels."""
    found = {}
    for name, label in labels.items():
        values = analysis.long[name]
        if name in analysis.covariates:
            numbers = values.to_numpy(dtype=np.float64)
            first = ~analysis.long[analysis.person].duplicated().to_numpy()
            found[label] = numbers - numbers[first].mean()  # a person counts once
            continue
        codes, levels = group_codes(values)
        found[label] = pd.Categorical.from_codes(codes, [str(level) for level in levels])
    return pd.DataFrame(found)


def _cells(analysis: AnalysisOfVariance) -> pd.Categorical:
    codes = np.zeros(len(analysis.long), dtype=np.int64)
    for name in analysis.within:
        own, levels = group_codes(analysis.long[name])
        codes = codes * len(levels) + own
    n_cells = len(analysis.within_cells)
    return pd.Categorical.from_codes(codes, [f"cell {i + 1}" for i in range(n_cells)])


def _own_variance(analysis: AnalysisOfVariance) -> Array:
    """Return the variance held to be each rating's own: a small share of that within cells."""
    by = [*analysis.between, *analysis.within]
    inside = analysis.long.groupby(by, observed=True)[analysis.outcome]
    return np.full(len(analysis.long), _OWN_SHARE * float(inside.var().mean()))
