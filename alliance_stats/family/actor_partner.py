"""The actor-partner interdependence model: what one's own and the other's x go with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Phrase, Section, html_of, summary_of
from alliance_stats.checks import (
    check_conf_level,
    check_frame,
    check_spelling,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
    require_present,
    units_with_several,
)
from alliance_stats.design.formula import Terms, column, formula_of, intercepts
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.family.family_members import Labels
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import (
    AR1,
    DfMethod,
    LikelihoodRatioTest,
    LinearMixedModel,
    VarianceBy,
    likelihood_ratio_test,
    lmm,
)
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed

__all__ = ["APIM", "Dyads", "apim", "read_dyads"]


@dataclass(frozen=True, slots=True, eq=False)
class Dyads:
    """Who belongs with whom, row by row.

    Attributes
    ----------
    codes
        Dyad of each row, as a number.
    position
        1 for the first and 2 for the second member of a dyad.
    partner
        Row of the partner, -1 where the partner has none.
    roles
        The two values of the member column, in order, where the dyads are distinguishable.
    """

    codes: npt.NDArray[np.int64]
    position: Array
    partner: npt.NDArray[np.intp]
    roles: tuple[str, ...]

    def partners(self, values: Array) -> Array:
        """Return the partner's value, NaN where there is no partner."""
        return np.where(self.partner >= 0, values[self.partner], np.nan)


def read_dyads(
    data: pd.DataFrame,
    *,
    dyad: str,
    member: str,
    distinguishable: bool,
    constant: Sequence[str] = (),
) -> Dyads:
    """Find every member's partner.

    Parameters
    ----------
    data
        A row a member of a dyad.
    dyad, member
        Ids of the dyad and, in it, of the member (where dyads are distinguishable: the role).
    distinguishable
        Whether `member` takes the same two values in every dyad.
    constant
        Columns that a dyad has as a whole.
    """
    require_present(data, dyad, why="to know who belongs together")
    require_present(data, member, why="to tell the members of a dyad apart")
    check_spelling(data[dyad], kind="dyad")
    check_spelling(data[member], kind="member", within=None if distinguishable else data[dyad])
    for shared in constant:
        several = units_with_several(data, unit=dyad, column=shared)
        if len(several):
            raise DataError(f"Column '{shared}' differs within '{dyad}' '{several[0]}'.")
    _refuse_more_than_two(data, dyad=dyad, member=member)
    codes, _ = group_codes(data[dyad])
    places, labels = group_codes(data[member].astype(str))
    roles: tuple[str, ...] = ()
    if distinguishable:
        if len(labels) != 2:
            raise DataError(
                f"Distinguishable dyads have two values of '{member}'; found "
                f"{', '.join(repr(v) for v in labels)}. Choose a pair of roles."
            )
        roles = (str(labels[0]), str(labels[1]))
        position = places.astype(np.float64) + 1.0
    else:
        position = pd.Series(codes).groupby(codes).cumcount().to_numpy(dtype=np.float64) + 1.0
    order = np.lexsort([position, codes])
    together = np.flatnonzero(codes[order][1:] == codes[order][:-1])
    partner = np.full(len(data), -1, dtype=np.intp)
    partner[order[together]] = order[together + 1]
    partner[order[together + 1]] = order[together]
    return Dyads(codes, position, partner, roles)


def _refuse_more_than_two(data: pd.DataFrame, *, dyad: str, member: str) -> None:
    twice = data.duplicated([dyad, member], keep=False).to_numpy()
    if twice.any():
        row = data.loc[twice].iloc[0]
        raise DataError(
            f"'{row[dyad]}' has several rows of '{row[member]}' ({describe_rows(twice, data.index)}"
            "). A dyad has one row a member: choose a session, or make dyad x session the dyad."
        )
    sizes = data.groupby(dyad, observed=True)[member].size()
    if (sizes > 2).any():
        big = sizes.index[sizes > 2][0]
        raise DataError(
            f"'{dyad}' '{big}' has {sizes[big]} members; a dyad has two. Choose a pair."
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class APIM:
    """A fitted actor-partner model. Made by :func:`~alliance_stats.family.apim`.

    Attributes
    ----------
    model
        The mixed model: coefficients ``<effect>`` (indistinguishable) or ``<effect>_<role>``.
    alternative
        The same data with the other assumption on distinguishability, where there are two roles.
    members
        The two roles, or an empty tuple where members cannot be told apart.
    predictors
        Names of the predictors.
    names
        ``(effect, predictor, role)`` -> column of the model; effect is mean, actor or partner.
    n_dyads
        Dyads with at least one row used.
    """

    model: LinearMixedModel
    alternative: LinearMixedModel | None
    members: tuple[str, ...]
    predictors: tuple[str, ...]
    names: dict[tuple[str, str, str], str]
    n_dyads: int

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.model.rows

    @property
    def residual_correlation(self) -> float:
        """Correlation of the two members' residuals, -1 to 1."""
        pars = self.model.tidy(effects="ran_pars")
        return float(pars.loc[pars["term"].str.startswith("phi__"), "estimate"].iloc[0])

    def tidy(
        self, *, df_method: DfMethod = "satterthwaite", conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return actor and partner effects, outcome points a point of the predictor.

        Columns ``effect`` (mean, actor, partner), ``predictor, role``, then those of
        :meth:`LinearMixedModel.tidy`.
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
        effects with their covariance. Where the actor effect is not clearly apart from zero k is
        not defined: its row then has NaN and ``defined`` is False.

        Parameters
        ----------
        seed, n_resamples
            Of the Monte Carlo.
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
        rng = np.random.default_rng(seed)
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
            If the dyads have no two roles.
        """
        if self.alternative is None:
            raise DataError(
                "The members of these dyads have no roles that could make a difference: name the "
                "column of roles with role=."
            )
        return likelihood_ratio_test(self.model, self.alternative)

    def glance(self) -> pd.DataFrame:
        """Return one row: the model's, with dyads and the residual correlation."""
        return self.model.glance().assign(
            n_dyads=self.n_dyads,
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
        """What a reader must know before the effects."""
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
        return Account(self.method, self.notes, sizes, (effects,), (correlation,), self.rows)

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
    value for each role (Kenny, Kashy & Cook 2006, Dyadic Data Analysis, ch. 7; fitted as
    generalised least squares, or with a random effect of the therapist).

    Parameters
    ----------
    data
        Long table, a row a member of a dyad; not changed.
    dyad
        Column of the dyad (unique over therapists).
    member
        Column of the role (two values) where distinguishable, else of anything that tells the two
        members apart.
    outcome, predictors
        Numeric columns; every predictor gets an actor and a partner effect.
    covariates
        Columns with one effect for all (the dyad's own, or the member's); of a text or category
        column each level but the first has one.
    therapist
        Column of the therapist, for a random effect above the dyads.
    distinguishable
        Whether roles may differ. With False and a `member` of exactly two values the test of
        distinguishability is still to be had.
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
        A predictor that is the same for both members.

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
    labels = Labels()
    y, named = labels.new(outcome), finite_or_missing(data, outcome)
    shared = _covariate_columns(data, covariates, labels)
    place, pair, role = labels.new("position"), labels.new(dyad), labels.new(member)
    frame = pd.DataFrame({y: named, **shared, place: dyads.position, pair: dyads.codes})
    frame[role] = data[member].astype(str).to_numpy(dtype=object)
    random = []
    if therapist is not None:
        above = labels.new(therapist)
        frame[above] = data[therapist].array
        random = [intercepts([above])]
    own = {x: finite_or_missing(data, x) for x in chosen}
    effects = {x: {"actor": v, "partner": dyads.partners(v)} for x, v in own.items()}
    apart, apart_names = _by_role(frame[role], effects, dyads.roles, labels)
    alike, alike_names = _pooled(effects, len(frame), labels)

    def fit(columns: Mapping[str, Array], *, varied: bool) -> LinearMixedModel:
        fixed = sum(map(column, (*columns, *shared)), Terms(()))
        correlated = AR1(place, within=pair)
        return lmm(
            formula_of(y, fixed, random),
            frame.assign(**columns),
            reml=reml,
            residual=[VarianceBy(role), correlated] if varied else correlated,
        )

    if distinguishable:
        model, names = fit(apart, varied=True), apart_names
        alternative: LinearMixedModel | None = fit(alike, varied=False)
    else:
        model, names = fit(alike, varied=False), alike_names
        alternative = fit(apart, varied=True) if two_roles else None
    _refuse_shared(model)
    needed = [named, *shared.values(), *alike.values()]
    used = np.isfinite(np.column_stack(needed)).all(axis=1)
    n_dyads = int(np.unique(dyads.codes[used]).size)
    return APIM(model, alternative, dyads.roles if distinguishable else (), chosen, names, n_dyads)


def _covariate_columns(
    data: pd.DataFrame, covariates: Sequence[str], labels: Labels
) -> dict[str, Array]:
    """Return covariates as columns: numbers as they are, a category's levels but the first."""
    columns: dict[str, Array] = {}
    for covariate in dict.fromkeys(covariates):
        values = data[covariate]
        if pd.api.types.is_numeric_dtype(values.dtype):
            columns[labels.new(covariate)] = finite_or_missing(data, covariate)
            continue
        check_spelling(values)
        codes, levels = group_codes(values)
        for number, level in enumerate(levels[1:], 1):
            own = np.where(codes < 0, np.nan, (codes == number).astype(np.float64))
            columns[labels.new(f"{covariate}[T.{level}]")] = own
    return columns


def _refuse_shared(model: LinearMixedModel) -> None:
    """Refuse a predictor that both members of every dyad share."""
    if model.design.fixed.aliased:
        raise NotIdentifiedError(
            f"Effects of {', '.join(model.design.fixed.aliased)} cannot be told from others. A "
            "predictor that is the same for both members of a dyad has no actor and partner "
            "effect of its own: give it with covariates=."
        )


Effects = Mapping[str, Mapping[str, Array]]
Names = dict[tuple[str, str, str], str]


def _by_role(
    member: pd.Series, effects: Effects, roles: tuple[str, ...], labels: Labels
) -> tuple[dict[str, Array], Names]:
    """Return columns that are a role's own and 0 for the other role, and their names."""
    columns: dict[str, Array] = {}
    names: Names = {}
    for role in roles:
        own: Array = (member == role).to_numpy(dtype=np.float64)
        names["mean", "", role] = labels.new(f"mean_{role}")
        columns[names["mean", "", role]] = own
        for x, kinds in effects.items():
            for effect, values in kinds.items():
                names[effect, x, role] = labels.new(f"{effect}_{x}_{role}")
                columns[names[effect, x, role]] = own * values
    return columns, names


def _pooled(effects: Effects, n: int, labels: Labels) -> tuple[dict[str, Array], Names]:
    """Return columns with one effect for both roles, and their names."""
    names: Names = {("mean", "", ""): labels.new("mean_")}
    columns = {names["mean", "", ""]: np.ones(n)}
    for x, kinds in effects.items():
        for effect, values in kinds.items():
            names[effect, x, ""] = labels.new(f"{effect}_{x}")
            columns[names[effect, x, ""]] = values
    return columns, names
