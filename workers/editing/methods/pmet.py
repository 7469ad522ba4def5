"""PMET (Li et al., 2024, "PMET: Precise Model Editing in a Transformer"), with cached previous keys K_p.

Attention and MLP each get a δ of their own, optimised together; the weights are solved for the MLP's alone, so that the
MLP need not learn what attention would have done. The solve is MEMIT's.
"""

from __future__ import annotations

from workers.editing.model.anatomy import Site
from workers.editing.objective import Easing, Objective

OBJECTIVE = Objective(
    sites=(Site.DOWN_PROJECTION, Site.ATTENTION),
    easing=Easing(nll_weight=0.1, divergence=0.01),
)
"""Easing as in the released code."""
