"""The actor-partner interdependence model: what one's own and the other's x go with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.checks import check_conf_level, require_columns
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.family.dyads.dyad_members import POSITION, stack_dyads
from alliance_stats.formatting import format_bounded, format_interval, format_number, p_phrase
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

__all__ = ["APIM", "apim"]


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

    def k(
        self, *, seed: int, draws: int = 20_000, conf_level: float = 0.95, least: float = 1.96
    ) -> pd.DataFrame:
        """Return k = partner effect / actor effect, with a Monte Carlo interval.

        k is 1 for a couple pattern, 0 for actor only, -1 for a contrast (Kenny & Ledermann 2010,
        doi:10.1037/a0019651). The interval takes quantiles of the ratio over normal draws of both
        effects with their covariance. Where the actor effect is not clearly apart from zero k is
        not defined: its row then has NaN and ``defined`` is False.

        Parameters
        ----------
        seed, draws
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
                columns = [self.names[effect, predictor, role] for effect in ("actor", "partner")]
                mean, cov = beta[columns].to_numpy(), vcov.loc[columns, columns].to_numpy()
                defined = bool(abs(mean[0]) >= least * np.sqrt(cov[0, 0]))
                drawn = rng.multivariate_normal(mean, cov, size=draws, method="cholesky")
                low, high = np.quantile(drawn[:, 1] / drawn[:, 0], [alpha / 2, 1 - alpha / 2])
                values = [mean[1] / mean[0], low, high] if defined else [np.nan] * 3
                rows.append(
                    {
                        "predictor": predictor,
                        "role": role or None,
                        "actor": float(mean[0]),
                        "partner": float(mean[1]),
                        **dict(
                            zip(
                                ("estimate", "conf_low", "conf_high"),
                                map(float, values),
                                strict=True,
                            )
                        ),
                        "defined": defined,
                    }
                )
        return pd.DataFrame(rows)

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

    def summary(self) -> str:
        """Return the effects in words."""
        kind = "distinguishable by role" if self.members else "indistinguishable"
        lines = [f"Actor-partner interdependence model, dyads {kind}."]
        for row in self.tidy().itertuples():
            if row.effect != "mean":
                whose = f" ({row.role})" if row.role else ""
                lines.append(
                    f"{row.effect} effect of {row.predictor}{whose}: "
                    f"{format_number(row.estimate, 3)} "
                    f"{format_interval(row.conf_low, row.conf_high, 3)}, {p_phrase(row.p_value)}"
                )
        lines.append(f"Residual correlation {format_bounded(self.residual_correlation)}.")
        lines.append(str(self.rows))
        if not self.model.convergence.converged or self.model.singular:
            lines.insert(0, self.model.summary().split("\n\n")[0])
        return "\n".join(lines)


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
        Columns with one effect for all (the dyad's own, or the member's).
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
    """
    chosen = (predictors,) if isinstance(predictors, str) else tuple(predictors)
    roles = data[member].astype(str).unique() if member in data else []
    two_roles = len(roles) == 2
    frame, members = stack_dyads(
        data,
        dyad=dyad,
        member=member,
        outcome=outcome,
        predictors=chosen,
        distinguishable=distinguishable or two_roles,
        others=[therapist] if therapist is not None else [],
    )
    require_columns(data, covariates)
    frame = frame.assign(**{c: data[c].array for c in covariates})
    apart, apart_columns, apart_names = _by_role(frame, member, chosen, members)
    alike, alike_columns, alike_names = _pooled(frame, chosen)

    def fit(table: pd.DataFrame, columns: list[str], *, varied: bool) -> LinearMixedModel:
        terms = ["0", *columns, *covariates, *([f"(1 | {therapist})"] if therapist else [])]
        correlated = AR1(POSITION, within=dyad)
        return lmm(
            f"`{outcome}` ~ " + " + ".join(_quoted(terms)),
            table,
            reml=reml,
            residual=[VarianceBy(member), correlated] if varied else correlated,
        )

    if distinguishable:
        model, names = fit(apart, apart_columns, varied=True), apart_names
        alternative: LinearMixedModel | None = fit(alike, alike_columns, varied=False)
    else:
        model, names = fit(alike, alike_columns, varied=False), alike_names
        alternative = fit(apart, apart_columns, varied=True) if two_roles else None
    _refuse_shared(model)
    needed = [outcome, *covariates, *frame.columns[frame.columns.get_loc(POSITION) + 1 :]]
    n_dyads = int(frame.dropna(subset=list(dict.fromkeys(needed)))[dyad].nunique())
    return APIM(model, alternative, members if distinguishable else (), chosen, names, n_dyads)


def _refuse_shared(model: LinearMixedModel) -> None:
    """Refuse a predictor that both members of every dyad share."""
    if model.design.fixed.aliased:
        raise NotIdentifiedError(
            f"Effects of {', '.join(model.design.fixed.aliased)} cannot be told from others. A "
            "predictor that is the same for both members of a dyad has no actor and partner "
            "effect of its own: give it with covariates=."
        )


def _by_role(
    frame: pd.DataFrame, member: str, predictors: tuple[str, ...], members: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str], dict[tuple[str, str, str], str]]:
    """Columns that are a role's own and 0 for the other role."""
    table, names = frame.copy(), {}
    for role in members:
        own: Array = (frame[member].astype(str) == role).to_numpy(dtype=np.float64)
        names["mean", "", role] = f"mean_{role}"
        table[f"mean_{role}"] = own
        for x in predictors:
            for effect in ("actor", "partner"):
                names[effect, x, role] = f"{effect}_{x}_{role}"
                table[f"{effect}_{x}_{role}"] = own * frame[f"{effect}_{x}"]
    return table, list(names.values()), names


def _pooled(
    frame: pd.DataFrame, predictors: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str], dict[tuple[str, str, str], str]]:
    names = {("mean", "", ""): "mean_"}
    names |= {(e, x, ""): f"{e}_{x}" for x in predictors for e in ("actor", "partner")}
    return frame.assign(mean_=1.0), list(names.values()), names


def _quoted(terms: list[str]) -> list[str]:
    return [t if t == "0" or t.startswith("(1 |") else f"`{t}`" for t in terms]
