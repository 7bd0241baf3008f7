"""Two members who rate each other: actors and partners, one therapist with many clients."""

from alliance_stats.family.dyads.actor_partner import APIM, apim
from alliance_stats.family.dyads.one_with_many import OneWithMany, one_with_many

__all__ = ["APIM", "OneWithMany", "apim", "one_with_many"]
