"""Causal tracing (Meng et al. 2022, "Locating and Editing Factual Associations in GPT", §2): where a fact is recalled.

The subject's embeddings are disturbed by noise, so that the model no longer gives the object; then one hidden state of
the clean run at a time is put back. The indirect effect is by how much that brings the object's probability back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from workers.causal_tracing.recall import Recalled
from workers.editing.model.anatomy import attention
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.replacing import replacing

SIGMAS = 3.0
"""Standard deviation of the noise, in those of the subjects' embeddings."""

WINDOW = 5
"""MLP and attention outputs are put back in depth / WINDOW layers around each: those of one alone do little."""

MOST_ROWS = 128
"""Of one forward pass."""

Parts = Sequence[Sequence[int]]
"""Places in a prompt, those of one forward pass together."""


class Site(StrEnum):
    """What is put back."""

    BLOCK = "block"
    MLP = "mlp"
    ATTENTION = "attention"


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One fact. Probabilities of the answer's first token: clean, and with the subject disturbed.

    effects: by site (tokens, layers), the probability with that one state put back less the disturbed one.
    """

    fact: Recalled
    clean: float
    disturbed: float
    effects: Mapping[Site, Tensor]


class Tracer:
    """Traces facts of one model.

    samples: how often each state is put back, each time with other noise; the same noise for every state of a fact.
    """

    def __init__(self, editable: EditableModel, deviation: float, *, samples: int = 10, seed: int = 0) -> None:
        self._editable, self._deviation, self._samples, self._seed = editable, deviation, samples, seed

    @torch.inference_mode()
    def trace(self, fact: Recalled, number: int = 0) -> Trace:
        """All sites, tokens and layers of one fact. ``number``: of the fact, for its noise.

        Raises:
            UnsupportedArchitecture: a block has no attention of its own.
        """
        tokens = len(fact.ids)
        noise = self._noise(fact, number)
        clean, disturbed = self._probabilities(fact, noise, (), [0])
        step = max(1, (MOST_ROWS - 1) // self._samples)
        parts = [list(range(tokens))[start : start + step] for start in range(0, tokens, step)]
        effects = {site: self._brought_back(fact, noise, site, parts) - disturbed for site in Site}
        return Trace(fact, clean, disturbed, effects)

    @torch.inference_mode()
    def mlp_effects(self, fact: Recalled, number: int = 0) -> tuple[Tensor, float]:
        """The MLPs' effects (layers,) at the last subject token alone, as ``trace`` has them, in one pass a layer; and
        by how much the disturbance lowered the answer's probability."""
        noise = self._noise(fact, number)
        clean, disturbed = self._probabilities(fact, noise, (), [0])
        return self._brought_back(fact, noise, Site.MLP, [[fact.end - 1]])[0] - disturbed, clean - disturbed

    def _brought_back(self, fact: Recalled, noise: Tensor, site: Site, parts: Parts) -> Tensor:
        """The answer's probability (tokens, layers) with one state put back; the tokens are those of ``parts``."""
        modules = self._outputs(site)
        rows = [self._restored(fact, noise, modules, site, layer, parts) for layer in range(len(modules))]
        return torch.tensor(rows, dtype=torch.float64).T

    def _outputs(self, site: Site) -> list[nn.Module]:
        """The modules, by layer, whose outputs are put back."""
        model, anatomy = self._editable.model, self._editable.anatomy
        if site is Site.MLP:
            return [model.get_submodule(name) for name in anatomy.projections]
        return [attention(block) if site is Site.ATTENTION else block for block in anatomy.blocks]

    def _restored(
        self,
        fact: Recalled,
        noise: Tensor,
        modules: Sequence[nn.Module],
        site: Site,
        layer: int,
        parts: Parts,
    ) -> list[float]:
        """The answer's probability with the states of a layer put back, token by token."""
        around = window_around(layer, len(modules), site)
        chosen = modules[around.start : around.stop]
        return [found for part in parts for found in self._probabilities(fact, noise, chosen, part)[1:]]

    def _probabilities(
        self, fact: Recalled, noise: Tensor, restored: Sequence[nn.Module], places: Sequence[int]
    ) -> list[float]:
        """Of the clean row; then, for each place, the mean over the disturbed rows with its states put back."""
        editable, n = self._editable, self._samples
        ids = torch.tensor([fact.ids], device=editable.device).expand(1 + n * len(places), -1)
        rows = torch.arange(1, len(ids), device=editable.device)
        at = torch.tensor(places, device=editable.device).repeat_interleave(n)

        def disturb(states: Tensor) -> Tensor:
            states = states.clone()
            states[1:, fact.begin : fact.end] += noise.repeat(len(places), 1, 1).to(states.dtype)
            return states

        def put_back(states: Tensor) -> Tensor:
            states = states.clone()
            chosen, there = rows.to(states.device), at.to(states.device)
            states[chosen, there] = states[0, there]
            return states

        with ExitStack() as stack:
            stack.enter_context(replacing(editable.model.get_input_embeddings(), disturb))
            for module in restored:
                stack.enter_context(replacing(module, put_back))
            logits = editable.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
        found = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)[:, fact.answer].double()
        return [float(found[0]), *found[1:].view(len(places), n).mean(-1).tolist()]

    def _noise(self, fact: Recalled, number: int) -> Tensor:
        """(samples, subject tokens, hidden size), seeded by the fact's number."""
        embeddings: nn.Module = self._editable.model.get_input_embeddings()
        width = next(embeddings.parameters()).shape[-1]
        seeded = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        drawn = torch.randn(self._samples, fact.end - fact.begin, width, generator=seeded)
        return (SIGMAS * self._deviation * drawn).to(self._editable.device)


def window_around(layer: int, depth: int, site: Site) -> range:
    """The layers that are put back together for one."""
    width = 1 if site is Site.BLOCK else max(1, depth // WINDOW)
    start = max(0, layer - width // 2)
    return range(start, min(depth, layer - width // 2 + width))
