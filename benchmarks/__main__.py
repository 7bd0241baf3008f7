"""All side-by-side timings: ``python -m benchmarks`` (or ``make bench``)."""

import runpy

ROOMS = (
    "multilevel",
    "visits",
    "glmm",
    "families",
    "survival",
    "discrete_hazard",
    "panel",
    "reading",
    "power",
)

for room in ROOMS:
    print(f"== {room}")
    runpy.run_module(f"benchmarks.{room}", run_name="__main__")
