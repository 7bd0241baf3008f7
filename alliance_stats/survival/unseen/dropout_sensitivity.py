"""How far the outcomes after leaving would have to lie off to overturn a finding."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Phrase, Section, html_of, summary_of
from alliance_stats.checks import (
    check_frame,
    describe_rows,
    did_you_mean,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.estimates import Array, estimate_columns, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed
from alliance_stats.survival.unseen.outcome_imputation import imputations, pool

__all__ = ["DropoutSensitivity", "check_unseen", "completed_fit", "dropout_sensitivity"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DropoutSensitivity:
    """A coefficient under shifts of the outcomes that were not seen.

    Attributes
    ----------
    term
        The coefficient.
    deltas
        (k,) shifts, ascending, in units of the outcome.
    estimates, variances
        (k, m) coefficient and squared standard error of each completed data set.
    df_complete
        (k,) Satterthwaite's degrees of freedom of a completed data set.
    seen
        The coefficient of the model fitted to the outcomes seen (``tidy``'s columns).
    n_seen, n_unseen
        Rows.
    rows
        The ledger of the model.
    """

    term: str
    deltas: Array
    estimates: Array
    variances: Array
    df_complete: Array
    seen: pd.Series
    n_seen: int
    n_unseen: int
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per shift.

        Returns
        -------
        DataFrame
            ``term, delta, estimate, std_error, statistic, df, p_value, conf_low, conf_high,
            missing_information``; the estimate in units of the coefficient.
        """
        pooled = pool(self.estimates, self.variances, self.df_complete)
        found = estimate_columns(
            pooled.estimate, pooled.std_error, df=pooled.df, conf_level=conf_level
        )
        found.insert(0, "term", self.term)
        found.insert(1, "delta", self.deltas)
        return found.assign(missing_information=pooled.missing_information)

    def tipping_points(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the shifts, nearest to 0 on either side, at which the finding is overturned.

        The finding is whether the interval at shift 0 excludes 0, and on which side. The same
        imputations are shifted throughout, so that the limits move evenly with the shift; between
        two shifts of the grid the place is interpolated linearly.

        Returns
        -------
        DataFrame
            ``direction`` ("below 0", "above 0"), ``delta`` (NaN where the grid ends before the
            finding is overturned) and ``searched_to``, the grid's end (0 where no shift of that
            direction was asked for).
        """
        table = self.tidy(conf_level=conf_level)
        at_zero = int(np.flatnonzero(self.deltas == 0.0)[0])
        low, high = table["conf_low"].to_numpy(), table["conf_high"].to_numpy()
        if low[at_zero] > 0:
            margin = low
        elif high[at_zero] < 0:
            margin = -high
        else:  # not significant: overturned once the interval excludes 0
            margin = np.minimum(-low, high)
        rows = []
        for direction, order in (
            ("below 0", np.arange(at_zero, -1, -1)),
            ("above 0", np.arange(at_zero, len(self.deltas))),
        ):
            rows.append(
                {
                    "direction": direction,
                    "delta": _first_crossing(self.deltas[order], margin[order]),
                    "searched_to": self.deltas[order[-1]],
                }
            )
        return pd.DataFrame(rows)

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
            f"estimates of '{self.term}' under shifted unseen outcomes, imputed "
            f"{self.estimates.shape[1]} times"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing to know beforehand."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the estimate at each shift and the tipping points, as data."""
        section = Section(
            "Shift",
            self.tidy(conf_level=conf_level).rename(columns={"delta": "shift"}),
            names=("shift",),
            measure="b",
            conf_level=conf_level,
        )
        tips = self.tipping_points(conf_level=conf_level).to_numpy().tolist()
        sizes = {"outcomes": self.n_seen, "unseen outcomes": self.n_unseen}
        remarks = tuple(_tip_in_words(*row) for row in tips)
        return Account(
            self.method,
            self.notes,
            sizes,
            (section,),
            remarks,
            self.rows,
            drawn=True,
            sources=("carpenter2013book", "rubin1987", "barnard1999"),
        )

    summary = summary_of
    _repr_html_ = html_of


@renamed(m="n_imputations")
def dropout_sensitivity(
    model: LinearMixedModel,
    unseen: pd.DataFrame,
    *,
    term: str,
    deltas: Sequence[float],
    seed: Seed,
    n_imputations: int = 50,
    shift: str | None = None,
) -> DropoutSensitivity:
    """Impute the outcome after leaving, shift it over a grid, and pool.

    Without a shift, the outcomes of those who left are taken to go on as the model says of units
    with their history (missing at random). With shift delta, each unseen outcome lies delta higher
    than that. The smallest shift that overturns the finding is the tipping point: whether it is
    plausible is a judgement, not a test.

    Parameters
    ----------
    model
        Fitted to the outcomes seen. It is both the model that imputes and the analysis.
    unseen
        The rows whose outcome was not seen because the unit had left: all the formula's columns but
        the outcome. There is no alliance after treatment has ended: a model with predictors that
        are not known after leaving cannot be used here.
    term
        The coefficient whose finding is in question.
    deltas
        Shifts, in units of the outcome; 0 is added.
    seed
        Of the imputations; the same are shifted throughout.
    n_imputations
        Imputations, at least 2.
    shift
        Column of `unseen` by which the shift is multiplied: months since leaving, or 0/1 for the
        arm whose leavers are in doubt. 1 throughout if None.

    Returns
    -------
    DropoutSensitivity

    Raises
    ------
    DataError
        Predictors missing in `unseen`, rows that were seen, a model with weights or a residual
        structure.
    FormulaError
        A term that the model has not.

    References
    ----------
    Rubin (1987), doi:10.1002/9780470316696. Barnard & Rubin (1999), doi:10.1093/biomet/86.4.948.
    Carpenter & Kenward (2013), doi:10.1002/9781119942283, chapter 10 (delta adjustment). Crameri
    et al. (2015), doi:10.1080/10503307.2014.963730 (nested psychotherapy outcomes).

    Examples
    --------
    >>> from alliance_stats import dropout_sensitivity, endings, example_study, lmm
    >>> study = example_study()
    >>> model = lmm("symptoms ~ session + (1 | family/person)", study.sessions)
    >>> families = endings(study).units.query("state == 'dropout'")
    >>> unseen = study.persons.merge(families[["family", "last_session"]], on="family")
    >>> unseen = unseen.assign(session=unseen["last_session"] + 1)
    >>> shifted = dropout_sensitivity(
    ...     model, unseen, term="session", deltas=[10.0], n_imputations=5, seed=1
    ... )
    >>> shifted.tidy()[["delta", "estimate"]].round(2)
       delta  estimate
    0    0.0     -0.70
    1   10.0     -0.65
    """
    if n_imputations < 2:
        raise ValueError(f"m must be at least 2 imputations; got {n_imputations}.")
    grid = np.unique([0.0, *(float(delta) for delta in deltas)])
    if not np.isfinite(grid).all():
        raise ValueError("deltas must be finite.")
    terms = list(model.beta.index[model.beta.notna()])
    if term not in terms:
        raise FormulaError(f"The model has no coefficient '{term}'. {did_you_mean(term, terms)}")
    unseen = check_frame(unseen, what="unseen")
    check_unseen(model, unseen)
    times = _times_shifted(unseen, shift)
    estimates, variances = np.empty((2, len(grid), n_imputations))
    df_complete = np.empty(len(grid))
    completed: LinearMixedModel | None = None
    for i, (drawn, _) in enumerate(imputations(model, unseen, m=n_imputations, seed=seed)):
        for k, delta in enumerate(grid):
            y = np.concatenate([model.design.y, drawn + delta * times])
            completed = completed_fit(model, unseen, y, completed)
            estimates[k, i] = completed.beta[term]
            variances[k, i] = completed.vcov().loc[term, term]
            if i == 0:
                df_complete[k] = completed.tidy().set_index("term").loc[term, "df"]
    return DropoutSensitivity(
        term=term,
        deltas=grid,
        estimates=estimates,
        variances=variances,
        df_complete=df_complete,
        seen=model.tidy().set_index("term").loc[term],
        n_seen=model.nobs,
        n_unseen=len(unseen),
        rows=model.rows,
    )


def check_unseen(model: LinearMixedModel, unseen: pd.DataFrame) -> None:
    """Refuse rows whose outcome is there, and outcomes that have no column to be shifted in."""
    groups = [c for grouping in model.design.groupings for c in grouping.columns]
    require_columns(unseen, groups, what="unseen")
    for column in groups:
        require_present(unseen, column, why="to know whose outcome it is")
    response = model.design.formula.response
    if response not in model.design.frame.columns:
        raise FormulaError(
            f"The outcome '{response}' is computed in the formula: make it a column of its own, so "
            "that a shift is in its units."
        )
    if response in unseen.columns and unseen[response].notna().any():
        known = unseen[response].notna().to_numpy()
        raise DataError(
            f"unseen: the outcome '{response}' is there in {describe_rows(known, unseen.index)}; "
            "only rows without it are imputed."
        )
    _refuse_seen(model, unseen, response)


def _times_shifted(unseen: pd.DataFrame, shift: str | None) -> Array:
    """Return by what the shift is multiplied in each unseen row."""
    if shift is None:
        return np.ones(len(unseen))
    require_columns(unseen, [shift], what="unseen")
    times = finite_or_missing(unseen, shift)
    if np.isnan(times).any():
        raise DataError(f"unseen: '{shift}' is missing; a shift needs it in every row.")
    return times


def completed_fit(
    model: LinearMixedModel, unseen: pd.DataFrame, y: Array, before: LinearMixedModel | None
) -> LinearMixedModel:
    """Fit the model to seen and imputed outcomes, by a refit where there was a fit before."""
    if before is not None:
        return before.refit(y)
    columns = list(model.design.frame.columns)
    response = model.design.formula.response
    rest = [column for column in columns if column != response]
    frame = pd.concat([model.design.frame[rest], unseen[rest]], ignore_index=True)
    return lmm(model.formula, frame.assign(**{response: y}), reml=model.reml)


def _refuse_seen(model: LinearMixedModel, unseen: pd.DataFrame, response: str) -> None:
    """Refuse rows that equal one whose outcome was seen, where rows can be told apart."""
    columns = [column for column in model.design.frame.columns if column != response]
    require_columns(unseen, columns, what="unseen")
    seen = pd.MultiIndex.from_frame(model.design.frame[columns].astype(object))
    if not seen.is_unique:
        return
    twice = pd.MultiIndex.from_frame(unseen[columns].astype(object)).isin(seen)
    if twice.any():
        raise DataError(
            f"unseen: {describe_rows(twice, unseen.index)} equal rows whose outcome was seen; only "
            "what was not seen is imputed."
        )


def _tip_in_words(direction: str, delta: float, searched_to: float) -> Phrase:
    if searched_to == 0.0:
        return Phrase(f"Shifts {direction}: none was tried.")
    if np.isnan(delta):
        return Phrase(f"Shifts {direction}: not overturned up to {{}}.", (float(searched_to),))
    return Phrase(f"Shifts {direction}: overturned from {{}}.", (float(delta),))


def _first_crossing(deltas: Array, margin: Array) -> float:
    """Return where `margin`, positive at the start, first reaches 0."""
    for a in range(len(deltas) - 1):
        if margin[a + 1] <= 0.0:
            share = margin[a] / (margin[a] - margin[a + 1])
            return float(deltas[a] + share * (deltas[a + 1] - deltas[a]))
    return float("nan")
