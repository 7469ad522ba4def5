"""The form of a log line: fields, places, and never what a caller wrote."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.domain.contract import EditBatch, Fact, JobStatus
from app.domain.errors import JobFailed, RequestError
from app.domain.log_form import Formatter, described
from tests.support.log_lines import SECRET, log_lines

logger = logging.getLogger("app.tests")


@dataclass
class Held:
    subject: str


class Careless(ValueError):
    """Says what it was given, in every way that an exception can."""

    def __init__(self) -> None:
        super().__init__(f"no such city: {SECRET}", {"subject": SECRET})
        self.add_note(f"while at {SECRET}")


@pytest.fixture
def lines() -> Iterator[Callable[[], str]]:
    with log_lines() as text:
        yield text.getvalue


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error from None if cause is None else raised(cause)
    return caught.value


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        EditBatch.model_validate({"facts": [{"subject": SECRET, "prompt": 1, SECRET: SECRET}]})
    assert SECRET in str(caught.value)
    return caught.value


ERRORS = [
    Careless(),
    invalid(),
    KeyError(SECRET),
    UnicodeEncodeError("utf-8", SECRET, 0, 1, SECRET),
    OSError(SECRET),
    OSError(errno.ENOSPC, SECRET),
    RequestError("the prompt has neither {} nor the subject", field="facts.0.prompt", value=SECRET),
    raised(JobFailed("the edit failed"), Careless()),
    raised(Careless(), invalid()),
    ExceptionGroup(SECRET, [Careless(), ExceptionGroup(SECRET, [invalid()])]),
]


class TestWords:
    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_an_exceptions_words_are_in_no_line_whichever_way_it_gets_there(
        self, error: BaseException, lines: Callable[[], str]
    ) -> None:
        error = raised(error)
        logger.warning("missed: %s", error)
        logger.warning("missed: %r after %d", error, 3)
        logger.warning("missed: %(error)s", {"error": error})
        logger.warning("missed: %s", [error, {"error": error}])
        logger.warning(error)
        logger.error("missed", exc_info=error)
        logger.error("missed", extra={"model": error})
        assert lines().count("app.tests: ") == 7
        assert SECRET not in lines()
        assert type(error).__name__ in lines()

    def test_nor_are_those_of_what_stands_in_another_object(self, lines: Callable[[], str]) -> None:
        fact = Fact(subject=SECRET, prompt="{} lies in", object=SECRET)
        logger.info("held: %s %r %s", Held(SECRET), fact, EditBatch(facts=(fact,)))
        logger.info("held: %s", {SECRET: fact}.values())
        assert "held: <Held> <Fact> <EditBatch>" in lines()
        assert SECRET not in lines()

    def test_nor_is_an_argument_for_which_the_line_has_no_place(
        self, lines: Callable[[], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        formatter = Formatter()
        for message, given in (("held", (SECRET,)), ("held %d", (SECRET,)), ("held %(x)s", ({"y": SECRET},))):
            record = logging.LogRecord("app", logging.INFO, "", 0, message, given, None)
            assert "held" in formatter.format(record)
            assert SECRET not in formatter.format(record)
        assert SECRET not in capsys.readouterr().err

    def test_nor_what_asyncio_says_of_a_task_that_nobody_awaited(self, lines: Callable[[], str]) -> None:
        loop = asyncio.new_event_loop()
        error = raised(Careless())
        loop.call_exception_handler(
            {"message": "Task exception was never retrieved", "exception": error, "future": repr(error)}
        )
        loop.close()
        assert "Task exception was never retrieved" in lines()
        assert "Careless" in lines()
        assert SECRET not in lines()

    def test_nor_those_of_a_traceback_that_is_logged_as_a_text(self, lines: Callable[[], str]) -> None:
        error = raised(Careless(), ValueError(f"first\n{SECRET}\n  File {SECRET}"))
        logger.error("".join(traceback.format_exception(error)))  # as starlette does when a start fails
        assert SECRET not in lines()
        assert f'File "{__file__}", line ' in lines()
        assert "ValueError" in lines()
        assert "Careless" in lines()

    def test_nor_what_another_handler_made_of_the_same_record(self, lines: Callable[[], str]) -> None:
        record = logging.LogRecord("app", logging.ERROR, "", 0, "missed: %s", (KeyError(SECRET),), None)
        error = raised(KeyError(SECRET))
        record.exc_info = (type(error), error, error.__traceback__)
        assert SECRET in logging.Formatter().format(record)
        assert SECRET not in Formatter().format(record)
        assert SECRET in logging.Formatter().format(record)  # and it is left as it was


class TestPlaces:
    def test_an_exception_is_told_with_its_type_its_cause_and_every_place(self, lines: Callable[[], str]) -> None:
        logger.error("missed", exc_info=raised(JobFailed("the edit failed"), Careless()))
        assert re.search(
            r"missed\n"
            r'  File ".*test_log_form\.py", line \d+, in raised\n'
            r"tests\.app\.domain\.test_log_form\.Careless\n"
            r"which led to\n"
            r'  File ".*test_log_form\.py", line \d+, in raised\n'
            r"app\.domain\.errors\.JobFailed: the edit failed\n$",
            lines(),
        )

    def test_on_one_line_it_is_told_with_the_innermost_place_of_ours(self) -> None:
        with pytest.raises(UnicodeDecodeError) as caught:
            b"\xff".decode()
        assert re.match(r"UnicodeDecodeError at tests\.app\.domain\.test_log_form:\d+$", described(caught.value))
        with pytest.raises(ValueError, match="redis") as refused:
            raise ValueError("redis") from raised(ConnectionRefusedError(errno.ECONNREFUSED, SECRET))
        assert re.match(
            r"ValueError at \S+:\d+, from ConnectionRefusedError: \[Errno \d+\] Connection refused$",
            described(refused.value),
        )

    def test_an_error_of_ours_is_told_in_its_own_sentence(self) -> None:
        assert described(JobFailed("the edit failed", field="facts", value=SECRET)) == "the edit failed"

    def test_one_of_the_operating_system_in_the_systems_words_with_its_file(self) -> None:
        with pytest.raises(OSError, match="nowhere") as caught:
            Path("/nowhere").read_bytes()
        assert described(caught.value).startswith("FileNotFoundError: [Errno 2] No such file or directory: '/nowhere'")

    def test_one_without_end_is_cut(self) -> None:
        def call_itself() -> None:
            call_itself()

        with pytest.raises(RecursionError) as caught:
            call_itself()
        record = logging.LogRecord("app", logging.ERROR, "", 0, "missed", None, caught._excinfo)
        assert len(Formatter().format(record).splitlines()) < 50


class TestForm:
    def test_a_line_has_its_fields(self, lines: Callable[[], str]) -> None:
        logger.warning("accepted %s", JobStatus.QUEUED, extra={"seconds": 0.5, "job_id": "one", "facts": 3, "odd": 1})
        time, line = lines().split(" WARNING ")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", time)
        assert line == "app.tests: accepted queued job_id=one facts=3 seconds=0.5\n"

    def test_a_record_is_one_line_whatever_it_is_told(self, lines: Callable[[], str]) -> None:
        logger.warning("GET %s", "/jobs/one\n2026-01-01 INFO app: all is well\x1b[2J", extra={"model": "a\nb"})
        assert lines().count("\n") == 1
        assert r"/jobs/one\n2026" in lines()
        assert r"\x1b[2J" in lines()
        assert r"model=a\nb" in lines()

    def test_numbers_and_paths_are_shown_as_they_are(self, lines: Callable[[], str]) -> None:
        logger.warning("%d of %.2f in %s, %s", 1, 2.5, Path("/data"), ("a", 1))
        assert "1 of 2.50 in /data, ('a', 1)" in lines()
