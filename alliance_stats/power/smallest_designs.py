"""The smallest design with enough power, found by simulating most where the answer is uncertain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from alliance_stats.account import Account, Phrase, html_of, summary_of
from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.power.assumptions import Design
from alliance_stats.power.drawn_studies import Analysis, Plan, Workers, draw_studies
from alliance_stats.power.plan_checks import check_plan, plain_values
from alliance_stats.power.power_by_simulation import Power, answered

__all__ = ["SmallestDesign", "smallest_design"]

_ERROR = 0.05  # chance to misjudge a candidate, over all looks at it


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SmallestDesign:
    """The smallest of some designs that reaches an aim; made by :func:`smallest_design`.

    Attributes
    ----------
    power
        What was simulated on the way.
    name, value
        The assumption that was varied, and its smallest value that reaches the aim; None if none of
        those tried does.
    aim
        The power aimed at.
    open
        Values examined whose power cannot be distinguished from the aim.
    """

    power: Power
    name: str
    value: object
    aim: float
    open: tuple[object, ...]

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Studies that were drawn."""
        return self.power.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the values tried, as :meth:`Power.tidy` does, in their order."""
        return self.power.tidy(conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """Return one row: what was varied, the answer, the aim."""
        return self.power.glance().assign(varied=self.name, smallest=self.value, aim=self.aim)

    @property
    def _extreme(self) -> str:
        """Which extreme of the values the answer is: power rises along them, even if they fall."""
        first, last = (cell[self.name] for cell in (self.power.cells[0], self.power.cells[-1]))
        numbers = isinstance(first, int | float) and isinstance(last, int | float)
        return "largest" if numbers and first > last else "smallest"  # type: ignore[operator]

    @property
    def method(self) -> str:
        """What was sought, as a phrase."""
        aim = f"with a power of {100 * self.aim:g}%, by adaptive simulation"
        return f"{self._extreme} '{self.name}' {aim}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the answer."""
        said = [note for note in self.power.notes if not note.startswith("With ")]
        if self.open:
            values = ", ".join(map(str, self.open))
            said.insert(
                0,
                f"The power at {self.name} = {values} cannot be told from the aim by the "
                "studies drawn: ask for more with n_studies=.",
            )
        return tuple(said)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the answer and what was looked at, as data."""
        inner = self.power.account(conf_level=conf_level)
        reached = f"reaches {100 * self.aim:g}%."
        said = f"{{}} = {self.value} is the {self._extreme} that {reached}"
        if self.value is None:
            said = f"None of the values of {{}} that were tried {reached}"
        answer = Phrase(said, (self.name,))
        return Account.of(
            self, inner.sizes, inner.sections, (answer,), drawn=True, sources=("morris2019",)
        )

    summary = summary_of
    _repr_html_ = html_of


def smallest_design(
    design: Design,
    analysis: Analysis,
    *,
    vary: Mapping[str, Sequence[object]],
    aim: float = 0.8,
    term: str | None = None,
    n_studies: int = 2000,
    batch: int = 100,
    seed: int,
    workers: Workers = 1,
    alpha: float = 0.05,
    store: str | Path | None = None,
    progress: bool = False,
) -> SmallestDesign:
    """Find the smallest design with enough power, simulating most where the answer is uncertain.

    The values are searched by bisection, assuming that power rises along them; at each value
    studies are drawn `batch` by `batch` until the interval of the power excludes the aim, or
    `n_studies` are used up. The level of the intervals is 1 - .05 / looks, so that a value is
    misjudged with a probability of at most 5% over all looks at it (Bonferroni). Other parameters
    and errors are as in :func:`power`.

    Parameters
    ----------
    vary
        One assumption and its values, the one with the least power first: ``{"families": range(60,
        400, 20)}``; any assumption: the smallest effect, ``{"alliance.experience": [.01, .02,
        .03]}``, or the largest share of variance between therapists, ``{"icc": [.3, .2, .1,
        .05]}``.
    aim
        Power aimed at.
    term
        Which of the analysis's terms; required if there are several.
    n_studies, batch
        Maximum number of studies per value, and how many at a time.

    Returns
    -------
    SmallestDesign
        ``value`` is the answer, ``open`` the values examined that could not be distinguished from
        the aim.

    Raises
    ------
    DataError
        As :func:`power`; and if not exactly one assumption is varied, its values do not rise or
        fall, or the analysis has several terms and none is named.

    Examples
    --------
    >>> from alliance_stats.power import ArmDifference, ClusterTrial, smallest_design
    >>> found = smallest_design(
    ...     ClusterTrial(clusters=4, members=6, effect=1.2), ArmDifference(),
    ...     vary={"clusters": [2, 4, 8, 16]}, n_studies=40, batch=20, seed=1,
    ... )
    >>> found.value in (4, 8)
    True
    """
    if len(vary) != 1:
        raise DataError(f"smallest_design varies one assumption; got {', '.join(vary) or 'none'}.")
    if isinstance(aim, str) or not 0.0 < aim < 1.0:
        raise DataError(f"aim is a power and lies between 0 and 1; got {aim!r}.")
    check_plan(n_studies, seed, alpha, workers)
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= n_studies:
        raise DataError(f"batch must be a whole number from 1 to n_studies; got {batch!r}.")
    name, values = next((name, plain_values(values, name)) for name, values in vary.items())
    _check_order(name, values)
    plan = Plan(design, analysis, seed, None if store is None else Path(store))
    looked: dict[int, tuple[Power, float, bool]] = {}

    def reaches(place: int) -> bool:
        if place not in looked:
            looked[place] = _look(
                plan,
                {name: values[place]},
                aim=aim,
                term=term,
                spend=(n_studies, batch),
                alpha=alpha,
                workers=workers,
                progress=progress,
            )
        return looked[place][1] >= aim

    low, high = 0, len(values)  # the answer lies from low on; high stands for none
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle + 1, high)
    order = sorted(looked)
    cells = tuple({name: values[place]} for place in order)
    every = [looked[place][0].studies.assign(cell=i) for i, place in enumerate(order)]
    found = answered(Power(plan, cells, alpha, pd.concat(every, ignore_index=True)))
    answer = values[low] if low < len(values) else None
    unsure = tuple(values[place] for place in order if looked[place][2])
    return SmallestDesign(found, name, answer, aim, unsure)


def _check_order(name: str, values: Sequence[object]) -> None:
    """Refuse numbers that neither rise nor fall: bisection needs an order."""
    if all(isinstance(value, int | float) for value in values):
        rising = sorted(values)  # type: ignore[type-var]
        if list(values) not in (rising, rising[::-1]):
            raise DataError(
                f"Values of '{name}' must rise or fall, that of the least power first; got "
                f"{', '.join(map(str, values))}."
            )


def _look(
    plan: Plan,
    cell: Mapping[str, object],
    *,
    aim: float,
    term: str | None,
    spend: tuple[int, int],
    alpha: float,
    workers: Workers,
    progress: bool,
) -> tuple[Power, float, bool]:
    """Draw studies of a cell until its power is distinguished from the aim, or all are used up."""
    most, batch = spend
    level = 1.0 - _ERROR / -(-most // batch)
    parts: list[pd.DataFrame] = []
    done = 0
    while True:
        stop = min(done + batch, most)
        parts.append(
            draw_studies(plan, [cell], stop, start=done, workers=workers, progress=progress)
        )
        done = stop
        found = Power(plan, (cell,), alpha, pd.concat(parts, ignore_index=True))
        share, low, high = _of_term(found, term, level)
        if done >= most or not low <= aim <= high:
            return found, share, low <= aim <= high


def _of_term(found: Power, term: str | None, conf_level: float) -> tuple[float, float, float]:
    """Return the power of a term with its interval; without any answer, that of 0 studies."""
    terms = found.terms
    if not terms:
        return 0.0, 0.0, 0.0
    if term is None and len(terms) > 1:
        raise DataError(f"The analysis has several terms, {', '.join(terms)}: name one with term=.")
    if term is not None and term not in terms:
        raise DataError(f"The analysis has no term '{term}'. {did_you_mean(term, terms)}")
    tidy = found.tidy(conf_level=conf_level)
    row = tidy.iloc[0 if term is None else terms.index(term)]
    return float(row["estimate"]), float(row["conf_low"]), float(row["conf_high"])
