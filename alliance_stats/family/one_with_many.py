"""One with many: a therapist and several clients rate each other."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import (
    check_frame,
    check_spelling,
    describe_rows,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.design.formula import RandomTerm, column, formula_of
from alliance_stats.door import with_columns
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import (
    AR1,
    Bootstrap,
    LikelihoodRatioTest,
    LinearMixedModel,
    VarianceBy,
    likelihood_ratio_test,
    lmm,
    parametric_bootstrap,
)
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed

__all__ = ["OneWithMany", "one_with_many"]

_SIDES = column("client_rates") + column("therapist_rates")
_FORMULA = formula_of("rating", _SIDES, [RandomTerm(_SIDES, ("therapist",))])
_SOURCES = ("client", "therapist")
_PARTS = {
    ("client", "therapist"): "partner: therapists whom all clients rate alike",
    ("client", "dyad"): "perceiver (client), relationship and error",
    ("therapist", "therapist"): "perceiver: therapists who rate all clients alike",
    ("therapist", "dyad"): "partner (client), relationship and error",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OneWithMany:
    """A fitted reciprocal one-with-many model. Made by :func:`one_with_many`.

    Attributes
    ----------
    model
        The mixed model of both ratings, stacked.
    stacked
        Its data: ``rating, source, client_rates, therapist_rates, position`` and the ids.
    therapist, dyad
        The caller's columns.
    rows
        The row ledger: rows are ratings, two a dyad.
    """

    model: LinearMixedModel
    stacked: pd.DataFrame
    therapist: str
    dyad: str

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the ratings."""
        return self.model.rows

    def tidy(self) -> pd.DataFrame:
        """Return variances and reciprocities.

        A row a source and level: ``source`` (whose ratings), ``level`` (therapist or dyad),
        ``term`` (what the variance is of), ``estimate`` (variance, points squared) and ``share`` of
        the source's variance; then ``generalized reciprocity`` (correlation over therapists of how
        they are rated with how they rate) and ``dyadic reciprocity`` (correlation over dyads of the
        two ratings within a therapist). Where ``boundary`` is true, a variance of therapists is
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

    @renamed(n="n_resamples")
    def bootstrap(
        self, *, seed: Seed, n_resamples: int = 1000, n_jobs: int | None = None
    ) -> Bootstrap:
        """Draw and refit: intervals of variances, shares and reciprocities (percentile).

        Terms are ``<source>|<level>``, ``<source>|share`` (of the therapist level), ``generalized
        reciprocity`` and ``dyadic reciprocity``. Draws in which a variance is zero have no
        generalized reciprocity.
        """
        return parametric_bootstrap(
            self.model, _parameters, n_resamples=n_resamples, seed=seed, n_jobs=n_jobs
        )

    def generalized_reciprocity_test(self) -> LikelihoodRatioTest:
        """Test whether therapists' partner and perceiver effects are uncorrelated."""
        apart = [RandomTerm(column(f"{side}_rates"), ("therapist",)) for side in _SOURCES]
        without = lmm(
            formula_of("rating", _SIDES, apart),
            _table(self.stacked, self.therapist, self.dyad),
            reml=self.model.reml,
            residual=[VarianceBy("source"), AR1("position", within="dyad")],
        )
        return likelihood_ratio_test(self.model, without)

    def dyadic_reciprocity_test(self) -> LikelihoodRatioTest:
        """Test whether the two ratings of a dyad are uncorrelated within therapists."""
        without = lmm(
            _FORMULA,
            _table(self.stacked, self.therapist, self.dyad),
            reml=self.model.reml,
            residual=VarianceBy("source"),
        )
        return likelihood_ratio_test(self.model, without)

    def glance(self) -> pd.DataFrame:
        """Return one row: the model's, with the number of dyads."""
        used = self.stacked.dropna(subset=["rating"])
        return self.model.glance().assign(n_dyads=int(used[self.dyad].nunique()))

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        return "Reciprocal one-with-many model of clients' and therapists' ratings"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before the variances."""
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
        return Account(self.method, self.notes, sizes, (variances, correlations), rows=self.rows)

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
    rating each a dyad, relationship and error are not told apart.

    Parameters
    ----------
    data
        A row a client with both ratings; NaN where one is missing, which sets that rating aside
        and keeps the other. Clients are taken as independent given their therapist: of a family,
        one member or the family's mean.
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
        be told apart.

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
            f"({describe_rows(twice, data.index)}). One row a client: choose a session or average "
            "them first; clients of several therapists need another model."
        )
    stacked = _stacked(data, therapist, client, {"client": by_client, "therapist": by_therapist})
    model = lmm(
        _FORMULA,
        _table(stacked, therapist, client),
        reml=reml,
        residual=[VarianceBy("source"), AR1("position", within="dyad")],
    )
    return OneWithMany(model, stacked, therapist, client)


def _table(stacked: pd.DataFrame, therapist: str, client: str) -> pd.DataFrame:
    """Return the stacked ratings with ids under the formula's names, whatever the caller's are."""
    columns = ["rating", "source", "position", "client_rates", "therapist_rates"]
    return stacked[columns].assign(therapist=stacked[therapist].array, dyad=stacked[client].array)


def _stacked(
    data: pd.DataFrame, therapist: str, client: str, ratings: Mapping[str, str]
) -> pd.DataFrame:
    """Lay the two ratings of each dyad below one another, clients' first."""
    if ratings["client"] == ratings["therapist"]:
        raise DataError(
            f"Column '{ratings['client']}' is named for both sides: give the clients' rating with "
            "by_client= and the therapists' with by_therapist=."
        )
    parts = []
    for position, (source, given) in enumerate(ratings.items(), 1):
        rating = finite_or_missing(data, given)
        _require_several(data.loc[np.isfinite(rating), therapist], given, therapist)
        fixed: dict[str, npt.ArrayLike] = {
            "source": source,
            "position": position,
            "client_rates": float(source == "client"),
            "therapist_rates": float(source == "therapist"),
        }
        own = data[[therapist, client]].reset_index(drop=True)
        parts.append(with_columns(own, {**fixed, "rating": rating}))
    return pd.concat(parts, ignore_index=True)


def _require_several(rated: pd.Series, column: str, therapist: str) -> None:
    """Refuse ratings that cannot tell what belongs to the therapist from what to the dyad."""
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


def _parameters(model: LinearMixedModel) -> Mapping[str, float]:
    """Variances, the therapists' shares and the reciprocities of a fit."""
    between = next(iter(model.covariances().values())).to_numpy()
    pars = model.tidy(effects="ran_pars")
    residual = pars[pars["group"] == "Residual"].set_index("level")["estimate"]
    phi = float(pars.loc[pars["term"].str.startswith("phi__"), "estimate"].iloc[0])
    found: dict[str, float] = {}
    for i, source in enumerate(("client", "therapist")):
        found[f"{source}|therapist"] = float(between[i, i])
        found[f"{source}|dyad"] = float(residual[source] ** 2)
        found[f"{source}|share"] = float(between[i, i] / (between[i, i] + residual[source] ** 2))
    scale = np.sqrt(between[0, 0] * between[1, 1])
    defined = scale > 1e-10 * (residual["client"] * residual["therapist"])
    found["generalized reciprocity"] = (
        float(np.clip(between[0, 1] / scale, -1.0, 1.0)) if defined else np.nan
    )
    found["dyadic reciprocity"] = phi
    return found
