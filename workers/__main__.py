"""``python -m workers``."""

from __future__ import annotations

import sys

from workers.priority import sleep_at_barriers

sleep_at_barriers()

from workers.main import main  # noqa: E402 - loads torch, and with it OpenMP

sys.exit(main())
