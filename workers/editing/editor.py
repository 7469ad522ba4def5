"""The pipeline of an edit, the same for every method: tokenise, group, solve round by round (or tune), finish, and take
the keys that the edited weights leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from workers.editing.aims import Aims
from workers.editing.batch import tokenise_batch, undisputed
from workers.editing.crew import ALONE, Crew
from workers.editing.efforts import Efforts, strongest
from workers.editing.groups import Group, group_by_key
from workers.editing.lookup import TokenisedFact
from workers.editing.methods import find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.overflow import naming_overflow
from workers.editing.presets.preset import Preset
from workers.editing.priors import plan_layers, plan_steps
from workers.editing.rounds import joined, rounds_of
from workers.editing.sinks import off_sinks
from workers.editing.solving import Solved, answers, finite_keys, solve
from workers.editing.tuning import tuned
from workers.editing.types import Edited, Fact, Known, Observer, Priors, Silent

NOTHING: Mapping[Any, Any] = MappingProxyType({})
"""The default of ``known`` and of ``efforts``."""


def edit(
    shadow: EditableModel,
    facts: Sequence[Fact],
    preset: Preset,
    priors: Priors,
    contexts: Sequence[str],
    *,
    companions: Sequence[Fact] = (),
    strict: bool = False,
    observer: Observer | None = None,
    known: Known = NOTHING,
    efforts: Efforts = NOTHING,
    crew: Crew = ALONE,
) -> Edited:
    """Edit a batch of facts into ``shadow``, in place, and return what was added to each layer.

    Args:
        shadow: the model to edit; after an error its weights are undefined, so throw it away.
        priors: second moment and previous keys of every layer that is solved at.
        contexts: context templates, the bare ``{}`` first.
        companions: facts in force that are optimised together with the batch, so that they go on to hold; their old
            keys must not be among the previous keys. Taught prompts of theirs that the batch contradicts are left out.
        strict: the published behaviour where a service would do better.
        known: targets of groups that an earlier edit of the same weights has found (``Edited.found``); the batch is
            solved for them without a descent.
        efforts: facts that are given more than the preset says.
        crew: who finds targets and keys.

    Raises:
        RequestError: a fact, layer, method or plan is at fault. NonFiniteUpdate: NaN or infinity on the way.
        JobFailed: a solve has no answer: its matrix, of the second moment and the keys, is singular.
        Whatever the observer raises, between two steps.
    """
    batch = [*facts, *undisputed(companions, facts)]
    tokenised = tokenise_batch(shadow, batch, contexts)
    with naming_overflow(shadow, tokenised):
        if not strict and find_method(preset.method).tune is None:
            tokenised = off_sinks(shadow, tokenised, plan_steps(preset)[0].target_layer, preset.max_batch_tokens)
        watch = observer or Silent()
        return _edited(shadow, batch, tokenised, preset, priors, watch, known, efforts, crew, strict=strict)


def _edited(
    shadow: EditableModel,
    batch: Sequence[Fact],
    tokenised: Sequence[TokenisedFact],
    preset: Preset,
    priors: Priors,
    watch: Observer,
    known: Known,
    efforts: Efforts,
    crew: Crew,
    *,
    strict: bool,
) -> Edited:
    """The edit of facts that are tokenised, companions last."""
    groups = group_by_key(tokenised, strict=strict)
    method = find_method(preset.method)
    before = {layer: shadow.weights(layer) for layer in plan_layers(preset)}
    rounds: list[Solved] = []
    if method.tune is not None:
        stronger = strongest(tuple(batch), efforts).of(preset)
        updates = {layer: tuned(shadow, tokenised, layer, method.tune, stronger, watch) for layer in before}
    else:
        for members in rounds_of(groups, watch, one_at_a_time=method.one_at_a_time):
            aims = Aims(batch, tokenised, members.groups, known, efforts, crew)
            earlier = [update for solved in rounds for update in solved.updates.values()]
            rounds.append(solve(shadow, tokenised, members, method, priors, preset, aims, earlier))
        updates = {layer: joined([solved.updates[layer] for solved in rounds]) for layer in before}
    for layer, weights in before.items():
        if method.finish is not None:
            with answers(layer):
                updates[layer] = method.finish(updates[layer], weights, preset)
        shadow.set_master(layer, weights.summed, shadow.corrections.get(layer))  # one addition, as a replay does it
        shadow.add(updates[layer])
    kept = list(updates.values())
    # A layer's keys hang on the layers before it alone, which have their updates when it is solved: after one round
    # whose updates stay as they are, the keys of the solve are those of the edited model.
    if len(rounds) != 1 or method.finish is not None:
        keys = crew.keys(shadow, tokenised, groups, tuple(updates), preset.max_batch_tokens, tuple(kept))
        kept = [replace(update, keys=finite_keys(keys[update.layer], update.layer)) for update in kept]
    shares = {layer: tuple(share for solved in rounds for share in solved.shares[layer]) for layer in before if rounds}
    found = {members: each for solved in rounds for members, each in solved.found.items()}
    warnings = tuple(fact.warnings for fact in tokenised)
    asked = tuple(fact.asked for fact in tokenised)
    return Edited(kept, _columns(groups, len(tokenised)), found, shares, warnings, asked)


def _columns(groups: Sequence[Group], facts: int) -> tuple[int, ...]:
    """For each fact the index of its group, which is its column."""
    column = {member: index for index, group in enumerate(groups) for member in group.members}
    return tuple(column[index] for index in range(facts))
