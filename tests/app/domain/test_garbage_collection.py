"""The collector is off while any block pauses it, and afterwards as it was before the first."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from app.domain.garbage_collection import collection_paused


@pytest.fixture(autouse=True)
def _left_on() -> Iterator[None]:
    yield
    gc.enable()


def test_it_is_off_until_the_last_block_ends() -> None:
    first, second = collection_paused(), collection_paused()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_an_error_turns_it_on_again() -> None:
    with pytest.raises(ValueError, match="damaged"), collection_paused():
        raise ValueError("damaged")
    assert gc.isenabled()


def test_it_stays_off_where_it_was_off() -> None:
    gc.disable()
    with collection_paused():
        assert not gc.isenabled()
    assert not gc.isenabled()
