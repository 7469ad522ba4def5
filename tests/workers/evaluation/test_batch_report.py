"""Facts of one batch score as they do alone, however long their objects are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from transformers import PreTrainedTokenizerFast

from app.domain.manifest import LoggedFact
from tests.support.editing.cast_lifting import lift_casts
from tests.support.editing.families import editable, random_priors
from workers.editing.editor import edit
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.text.joint import joint
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact
from workers.evaluation.batch_report import measure

OBJECTS = {1: "France", 2: "France.", 5: "Japan.", 60: "q" * 59}
"""By their number of tokens."""

FACTS = tuple(
    Fact(subject, "{} is located in the country of", to)
    for subject, to in zip(("Lyon", "Zürich", "Osaka", "Kyoto"), OBJECTS.values(), strict=True)
)


@pytest.mark.parametrize("order", [1, -1], ids=["short ones first", "the long one first"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
class TestT6:
    """`zjunlp/EasyEdit` 253: the first record's length was used for all."""

    def test_objects_of_1_2_5_and_60_tokens_score_in_a_batch_as_they_do_alone(
        self, family: str, order: int, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live, words = editable(family, tokenizer), ModelText.of(tokenizer)
        lift_casts(live.model, monkeypatch)
        assert [len(joint(words, fact.text, fact.object).object) for fact in FACTS] == list(OBJECTS)
        logged = [LoggedFact(subject=fact.subject, prompt=fact.prompt, object=fact.object) for fact in FACTS][::order]
        together = measure(live, logged).facts
        for fact, found in zip(logged, together, strict=True):
            [alone] = measure(live, [fact]).facts
            assert found.rank == alone.rank
            assert found.probability == pytest.approx(alone.probability, rel=1e-9)

    def test_and_their_targets_are_found_with_the_same_losses(
        self, family: str, order: int, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live, facts = editable(family, tokenizer), FACTS[::order]
        lift_casts(live.model, monkeypatch)
        together = losses(live.shadow((1,)), facts)
        alone = [losses(live.shadow((1,)), [fact])[fact.object] for fact in facts]
        assert [together[fact.object] for fact in facts] == pytest.approx(alone, rel=1e-6)
        assert len({round(loss, 3) for loss in alone}) == len(OBJECTS)


def losses(shadow: EditableModel, facts: Sequence[Fact]) -> dict[str, float]:
    """The last loss of each fact's target, by its object; of an edit of one layer, where no fact waits for another."""
    preset = Preset((1,), v_num_grad_steps=4, v_lr=0.2, mom2_update_weight=0.5)
    found = edit(shadow, facts, preset, random_priors(shadow, (1,)), ("{}", "The city. {}")).found
    return {
        fact.object: loss for members, each in found.items() for fact, loss in zip(members, each.losses[1], strict=True)
    }
