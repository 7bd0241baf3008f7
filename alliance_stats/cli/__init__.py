"""The `alliance-stats` command: check a table, start a study folder, recompute published values."""

from alliance_stats.cli.app import app

__all__ = ["app"]
