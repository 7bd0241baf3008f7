"""Hazard models in continuous time."""
