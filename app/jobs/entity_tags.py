"""Versions as entity tags (RFC 9110, section 8.8.3), and what ``If-Match`` says of them."""

from __future__ import annotations

import re

from app.domain.errors import PreconditionFailed, RequestError

ETAG = "ETag"
IF_MATCH = "If-Match"
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")


def entity_tag(version: int) -> str:
    """A version as ``ETag`` and ``If-Match`` have it."""
    return f'"{version}"'


def expected_version(if_match: str | None, model: str, version: int) -> int | None:
    """The version that ``If-Match`` demands of a model that is at ``version``; None if any will do.

    A weak tag matches nothing, as RFC 9110 has it in section 13.1.1.

    Raises:
        PreconditionFailed: the model's version is not among those that the header names.
        RequestError: the header is no list of entity tags.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.fullmatch(if_match):
        detail = f"{IF_MATCH} takes versions in quotes, such as {entity_tag(version)}, or *."
        raise RequestError(detail, field=IF_MATCH, value=if_match)
    if entity_tag(version) not in re.findall(_TAG, if_match):
        raise PreconditionFailed(f"{model} is at version {version}.", field=IF_MATCH, value=if_match)
    return version
