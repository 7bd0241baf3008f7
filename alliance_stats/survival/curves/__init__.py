"""Curves and tests without covariates."""
