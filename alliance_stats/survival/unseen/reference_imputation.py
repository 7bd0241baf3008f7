"""Outcomes after leaving as those of a reference arm: jump to reference, copy increments.

Whoever left an arm is taken to go on without what that arm gave: from the mean of the reference arm
at once (jump to reference), or parallel to it from where they were (copy increments in reference),
in either case as far from the mean as their own history says (Carpenter, Roger & Kenward 2013,
doi:10.1080/10543406.2013.834911). The means are those of the model; each imputation moves them by
its own draw of the coefficients.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_frame, did_you_mean, finite_or_missing, require_columns
from alliance_stats.design.design import code_new_rows
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.estimates import Array, estimate_columns, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed
from alliance_stats.survival.unseen.dropout_sensitivity import check_unseen, completed_fit
from alliance_stats.survival.unseen.outcome_imputation import imputations, pool

__all__ = ["ReferenceImputation", "reference_imputation"]

_METHODS = ("missing at random", "copy increments", "jump to reference")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReferenceImputation:
    """A coefficient where outcomes after leaving follow a reference arm.

    Attributes
    ----------
    term, group, reference
        The coefficient, the column of the groups (arms), and the arm that is followed.
    estimates, variances
        (methods, m) coefficient and squared standard error of each completed data set.
    df_complete
        (methods,) Satterthwaite's degrees of freedom of a completed data set.
    n_seen, n_unseen, n_moved
        Outcomes seen, unseen, and of these those that follow another arm than their own.
    rows
        The ledger of the model.
    """

    term: str
    group: str
    reference: object
    estimates: Array
    variances: Array
    df_complete: Array
    n_seen: int
    n_unseen: int
    n_moved: int
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per method: missing at random, copy increments, jump to reference.

        Returns
        -------
        DataFrame
            ``method, term, estimate, std_error, statistic, df, p_value, conf_low, conf_high,
            missing_information``, by Rubin's rules with the degrees of freedom of Barnard & Rubin.
        """
        pooled = pool(self.estimates, self.variances, self.df_complete)
        found = estimate_columns(
            pooled.estimate, pooled.std_error, df=pooled.df, conf_level=conf_level
        )
        found.insert(0, "method", _METHODS)
        found.insert(1, "term", self.term)
        return found.assign(missing_information=pooled.missing_information)

    def glance(self) -> pd.DataFrame:
        """Return ``n_seen, n_unseen, n_imputations`` in one row."""
        return pd.DataFrame(
            {
                "n_seen": [self.n_seen],
                "n_unseen": [self.n_unseen],
                "n_imputations": [self.estimates.shape[1]],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return (
            f"estimates of '{self.term}' where outcomes after leaving follow "
            f"{self.group} = {self.reference}, imputed {self.estimates.shape[1]} times"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What Rubin's rules do here."""
        return (
            "Rubin's rules keep the information that was lost by leaving as it is at random: the "
            "standard errors are those of an analysis so informed, and larger than the spread of "
            "such estimates over repeated studies.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the estimate under each method, as data."""
        section = Section(
            "Outcomes after leaving",
            self.tidy(conf_level=conf_level),
            names=("method",),
            measure="b",
            conf_level=conf_level,
        )
        sizes = {"outcomes": self.n_seen, "unseen outcomes": self.n_unseen}
        moved = f"{plural(self.n_moved, 'unseen outcome')} of other arms than the reference."
        return Account(
            self.method,
            self.notes,
            sizes,
            (section,),
            (moved,),
            self.rows,
            drawn=True,
            sources=("carpenter2013", "rubin1987"),
        )

    summary = summary_of
    _repr_html_ = html_of


@renamed(arm="group")
def reference_imputation(
    model: LinearMixedModel,
    unseen: pd.DataFrame,
    *,
    term: str,
    group: str,
    reference: object,
    time: str,
    unit: str,
    seed: Seed,
    n_imputations: int = 50,
) -> ReferenceImputation:
    """Impute outcomes after leaving from a reference arm, and pool, beside missing at random.

    **Jump to reference**: from leaving on, the mean is the reference arm's. **Copy increments**:
    from the own arm's mean at the last outcome seen, the mean moves as the reference arm's does.
    A person's distance from the mean stays as the history says. The three methods share their
    draws, so that what parts them is the assumption alone.

    Parameters
    ----------
    model
        Fitted to the outcomes seen, with `group` in its formula; it imputes and is the analysis.
    unseen
        As for :func:`dropout_sensitivity`: the rows whose outcome was not seen because the unit had
        left.
    term
        The coefficient in question.
    group, reference
        Column of the groups (arms), and the one that leavers follow.
    time, unit
        Columns: the clock of the formula, and whose outcomes they are; of a unit with no outcome
        seen both methods jump.
    seed, n_imputations
        As in :func:`dropout_sensitivity`.

    Returns
    -------
    ReferenceImputation

    Raises
    ------
    DataError
        An arm that is not there, predictors missing in `unseen`, rows that were seen, a unit whose
        arm changes.
    FormulaError
        A term that the model has not, an arm or a clock that is not in its formula.

    References
    ----------
    Carpenter, Roger & Kenward (2013), doi:10.1080/10543406.2013.834911. Cro, Carpenter & Kenward
    (2019), doi:10.1111/rssa.12423 (what Rubin's rules keep).

    Examples
    --------
    >>> from alliance_stats import endings, example_study, lmm, reference_imputation
    >>> study = example_study()
    >>> model = lmm("symptoms ~ session * framework + (1 | family/person)", study.sessions)
    >>> families = endings(study).units.query("state == 'dropout'")
    >>> unseen = study.persons.merge(families[["family", "last_session"]], on="family")
    >>> unseen = unseen.assign(session=unseen["last_session"] + 1)
    >>> found = reference_imputation(
    ...     model, unseen, term="session:framework[T.usual]", group="framework", reference="usual",
    ...     time="session", unit="person", n_imputations=5, seed=1,
    ... )
    >>> found.tidy()["method"].tolist()
    ['missing at random', 'copy increments', 'jump to reference']
    """
    if n_imputations < 2:
        raise ValueError(f"n_imputations must be at least 2; got {n_imputations}.")
    terms = list(model.beta.index[model.beta.notna()])
    if term not in terms:
        raise FormulaError(f"The model has no coefficient '{term}'. {did_you_mean(term, terms)}")
    unseen = check_frame(unseen, what="unseen")
    check_unseen(model, unseen)
    _check_columns(model, unseen, group, time, unit)
    moves, moved = _moves(model, unseen, (group, reference), time, unit)
    estimates, variances = np.empty((2, len(_METHODS), n_imputations))
    df_complete = np.empty(len(_METHODS))
    completed: LinearMixedModel | None = None
    for i, (drawn, beta) in enumerate(imputations(model, unseen, m=n_imputations, seed=seed)):
        for k, move in enumerate(moves):
            y = np.concatenate([model.design.y, drawn + move @ beta])
            completed = completed_fit(model, unseen, y, completed)
            estimates[k, i] = completed.beta[term]
            variances[k, i] = completed.vcov().loc[term, term]
            if i == 0:
                df_complete[k] = completed.tidy().set_index("term").loc[term, "df"]
    return ReferenceImputation(
        term=term,
        group=group,
        reference=reference,
        estimates=estimates,
        variances=variances,
        df_complete=df_complete,
        n_seen=model.nobs,
        n_unseen=len(unseen),
        n_moved=int(moved.sum()),
        rows=model.rows,
    )


def _check_columns(
    model: LinearMixedModel, unseen: pd.DataFrame, arm: str, time: str, unit: str
) -> None:
    variables = list(map(str, model.design.fixed.coding.variables))
    for column, what in ((arm, "arm"), (time, "clock")):
        if column not in variables:
            raise FormulaError(
                f"The model's formula has no '{column}': the {what} must be in it. "
                f"{did_you_mean(column, variables)}"
            )
    seen = model.design.frame
    require_columns(seen, [unit], what="the model's data")
    require_columns(unseen, [unit, arm, time], what="unseen")
    both = pd.concat([frame[[unit, arm]] for frame in (seen, unseen)], ignore_index=True)
    arms = both.drop_duplicates().groupby(unit).size()
    if (arms > 1).any():
        raise DataError(
            f"'{arms.index[arms > 1][0]}' of column '{unit}' is in several values of '{arm}': what "
            "it left cannot be told."
        )


def _moves(
    model: LinearMixedModel,
    unseen: pd.DataFrame,
    arms: tuple[str, object],
    time: str,
    unit: str,
) -> tuple[list[Array], npt.NDArray[np.bool_]]:
    """Return, for each method, the columns (n, p) by which each unseen mean moves, and whose."""
    arm, reference = arms
    levels: list[Hashable] = model.design.frame[arm].unique().tolist()
    if reference not in levels:
        raise DataError(
            f"Column '{arm}' has no {reference!r} among the outcomes seen. "
            f"{did_you_mean(reference, levels)}"
        )

    def columns(frame: pd.DataFrame) -> Array:
        return code_new_rows(model.design, frame, with_units=False).X

    there = unseen.assign(**{arm: reference})
    if model.design.frame[arm].dtype == unseen[arm].dtype:
        there[arm] = there[arm].astype(unseen[arm].dtype)
    own, jumped = columns(unseen), columns(there)
    last = unseen[unit].map(model.design.frame.groupby(unit)[time].max())
    known = last.notna().to_numpy()
    at_last = pd.Series(np.where(known, last, finite_or_missing(unseen, time)), unseen.index)
    parted = columns(unseen.assign(**{time: at_last})) - columns(there.assign(**{time: at_last}))
    jump = jumped - own
    copy = jump + parted * known[:, None]
    moved = np.asarray(unseen[arm] != reference, dtype=bool)
    return [np.zeros_like(jump), copy, jump], moved
