"""The outcome model when leaving is informative: what was not seen."""
