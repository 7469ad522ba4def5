"""How far hidden states of other prompts move by edits, evenly spread and with BLUE (§5.4, figs. 7, 9 and 10)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from app.domain.errors import RequestError
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.editor import edit
from workers.editing.model.cut_pass import Reached, run_until_reached, watch_output
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.micro_batches import by_equal_length
from workers.editing.priors import plan_layers
from workers.editing.text.model_text import ModelText
from workers.experiments.analyses.plane import Plane, plane_of
from workers.experiments.analyses.workbench import Workbench
from workers.experiments.answers import Kept, answers
from workers.experiments.sequence import Heard
from workers.experiments.summary import Part

MOST_PROMPTS = 200
SEED = 0


class Moved(Kept):
    """One plan's states against the unedited model's.

    states: mean over prompts of ‖h' - h‖ / ‖h‖. centre: ‖mean h' - mean h‖ / mean ‖h‖, the shift of the whole cloud.
    kept: mean cosine between h' and h.
    """

    states: float
    centre: float
    kept: float


class Shift(Kept):
    """States at the last token of ``prompts`` prompts that nothing was taught of, after all facts were edited.

    layer: the last critical layer, whose states ``moved`` and ``plane`` are of; at_the_end: of the last block.
    plane: of "unedited" and of each plan. efficacy: of the edited facts: what is hardly written hardly shifts anything.
    """

    prompts: int
    layer: int
    moved: Mapping[str, Moved]
    at_the_end: Mapping[str, Moved]
    plane: Plane
    efficacy: Mapping[str, Part]


def shift(bench: Workbench, heard: Heard) -> Shift:
    """Edit all facts batch after batch, by MEMIT's own plan and by BLUE's; the same prompts before and after.

    Raises:
        RequestError: there are no other prompts. JobFailed, NonFiniteUpdate: as ``edit`` does.
    """
    rows = _rows(bench)
    if not rows:
        detail = "no prompt is left that nothing is taught of: give more records, or some with neighbours"
        raise RequestError(detail, field="facts")
    layers = (bench.layers[-1], bench.live.depth - 1)
    before = [last_states(bench.live, rows, layer) for layer in layers]
    after, efficacy = {}, {}
    for plan in bench.presets:
        heard(f"all facts are edited by plan {plan}")
        edited = in_sequence(bench, plan)
        after[plan] = [last_states(edited, rows, layer) for layer in layers]
        efficacy[plan] = _efficacy(bench, edited)
    return Shift(
        prompts=len(rows),
        layer=layers[0],
        moved={plan: moved(before[0], states[0]) for plan, states in after.items()},
        at_the_end={plan: moved(before[1], states[1]) for plan, states in after.items()},
        plane=plane_of({"unedited": before[0], **{plan: states[0] for plan, states in after.items()}}, SEED),
        efficacy=efficacy,
    )


def in_sequence(bench: Workbench, plan: str) -> EditableModel:
    """A shadow with all facts in it, batch after batch; K_p grows by each batch's keys (eq. 8)."""
    preset = bench.presets[plan]
    ridges = bench.priors.ridges(preset)
    previous: dict[int, PreviousKeys | None] = dict.fromkeys(plan_layers(preset))
    model = bench.live
    for part in bench.batches():
        priors = {layer: bench.priors.at(layer, known, ridges[layer]) for layer, known in previous.items()}
        model = model.shadow(plan_layers(preset))
        done = edit(model, bench.chosen.facts[part], preset, priors, bench.contexts)
        for update in done.updates:
            previous[update.layer] = priors[update.layer].previous_keys.append(update.keys)
    return model


def _efficacy(bench: Workbench, edited: EditableModel) -> Part:
    own = [replace(case, paraphrases=(), neighbours=()) for case in bench.chosen.cases]
    found = Part.of([(each.own,) for each in answers(edited, own)])
    assert found is not None
    return found


def moved(before: Tensor, after: Tensor) -> Moved:
    """Of states (prompts, d_out)."""
    norms = before.norm(dim=1)
    return Moved(
        states=float(((after - before).norm(dim=1) / norms).mean()),
        centre=float((after.mean(dim=0) - before.mean(dim=0)).norm() / norms.mean()),
        kept=float(torch.cosine_similarity(after, before, dim=1).mean()),
    )


@torch.inference_mode()
def last_states(editable: EditableModel, rows: Sequence[Sequence[int]], layer: int) -> Tensor:
    """What a block gives at the last token of each row, (rows, d_out), float64, on the CPU."""
    found = torch.empty(len(rows), editable.hidden_size, dtype=torch.float64)
    for members in by_equal_length([len(row) for row in rows], max_batch_tokens=8192):
        ids = torch.tensor([list(rows[index]) for index in members], device=editable.device)

        def see(states: Tensor, members: Sequence[int] = members) -> None:
            found[members] = states.reshape(len(members), -1, states.shape[-1])[:, -1].double().cpu()
            raise Reached

        run_until_reached(editable.model, ids, [watch_output(editable.block(layer), see)])
    return found


def _rows(bench: Workbench) -> list[list[int]]:
    """Token ids of prompts of other records, then of neighbours; at most ``MOST_PROMPTS``, drawn by a fixed seed."""
    words, window = ModelText.of(bench.live.tokenizer), bench.live.window
    cases = bench.chosen.cases
    taught = {prompt for case in cases for prompt in (case.prompt, *case.paraphrases)}
    neighbours = (prompt for case in cases for prompt, _ in case.neighbours)
    prompts = [prompt for prompt in dict.fromkeys((*bench.chosen.others, *neighbours)) if prompt not in taught]
    random.Random(SEED).shuffle(prompts)  # noqa: S311 - an order
    rows = (list(words.encode(prompt).ids) for prompt in prompts)
    return [row for row in rows if 0 < len(row) <= window][:MOST_PROMPTS]
