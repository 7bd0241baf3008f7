"""Who was in which state at each of several stages, and who moved from which state to which."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level, check_frame, require_columns
from alliance_stats.effect_sizes import clopper_pearson
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling, plain_number

__all__ = ["StageTransitions", "stage_transitions"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StageTransitions:
    """Counts of states at several stages; returned by :func:`stage_transitions`.

    Attributes
    ----------
    stages, states
        Columns of the stages, and the states, each in order.
    labels
        Groups; one empty label where there are none.
    codes
        (cases, stages) the state of each case at each stage, as its position in `states`.
    groups
        (cases,) the group of each case, as its position in `labels`.
    rows
        Ledger of the cases.
    """

    stages: tuple[str, ...]
    states: tuple[str, ...]
    labels: tuple[str, ...]
    codes: np.ndarray
    groups: np.ndarray
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per group, stage, state there, and state at the next stage.

        Columns: ``group, stage, next_stage, early`` (the state at `stage`), ``later`` (that at the
        next), ``count``, ``n`` (cases in `early`), ``estimate`` (count / n) with its exact interval
        (Clopper & Pearson 1934) ``conf_low, conf_high``. States from which no case moved on are
        omitted.
        """
        check_conf_level(conf_level)
        found = []
        for g, label in enumerate(self.labels):
            own = self.codes[self.groups == g]
            for k, (stage, after) in enumerate(zip(self.stages, self.stages[1:], strict=False)):
                table = np.zeros((len(self.states),) * 2)
                np.add.at(table, (own[:, k], own[:, k + 1]), 1.0)
                for i in np.flatnonzero(table.sum(axis=1)):
                    n = int(table[i].sum())
                    for j, state in enumerate(self.states):
                        count = int(table[i, j])
                        share = clopper_pearson(count, n, conf_level=conf_level)
                        names = (label, stage, after, self.states[i], state)
                        limits = (share.conf_low, share.conf_high)
                        found.append((*names, count, n, share.estimate, *limits))
        columns = ["group", "stage", "next_stage", "early", "later", "count", "n", "estimate"]
        return pd.DataFrame(found, columns=[*columns, "conf_low", "conf_high"])

    def counts(self, group: str, stage: str) -> pd.Series:
        """Return how many cases of a group are in each state at a stage."""
        own = self.codes[self.groups == self.labels.index(group), self.stages.index(stage)]
        return pd.Series(np.bincount(own, minlength=len(self.states)), index=list(self.states))

    def glance(self) -> pd.DataFrame:
        """Return one row: cases used, groups, and states."""
        return pd.DataFrame(
            [{"nobs": len(self.codes), "n_groups": len(self.labels), "n_states": len(self.states)}]
        )

    @property
    def method(self) -> str:
        """What was counted, in a phrase."""
        return f"Transitions over {len(self.stages)} stages, exact intervals of the shares"

    @property
    def notes(self) -> tuple[str, ...]:
        """None: the counts need no cautions."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the counts and shares as data."""
        table = self.tidy(conf_level=conf_level)
        grouped = ("group",) if self.labels != ("",) else ()
        table = table[table["count"] > 0]
        cases = [
            Phrase("{} of {}", ((k, "count"), (n, "count")))
            for k, n in zip(table["count"], table["n"], strict=True)
        ]
        section = Section(
            "From each state",
            table.assign(cases=cases),
            names=(*grouped, "stage", "early", "next_stage", "later"),
            measure="share",
            kind="share",
            columns={"cases": Column("cases", "text")},
            conf_level=conf_level,
        )
        sizes = {"cases": len(self.codes)}
        return Account.of(self, sizes, (section,))

    summary = summary_of
    _repr_html_ = html_of


def stage_transitions(
    data: pd.DataFrame,
    *,
    stages: Sequence[str],
    group: str | None = None,
    states: Sequence[str] | None = None,
) -> StageTransitions:
    """Count transitions between states over any number of stages.

    Parameters
    ----------
    data
        One row per case (a family, a person), one column per stage with the case's state at it.
    stages
        Columns, from the first stage to the last; two or more.
    group
        Column of groups that are counted separately.
    states
        All states in order; sorted if not given.

    Returns
    -------
    StageTransitions
        Counts of the cases that are known at every stage.

    Raises
    ------
    DataError
        If a column is missing, there are fewer than two stages, or a state is not among `states`.
    NotIdentifiedError
        If no case is known at every stage.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import stage_transitions
    >>> seen = pd.DataFrame({"start": ["low", "low", "high"], "middle": ["low", "high", "high"]})
    >>> stage_transitions(seen, stages=["start", "middle"]).tidy().iloc[:, 3:7]
      early later  count  n
    0  high  high      1  1
    1  high   low      0  1
    2   low  high      1  2
    3   low   low      1  2
    """
    data = check_frame(data)
    stages = [stages] if isinstance(stages, str) else list(stages)
    if len(stages) < 2 or len(set(stages)) < len(stages):
        raise DataError(f"stages names two columns or more, each once; got {stages}.")
    require_columns(data, [*stages, *([] if group is None else [group])])
    rows = RowLedger.start(data)
    kept, rows = rows.keep(
        data, data[stages].notna().all(axis=1), reason="the state at some stage is missing"
    )
    if group is not None:
        kept, rows = rows.keep(kept, kept[group].notna(), reason=f"'{group}' is missing")
        check_spelling(kept[group], kind="group")
    if kept.empty:
        raise NotIdentifiedError(f"No case has its state at each of {', '.join(stages)}.")
    texts = kept[stages].astype(object).map(_in_words)
    check_spelling(pd.Series(texts.to_numpy().ravel(), name="states"), kind="state")
    found = _in_order(kept[stages].to_numpy(dtype=object).ravel())
    order = found if states is None else [_in_words(state) for state in states]
    unknown = [state for state in found if state not in order]
    if unknown or len(set(order)) < len(order):
        raise DataError(f"states= is {order}, each once; the data also hold {unknown}.")
    place = {state: i for i, state in enumerate(order)}
    named = pd.Series("", index=kept.index) if group is None else kept[group].map(_in_words)
    labels = [""] if group is None else _in_order(kept[group].to_numpy(dtype=object))
    return StageTransitions(
        tuple(map(str, stages)),
        tuple(order),
        tuple(labels),
        texts.map(place.__getitem__).to_numpy(dtype=np.int64),
        named.map({label: i for i, label in enumerate(labels)}).to_numpy(dtype=np.int64),
        rows,
    )


def _in_words(value: object) -> str:
    return str(plain_number(value))


def _in_order(values: np.ndarray) -> list[str]:
    """Return the distinct values in words, numbers by their size."""
    words = {_in_words(value): value for value in values}
    numeric = all(isinstance(value, Real) for value in words.values())
    return sorted(words, key=words.__getitem__ if numeric else str)
