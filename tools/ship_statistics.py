"""Takes the statistics, and the held-out texts, that `palimpsest onboard` has kept for a model into the package.

python -m tools.ship_statistics NAME .palimpsest/statistics/<model>-<fingerprint>.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

from workers.editing.statistics import load_statistics
from workers.models.shipped_statistics import ship
from workers.onboarding.kept_texts import KeptTexts


def main(name: str, path: Path) -> None:
    """Write ``workers/models/statistics/<name>.safetensors`` and print the fingerprint for its preset."""
    found = load_statistics(path)
    assert found.fingerprint
    written = ship(name, found.second_moments, found.tokens, found.fingerprint)
    texts = KeptTexts.beside(path)
    if texts is not None:  # those of C are many, and needed only for further layers
        texts.model_copy(update={"texts": ()}).save_beside(written)
    sys.stdout.write(f"{written.name}: {written.stat().st_size:,} bytes, fingerprint {found.fingerprint}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
