"""Results in sentences as papers print them, and the methods paragraph.

Every number is the result's own, written by :mod:`alliance_stats.formatting`.
"""

from alliance_stats.sentences.methods import bibliography, methods_paragraph
from alliance_stats.sentences.report import report

__all__ = ["bibliography", "methods_paragraph", "report"]
