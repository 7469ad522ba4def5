"""``python -m workers``."""

from __future__ import annotations

import sys

from workers.priority import sleep_at_barriers
from workers.stopping import Stopping

sleep_at_barriers()
stopping = Stopping.installed()
with stopping.at_once():
    from workers.main import main  # loads torch, and with it OpenMP

sys.exit(main(sys.argv[1:], stopping))
