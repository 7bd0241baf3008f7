"""How far the outcomes after dropout would have to be shifted to overturn a finding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Phrase, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice, check_frame, finite_or_missing, require_columns
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import format_alone
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

__all__ = [
    "SOURCES",
    "DropoutSensitivity",
    "Scale",
    "crossings",
    "dropout_sensitivity",
    "finding_margins",
    "first_crossing",
    "grid_of",
    "no_shift",
    "shifted",
    "told_shift",
]

Scale = Literal["points", "sd", "factor"]

SOURCES = ("carpenter2013book", "rubin1987", "barnard1999")
_SCALES = ("points", "sd", "factor")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DropoutSensitivity:
    """A coefficient under shifts of the unobserved outcomes.

    Attributes
    ----------
    deltas
        (k,) shifts, ascending.
    scale
        Their unit: ``"points"``, ``"sd"`` or ``"factor"``.
    sd
        Standard deviation of the observed outcomes.
    completed
        The analyses of the completed data.
    seen
        The coefficient of the model fitted to the observed outcomes (columns as in ``tidy``).
    """

    deltas: Array
    scale: Scale
    sd: float
    completed: CompletedAnalyses
    seen: pd.Series

    __repr__ = one_line

    @property
    def term(self) -> str:
        """The coefficient."""
        return self.completed.term

    @property
    def rows(self) -> RowLedger:
        """The ledger of the model."""
        return self.completed.rows

    @property
    def no_shift(self) -> float:
        """The delta that keeps outcomes as they are at random: 0, or 1 for a factor."""
        return no_shift(self.scale)

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per shift.

        Returns
        -------
        DataFrame
            ``term, delta, estimate, std_error, statistic, df, p_value, conf_low, conf_high,
            missing_information``; the estimate in units of the coefficient.
        """
        found = self.completed.table(conf_level=conf_level)
        found.insert(1, "delta", self.deltas)
        return found

    def tipping_points(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the smallest shifts in either direction at which the finding is overturned.

        The finding is whether the interval without a shift excludes 0, and on which side. The same
        imputations are shifted throughout, so that the limits move evenly with the shift; between
        two shifts of the grid, the point where a limit is 0 is interpolated linearly.

        Returns
        -------
        DataFrame
            ``direction`` ("below 0", "above 0"; of a factor 1), ``delta`` (NaN where the grid ends
            before the finding is overturned) and ``searched_to``, the grid's end (no shift if
            none in that direction was requested).
        """
        at_none = int(np.flatnonzero(self.deltas == self.no_shift)[0])
        margins = finding_margins(self.tidy(conf_level=conf_level), at_none)
        return crossings(self.deltas, margins, at_none)

    def glance(self) -> pd.DataFrame:
        """Return ``n_seen, n_unseen, n_imputations`` in one row."""
        return self.completed.glance()

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return f"estimates of '{self.term}' under shifted unseen outcomes, {self.completed.how}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the numbers are based on."""
        return (told_shift(self.scale, self.sd), self.completed.note)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the estimate at each shift and the tipping points, as data."""
        table = self.tidy(conf_level=conf_level)
        section = Section(
            "Shift",
            table.rename(columns={"delta": "shift"}),
            names=("shift",),
            measure="b",
            conf_level=conf_level,
        )
        tips = self.tipping_points(conf_level=conf_level).to_numpy().tolist()
        at_none = table.loc[table["delta"] == self.no_shift]
        found = bool(((at_none["conf_low"] > 0.0) | (at_none["conf_high"] < 0.0)).all())
        remarks = [_tip_in_words(*row, none=self.no_shift, found=found) for row in tips]
        return self.completed.account(self.method, self.notes, section, remarks, sources=SOURCES)

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
    scale: Scale = "points",
    variance: Variance = "rubin",
) -> DropoutSensitivity:
    """Impute the outcome after dropout, shift it over a grid, and pool.

    Without a shift, the outcomes of those who left are assumed to continue as the model predicts
    for units with their history (missing at random). With shift delta, each unobserved outcome is
    delta higher. The smallest shift that overturns the finding is the tipping point: whether it is
    plausible is a judgement, not a test. For separate shifts in two arms, see
    :func:`sensitivity_by_group`.

    Parameters
    ----------
    model
        Fitted to the observed outcomes. It is both the imputation model and the analysis.
    unseen
        The rows whose outcome was not observed because the unit had left, with all the formula's
        columns but the outcome. There is no alliance after treatment has ended: a model with
        predictors unknown after dropout cannot be used here.
    term
        The coefficient whose finding is in question.
    deltas
        Shifts; no shift (0, or a factor of 1) is added.
    seed
        Seed of the imputations; the same ones are shifted throughout. Draws depend on the order
        of the rows.
    n_imputations
        Number of imputations, at least 2.
    shift
        Column of `unseen` by which the shift is multiplied: months since leaving, or 0/1 for the
        arm whose dropouts are in doubt. 1 throughout if None.
    scale
        Unit of a delta: ``"points"``, units of the outcome; ``"sd"``, multiples of the standard
        deviation of the observed outcomes; ``"factor"``, a multiple of the imputed outcome itself
        (for outcomes with a true zero; 1 is at random).
    variance
        ``"rubin"``: imputations, pooled. ``"conditional mean"``: no draws, and the jackknife over
        the model's outermost units (:mod:`alliance_stats.survival.unseen.completed_analyses`).

    Returns
    -------
    DropoutSensitivity

    Raises
    ------
    DataError
        Predictors missing in `unseen`, rows that were seen, a model with weights or a residual
        structure.
    FormulaError
        A term that is not in the model.

    References
    ----------
    Rubin (1987), doi:10.1002/9780470316696. Barnard & Rubin (1999), doi:10.1093/biomet/86.4.948.
    Carpenter & Kenward (2013), doi:10.1002/9781119942283, chapter 10 (delta adjustment). Crameri
    et al. (2015), doi:10.1080/10503307.2014.963730 (nested psychotherapy outcomes). Wolbers et al.
    (2022), doi:10.1002/pst.2234 (conditional means and the jackknife).

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
    require_kind(model, LinearMixedModel, asked="dropout_sensitivity takes a model of lmm")
    check_choice(scale, _SCALES, name="scale")
    grid = grid_of(deltas, scale)
    unseen = check_frame(unseen, what="unseen")
    sd = float(np.std(model.design.y, ddof=1))

    def assumptions(_: LinearMixedModel, rows: pd.DataFrame) -> list[Assumption]:
        times = _times_shifted(rows, shift)
        return [shifted(delta * times, scale, sd, times) for delta in grid]

    completed = completed_analyses(
        model, unseen, assumptions, term=term, seed=seed, n_imputations=n_imputations,
        variance=variance,
    )  # fmt: skip
    return DropoutSensitivity(grid, scale, sd, completed, model.tidy().set_index("term").loc[term])


def no_shift(scale: Scale) -> float:
    """Return the shift on this scale that keeps outcomes as they are at random."""
    return 1.0 if scale == "factor" else 0.0


def grid_of(deltas: Sequence[float], scale: Scale) -> Array:
    """Return the shifts in order, including no shift."""
    grid = np.unique([no_shift(scale), *(float(delta) for delta in deltas)])
    if not np.isfinite(grid).all():
        raise ValueError("deltas must be finite.")
    return np.asarray(grid, dtype=np.float64)


def shifted(by: Array, scale: Scale, sd: float, times: Array) -> Assumption:
    """Return the assumption that outcomes are shifted `by`, on this scale, `times` in each row.

    A factor delta acts as ``1 + times (delta - 1)``.
    """
    if scale == "factor":
        return Assumption(factor=1.0 + by - times)
    return Assumption(shift=by * (sd if scale == "sd" else 1.0))


def told_shift(scale: Scale, sd: float) -> str:
    """Return what the numbers of a shift are based on."""
    off = {
        "points": "lie that many points higher than",
        "sd": f"lie that many SDs (of the outcomes seen: {format_alone(sd)}) higher than",
        "factor": "are that many times",
    }[scale]
    return (
        f"Each number stands on its shift: outcomes after leaving {off} what the model says of "
        "units with their history. The data cannot tell which shift is true."
    )


def finding_margins(table: pd.DataFrame, at_none: int) -> Array:
    """Return how far limits (limits, k) are from overturning the finding without a shift.

    One limit keeps a finding on its side of 0; both keep one that is not significant, which is
    overturned once the interval excludes 0. Each limit moves evenly with the shift, but
    the nearer of the two does not: each is interpolated separately.
    """
    low, high = table["conf_low"].to_numpy(), table["conf_high"].to_numpy()
    if low[at_none] > 0:
        return np.array([low])
    if high[at_none] < 0:
        return np.array([-high])
    return np.array([-low, high])


def crossings(deltas: Array, margins: Array, at_none: int) -> pd.DataFrame:
    """Return where a margin (limits, k) first reaches 0 on either side of no shift."""
    none = deltas[at_none]
    rows = []
    for direction, order in (
        (f"below {none:g}", np.arange(at_none, -1, -1)),
        (f"above {none:g}", np.arange(at_none, len(deltas))),
    ):
        found = [first_crossing(deltas[order], margin[order]) for margin in margins]
        nearest = min(found, key=lambda at: np.inf if np.isnan(at) else abs(at - none))
        rows.append({"direction": direction, "delta": nearest, "searched_to": deltas[order[-1]]})
    return pd.DataFrame(rows)


def _times_shifted(unseen: pd.DataFrame, shift: str | None) -> Array:
    """Return the multiplier of the shift in each unseen row."""
    if shift is None:
        return np.ones(len(unseen))
    require_columns(unseen, [shift], what="unseen")
    times = finite_or_missing(unseen, shift)
    if np.isnan(times).any():
        raise DataError(f"unseen: '{shift}' is missing; a shift needs it in every row.")
    return times


def _tip_in_words(
    direction: str, delta: float, searched_to: float, *, none: float, found: bool
) -> Phrase:
    if searched_to == none:
        return Phrase(f"Shifts {direction}: none was tried.")
    if np.isnan(delta):
        kept = "not overturned" if found else "the interval includes 0"
        return Phrase(f"Shifts {direction}: {kept} up to {{}}.", (float(searched_to),))
    moved = "overturned" if found else "the interval excludes 0"
    return Phrase(f"Shifts {direction}: {moved} from {{}}.", (float(delta),))


def first_crossing(deltas: Array, margin: Array) -> float:
    """Return where `margin` first reaches 0: at the start, if it begins there; NaN for nowhere."""
    if margin[0] <= 0.0:
        return float(deltas[0])
    for a in range(len(deltas) - 1):
        if margin[a + 1] <= 0.0:
            share = margin[a] / (margin[a] - margin[a + 1])
            return float(deltas[a] + share * (deltas[a + 1] - deltas[a]))
    return float("nan")
