"""The outcome model when dropout is informative: unobserved outcomes."""
