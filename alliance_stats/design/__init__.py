"""Formula and frame -> arrays: the one reader of formulas and rows, for models of every room."""
