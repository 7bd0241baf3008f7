"""Session to session: lagged effects between outcomes, and several outcomes at once."""

from alliance_stats.panel.cross_lagged import CrossLagged, cross_lagged
from alliance_stats.panel.several_outcomes import SeveralOutcomes, several_outcomes

__all__ = ["CrossLagged", "SeveralOutcomes", "cross_lagged", "several_outcomes"]
