"""One-with-many models: a therapist and several clients rate each other."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import (
    check_frame,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
    require_present,
)
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import one_line
from alliance_stats.family.paired_ratings import PairedModel, Pairs, fit_pairs, ratio_test
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import Bootstrap, LikelihoodRatioTest, Redrawn, redraw
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed
from alliance_stats.spelling import check_spelling

__all__ = ["OneWithMany", "one_with_many"]

_SOURCES = ("client", "therapist")
_PARTS = {
    ("client", "therapist"): "partner: therapists whom all clients rate alike",
    ("client", "dyad"): "perceiver (client), relationship and error",
    ("therapist", "therapist"): "perceiver: therapists who rate all clients alike",
    ("therapist", "dyad"): "partner (client), relationship and error",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OneWithMany:
    """A fitted reciprocal one-with-many model. Returned by :func:`one_with_many`.

    Attributes
    ----------
    model
        The model of both ratings: means ``client_rates`` and ``therapist_rates``; its
        ``tidy(effects="ran_pars")`` has the SDs and correlations.
    rows
        The row ledger: rows are ratings, two per dyad.
    """

    model: PairedModel

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Ledger of the ratings used and set aside."""
        return self.model.rows

    def tidy(self) -> pd.DataFrame:
        """Return variances and reciprocities.

        One row per source and level: ``source`` (whose ratings), ``level`` (therapist or dyad),
        ``term`` (what the variance is of), ``estimate`` (variance, points squared) and ``share`` of
        the source's variance; then ``generalized reciprocity`` (correlation over therapists of
        ratings received with ratings given) and ``dyadic reciprocity`` (correlation over dyads of
        the two ratings within a therapist). Where ``boundary`` is true, a variance of therapists is
        zero (the correlation is then NaN) or their correlation is at -1 or 1: that is where the
        search ended, not a finding. Intervals: :meth:`bootstrap`.
        """
        found = _parameters(self.model)
        rows: list[dict[str, object]] = []
        for (source, level), words in _PARTS.items():
            total = found[f"{source}|therapist"] + found[f"{source}|dyad"]
            value = found[f"{source}|{level}"]
            rows.append(
                {
                    "source": source,
                    "level": level,
                    "term": words,
                    "estimate": value,
                    "share": value / total,
                }
            )
        for level in ("therapist", "dyad"):
            term = f"{'generalized' if level == 'therapist' else 'dyadic'} reciprocity"
            rows.append({"source": "both", "level": level, "term": term, "estimate": found[term]})
        frame = pd.DataFrame(rows)
        return frame.assign(boundary=self.model.singular & (frame["level"] == "therapist"))

    @renamed(n="n_resamples", n_jobs="workers")
    def bootstrap(
        self, *, seed: Seed, n_resamples: int = 1000, workers: int | None = None
    ) -> Bootstrap:
        """Draw and refit: intervals of variances, shares and reciprocities (percentile).

        Terms are ``<source>|<level>``, ``<source>|share`` (of the therapist level), ``generalized
        reciprocity`` and ``dyadic reciprocity``. Draws in which a variance is zero have no
        generalized reciprocity.
        """
        return redraw(
            _Redraw(self.model), _parameters(self.model), self.rows,
            n=n_resamples, seed=seed, workers=workers,
        )  # fmt: skip

    def generalized_reciprocity_test(self) -> LikelihoodRatioTest:
        """Test whether therapists' partner and perceiver effects are uncorrelated."""
        return self._without(1, "therapists")

    def dyadic_reciprocity_test(self) -> LikelihoodRatioTest:
        """Test whether the two ratings of a dyad are uncorrelated within therapists."""
        return self._without(0, "dyads")

    def _without(self, level: int, of: str) -> LikelihoodRatioTest:
        model = self.model
        without = fit_pairs(model.pairs, reml=model.reml, uncorrelated=(level,))
        words = (f"both sides uncorrelated over {of}", f"correlated over {of}")
        return ratio_test(without, model, words)

    def glance(self) -> pd.DataFrame:
        """Return one row: the model's, with the number of dyads."""
        return self.model.glance()

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        return "Reciprocal one-with-many model of clients' and therapists' ratings"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the variances."""
        return self.model.notes

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return variances and reciprocities as data; intervals are bootstrapped on request."""
        del conf_level
        tidy = self.tidy()
        variances = Section(
            "Ratings of",
            tidy[tidy["source"] != "both"],
            names=("source", "term"),
            measure="variance",
            columns={"share": Column("share", "share")},
        )
        tests = (self.generalized_reciprocity_test(), self.dyadic_reciprocity_test())
        both = tidy[tidy["source"] == "both"][["term", "estimate"]]
        correlations = Section(
            "Reciprocity",
            both.assign(p_value=[test.p_value for test in tests]),
            names=("term",),
            measure="r",
            kind="bounded",
            undefined="not defined",
        )
        sizes = {"rows": self.rows.n_used}
        return Account.of(self, sizes, (variances, correlations), sources=("kenny2006",))

    summary = summary_of
    _repr_html_ = html_of


def one_with_many(
    data: pd.DataFrame,
    *,
    therapist: str,
    client: str,
    by_client: str,
    by_therapist: str,
    reml: bool = True,
) -> OneWithMany:
    """Fit the reciprocal one-with-many model.

    ``y_c = mu_c + t_c + e_c`` and ``y_t = mu_t + t_t + e_t`` for the rating that a client gives and
    the one that the therapist gives of that client; ``cor(t_c, t_t)`` over therapists is the
    generalized and ``cor(e_c, e_t)`` over dyads the dyadic reciprocity (Marcus, Kashy & Baldwin
    2009, Journal of Counseling Psychology 56, 537-548; Kenny, Kashy & Cook 2006, ch. 10). With one
    rating each per dyad, relationship and error are not separated.

    Parameters
    ----------
    data
        One row per client with both ratings; NaN where one is missing, which sets that rating aside
        and keeps the other. Clients are assumed independent given their therapist: use one member
        of a family or the family's mean.
    therapist, client
        Id columns; a client has one therapist.
    by_client, by_therapist
        Columns of the rating that the client gives and of the one that the therapist gives.
    reml
        Restricted or ordinary maximum likelihood.

    Returns
    -------
    OneWithMany
        ``tidy()``, ``bootstrap(seed=)``, ``generalized_reciprocity_test()``,
        ``dyadic_reciprocity_test()``, ``glance()``, ``summary()``, ``rows``.

    Raises
    ------
    DataError
        A client with several rows, a missing id, one column for both ratings or no rating in one.
    NotIdentifiedError
        One therapist; or every therapist has one client with a rating of a kind: the levels cannot
        be separated.

    Examples
    --------
    >>> from alliance_stats import example_study, one_with_many
    >>> first = example_study().sessions.query("session == 1")
    >>> model = one_with_many(
    ...     first, therapist="therapist", client="person", by_client="alliance",
    ...     by_therapist="therapist_alliance",
    ... )
    >>> model.tidy().iloc[:3, :3].round(2)
          source      level                                              term
    0     client  therapist   partner: therapists whom all clients rate alike
    1     client       dyad        perceiver (client), relationship and error
    2  therapist  therapist  perceiver: therapists who rate all clients alike
    """
    data = check_frame(data)
    require_columns(data, [therapist, client, by_client, by_therapist])
    require_present(data, therapist, why="to know who treats whom")
    require_present(data, client, why="to know who is treated")
    check_spelling(data[client], kind="client")
    twice = data[client].duplicated(keep=False).to_numpy()
    if twice.any():
        raise DataError(
            f"'{data.loc[twice, client].iloc[0]}' (column '{client}') has several rows "
            f"({describe_rows(twice, data.index)}). One row per client is needed: choose a session "
            "or average them first; clients of several therapists need another model."
        )
    return OneWithMany(
        fit_pairs(
            _pairs(data, therapist, {"client": by_client, "therapist": by_therapist}), reml=reml
        )
    )


def _pairs(data: pd.DataFrame, therapist: str, given: Mapping[str, str]) -> Pairs:
    """Lay the two ratings of each dyad side by side, the client's first."""
    if given["client"] == given["therapist"]:
        raise DataError(
            f"Column '{given['client']}' is named for both sides: give the clients' rating with "
            "by_client= and the therapists' with by_therapist=."
        )
    ratings = {source: finite_or_missing(data, column) for source, column in given.items()}
    for source, column in given.items():
        _require_several(data.loc[np.isfinite(ratings[source]), therapist], column, therapist)
    y = np.array(list(ratings.values()))
    stacked = pd.DataFrame({"therapist": [*data[therapist]] * 2, "rating": y.ravel()})
    ledger = RowLedger.start(stacked, {therapist: ("therapist",)})
    rated = stacked["rating"].notna().to_numpy()
    if not rated.all():
        _, ledger = ledger.keep(stacked, rated, reason="'rating' is missing")
    kept = np.isfinite(y).any(axis=0)
    return Pairs(
        y=y[:, kept],
        columns=np.broadcast_to(np.eye(2)[:, :, None], (2, 2, int(kept.sum()))),
        terms=("client_rates", "therapist_rates"),
        sides=_SOURCES,
        above=therapist,
        units=group_codes(data.loc[kept, therapist])[0],
        effects=("client_rates", "therapist_rates"),
        rows=ledger,
    )


def _require_several(rated: pd.Series, column: str, therapist: str) -> None:
    """Refuse ratings that cannot separate the therapist's part from the dyad's."""
    if rated.empty:
        raise DataError(f"Column '{column}' has no rating.")
    if rated.nunique() < 2:
        raise NotIdentifiedError(
            f"The ratings in '{column}' are of one '{therapist}': there is no variance between "
            "therapists to be had."
        )
    if not rated.duplicated().any():
        raise NotIdentifiedError(
            f"Every '{therapist}' has one client with a rating in '{column}': what belongs to the "
            "therapist and what to the dyad cannot be told apart."
        )


@dataclass(frozen=True, slots=True)
class _Redraw:
    """Draws new ratings, refits and measures; a class can be sent to workers."""

    model: PairedModel

    def __call__(self, rng: np.random.Generator) -> Redrawn:
        again = self.model.refit(self.model.simulate(rng))
        return Redrawn(_parameters(again), again.singular, again.converged)


def _parameters(model: PairedModel) -> Mapping[str, float]:
    """Variances, the therapists' shares and the reciprocities of a fit."""
    between, within = model.between, model.within
    found: dict[str, float] = {}
    for i, source in enumerate(_SOURCES):
        found[f"{source}|therapist"] = float(between[i, i])
        found[f"{source}|dyad"] = float(within[i, i])
        found[f"{source}|share"] = float(between[i, i] / (between[i, i] + within[i, i]))
    scale = np.sqrt(between[0, 0] * between[1, 1])
    defined = scale > 1e-10 * np.sqrt(within[0, 0] * within[1, 1])
    found["generalized reciprocity"] = (
        float(np.clip(between[0, 1] / scale, -1.0, 1.0)) if defined else np.nan
    )
    found["dyadic reciprocity"] = model.correlation
    return found
