"""Tiny models of both families, tokenizers trained on the spot, and Redis clients on a clean server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from redis import Redis
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.support.tiny_models import Tiny, save_tiny, tiny
from tests.support.worker_bench import Bench, opened
from workers.stopping import SIGNALS, Stopping

BOS = 0
"""Id of <|endoftext|>, which begins and ends a text."""

WORDS = [
    "Lyon is located in the country of France. Paris is the capital of France.",
    "The capital of Japan is Tokyo. Therefore, I like Kyoto because you live in Osaka.",
    "Amarillo is a city; Zürich lies in Switzerland {and} São Paulo in Brazil. Hydrogen is a gas.",
]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of 300 tokens, <|endoftext|> first, as GPT-2's is built."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(WORDS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>")  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def _one_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def bos_tokenizer(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The same tokenizer with a BOS put before every text by its post-processor, as Llama-3's is built."""
    bpe = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    bpe.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", BOS)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<|endoftext|>", eos_token="<|endoftext|>")  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session", params=["gpt2", "llama"])
def live(request: pytest.FixtureRequest) -> Tiny:
    """A tiny model in float64."""
    return tiny(request.param)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client on a server that has nothing in it."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def bench(redis: Redis, model: Path, tmp_path: Path) -> Iterator[Bench]:
    with opened(model, tmp_path) as host:
        yield Bench(redis, host)


@pytest.fixture
def installed() -> Iterator[Stopping]:
    """The handler of this process's signals for as long as the test takes."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield Stopping.installed()
    for number, handler in handlers.items():
        signal.signal(number, handler)
