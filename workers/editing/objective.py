"""What the gradient descent on a fact's δ moves, and when it is done, beyond what a preset says."""

from __future__ import annotations

from dataclasses import dataclass

from workers.editing.model.anatomy import Site


@dataclass(frozen=True, slots=True)
class Easing:
    """What changes for a fact whose object's tokens are the likeliest ones in every context.

    nll_weight: of its NLL, from the next step on. divergence: with a KL below this it is done.
    """

    nll_weight: float
    divergence: float


@dataclass(frozen=True, slots=True)
class Objective:
    """What the descent moves and when it ends.

    sites: where a δ is added; targets are those of the first. ``Site.BLOCK`` stands alone: what lies inside the block
        is not run again for it.
    easing: None to weigh the NLL alike in all steps.
    """

    sites: tuple[Site, ...] = (Site.BLOCK,)
    easing: Easing | None = None

    @property
    def solved_for(self) -> Site:
        """The site whose targets the weights are solved for."""
        return self.sites[0]


AT_THE_BLOCK = Objective()
"""One δ on the block's output, the NLL weighed alike in all steps (MEMIT)."""
