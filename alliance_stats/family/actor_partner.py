"""The actor-partner interdependence model: outcomes related to one's own and the other's x."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Phrase, Section, html_of, summary_of
from alliance_stats.checks import (
    check_conf_level,
    check_frame,
    finite_or_missing,
    group_codes,
    require_columns,
)
from alliance_stats.design.rows import check_categories, complete_rows
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.family.family_members import Dyads, Labels, read_dyads
from alliance_stats.family.paired_ratings import PairedModel, Pairs, fit_pairs, ratio_test
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LikelihoodRatioTest
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of

__all__ = ["APIM", "apim"]

Names = dict[tuple[str, str, str], str]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class APIM:
    """A fitted actor-partner model. Returned by :func:`~alliance_stats.family.apim`.

    Attributes
    ----------
    model
        The model of both members' outcomes: coefficients ``<effect>`` (indistinguishable) or
        ``<effect>_<role>``; its ``tidy(effects="ran_pars")`` has the SDs and the correlation.
    other
        The same data under the other assumption on distinguishability, where there are two roles.
    members
        The two roles, or an empty tuple where members are indistinguishable.
    predictors
        Names of the predictors.
    names
        ``(effect, predictor, role)`` -> column of the model; effect is mean, actor or partner.
    n_dyads
        Dyads with at least one row used.
    """

    model: PairedModel
    other: Pairs | None
    members: tuple[str, ...]
    predictors: tuple[str, ...]
    names: Names
    n_dyads: int

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Ledger of the rows used and set aside."""
        return self.model.rows

    @property
    def residual_correlation(self) -> float:
        """Correlation of the two members' residuals, -1 to 1."""
        return self.model.correlation

    def tidy(
        self,
        *,
        df_method: Literal["satterthwaite", "normal"] = "satterthwaite",
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return actor and partner effects, outcome points per point of the predictor.

        Columns ``effect`` (mean, actor, partner), ``predictor, role, term, estimate, std_error,
        statistic, df, p_value, conf_low, conf_high``; t with Satterthwaite's df, or z
        (``df_method="normal"``).
        """
        fixed = self.model.tidy(df_method=df_method, conf_level=conf_level)
        fixed = fixed.set_index("term")
        numbers = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]
        rows = [
            {
                "effect": effect,
                "predictor": predictor or None,
                "role": role or None,
                "term": column,
                **fixed.loc[column, numbers].to_dict(),
            }
            for (effect, predictor, role), column in self.names.items()
        ]
        return pd.DataFrame(rows)

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of means and effects, labelled by ``term``."""
        terms = list(self.names.values())
        return self.model.vcov().loc[terms, terms]

    @renamed(draws="n_resamples")
    def k(
        self,
        *,
        seed: Seed,
        n_resamples: int = 20_000,
        conf_level: float = 0.95,
        least: float = 1.96,
    ) -> pd.DataFrame:
        """Return k = partner effect / actor effect, with a Monte Carlo interval.

        k is 1 for a couple pattern, 0 for actor only, -1 for a contrast (Kenny & Ledermann 2010,
        doi:10.1037/a0019651). The interval takes quantiles of the ratio over normal draws of both
        effects with their covariance. Where the actor effect is not clearly different from zero, k
        is undefined: its row then has NaN and ``defined`` is False.

        Parameters
        ----------
        seed, n_resamples
            Seed and number of the Monte Carlo draws.
        conf_level
            Coverage of the interval.
        least
            How many standard errors the actor effect must be from zero for k to be given.

        Returns
        -------
        DataFrame
            ``predictor, role, actor, partner, estimate, conf_low, conf_high, defined``.
        """
        alpha = 1.0 - check_conf_level(conf_level)
        rng = generator_of(seed)
        beta, vcov = self.model.beta, self.model.vcov()
        rows = []
        for predictor in self.predictors:
            for role in self.members or ("",):
                pair = [self.names[effect, predictor, role] for effect in ("actor", "partner")]
                mean, cov = beta[pair].to_numpy(), vcov.loc[pair, pair].to_numpy()
                defined = bool(abs(mean[0]) >= least * np.sqrt(cov[0, 0]))
                drawn = rng.multivariate_normal(mean, cov, size=n_resamples, method="cholesky")
                low, high = np.quantile(drawn[:, 1] / drawn[:, 0], [alpha / 2, 1 - alpha / 2])
                values = (mean[1] / mean[0], low, high) if defined else (np.nan, np.nan, np.nan)
                rows.append((predictor, role or None, *mean, *values, defined))
        columns = ["predictor", "role", "actor", "partner", "estimate", "conf_low", "conf_high"]
        return pd.DataFrame(rows, columns=[*columns, "defined"])

    def distinguishability(self) -> LikelihoodRatioTest:
        """Test whether the two roles differ in mean, effects or residual variance.

        Likelihood-ratio test of the two models by maximum likelihood, given the predictors (whose
        own means and variances are not part of it).

        Raises
        ------
        DataError
            If the dyads do not have two roles.
        """
        if self.other is None:
            raise DataError(
                "The members of these dyads have no roles that could make a difference: name the "
                "column of roles with role=."
            )
        other = fit_pairs(self.other, reml=self.model.reml)
        small, large = (other, self.model) if self.members else (self.model, other)
        return ratio_test(small, large, ("members alike", "members told apart by role"))

    def glance(self) -> pd.DataFrame:
        """Return one row: the model's, with dyads and the residual correlation."""
        return self.model.glance().assign(
            distinguishable=bool(self.members),
            residual_correlation=self.residual_correlation,
        )

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        kind = "distinguishable by role" if self.members else "indistinguishable"
        return f"Actor-partner interdependence model, dyads {kind}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the effects."""
        return self.model.notes

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the effects as data."""
        tidy = self.tidy(conf_level=conf_level)
        tidy = tidy[tidy["effect"] != "mean"]
        effects = Section(
            "Effect",
            tidy.assign(
                effect=[
                    Phrase("{} effect of {}", (row.effect, row.predictor))
                    for row in tidy.itertuples()
                ]
            ),
            names=("effect", "role"),
            measure="b",
            conf_level=conf_level,
        )
        correlation = Phrase("Residual correlation {}.", ((self.residual_correlation, "bounded"),))
        sizes = {"rows": self.rows.n_used, "pairs": self.n_dyads}
        return Account(
            self.method,
            self.notes,
            sizes,
            (effects,),
            (correlation,),
            self.rows,
            sources=("cook2005",),
        )

    summary = summary_of
    _repr_html_ = html_of


def apim(
    data: pd.DataFrame,
    *,
    dyad: str,
    member: str,
    outcome: str,
    predictors: str | Sequence[str],
    covariates: Sequence[str] = (),
    therapist: str | None = None,
    distinguishable: bool = True,
    reml: bool = True,
) -> APIM:
    """Fit the actor-partner interdependence model.

    ``y_i = mean + a x_i + p x_j + e_i`` for the two members i, j of a dyad; residuals correlate
    (-1 to 1) and, where members are distinguishable, every effect and the residual variance has a
    value for each role (Kenny, Kashy & Cook 2006, Dyadic Data Analysis, ch. 7; the two members are
    two outcomes in one likelihood, with a random effect of the therapist above them if requested).

    Parameters
    ----------
    data
        Long table, one row per member of a dyad; not changed.
    dyad
        Column of the dyad (unique over therapists).
    member
        Column of the role (two values) where distinguishable, else of anything that distinguishes
        the two members.
    outcome, predictors
        Numeric columns; every predictor gets an actor and a partner effect.
    covariates
        Columns with one effect for all (the dyad's own, or the member's); in a text or category
        column, each level but the first has one.
    therapist
        Column of the therapist, for a random effect above the dyads.
    distinguishable
        Whether roles may differ. With False and a `member` of exactly two values the test of
        distinguishability is still available.
    reml
        Restricted or ordinary maximum likelihood.

    Returns
    -------
    APIM
        ``tidy()``, ``k(seed=)``, ``distinguishability()``, ``glance()``, ``summary()``, ``rows``. A
        member without outcome or with a missing own or partner's predictor is set aside and
        counted; the other member stays.

    Raises
    ------
    DataError
        A dyad with more than two rows or two of one role; more than two roles; a therapist that
        differs in a dyad.
    NotIdentifiedError
        A predictor that is the same for both members; one therapist, or one dyad per therapist;
        outcomes that the predictors or the partner's outcome determine.

    Examples
    --------
    >>> from alliance_stats import apim, example_study
    >>> sessions = example_study().sessions
    >>> couples = sessions.query("session == 1 and role != 'child' and role != 'partner'")
    >>> model = apim(
    ...     couples, dyad="family", member="role", outcome="symptoms", predictors="alliance"
    ... )
    >>> model.tidy()[["term", "estimate", "std_error"]].round(2).head(4)
                          term  estimate  std_error
    0              mean_father     63.35       6.55
    1    actor_alliance_father     -1.81       1.46
    2  partner_alliance_father      0.75       1.31
    3              mean_mother     73.53       7.20
    """
    data = check_frame(data)
    chosen = (predictors,) if isinstance(predictors, str) else tuple(predictors)
    require_columns(data, [dyad, member, outcome, *chosen, therapist, *covariates])
    two_roles = data[member].astype(str).nunique() == 2
    dyads = read_dyads(
        data,
        dyad=dyad,
        member=member,
        distinguishable=distinguishable or two_roles,
        constant=[therapist] if therapist is not None else [],
    )
    own = {x: finite_or_missing(data, x) for x in chosen}
    shared = _covariate_columns(data, covariates)
    rows = _used_rows(data, dyads, outcome=outcome, own=own, shared=shared, therapist=therapist)
    made = {
        bool(roles): _pairs(dyads, roles, own, shared, rows)
        for roles in dict.fromkeys([(), dyads.roles])
    }
    found, names = made[distinguishable]
    _refuse_shared(found)
    model = fit_pairs(found, reml=reml)
    other = made.get(not distinguishable)
    return APIM(
        model, None if other is None else other[0], found.sides, chosen, names, found.y.shape[1]
    )


class _Rows(NamedTuple):
    """The outcome where a row is used, by member and dyad; the therapists; the ledger."""

    y: Array
    therapist: str | None
    units: Integers
    ledger: RowLedger


def _used_rows(
    data: pd.DataFrame,
    dyads: Dyads,
    *,
    outcome: str,
    own: Mapping[str, Array],
    shared: Mapping[str, Array],
    therapist: str | None,
) -> _Rows:
    """Set aside rows that lack the outcome, a predictor of either member or a covariate."""
    labels = Labels()
    needed = {labels.new(outcome): finite_or_missing(data, outcome)}
    for x, values in own.items():
        theirs = dyads.side_by_side(values)[1 - dyads.position, dyads.codes]
        needed |= {labels.new(x): values, labels.new(f"partner's {x}"): theirs}
    needed |= {labels.new(name): values for name, values in shared.items()}
    frame = pd.DataFrame(needed)
    levels = {}
    if therapist is not None:
        above = labels.new(therapist)
        frame[above] = data[therapist].array
        levels = {therapist: (above,)}
    used, ledger = complete_rows(frame, list(frame), levels)
    y = dyads.side_by_side(
        np.where(frame.index.isin(used.index), next(iter(needed.values())), np.nan)
    )
    units = np.zeros(y.shape[1], dtype=np.int64)
    if therapist is not None:
        units[dyads.codes[used.index]] = group_codes(used[above])[0]
    return _Rows(y, therapist, units, ledger)


def _pairs(
    dyads: Dyads,
    roles: tuple[str, ...],
    own: Mapping[str, Array],
    shared: Mapping[str, Array],
    rows: _Rows,
) -> tuple[Pairs, Names]:
    """Return what is fitted: a mean, an actor and a partner effect for all, or for each role."""
    labels, names, columns = Labels(), {}, []
    covariates = [dyads.side_by_side(values) for values in shared.values()]
    terms = [labels.new(name) for name in shared]
    effects: list[tuple[str, str, Array]] = [("mean", "", np.ones_like(rows.y))]
    for x, values in own.items():
        mine = dyads.side_by_side(values)
        effects += [("actor", x, mine), ("partner", x, mine[::-1])]
    for side, role in enumerate(roles or ("",)):
        mask = (np.arange(2) == side)[:, None] if roles else np.ones((2, 1))
        for effect, x, values in effects:
            words = [effect, *([x] if x else []), *([role] if roles else [])]
            names[effect, x, role] = labels.new(
                "_".join(map(str, words)) if len(words) > 1 else "mean_"
            )
            columns.append(np.nan_to_num(values) * mask)
    kept = np.isfinite(rows.y).any(axis=0)
    pairs = Pairs(
        y=rows.y[:, kept],
        columns=np.array([*columns, *map(np.nan_to_num, covariates)])[:, :, kept],
        terms=(*names.values(), *terms),
        sides=roles,
        above=rows.therapist,
        units=rows.units[kept],
        effects=("(Intercept)",),
        rows=rows.ledger,
    )
    return pairs, names


def _covariate_columns(data: pd.DataFrame, covariates: Sequence[str]) -> dict[str, Array]:
    """Return covariates as columns: numbers as they are, a category's levels except the first."""
    columns: dict[str, Array] = {}
    labels = Labels()
    for covariate in dict.fromkeys(covariates):
        values = data[covariate]
        if pd.api.types.is_numeric_dtype(values.dtype):
            columns[labels.new(covariate)] = finite_or_missing(data, covariate)
            continue
        check_categories(values)
        codes, levels = group_codes(values)
        for number, level in enumerate(levels[1:], 1):
            own = np.where(codes < 0, np.nan, (codes == number).astype(np.float64))
            columns[labels.new(f"{covariate}[T.{level}]")] = own
    return columns


def _refuse_shared(pairs: Pairs) -> None:
    """Refuse a predictor that both members of every dyad share."""
    rated = np.isfinite(pairs.y).any(axis=1).all()
    if rated and pairs.undetermined:
        raise NotIdentifiedError(
            f"Effects of {', '.join(pairs.undetermined)} cannot be told from others. A "
            "predictor that is the same for both members of a dyad has no actor and partner "
            "effect of its own: give it with covariates=."
        )
