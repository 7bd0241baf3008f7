"""The door: data come in as a checked long table that knows its roles."""

from alliance_stats.study.courses import ENDINGS
from alliance_stats.study.description import StudyDescription
from alliance_stats.study.study import Study

__all__ = ["ENDINGS", "Study", "StudyDescription"]
