"""Hazards by session: one ending or several, with random effects."""
