"""Effects in studies: the two variances, estimated by the multilevel engine."""

import numpy as np
import pandas as pd

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.effects import Effects
from alliance_stats.multilevel import lmm

__all__ = ["estimate_components"]


def estimate_components(effects: Effects) -> tuple[dict[str, float], bool]:
    """Return the variance between studies and between a study's effects, by REML.

    ``y = X beta + u_study + w_effect + e`` with ``e`` of known variance ``v`` (Konstantopoulos
    2011, doi:10.1002/jrsm.35).

    Returns
    -------
    components, converged
        ``{"study": ..., "effect": ...}`` on the squared scale of the estimates.

    Raises
    ------
    NotIdentifiedError
        If there is one study, or no study has two effects.
    """
    assert effects.studies is not None
    sizes = np.bincount(effects.studies)
    if len(sizes) < 2:
        raise NotIdentifiedError(
            "All estimates come from one study, so nothing tells how studies differ. Leave "
            "study= out."
        )
    if sizes.max() < 2:
        raise NotIdentifiedError(
            "Every study has one estimate, so differences between studies cannot be told from "
            "those within. Leave study= out."
        )
    columns = [f"x{j}" for j in range(effects.X.shape[1])]
    frame = pd.DataFrame(effects.X, columns=columns).assign(
        y=effects.y, v=effects.v, study=effects.studies, effect=np.arange(len(effects.y))
    )
    formula = f"y ~ 0 + {' + '.join(columns)} + (1 | study) + (1 | effect)"
    model = lmm(formula, frame, known_variance="v")
    spread = model.tidy(effects="ran_pars").set_index("group")["estimate"]
    components = {level: float(spread[level]) ** 2 for level in ("study", "effect")}
    return components, bool(model.glance()["converged"].iloc[0])
