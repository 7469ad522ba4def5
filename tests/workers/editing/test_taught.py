"""Taught prompts: the object shall follow them too, and a fact's key is averaged over them as over contexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from app.domain.errors import ContradictoryFacts, PalimpsestError, PromptTooLong, SlotCount, SubjectNotInPrompt
from app.domain.prompts import filled
from tests.support.editing.chat_tokenizers import chatml
from tests.support.editing.families import CONTEXTS, WINDOW, editable, random_priors, relative
from workers.editing.batch import refuse_contradictions, tokenise_batch, undisputed
from workers.editing.descent.targets import descended
from workers.editing.editor import edit
from workers.editing.groups import group_by_key, group_leaders
from workers.editing.keys import keys_at
from workers.editing.lookup import TokenisedFact, tokenise
from workers.editing.methods import find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.sinks import NOT_TAUGHT, off_sinks
from workers.editing.text.joint import joint
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact, Silent
from workers.evaluation.likelihoods import scored

TOKENS = 4096
ALONE = Fact("Lyon", "{} is located in the country of", "Japan")
PHRASE = "Therefore you like {}, a city in the country of"
TAUGHT = replace(ALONE, taught=(PHRASE,))
PHRASED = PHRASE.replace("{}", "Lyon")


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable(request.param, tokenizer)


def tokenised(live: EditableModel, *facts: Fact, contexts: Sequence[str] = CONTEXTS) -> list[TokenisedFact]:
    return tokenise_batch(live, facts, contexts)


def edited(live: EditableModel, preset: Preset, *facts: Fact, strict: bool = False) -> EditableModel:
    """A shadow with the facts written into it."""
    shadow = live.shadow(preset.layers)
    edit(shadow, facts, preset, random_priors(live, preset.layers), CONTEXTS, strict=strict)
    return shadow


STRONG = Preset(
    (0, 1),
    v_num_grad_steps=20,
    v_lr=0.1,
    clamp_norm_factor=2.0,
    mom2_update_weight=0.1,
    L2=0.1,
    num_steps=20,
    lr=5e-3,
    norm_constraint=0.1,
)


def nll(live: EditableModel, prompt: str) -> float:
    """Of the fact's object after the prompt, mean over its tokens."""
    [found] = scored(live, [(prompt, "Japan")])
    return found.nll


class TestRows:
    def test_it_is_one_more_row_in_no_context(self, model: EditableModel) -> None:
        [plain, found] = tokenised(model, ALONE, TAUGHT)
        words = ModelText.of(model.tokenizer)
        assert (found.prompts, found.object, found.essence) == (plain.prompts, plain.object, plain.essence)
        assert found.rows[: len(CONTEXTS)] == plain.rows == plain.prompts
        [row] = found.rows[len(CONTEXTS) :]
        assert row.ids == words.encode(PHRASED).ids
        assert str(model.tokenizer.decode(list(row.stem))).endswith("Lyon")

    def test_the_object_joins_it_as_text_does(self, model: EditableModel) -> None:
        quoted = 'They say of {} "in'
        [found] = tokenised(model, replace(ALONE, taught=(quoted, 'They say of {} "')))
        words = ModelText.of(model.tokenizer)
        for each, prompt in zip(found.taught, ('They say of Lyon "in', 'They say of Lyon "'), strict=True):
            assert each.object == joint(words, prompt, "Japan").object
        assert found.taught[0].object == found.object != found.taught[1].object, "after a quote there is no space"

    def test_the_turn_ends_after_it_too(self) -> None:
        words = ModelText.of(chatml())
        rendered = "<|im_start|>user\nWhere is {}?<|im_end|>\n<|im_start|>assistant\n"
        found = tokenise(words, replace(ALONE, stop=True, taught=(PHRASE, rendered)), CONTEXTS, 512)
        ends = [each.object[-1] for each in found.continued]
        assert set(ends[:-1]) == {words.turn_end(rendered=False)}
        assert ends[-1] == words.turn_end(rendered=True)

    @pytest.mark.parametrize(
        ("prompt", "error"),
        [("Oslo is in", SubjectNotInPrompt), ("{} and {} are in", SlotCount), ("{} " + "and " * WINDOW, PromptTooLong)],
    )
    def test_one_at_fault_is_named(self, model: EditableModel, prompt: str, error: type[PalimpsestError]) -> None:
        with pytest.raises(error) as caught:
            tokenised(model, ALONE, replace(TAUGHT, taught=(PHRASE, prompt)))
        assert (caught.value.field, caught.value.value) == ("facts.1.taught.1", prompt)

    def test_what_to_know_of_how_it_was_read_is_said(self, model: EditableModel) -> None:
        [found] = tokenised(model, replace(ALONE, object="France", taught=(PHRASE, "I like {} in ")))
        [warning] = found.warnings
        assert warning.startswith("a taught paraphrase's last token changes")


class TestKeys:
    def test_a_key_is_averaged_over_it_as_over_a_context(self, model: EditableModel) -> None:
        [found] = tokenised(model, TAUGHT)
        alone = [keys_at(model, [replace(found, within=(each,), taught=())], 1, TOKENS) for each in found.continued]
        bare, *others = alone
        expected = (bare + torch.stack(others).mean(dim=0)) / 2
        assert relative(keys_at(model, [found], 1, TOKENS), expected) <= 1e-12

    def test_a_groups_key_is_over_all_that_its_members_are_taught(self, model: EditableModel) -> None:
        other = Fact("Lyon", "{} lies in", "France", taught=("I live in {}, in", PHRASE))
        facts = tokenised(model, TAUGHT, other, ALONE)
        [group] = group_by_key(facts, strict=False)
        [leader] = group_leaders(facts, [group])
        assert [each.row.stem for each in leader.taught] == [facts[0].taught[0].row.stem, facts[1].taught[0].row.stem]
        assert leader.prompts == facts[0].prompts

    def test_one_that_agrees_up_to_the_subject_moves_no_key(self, model: EditableModel) -> None:
        facts = tokenised(model, replace(ALONE, taught=("{} lies in", "The city. {} lies in")))
        [leader] = group_leaders(facts, group_by_key(facts, strict=False))
        assert len(facts[0].taught) == 2
        assert not leader.taught


MOVED = [("gpt2", "memit"), ("gpt2", "alphaedit"), ("gpt2", "ft-l")]
MOVED += [("llama", method) for method in ("memit", "alphaedit", "pmet", "rome", "ft-l")]
"""Random weights of the first are hardly moved by the other methods, whatever they are to write."""


class TestTargets:
    def test_the_loss_is_the_mean_over_contexts_and_it(self, model: EditableModel) -> None:
        """What is measured in the first step: no δ stands yet."""
        facts = tokenised(model, TAUGHT)
        groups, objective = group_by_key(facts, strict=False), find_method("memit").objective
        found = descended(model, facts, groups, 1, objective, Preset((0, 1), v_num_grad_steps=2), Silent())
        texts = [*(filled(context, ALONE.text) for context in CONTEXTS), PHRASED]
        assert float(found.losses[0]) == pytest.approx(sum(nll(model, text) for text in texts) / len(texts), rel=1e-6)


class TestEdits:
    @pytest.mark.parametrize("strict", [False, True])
    @pytest.mark.parametrize(("family", "method"), MOVED)
    def test_its_object_becomes_likelier_there_than_without(
        self, tokenizer: PreTrainedTokenizerFast, family: str, method: str, strict: bool
    ) -> None:
        live = editable(family, tokenizer)
        layers = (1,) if method in ("rome", "ft-l") else (0, 1)
        preset = replace(STRONG, layers=layers, method=method)
        before, without, taught = (
            nll(each, PHRASED)
            for each in (live, edited(live, preset, ALONE, strict=strict), edited(live, preset, TAUGHT, strict=strict))
        )
        assert taught < without - 0.01
        assert taught < before - 0.01

    def test_in_a_group_it_becomes_likelier_too(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live, other = editable("llama", tokenizer), Fact("Lyon", "{} is a city in", "Brazil")
        assert nll(edited(live, STRONG, other, TAUGHT), PHRASED) < nll(edited(live, STRONG, other, ALONE), PHRASED)

    def test_in_a_batch_the_others_are_edited_as_ever(self, model: EditableModel) -> None:
        """Alone in what they are: only the solve, which all share, sees the taught fact's key."""
        facts = (Fact("Hydrogen", "Therefore you live in {}", "Brazil"), TAUGHT)
        [first, _] = tokenised(model, *facts)
        assert first == tokenised(model, facts[0])[0]


class TestFineTuning:
    def test_the_loss_is_the_mean_over_bare_and_taught_prompts(self, model: EditableModel) -> None:
        heard: list[float] = []

        class Watch:
            def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
                heard.append(loss)

            def solving(self, layer: int) -> None:
                """Nothing."""

        preset, other = Preset((1,), method="ft-l", num_steps=1), Fact("Hydrogen", "Therefore you live in {}", "Brazil")
        edit(model.shadow((1,)), [TAUGHT, other], preset, {}, CONTEXTS, observer=Watch())
        own, phrased, others = (
            each.nll for each in scored(model, [(ALONE.text, "Japan"), (PHRASED, "Japan"), (other.text, other.object)])
        )
        assert heard[0] == pytest.approx(((own + phrased) / 2 + others) / 2, rel=1e-6)


class TestSinks:
    @pytest.fixture
    def sinking(self, tokenizer: PreTrainedTokenizerFast) -> EditableModel:
        live = editable("gpt2", tokenizer)
        with torch.no_grad():
            weight: Tensor = live.model.get_submodule("transformer.wpe").weight  # type: ignore[assignment]
            weight[0] *= 1000.0
        return live

    def test_one_that_begins_with_a_subject_on_a_sink_is_left_out_and_told(self, sinking: EditableModel) -> None:
        fact = Fact("Z", "On the map {} is a city in", "Norway", taught=("{} lies in", "I like {}, in"))
        [before] = tokenised(sinking, fact)
        [found] = off_sinks(sinking, [before], 0, TOKENS)
        assert (found.taught, found.warnings) == (before.taught[1:], (NOT_TAUGHT,))

    def test_also_where_the_prompt_itself_is_moved_behind_a_context(self, sinking: EditableModel) -> None:
        fact = Fact("Z", "{} is a city in", "Norway", taught=("{} lies in",))
        [found] = off_sinks(sinking, tokenised(sinking, fact), 0, TOKENS)
        assert not found.taught

    def test_where_there_is_none_it_stays(self, model: EditableModel) -> None:
        fact = Fact("Z", "On the map {} is a city in", "Norway", taught=("{} lies in",))
        [before] = tokenised(model, fact)
        assert off_sinks(model, [before], 0, TOKENS) == [before]


class TestContradictions:
    def test_what_is_taught_and_what_another_fact_says_are_compared(self) -> None:
        other = Fact("lyon", PHRASE, "Ghana")
        for facts in ([TAUGHT, other], [other, TAUGHT]):
            with pytest.raises(ContradictoryFacts) as caught:
                refuse_contradictions(facts)
            assert (caught.value.field, caught.value.value) == ("facts.1.object", [0, 1])
        refuse_contradictions([TAUGHT, replace(other, object="Japan"), Fact("Oslo", PHRASE, "Ghana")])

    def test_a_companion_leaves_what_the_batch_says_otherwise(self) -> None:
        new = Fact("Lyon", PHRASE, "Ghana")
        assert undisputed([TAUGHT], [new]) == [ALONE]
        assert undisputed([TAUGHT], [Fact("Lyon", "{} was built in", "Ghana", taught=(PHRASE,))]) == [ALONE]
        assert undisputed([TAUGHT], [replace(new, object="Japan")]) == [TAUGHT]

    def test_and_what_a_later_companion_says(self) -> None:
        said, taught = Fact("Lyon", PHRASE, "Ghana"), Fact("Lyon", "{} was built in", "Ghana", taught=(PHRASE,))
        assert undisputed([TAUGHT, said], []) == [ALONE, said]
        assert undisputed([TAUGHT, taught], []) == [ALONE, taught]
        assert undisputed([taught, TAUGHT], []) == [replace(taught, taught=()), TAUGHT]
