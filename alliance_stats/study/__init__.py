"""Reading and checking data: a long table that knows its roles, and its de-identified export."""

from alliance_stats.study.anonymity import IdKey
from alliance_stats.study.courses import ENDINGS
from alliance_stats.study.description import StudyDescription
from alliance_stats.study.participant_flow import ParticipantFlow, participant_flow
from alliance_stats.study.small_cells import small_cells, suppressed
from alliance_stats.study.study import Study

__all__ = [
    "ENDINGS",
    "IdKey",
    "ParticipantFlow",
    "Study",
    "StudyDescription",
    "participant_flow",
    "small_cells",
    "suppressed",
]
