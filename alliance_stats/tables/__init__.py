"""Tables as papers print them. Numbers become cells through formatting and nowhere else."""

from alliance_stats.tables.correlation_table import correlation_table
from alliance_stats.tables.group_table import group_table, sample_table
from alliance_stats.tables.model_table import model_table
from alliance_stats.tables.report_table import ReportTable
from alliance_stats.tables.tidy_table import tidy_table

__all__ = [
    "ReportTable",
    "correlation_table",
    "group_table",
    "model_table",
    "sample_table",
    "tidy_table",
]
