"""Run the command as ``python -m alliance_stats.cli``."""

from alliance_stats.cli.app import app

if __name__ == "__main__":
    app(prog_name="alliance-stats")
