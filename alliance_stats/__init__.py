"""Statistics of the therapeutic alliance in nested treatment."""

__version__ = "0.1.0"
