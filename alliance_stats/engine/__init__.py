"""The multilevel engine: arrays only. Blocks, elimination, criterion, search, curvature."""
