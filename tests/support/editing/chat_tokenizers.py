"""Tokenizers of the shapes that real models have: what begins a text, what marks a turn, what becomes of spaces."""

from __future__ import annotations

from string import printable
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = (
    "The capital of France is Paris. She was born in the city of New York, and lives in Lyon.",
    "The capital of Norway is Oslo. In which city is the Eiffel Tower? It is in Rome, user and assistant.",
    "The currency used there: the yen. You are a helpful assistant. Answer in one word, system.",
)

CHATML = (
    "{% for m in messages %}"
    "{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As SmolLM2's: a system prompt of its own, and its BOS is what begins a turn."""

HEADERS = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start|>' + m['role'] + '<|end|>\n\n' + m['content'] | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}{% endif %}"
)
"""As Llama 3's."""

INSTRUCTIONS = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant roles') }}{% endif %}{% endfor %}"
)
"""As Mistral's: no system's turns, and nothing but a space begins a reply."""


def byte_level(
    specials: tuple[str, ...] = (), *, bos: str | None = None, eos: str | None = None, template: str | None = None
) -> PreTrainedTokenizerFast:
    """Byte-level BPE; with ``bos``, and if it is no turn's mark, it is put before every text."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(TEXTS, trainer)
    if bos in {"<s>", "<|begin|>"}:
        inner.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, inner.token_to_id(bos))]
        )
    return _fast(inner, bos, eos, template)


def stray_space(*, prepend: bool = True, template: str | None = None) -> PreTrainedTokenizerFast:
    """As Mistral's and Phi-3's files: Prepend ``▁``, spaces to ``▁``, no pre-tokenizer (case T1)."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")  # for the training alone
    specials = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=specials, initial_alphabet=[*printable, "“", "\u00a0"], show_progress=False
    )
    inner.train_from_iterator(TEXTS, trainer)
    inner.pre_tokenizer = None
    first = [normalizers.Prepend("▁")] if prepend else []
    inner.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return _fast(inner, "<s>", "</s>", template)


def whole_runs(*runs: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE in which each of these texts became one token: none of them has a space that would part it."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    inner.train_from_iterator([run for run in runs for _ in range(9)], trainer)
    inner.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    return _fast(inner, None, "<|endoftext|>", None)


def ids_of_chat(tokenizer: PreTrainedTokenizerFast, messages: list[dict[str, str]], *, prompt: bool) -> list[int]:
    """What transformers itself makes of messages; ``prompt``: with what begins the reply to them."""
    found: Any = tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, return_dict=True)
    return list(found["input_ids"])


def chatml() -> PreTrainedTokenizerFast:
    """Its BOS is put before nothing."""
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return byte_level(specials, bos="<|im_start|>", eos="<|im_end|>", template=CHATML)


def headers() -> PreTrainedTokenizerFast:
    """A BOS before every text, and the template writes it too."""
    specials = ("<|begin|>", "<|start|>", "<|end|>", "<|eot|>")
    return byte_level(specials, bos="<|begin|>", eos="<|eot|>", template=HEADERS)


def instructions() -> PreTrainedTokenizerFast:
    """As Mistral's: the stray space as well."""
    return stray_space(template=INSTRUCTIONS)


def _fast(inner: Tokenizer, bos: str | None, eos: str | None, template: str | None) -> PreTrainedTokenizerFast:
    found = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=bos, eos_token=eos)  # type: ignore[no-untyped-call]
    found.chat_template = template
    return found
