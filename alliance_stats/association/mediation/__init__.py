"""Mediation: indirect and direct effects, on one level and on two, and natural effects."""

from alliance_stats.association.mediation.hazard_outcome import HazardOutcome
from alliance_stats.association.mediation.mediation import indirect_path, mediation
from alliance_stats.association.mediation.mediation_result import Mediation

__all__ = ["HazardOutcome", "Mediation", "indirect_path", "mediation"]
