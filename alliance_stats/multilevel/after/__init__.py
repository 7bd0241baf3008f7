"""What one asks of a fitted model: means, contrasts, slopes, regions, tests, shares."""
