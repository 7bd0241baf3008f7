"""Published comparisons: recomputation, registry, meta-analysis."""
