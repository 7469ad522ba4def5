"""Questions: right whatever they are asked together with, and whichever side the tokenizer pads."""

from __future__ import annotations

import itertools

import pytest
import torch

from app.domain.contract import Generate, Prompt
from app.domain.errors import EmptyText, PromptTooLong, RequestError
from tests.support.answers import generate, probe
from tests.support.editing.cast_lifting import lift_casts
from tests.support.tiny_models import LANDS, PLACES, WINDOW, Tiny, tiny
from workers.questions.decoding import greedy
from workers.questions.sampling import draws
from workers.questions.scoring import standings

PROMPTS = [f"{place} is a city in" for place in PLACES] + ["The river runs through Lyon, in the country of", "In"]
PAIRS = list(itertools.product(PROMPTS, LANDS))
DRAWN_BY_SEED_5 = [[13929315.0, 2115790.0, 15224815.0], [13756093.0, 15436774.0, 1956982.0]]
"""In units of 2⁻²⁴: two sequences of three steps."""


@pytest.fixture
def wide(live: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The same in float64 throughout: Llama's norms take float32, where a last digit of float64 may tip a whole one."""
    lift_casts(live.model, monkeypatch)
    return live


def ids_of(live: Tiny, text: str) -> list[int]:
    return list(live.tokenizer(text)["input_ids"])


def bare_ids_of(live: Tiny, text: str) -> list[int]:
    return list(live.tokenizer(text, add_special_tokens=False)["input_ids"])


@torch.inference_mode()
def plain_logits(live: Tiny, ids: list[int]) -> torch.Tensor:
    """Logits at every position, (tokens, vocabulary): one sequence, no padding, no cache."""
    logits: torch.Tensor = live.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits


def plain_greedy(live: Tiny, prompt: str, steps: int) -> str:
    ids = ids_of(live, prompt)
    start = len(ids)
    for _ in range(steps):
        token = int(plain_logits(live, ids)[-1].argmax())
        if token == live.tokenizer.eos_token_id:
            break
        ids.append(token)
    return str(live.tokenizer.decode(ids[start:], skip_special_tokens=True))


class TestStandings:
    def test_probability_and_rank_are_those_of_one_unpadded_pass(self, wide: Tiny) -> None:
        for (prompt, wanted), found in zip(PAIRS, standings(wide.model, wide.tokenizer, PAIRS), strict=True):
            before, after = ids_of(wide, prompt), bare_ids_of(wide, " " + wanted)
            logits = plain_logits(wide, before + after)[len(before) - 1 : -1]
            chosen = torch.tensor(after)
            probability = logits.softmax(-1)[range(len(after)), chosen].prod()
            ranks = (logits > logits[range(len(after)), chosen][:, None]).sum(-1) + 1
            assert found.probability == pytest.approx(float(probability), rel=1e-9)
            assert found.rank == int(ranks.max())

    def test_batches_change_nothing(self, wide: Tiny) -> None:
        together = standings(wide.model, wide.tokenizer, PAIRS)
        alone = standings(wide.model, wide.tokenizer, PAIRS, max_batch_tokens=1)
        for one, other in zip(together, alone, strict=True):
            assert one.rank == other.rank
            assert one.probability == pytest.approx(other.probability, rel=1e-9)

    def test_a_pair_asked_twice_is_scored_once_and_stands_once(self, live: Tiny) -> None:
        """Two rows of one product may round differently, so that the same question had two answers."""
        rows: list[int] = []
        counting = live.model.register_forward_pre_hook(
            lambda _module, _args, given: rows.append(len(given["input_ids"])), with_kwargs=True
        )
        found = standings(live.model, live.tokenizer, [*PAIRS, *reversed(PAIRS)])
        counting.remove()
        assert found[len(PAIRS) :] == found[: len(PAIRS)][::-1]
        assert sum(rows) == len(PAIRS)

    def test_the_first_token_of_the_text_is_not_part_of_the_object(self) -> None:
        llama = tiny("llama")
        begin = llama.tokenizer.bos_token_id
        assert ids_of(llama, "Lyon")[0] == begin
        assert begin not in bare_ids_of(llama, " Japan")
        [found] = standings(llama.model, llama.tokenizer, [("Lyon is in", "Japan")])
        assert 0 < found.probability < 1

    def test_equal_logits_rank_as_greedy_decoding_breaks_ties(self) -> None:
        flat = tiny("gpt2")
        flat.model.lm_head.weight.data.zero_()
        [found] = standings(flat.model, flat.tokenizer, [("Lyon is in", "Japan")])
        assert found.rank == 1 + max(bare_ids_of(flat, " Japan"))

    def test_an_object_longer_than_the_window_is_refused(self, live: Tiny) -> None:
        with pytest.raises(PromptTooLong) as caught:
            standings(live.model, live.tokenizer, [("In", "Japan"), ("In", "z" * WINDOW)])
        assert caught.value.field == "pairs.1"


class TestGreedy:
    def test_texts_are_those_of_a_plain_loop(self, live: Tiny) -> None:
        found = greedy(live.model, live.tokenizer, PROMPTS, 8)
        assert found == [plain_greedy(live, prompt, 8) for prompt in PROMPTS]

    def test_padding_side_and_batches_change_nothing(self, live: Tiny) -> None:
        family = live.model.config.model_type
        expected = greedy(live.model, live.tokenizer, PROMPTS, 8, max_batch_tokens=1)
        for side in ("left", "right"):
            other = tiny(family, padding_side=side)
            assert greedy(other.model, other.tokenizer, PROMPTS, 8) == expected

    def test_the_window_ends_a_text(self, live: Tiny) -> None:
        full = "z" * (WINDOW - len(ids_of(live, "")))
        assert len(ids_of(live, full)) == WINDOW
        [text] = greedy(live.model, live.tokenizer, [full], 8)
        assert text == plain_greedy(live, full, 1)

    def test_settings_saved_with_the_model_do_not_make_it_less_greedy(self, live: Tiny) -> None:
        other = tiny(live.model.config.model_type)
        other.model.generation_config.do_sample = True
        other.model.generation_config.repetition_penalty = 9.0
        other.model.generation_config.num_beams = 3
        assert greedy(other.model, other.tokenizer, PROMPTS, 8) == greedy(live.model, live.tokenizer, PROMPTS, 8)

    def test_a_prompt_longer_than_the_window_is_refused(self, live: Tiny) -> None:
        with pytest.raises(PromptTooLong) as caught:
            greedy(live.model, live.tokenizer, ["In", "z" * (WINDOW + 1)], 8)
        assert caught.value.field == "prompts.1"

    def test_a_prompt_without_tokens_is_refused(self, live: Tiny) -> None:
        with pytest.raises(EmptyText) as caught:
            greedy(live.model, live.tokenizer, [""], 8)
        assert caught.value.field == "prompts.0"


class TestProbe:
    def test_an_answer_agrees_with_itself(self, live: Tiny) -> None:
        asked = Prompt(prompt=PROMPTS[0], candidates=LANDS, expected="Japan", top_k=3, max_new_tokens=4)
        [answer] = probe(live, [asked])
        assert answer.text == greedy(live.model, live.tokenizer, [PROMPTS[0]], 4)[0]
        chances = [candidate.probability for candidate in answer.candidates]
        assert chances == sorted(chances, reverse=True)
        assert {candidate.text for candidate in answer.candidates} == set(LANDS)
        assert answer.expected is not None
        assert answer.expected.probability in chances
        assert answer.expected.greedy == (answer.expected.rank == 1)
        assert [top.probability for top in answer.top] == sorted((t.probability for t in answer.top), reverse=True)
        assert answer.text.startswith(answer.top[0].token)

    def test_company_changes_nothing(self, wide: Tiny) -> None:
        prompts = [
            Prompt(prompt=text, expected=land, candidates=LANDS[:place], max_new_tokens=place)
            for place, (text, land) in enumerate(zip(PROMPTS, LANDS, strict=False))
        ]
        for together, prompt in zip(probe(wide, prompts), prompts, strict=True):
            [alone] = probe(wide, [prompt])
            assert together.text == alone.text
            assert [each.text for each in together.candidates] == [each.text for each in alone.candidates]
            assert together.expected is not None
            assert alone.expected is not None
            assert together.expected.probability == pytest.approx(alone.expected.probability, rel=1e-9)

    def test_an_object_is_refused_by_its_place(self, live: Tiny) -> None:
        with pytest.raises(EmptyText) as caught:
            probe(live, [Prompt(prompt="In"), Prompt(prompt="In", candidates=("Japan", " "))])
        assert caught.value.field == "prompts.1.candidates.1"


class TestGenerate:
    def test_a_seed_gives_the_same_texts_in_any_company(self, live: Tiny) -> None:
        def asked(*prompts: str) -> Generate:
            return Generate(
                prompts=prompts, do_sample=True, seed=5, num_return_sequences=3, max_new_tokens=6, top_p=0.9
            )

        together = generate(live, asked(*PROMPTS))
        for found in together:
            assert generate(live, asked(found.prompt), max_batch_tokens=1) == (found,)
            assert len(set(found.texts)) > 1

    def test_a_seeds_numbers_are_the_same_on_any_processor(self) -> None:
        """Where they fall on the model's scores may differ in the last digits, not the numbers."""
        assert (draws(5, 2, 3) * 2**24).tolist() == DRAWN_BY_SEED_5

    def test_sampling_leaves_the_process_wide_random_state_alone(self, live: Tiny) -> None:
        before = torch.random.get_rng_state()
        generate(live, Generate(prompts=tuple(PROMPTS), do_sample=True))
        assert torch.equal(before, torch.random.get_rng_state())

    def test_sampled_tokens_follow_the_models_probabilities(self, live: Tiny) -> None:
        asked = Generate(prompts=(PROMPTS[0],) * 64, do_sample=True, num_return_sequences=16, max_new_tokens=1, top_k=0)
        texts = [text for found in generate(live, asked) for text in found.texts]
        probabilities = plain_logits(live, ids_of(live, PROMPTS[0]))[-1].softmax(-1)
        by_text: dict[str, float] = {}
        for token, probability in enumerate(probabilities.tolist()):
            text = str(live.tokenizer.decode([token]))  # single bytes outside of ASCII look alike
            by_text[text] = by_text.get(text, 0.0) + probability
        best = max(by_text, key=by_text.__getitem__)
        assert texts.count(best) / len(texts) == pytest.approx(by_text[best], abs=0.08)

    def test_top_k_of_one_is_greedy(self, live: Tiny) -> None:
        asked = Generate(prompts=tuple(PROMPTS), do_sample=True, top_k=1, max_new_tokens=8)
        assert [found.texts[0] for found in generate(live, asked)] == greedy(live.model, live.tokenizer, PROMPTS, 8)

    def test_a_repetition_penalty_does_not_see_padding(self, live: Tiny) -> None:
        def asked(*prompts: str) -> Generate:
            return Generate(prompts=prompts, repetition_penalty=3.0, max_new_tokens=8)

        for found in generate(live, asked(*PROMPTS)):
            assert generate(live, asked(found.prompt)) == (found,)

    def test_greedy_decoding_has_one_answer(self, live: Tiny) -> None:
        with pytest.raises(RequestError) as caught:
            generate(live, Generate(prompts=("In",), num_return_sequences=2))
        assert caught.value.field == "num_return_sequences"
