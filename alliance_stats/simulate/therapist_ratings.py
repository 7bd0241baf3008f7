"""The therapist's rating of the alliance with each member: one with many, both ways."""

import math

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.simulate.levels import Levels
from alliance_stats.simulate.naming import plain_terms
from alliance_stats.simulate.truth import SCORE_DECIMALS, SCORE_RANGE, AllianceTruth
from alliance_stats.simulate.units import Units

__all__ = ["draw_therapist_ratings"]


def draw_therapist_ratings(
    units: Units,
    levels: Levels,
    truth: AllianceTruth,
    *,
    n_sessions: int,
    rng: np.random.Generator,
) -> Array:
    """Draw the therapist's rating of every member at every session, shape (persons, sessions).

    None is missing. Each part of it goes with the part of the members' own alliance at the same
    level as the reciprocities of ``truth.by_therapist`` say.
    """
    own, members = truth.by_therapist, plain_terms(truth)
    across, within = own.generalized_reciprocity, own.dyadic_reciprocity
    therapist = own.sd_therapist * _returned(
        levels.therapist, members["sd__therapist"], across, rng
    )
    family = own.sd_family * _returned(levels.family, members["sd__family"], within, rng)
    person = own.sd_person * _returned(levels.person, truth.sd_person, within, rng)
    stable = person + (family + therapist[units.therapist_of])[units.family_of]
    session = np.arange(1, n_sessions + 1)
    noise = own.sd_residual * rng.standard_normal((len(stable), n_sessions))
    raw = own.intercept + own.session * session + stable[:, None] + noise
    ratings: Array = np.clip(raw.round(SCORE_DECIMALS), *SCORE_RANGE)
    return ratings


def _returned(part: Array, sd: float, correlation: float, rng: np.random.Generator) -> Array:
    """Draw effects of SD 1 with the stated correlation with `part`, whose SD is `sd`."""
    fresh = rng.standard_normal(len(part))
    if sd == 0.0:  # nothing there to go with
        return fresh
    returned: Array = correlation * part / sd + math.sqrt(1.0 - correlation**2) * fresh
    return returned
