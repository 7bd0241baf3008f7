"""The actor-partner interdependence model: what one's own and the other's x go with."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from alliance_stats.checks import require_columns
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.family.apim_model import APIM
from alliance_stats.family.dyads import POSITION, stack_dyads
from alliance_stats.multilevel import AR1, LinearMixedModel, VarianceBy, lmm

__all__ = ["apim"]


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
