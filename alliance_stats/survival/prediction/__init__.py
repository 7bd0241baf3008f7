"""How well dropout is predicted, and the probability of it from here on."""
