"""The effect of each assumption on power: one at a time, beside the study as planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.effect_sizes import newcombe_difference
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.formatting import format_count, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.power.assumptions import Design
from alliance_stats.power.drawn_studies import Analysis, Plan, Workers
from alliance_stats.power.plan_checks import check_plan, plain_values
from alliance_stats.power.power_by_simulation import Power, simulated

__all__ = ["Sensitivity", "power_sensitivity"]

_PLANNED = "as planned"
_COLUMNS = {
    "closed_form": Column("closed form", "share"),
    "power_change": Column("change", "bounded", "power_change_low", "power_change_high"),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sensitivity:
    """Power with one assumption changed at a time; made by :func:`power_sensitivity`.

    Attributes
    ----------
    power
        The simulations, starting with the study as planned.
    """

    power: Power

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Studies that were drawn."""
        return self.power.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return a row per value and term, those of the study as planned first.

        ``assumption, value, term, what, truth, n_studies, n_failed, estimate, conf_low,
        conf_high`` (the power, with Wilson's interval for the Monte Carlo error), ``closed_form``
        where there is one, ``power_change``
        from the study as planned, with ``power_change_low, power_change_high``
        (Newcombe's interval of the difference of two shares).
        """
        inner, own = self.power, []
        for place, changes in enumerate(inner.cells):
            one = Power(
                inner.plan,
                (changes,),
                inner.alpha,
                inner.studies[inner.studies["cell"] == place].assign(cell=0),
            )
            tidy = one.tidy(conf_level=conf_level).set_index("term").reindex(list(inner.terms))
            name, value = next(iter(changes.items()), (_PLANNED, None))
            tidy.insert(0, "assumption", name)
            tidy.insert(1, "value", pd.Series([value] * len(tidy), index=tidy.index, dtype=object))
            own.append(tidy.reset_index())
        table = pd.concat(own, ignore_index=True)
        planned = own[0].set_index("term")["estimate"]
        n = own[0]["n_studies"].iloc[0]
        moved = [
            _change(row["estimate"], row["n_studies"], planned[row["term"]], n, conf_level)
            for _, row in table.iterrows()
        ]
        names = ["power_change", "power_change_low", "power_change_high"]
        table[names] = pd.DataFrame(moved, index=table.index)
        kept = ["assumption", "value", "term", "what", "truth", "n_studies", "n_failed"]
        return table[[*kept, "estimate", "conf_low", "conf_high", "closed_form", *names]]

    def glance(self) -> pd.DataFrame:
        """Return one row: designs, studies, failures, level, seed."""
        return self.power.glance()

    @property
    def method(self) -> str:
        """What was done, as a phrase."""
        n = len(self.power.cells) - 1
        each = format_count(self.rows.n_in / (n + 1))
        changes = plural(n, "change")
        return f"power with one assumption changed at a time, {changes} of {each} studies each"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before reading the shares."""
        return self.power.notes

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return powers and their changes as data."""
        tidy = self.tidy(conf_level=conf_level)
        tidy["value"] = ["" if value is None else str(value) for value in tidy["value"]]
        table = Section(
            "Assumption",
            tidy,
            names=("assumption", "value", "term"),
            measure="what",
            kind="share",
            columns={name: c for name, c in _COLUMNS.items() if tidy[name].notna().any()},
            conf_level=conf_level,
        )
        sizes = {"studies": self.rows.n_in}
        return Account.of(self, sizes, (table,), drawn=True, sources=("morris2019",))

    summary = summary_of
    _repr_html_ = html_of


def power_sensitivity(
    design: Design,
    analysis: Analysis,
    *,
    vary: Mapping[str, Sequence[object]],
    n_studies: int = 1000,
    seed: int,
    workers: Workers = 1,
    alpha: float = 0.05,
    store: str | Path | None = None,
    progress: bool = False,
) -> Sensitivity:
    """Change one assumption at a time, and show the effect on power.

    Other parameters and errors are as in :func:`power`.

    Parameters
    ----------
    vary
        Assumption -> alternative values, ``{"alliance.sd_therapist": [.1, .3],
        "missing_rating": [.2]}``. Values are not combined.

    Returns
    -------
    Sensitivity
        ``tidy()`` has the power of each, and its change from the study as planned.

    Raises
    ------
    DataError
        As :func:`power`; and if nothing is varied.

    Examples
    --------
    >>> from alliance_stats.power import ArmDifference, ClusterTrial, power_sensitivity
    >>> found = power_sensitivity(
    ...     ClusterTrial(clusters=8, members=5), ArmDifference(),
    ...     vary={"icc": [0.01, 0.2], "members": [10]}, n_studies=10, seed=1,
    ... )
    >>> found.tidy()["assumption"].tolist()
    ['as planned', 'icc', 'icc', 'members']
    """
    if not vary:
        raise DataError(
            "power_sensitivity needs vary=: an assumption and the values it might have."
        )
    check_plan(n_studies, seed, alpha, workers)
    cells: list[Mapping[str, object]] = [{}]
    cells += [{name: v} for name, values in vary.items() for v in plain_values(values, name)]
    plan = Plan(design, analysis, seed, None if store is None else Path(store))
    return Sensitivity(
        simulated(plan, tuple(cells), n_studies, alpha=alpha, workers=workers, progress=progress)
    )


def _change(
    share: float, n: int, planned: float, n_planned: int, conf_level: float
) -> tuple[float, float, float]:
    counts = round(share * n), round(planned * n_planned)
    found = newcombe_difference(counts[0], n, counts[1], n_planned, conf_level=conf_level)
    return found.estimate, found.conf_low, found.conf_high
