"""A worker's log lines: those of both sides, and transformers' among them."""

from __future__ import annotations

from transformers.utils import logging as transformers_logging

from app.domain.logging_setup import LogForm, set_up_logging


def set_up_worker_logging(level: str, form: LogForm) -> None:
    """As ``set_up_logging`` does, also for what transformers says; without its progress bars."""
    set_up_logging(level, form)
    transformers_logging.disable_default_handler()  # it has a form of its own
    transformers_logging.enable_propagation()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
