"""One file a method: citation, equation, pure function. This is their registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from app.domain.errors import UnknownMethod
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.methods import alphaedit, ft_l, memit, pmet, prune, rect, rome
from workers.editing.methods.ft_l import TuningLoss
from workers.editing.model.updates import LayerWeights, WeightUpdate
from workers.editing.objective import AT_THE_BLOCK, Objective
from workers.editing.presets.preset import Preset
from workers.editing.types import LayerPrior

RightFactor = Callable[[Tensor, LayerPrior, Preset], Tensor]
Finish = Callable[[WeightUpdate, LayerWeights, Preset], WeightUpdate]
Leverage = Callable[[Tensor, LayerBase, Preset], Tensor]
Solvable = Callable[[LayerBase, Preset], bool]
Tune = Callable[[TuningLoss, Tensor, Preset], Tensor]


@dataclass(frozen=True, slots=True)
class Method:
    """How a batch becomes an update: by ``right_factor`` or by ``tune``.

    right_factor: (keys (d_in, n), prior, preset) -> (n, d_in), all float64; the update is residual @ right_factor.
    leverage: (keys (d_in, n), base, preset) -> (n,), q, where a lone key realises the share q / (ridge + q) of its
        residual; None where there is no ridge: ROME realises all of it.
    solvable: (base, preset) -> whether a solve at that layer can write anything; None: always.
    tune: (loss of a change, the weight's master (d_out, d_in), preset) -> the change; no targets, no solve, no prior.
    objective: what the descent to the targets moves, and when it ends.
    one_layer: whether it changes the last critical layer alone, whatever the plan.
    one_at_a_time: whether facts are written one after another, each under the weights that those before it left.
    history: whether its solve knows K_p, where a preset does not say.
    finish: (a layer's whole update, the layer before the batch, preset) -> the update that is applied in its place,
        once all layers are solved; None applies it as it is.
    """

    name: str
    right_factor: RightFactor | None = None
    leverage: Leverage | None = None
    solvable: Solvable | None = None
    tune: Tune | None = None
    objective: Objective = AT_THE_BLOCK
    one_layer: bool = False
    one_at_a_time: bool = False
    history: bool = True
    finish: Finish | None = None

    def respected(self, prior: LayerPrior, preset: Preset) -> LayerPrior:
        """What the solve must respect: the prior with its previous keys, or without."""
        history = self.history if preset.history is None else preset.history
        return prior if history else prior.without_previous_keys()


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "memit": Method("memit", memit.right_factor, memit.leverage),
        "alphaedit": Method("alphaedit", alphaedit.right_factor, alphaedit.leverage, alphaedit.solvable),
        "rect": Method("rect", memit.right_factor, memit.leverage, history=False, finish=rect.finish),
        "prune": Method("prune", memit.right_factor, memit.leverage, finish=prune.finish),
        "pmet": Method("pmet", memit.right_factor, memit.leverage, objective=pmet.OBJECTIVE),
        "rome": Method("rome", rome.right_factor, objective=rome.OBJECTIVE, one_layer=True, one_at_a_time=True),
        "ft-l": Method("ft-l", tune=ft_l.tune, one_layer=True),
    }
)


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        UnknownMethod: there is none.
    """
    try:
        return METHODS[name]
    except KeyError:
        raise UnknownMethod(f"methods are {', '.join(METHODS)}", field="method", value=name) from None
