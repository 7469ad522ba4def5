"""A version as a GGUF file: the model's own, of which every byte stays that the version has not changed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from gguf import GGMLQuantizationType, GGUFReader, ReaderField
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from app.domain.contract import EditBatch, Export, ExportFormat, ExportReport, Fact, FactKey, GgufType, Hyperparameters
from app.domain.errors import ExportFailed, NoGgufFile, RequestError
from tests.support.gguf_files import write_gguf
from tests.support.tiny_models import save_tiny, tiny
from tests.support.turns import done
from tests.support.worker_bench import opened
from tests.workers.exports.conftest import Exported
from workers.cli import export
from workers.exports import exporter
from workers.exports.content import Content, Origin
from workers.exports.gguf_file import GgufFile, Stored
from workers.exports.gguf_whole import WholeGguf
from workers.exports.recall import Recall
from workers.host.model_host import ModelHost
from workers.sources import source_of
from workers.sources.gguf_model import original
from workers.steps import Unwatched

TEXTS = ("Lyon is a city in", "People in Oslo")
CHANGED = {f"blk.{layer}.ffn_down.weight": layer for layer in (1, 2)}
"""The tensors of the layers that the tiny preset edits."""

RIVERS = EditBatch(
    facts=tuple(
        Fact(subject=place, prompt="The river runs through {}", object=land)
        for place, land in (("Lyon", "Ghana"), ("Oslo", "Japan"))
    ),
    unheld="keep",
    hyperparameters=Hyperparameters(v_num_grad_steps=20),
)
"""Such as so small a model learns."""


def serves(file: Path, data: Path) -> Path:
    """The folder that the file is served from, with what a tiny model is served with."""
    source, plain = Path(source_of(str(file), data)), save_tiny(data / "plain", "llama")
    for name in ("preset.json", "corpus.txt"):
        shutil.copy(plain / name, source / name)
    (source / "contexts.json").write_text(json.dumps(["{}"]))  # so that its facts can hold
    return source


@dataclass
class Served:
    """A model that came as a GGUF file, at version 1, where two rivers run elsewhere."""

    host: ModelHost
    source: Path
    file: Path
    data: Path
    made: dict[str, ExportReport] = field(default_factory=dict)

    def export(self, kind: GgufType | None = None, version: int = 1) -> tuple[ExportReport, Path]:
        """The report, and the file."""
        job = f"of-{version}-{kind}"
        if job not in self.made:
            wanted = Export(format=ExportFormat.GGUF, version=version, gguf_type=kind)
            outcome = done(self.host, job, wanted)
            assert outcome.exported is not None
            self.made[job] = outcome.exported
        folder = self.data / "exports" / self.made[job].path
        return self.made[job], folder / f"tiny-v{version}.gguf"

    def weight(self, layer: int) -> NDArray[np.float32]:
        """What is in service."""
        return self.host.live.weight(layer).numpy()

    def logits(self, text: str) -> Tensor:
        live = self.host.live
        with torch.inference_mode():
            found: Tensor = live.model(live.tokenizer(text, return_tensors="pt").input_ids).logits
        return found


@pytest.fixture(scope="module", params=["F32", "Q4_1"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp(f"gguf-{request.param}")
    file = write_gguf(folder / "own.gguf", tiny("llama", dtype=torch.float32), request.param)
    source = serves(file, folder / "data")
    with opened(source, folder / "data") as host:
        done(host, "edit", RIVERS)
        yield Served(host, source, file, folder / "data")


def tensors(file: Path) -> dict[str, tuple[str, bytes]]:
    """Of each tensor its type and its bytes."""
    return {tensor.name: (tensor.tensor_type.name, tensor.data.tobytes()) for tensor in GGUFReader(file).tensors}


def dequantised(file: Path, name: str) -> NDArray[np.float32]:
    [found] = [tensor for tensor in GGUFReader(file).tensors if tensor.name == name]
    return np.array(dequantize(found.data, found.tensor_type))


@torch.inference_mode()
def loaded_logits(file: Path, text: str) -> Tensor:
    """As transformers reads the file, which takes nothing from us."""
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    ids = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)(text, return_tensors="pt").input_ids
    found: Tensor = model(input_ids=ids).logits
    return found


class TestWhole:
    def test_the_base_is_the_file_that_the_model_came_as_to_the_last_byte(self, served: Served) -> None:
        report, file = served.export(version=0)
        assert file.read_bytes() == served.file.read_bytes()
        assert (report.gguf_types, report.error, report.facts_held) == ((), 0.0, None)
        assert report.max_logit_difference == 0

    def test_what_was_not_edited_has_the_bytes_of_the_models_file(self, served: Served) -> None:
        _, file = served.export()
        before, after = tensors(served.file), tensors(file)
        assert list(before) == list(after)
        assert {name for name in before if before[name] != after[name]} == CHANGED.keys()
        start = GGUFReader(served.file).tensors[0].field.offset
        assert file.read_bytes()[:start] == served.file.read_bytes()[:start]

    def test_what_was_edited_has_the_type_that_it_has_there(self, served: Served) -> None:
        report, file = served.export()
        before, after = tensors(served.file), tensors(file)
        assert {before[name][0] for name in CHANGED} == {after[name][0] for name in CHANGED}
        assert report.gguf_types == (GgufType[next(iter({before[name][0] for name in CHANGED}))],)

    @pytest.mark.parametrize("kind", list(GgufType))
    def test_or_the_type_that_was_asked_for_and_its_values(self, served: Served, kind: GgufType) -> None:
        report, file = served.export(kind)
        theirs = GGMLQuantizationType[kind.name]
        worst = 0.0
        for name, layer in CHANGED.items():
            rounded = dequantize(quantize(served.weight(layer), theirs), theirs)
            assert np.array_equal(dequantised(file, name), rounded)
            change = served.weight(layer) - dequantised(served.file, name)
            worst = max(worst, float(np.linalg.norm(rounded - served.weight(layer)) / np.linalg.norm(change)))
        assert {tensors(file)[name][0] for name in CHANGED} == {kind.name}
        assert report.gguf_types == (kind,)
        assert report.error == pytest.approx(worst, rel=1e-4, abs=1e-9)
        exact = kind in (GgufType.F32, GgufType.F16, GgufType.BF16)
        assert (report.tolerance is not None, report.facts_held is None) == (exact, exact)

    @pytest.mark.parametrize(("kind", "bound"), [(GgufType.F32, 1e-5), (GgufType.F16, 1e-2), (GgufType.Q8_0, 0.1)])
    def test_transformers_reads_it_as_the_version(self, served: Served, kind: GgufType, bound: float) -> None:
        _, file = served.export(kind)
        for text in TEXTS:
            wanted = served.logits(text)
            assert (loaded_logits(file, text) - wanted).abs().max() <= bound * wanted.abs().max()
            assert (loaded_logits(served.file, text) - wanted).abs().max() > 0.1 * wanted.abs().max()

    def test_a_modelfile_names_it(self, served: Served) -> None:
        _, file = served.export()
        lines = (file.parent / "Modelfile").read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if not line.startswith("#")] == ["FROM ./tiny-v1.gguf"]

    def test_what_cannot_be_written_in_its_own_type_is_f16(self, tmp_path: Path) -> None:
        file = write_gguf(tmp_path / "own.gguf", tiny("llama", dtype=torch.float32), "MXFP4")
        with opened(serves(file, tmp_path), tmp_path) as host:
            done(host, "edit", RIVERS)
            report = done(host, "out", Export(format=ExportFormat.GGUF)).exported
        assert report is not None
        assert report.gguf_types == (GgufType.F16,)
        after = tensors(tmp_path / "exports" / report.path / "tiny-v1.gguf")
        assert {after[name][0] for name in CHANGED} == {"F16"}
        assert after["blk.0.ffn_down.weight"][0] == "MXFP4"


class TestFactsLost:
    def test_are_those_that_the_version_gives_and_the_export_does_not(self, served: Served) -> None:
        host = served.host
        content = Content.of(host.live, host.log, Origin.of(host.live, str(served.source), None), 1)
        whole, none = Recall.of(content, content.shadow), Recall.of(content, host.live.unedited())
        assert whole == Recall(2, ())
        assert none == Recall(2, (FactKey(version=1, index=0), FactKey(version=1, index=1)))

    def test_are_told_of_a_quantised_export(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """A quantisation that is no better than leaving the matrices as they were."""

        def back(matrix: Tensor, _: GgufType) -> Stored:
            [name] = [n for n, layer in CHANGED.items() if np.array_equal(matrix.numpy(), served.weight(layer))]
            return Stored(*quantised(dequantised(served.file, name), GGMLQuantizationType.Q8_0))

        monkeypatch.setattr(Stored, "of", back)
        made = done(served.host, "lost", Export(format=ExportFormat.GGUF, gguf_type=GgufType.Q8_0)).exported
        assert made is not None
        assert (made.facts_held, [str(fact) for fact in made.facts_lost]) == (
            2,
            ["fact 0 of version 1", "fact 1 of version 1"],
        )
        assert made.tolerance is None


def quantised(
    matrix: NDArray[np.float32], kind: GGMLQuantizationType
) -> tuple[GGMLQuantizationType, NDArray[np.uint8]]:
    return kind, quantize(matrix, kind).view(np.uint8)


def test_the_command_tells_the_type_and_the_facts(served: Served, tmp_path: Path) -> None:
    command = typer.Typer()
    command.command()(export)
    words = ["tiny", "--log", str(served.data / "log"), "--out", str(tmp_path / "out"), "--format", "gguf"]
    told = CliRunner().invoke(command, [*words, "--type", "q8_0"]).output
    assert re.search(r"bytes, q8_0, relative error 0\.01\d?; loaded back, its logits differ by", told), told
    assert "at most (weights were quantised), and it gives 2 of 2 facts" in told
    assert tensors(tmp_path / "out" / "tiny-v1.gguf")["blk.1.ffn_down.weight"][0] == "Q8_0"


class TestRefused:
    def test_a_model_that_did_not_come_as_a_gguf_file(self, exported: Exported) -> None:
        with pytest.raises(NoGgufFile, match="export it as merged, and convert that folder") as caught:
            done(exported.host, "never", Export(format=ExportFormat.GGUF))
        assert (caught.value.status, caught.value.code, caught.value.field) == (422, "no_gguf_file", "format")

    def test_rows_that_are_no_whole_number_of_blocks(self) -> None:
        with pytest.raises(RequestError, match="blocks of 32 entries, and rows of 48") as caught:
            Stored.of(torch.ones(4, 48), GgufType.Q4_0)
        assert caught.value.field == "gguf_type"
        assert torch.equal(Stored.of(torch.ones(4, 48), GgufType.BF16).matrix, torch.ones(4, 48))

    @pytest.mark.parametrize("kind", [GgufType.F16, GgufType.Q8_0])
    def test_entries_beyond_the_types_range(self, kind: GgufType) -> None:
        large = torch.full((4, 32), 1e8)
        with pytest.raises(RequestError, match=f"beyond the range of {kind}: choose bf16 or f32"):
            Stored.of(large, kind)
        assert torch.equal(Stored.of(large, GgufType.F32).matrix, large)


class TestOriginal:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return write_gguf(tmp_path / "own.gguf", tiny("llama", dtype=torch.float32), "Q8_0")

    def test_is_found_where_it_was_named_last(self, file: Path, tmp_path: Path) -> None:
        source = source_of(str(file), tmp_path)
        assert original(source) == file
        moved = file.rename(tmp_path / "moved.gguf")
        with pytest.raises(NoGgufFile, match=r"own\.gguf is not where it was, or is another file by now"):
            original(source)
        moved.rename(file)
        assert original(source) == file

    def test_is_known_again_from_where_the_model_was_started_then(self, file: Path, tmp_path: Path) -> None:
        source = source_of(str(file), tmp_path)
        (tmp_path / "elsewhere").mkdir()
        moved = file.rename(tmp_path / "elsewhere" / "own.gguf")
        assert source_of(str(moved), tmp_path) == source
        assert original(source) == moved

    def test_is_not_another_file_of_that_name(self, file: Path, tmp_path: Path) -> None:
        source = source_of(str(file), tmp_path)
        file.write_bytes(file.read_bytes() + b"more")
        with pytest.raises(NoGgufFile, match="another file by now"):
            original(source)


def flipped(place: Callable[[GGUFReader], int]) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[place(GGUFReader(file))] ^= 1
        file.write_bytes(data)

    return damage


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-4096])


def _end(said: ReaderField) -> int:
    return said.offset + sum(part.nbytes for part in said.parts)


DAMAGES = [
    (flipped(lambda reader: _end(reader.fields["general.name"]) - 1), "do not have the bits"),
    (flipped(lambda reader: int(reader.tensors[0].data_offset)), "do not have the bits"),
    (flipped(lambda reader: next(t.data_offset for t in reader.tensors if t.name in CHANGED)), "do not have the bits"),
    (cut, "cannot be loaded"),
    (Path.unlink, "cannot be loaded"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_what_was_damaged_while_it_was_written_fails_and_goes(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], reason: str
) -> None:
    class Damaged(WholeGguf):
        def write(self, folder: Path) -> None:
            super().write(folder)
            damage(folder / "tiny-v1.gguf")

    host = served.host
    monkeypatch.setattr(exporter, "FORMATS", {ExportFormat.GGUF: Damaged})
    made = exporter.Exporter(host.live, host.log, str(served.source), None)
    with pytest.raises(ExportFailed, match=reason):
        made.export(ExportFormat.GGUF, 1, tmp_path / "out", "out", Unwatched())
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_again_as_it_is(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "own.gguf", tiny("llama", dtype=torch.float32), "Q8_0")
    GgufFile(file).write_with({}, tmp_path / "again.gguf")
    assert (tmp_path / "again.gguf").read_bytes() == file.read_bytes()
