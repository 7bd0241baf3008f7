"""New columns and new shapes of a long table: data frames in, a new data frame out."""

from alliance_stats.transforms.future import whole_course_means
from alliance_stats.transforms.history import baseline, decompose, lag, running_mean
from alliance_stats.transforms.periods import (
    ENDING_CODES,
    last_session,
    person_period,
    session_origin,
)

__all__ = [
    "ENDING_CODES",
    "baseline",
    "decompose",
    "lag",
    "last_session",
    "person_period",
    "running_mean",
    "session_origin",
    "whole_course_means",
]
