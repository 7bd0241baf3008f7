"""Outcomes after dropout as in a reference arm: jump to it, copy it, copy its increments.

Those who left an arm are assumed to continue without its effect (Carpenter, Roger & Kenward 2013,
doi:10.1080/10543406.2013.834911): from the mean of the reference arm at once (jump to reference),
or parallel to it from where they were (copy increments in reference), in either case as far from
the mean as their own history predicts; or as if they had been in the reference arm all along, with
their own history, too, measured from its mean (copy reference). Outcomes missed before the last one
seen were not missed by leaving: they stay as at random. The means are those of the model; each
imputation moves them by its own draw of the coefficients.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.checks import (
    check_frame,
    did_you_mean,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.design.design import code_new_rows
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.estimates import Array, Booleans, Integers, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed
from alliance_stats.survival.unseen.completed_analyses import (
    Assumption,
    CompletedAnalyses,
    Variance,
    completed_analyses,
)

__all__ = ["ReferenceImputation", "reference_imputation"]

_METHODS = ("missing at random", "copy increments", "copy reference", "jump to reference")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReferenceImputation:
    """A coefficient where outcomes after dropout follow a reference arm.

    Attributes
    ----------
    group, reference
        The column of the groups (arms), and the arm that is followed.
    completed
        The analyses of the completed data, in the order of ``tidy()``.
    n_moved
        Unseen outcomes that follow an arm other than their own.
    n_between
        Unseen outcomes before the unit's last outcome seen, as at random by all methods.
    """

    group: str
    reference: object
    completed: CompletedAnalyses
    n_moved: int
    n_between: int

    __repr__ = one_line

    @property
    def term(self) -> str:
        """The coefficient."""
        return self.completed.term

    @property
    def rows(self) -> RowLedger:
        """The ledger of the model."""
        return self.completed.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per method.

        Returns
        -------
        DataFrame
            ``method`` (missing at random, copy increments, copy reference, jump to reference),
            ``term, estimate, std_error, statistic, df, p_value, conf_low, conf_high,
            missing_information`` (NaN for conditional means).
        """
        found = self.completed.table(conf_level=conf_level)
        found.insert(0, "method", _METHODS)
        return found

    def glance(self) -> pd.DataFrame:
        """Return ``n_seen, n_unseen, n_imputations`` in one row."""
        return self.completed.glance()

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return (
            f"estimates of '{self.term}' where outcomes after leaving follow "
            f"{self.group} = {self.reference}, {self.completed.how}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the numbers are based on, and what their standard errors include."""
        idle = (
            f"Nothing is unseen but in {self.group} = {self.reference}: no outcome follows another "
            "arm than its own, and all rows are as at random."
        )
        between = (
            f"{plural(self.n_between, 'unseen outcome')} before the last one seen of the unit: "
            "not missed by leaving, and as at random in all rows."
        )
        return (
            "Each row stands on what it says of the outcomes after leaving; the data cannot tell "
            "which is true.",
            *([] if self.n_moved else [idle]),
            *([between] if self.n_between else []),
            self.completed.note,
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
        moved = f"{plural(self.n_moved, 'unseen outcome')} of other arms than the reference."
        sources = ("carpenter2013", "rubin1987")
        return self.completed.account(self.method, self.notes, section, [moved], sources=sources)

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
    seed: Seed = None,
    n_imputations: int = 50,
    variance: Variance = "rubin",
) -> ReferenceImputation:
    """Impute outcomes after dropout from a reference arm and pool, alongside missing at random.

    **Jump to reference**: after dropout, the mean is the reference arm's. **Copy increments**: from
    their own arm's mean at the last outcome seen, the mean moves as the reference arm's does. In
    both, a person's distance from the mean stays as the history predicts. **Copy reference**: the
    mean is the reference arm's before dropout, too, so that those who did better keep that lead.
    All share their draws, so that they differ only in the assumption.

    Parameters
    ----------
    model
        Fitted to the observed outcomes, with `group` in its formula; it imputes and is the
        analysis.
    unseen
        As in :func:`dropout_sensitivity`: the rows whose outcome was not observed because the unit
        had left.
    term
        The coefficient in question.
    group, reference
        Column of the groups (arms), and the one that dropouts follow.
    time, unit
        Columns: the clock of the formula, and the unit; for a unit with no outcome seen, all
        methods jump. What a unit missed before its last outcome seen stays as at random.
    seed, n_imputations
        As in :func:`dropout_sensitivity`; nothing is drawn for conditional means.
    variance
        ``"rubin"``: the information lost to dropout stays as at random. ``"conditional mean"``:
        the variance of the estimate over repeated studies, by a jackknife over the model's
        outermost units (:mod:`alliance_stats.survival.unseen.completed_analyses`).

    Returns
    -------
    ReferenceImputation

    Raises
    ------
    DataError
        A missing arm, predictors missing in `unseen`, rows that were seen, a unit whose
        arm changes.
    FormulaError
        A term that is not in the model, an arm or a clock that is not in its formula.

    References
    ----------
    Carpenter, Roger & Kenward (2013), doi:10.1080/10543406.2013.834911. Cro, Carpenter & Kenward
    (2019), doi:10.1111/rssa.12423 (what Rubin's rules keep). Wolbers et al. (2022),
    doi:10.1002/pst.2234 (conditional means).

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
    ['missing at random', 'copy increments', 'copy reference', 'jump to reference']
    """
    require_kind(model, LinearMixedModel, asked="reference_imputation takes a model of lmm")
    unseen = check_frame(unseen, what="unseen")
    _check_columns(model, unseen, group, time, unit)

    def assumptions(fit: LinearMixedModel, rows: pd.DataFrame) -> list[Assumption]:
        return _assumptions(fit, rows, (group, reference), time, unit)

    completed = completed_analyses(
        model, unseen, assumptions, term=term, seed=seed, n_imputations=n_imputations,
        variance=variance,
    )  # fmt: skip
    after, _ = _left(model, unseen, time, unit)
    moved = int((after & (unseen[group] != reference).to_numpy()).sum())
    return ReferenceImputation(group, reference, completed, moved, int((~after).sum()))


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
    require_present(unseen, unit, why="to know whose outcome it is")
    both = pd.concat([frame[[unit, arm]].astype(object) for frame in (seen, unseen)])
    several = both[arm].groupby(_units(model, unseen, unit)).transform("nunique").to_numpy() > 1
    if several.any():
        raise DataError(
            f"'{both[unit].to_numpy()[several][0]}' of column '{unit}' is in several values of "
            f"'{arm}': what it left cannot be told."
        )


def _units(model: LinearMixedModel, unseen: pd.DataFrame, unit: str) -> Integers:
    """Return numbers of the units of the seen rows and then the unseen ones, as the model nests."""
    nested = [g.columns for g in model.design.groupings if g.columns[-1] == unit]
    columns = list(nested[0] if nested else (unit,))
    both = pd.concat([frame[columns].astype(object) for frame in (model.design.frame, unseen)])
    found: Integers = both.groupby(columns, sort=False).ngroup().to_numpy()
    return found


def _left(
    model: LinearMixedModel, unseen: pd.DataFrame, time: str, unit: str
) -> tuple[Booleans, Array]:
    """Return which unseen rows come after the unit's last seen, and when that was (NaN: never)."""
    n = model.design.X.shape[0]
    units = _units(model, unseen, unit)
    last = model.design.frame[time].reset_index(drop=True).astype(float).groupby(units[:n]).max()
    at = last.reindex(units[n:]).to_numpy(dtype=np.float64)
    return ~(finite_or_missing(unseen, time) <= at), at


def _assumptions(
    model: LinearMixedModel, unseen: pd.DataFrame, arms: tuple[str, object], time: str, unit: str
) -> list[Assumption]:
    """Return what each method assumes about the unseen outcomes."""
    arm, reference = arms
    seen = model.design.frame
    levels: list[Hashable] = seen[arm].unique().tolist()
    if reference not in levels:
        raise DataError(
            f"Column '{arm}' has no {reference!r} among the outcomes seen. "
            f"{did_you_mean(reference, levels)}"
        )

    def columns(frame: pd.DataFrame) -> Array:
        return code_new_rows(model.design, frame, with_units=False).X

    def there(frame: pd.DataFrame) -> pd.DataFrame:
        other = replaced(frame, {arm: reference})
        if seen[arm].dtype == frame[arm].dtype:
            other[arm] = other[arm].astype(frame[arm].dtype)
        return other

    after, last = _left(model, unseen, time, unit)
    jump = (columns(there(unseen)) - columns(unseen)) * after[:, None]
    known = ~np.isnan(last)
    at_last = replaced(unseen, {time: np.where(known, last, finite_or_missing(unseen, time))})
    parted = (columns(at_last) - columns(there(at_last))) * (after & known)[:, None]
    units = _units(model, unseen, unit)
    left = np.isin(units[: len(seen)], units[len(seen) :][after])[:, None]
    swapped = (columns(seen) - columns(there(seen))) * left
    return [
        Assumption(),
        Assumption(moves=jump + parted),
        Assumption(moves=jump, swapped=swapped, pulled=after),
        Assumption(moves=jump),
    ]
