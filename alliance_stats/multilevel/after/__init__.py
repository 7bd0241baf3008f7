"""What can be computed from a fitted model: means, contrasts, slopes, regions, tests, shares."""
