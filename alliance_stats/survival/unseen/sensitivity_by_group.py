"""Separate shifts of the outcomes after dropout in two arms, and where they tip a finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_frame, did_you_mean, require_columns
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.seeds import Seed
from alliance_stats.survival.unseen.completed_analyses import (
    Assumption,
    CompletedAnalyses,
    Variance,
    completed_analyses,
)
from alliance_stats.survival.unseen.dropout_sensitivity import (
    SOURCES,
    Scale,
    crossings,
    finding_margins,
    grid_of,
    no_shift,
    shifted,
    told_shift,
)

__all__ = ["SensitivityByGroup", "sensitivity_by_group"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SensitivityByGroup:
    """A coefficient under shifts of the unseen outcomes that differ between two arms.

    Attributes
    ----------
    group, arms
        The column of the groups (arms), and the two whose unseen outcomes are shifted.
    deltas
        The shifts of each, ascending.
    scale, sd
        As in :class:`DropoutSensitivity`.
    completed
        The analyses, the second arm's shifts within each of the first's.
    n_unseen
        Unseen outcomes of each arm.
    """

    group: str
    arms: tuple[object, object]
    deltas: tuple[Array, Array]
    scale: Scale
    sd: float
    completed: CompletedAnalyses
    n_unseen: tuple[int, int]

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

    @property
    def columns(self) -> tuple[str, str]:
        """The columns of ``tidy()`` with each arm's shift: ``delta[arm]``."""
        return f"delta[{self.arms[0]}]", f"delta[{self.arms[1]}]"

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per pair of shifts.

        Returns
        -------
        DataFrame
            ``term``, a column ``delta[arm]`` for each arm, ``estimate, std_error, statistic, df,
            p_value, conf_low, conf_high, missing_information`` and ``overturned``: whether the
            finding differs from that without shifts.
        """
        found = self.completed.table(conf_level=conf_level)
        first, second = np.meshgrid(*self.deltas, indexing="ij")
        found.insert(1, self.columns[0], first.ravel())
        found.insert(2, self.columns[1], second.ravel())
        margins = self.margins(conf_level=conf_level)
        return found.assign(overturned=(margins <= 0.0).any(axis=0).ravel())

    def margins(self, *, conf_level: float = 0.95) -> Array:
        """Return distances to overturning (limits, first arm's shifts, second arm's shifts).

        One limit of the interval keeps a finding on its side of 0; both keep one that is not
        significant. Negative where the finding is overturned; in units of the coefficient.
        """
        first, second = np.meshgrid(*self.deltas, indexing="ij")
        none = ((first == self.no_shift) & (second == self.no_shift)).ravel()
        table = self.completed.table(conf_level=conf_level)
        return finding_margins(table, int(np.flatnonzero(none)[0])).reshape(-1, *first.shape)

    def tipping_points(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return, for each shift of one arm, the other's at which the finding is overturned.

        Returns
        -------
        DataFrame
            ``group``, the arm that is shifted; ``held``, the other arm's fixed shift;
            ``direction``, ``delta`` (no shift, where `held` overturns the finding by itself; NaN
            where the grid ends before) and ``searched_to``.
        """
        margins, parts = self.margins(conf_level=conf_level), []
        for moved in (1, 0):
            at_none = int(np.flatnonzero(self.deltas[moved] == self.no_shift)[0])
            for k, held in enumerate(self.deltas[1 - moved]):
                own = np.take(margins, k, axis=2 - moved)
                part = crossings(self.deltas[moved], own, at_none)
                part.insert(0, "group", self.arms[moved])
                part.insert(1, "held", held)
                parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def glance(self) -> pd.DataFrame:
        """Return ``n_seen, n_unseen, n_imputations`` in one row."""
        return self.completed.glance()

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return (
            f"estimates of '{self.term}' under shifts of unseen outcomes by {self.group}, "
            f"{self.completed.how}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the numbers are based on."""
        idle = [
            f"Nothing is unseen in {self.group} = {arm}: its shifts change nothing."
            for arm, n in zip(self.arms, self.n_unseen, strict=True)
            if n == 0
        ]
        return (told_shift(self.scale, self.sd), *idle, self.completed.note)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the estimate at each pair of shifts, and the tipping points of each arm alone."""
        called = dict(zip(self.columns, (f"shift in {arm}" for arm in self.arms), strict=True))
        section = Section(
            f"Shift in {self.arms[0]}",
            self.tidy(conf_level=conf_level).rename(columns=called),
            names=tuple(called.values()),
            measure="b",
            conf_level=conf_level,
        )
        tips = self.tipping_points(conf_level=conf_level)
        alone = tips[tips["held"] == self.no_shift]
        counts = Phrase(
            "Unseen: " + ", ".join(
                f"{plural(n, 'outcome')} of {{}}" for n in self.n_unseen
            ) + ".",
            tuple(map(str, self.arms)),
        )  # fmt: skip
        remarks = (counts, *(self._tip_in_words(row) for row in alone.itertuples()))
        return self.completed.account(self.method, self.notes, section, remarks, sources=SOURCES)

    def _tip_in_words(self, row: object) -> Phrase:
        arm, direction = str(row.group), row.direction  # type: ignore[attr-defined]
        delta, end = float(row.delta), float(row.searched_to)  # type: ignore[attr-defined]
        if end == self.no_shift:
            return Phrase(f"Shifts of {{}} alone {direction}: none was tried.", (arm,))
        if np.isnan(delta):
            text = f"Shifts of {{}} alone {direction}: not overturned up to {{}}."
            return Phrase(text, (arm, end))
        return Phrase(f"Shifts of {{}} alone {direction}: overturned from {{}}.", (arm, delta))

    summary = summary_of
    _repr_html_ = html_of


def sensitivity_by_group(
    model: LinearMixedModel,
    unseen: pd.DataFrame,
    *,
    term: str,
    group: str,
    deltas: Mapping[object, Sequence[float]],
    seed: Seed,
    n_imputations: int = 50,
    scale: Scale = "points",
    variance: Variance = "rubin",
) -> SensitivityByGroup:
    """Impute the outcome after dropout, shift it separately in each of two arms, and pool.

    Dropouts of the two arms may differ: in one arm they may have left because they were well, in
    the other because they were not. Every pair of shifts is analysed; the pairs that overturn the
    finding form a region, whose edge is the tipping point by arm.

    Parameters
    ----------
    model, unseen, term, seed, n_imputations, scale, variance
        As in :func:`dropout_sensitivity`.
    group
        Column of the groups (arms).
    deltas
        The shifts of two arms, ``{"usual": [-4, 0, 4], "new": [-4, 0, 4]}``; no shift is added.
        Unseen outcomes of other arms stay as at random.

    Returns
    -------
    SensitivityByGroup

    Raises
    ------
    DataError
        A missing arm; otherwise as in :func:`dropout_sensitivity`.
    ValueError
        Shifts of more or fewer than two arms.

    References
    ----------
    Carpenter & Kenward (2013), doi:10.1002/9781119942283, chapter 10. Liublinska & Rubin (2014),
    doi:10.1002/sim.6197 (tipping points of two arms).

    Examples
    --------
    >>> from alliance_stats import endings, example_study, lmm, sensitivity_by_group
    >>> study = example_study()
    >>> model = lmm("symptoms ~ session * framework + (1 | family/person)", study.sessions)
    >>> families = endings(study).units.query("state == 'dropout'")
    >>> unseen = study.persons.merge(families[["family", "last_session"]], on="family")
    >>> unseen = unseen.assign(session=unseen["last_session"] + 1)
    >>> arms = study.persons["framework"].unique()
    >>> found = sensitivity_by_group(
    ...     model, unseen, term="session:framework[T.usual]", group="framework",
    ...     deltas={arms[0]: [5.0], arms[1]: [5.0]}, n_imputations=3, seed=1,
    ... )
    >>> len(found.tidy())
    4
    """
    check_choice(scale, ("points", "sd", "factor"), name="scale")
    unseen = check_frame(unseen, what="unseen")
    if not isinstance(deltas, Mapping) or len(deltas) != 2:
        raise ValueError(
            "deltas must hold the shifts of two arms, as in {'usual': [0, 4], 'new': [0, 4]}; got "
            f"{deltas!r}."
        )
    require_columns(unseen, [group], what="unseen")
    require_columns(model.design.frame, [group], what="the model's data")
    levels = model.design.frame[group].unique().tolist()
    for level in deltas:
        if level not in levels:
            raise DataError(
                f"Column '{group}' has no {level!r} among the outcomes seen. "
                f"{did_you_mean(level, levels)}"
            )
    first, second = deltas
    grids = grid_of(deltas[first], scale), grid_of(deltas[second], scale)
    sd = float(np.std(model.design.y, ddof=1))

    def assumptions(_: LinearMixedModel, rows: pd.DataFrame) -> list[Assumption]:
        own = [np.asarray(rows[group] == level, dtype=np.float64) for level in (first, second)]
        return [
            shifted(a * own[0] + b * own[1], scale, sd, own[0] + own[1])
            for a in grids[0]
            for b in grids[1]
        ]

    completed = completed_analyses(
        model, unseen, assumptions, term=term, seed=seed, n_imputations=n_imputations,
        variance=variance,
    )  # fmt: skip
    counts = tuple(int((unseen[group] == level).sum()) for level in (first, second))
    return SensitivityByGroup(
        group, (first, second), grids, scale, sd, completed, (counts[0], counts[1])
    )
