"""All side-by-side timings: ``python -m benchmarks`` (or ``make bench``)."""

import runpy

for room in ("multilevel", "visits", "glmm", "survival", "discrete_hazard", "panel", "reading"):
    print(f"== {room}")
    runpy.run_module(f"benchmarks.{room}", run_name="__main__")
