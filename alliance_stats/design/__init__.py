"""Formula and frame -> arrays: the shared reader of formulas and rows for all models."""
