"""The page for browsers: files of the package, each by its name. What the page shows, it asks the API for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated

from fastapi import APIRouter, Header, Response, status

from app.domain.errors import NotFound
from app.jobs.entity_tags import ETAG

router = APIRouter(include_in_schema=False)

MEDIA_TYPES = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
"""What the page consists of; nothing else is served."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""The browser takes nothing from elsewhere and runs nothing inline; by the last two no text ever becomes markup."""

HEADERS = MappingProxyType(
    {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",  # kept, and asked for again by its ETag
    }
)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, read once."""

    content: bytes
    media_type: str
    tag: str

    @classmethod
    def read(cls, file: Traversable) -> PageFile:
        """The file as it is sent."""
        content = file.read_bytes()
        return cls(content, MEDIA_TYPES[PurePosixPath(file.name).suffix], f'"{sha256(content).hexdigest()[:32]}"')


@cache
def page_files() -> Mapping[str, PageFile]:
    """All files of the page by their names below ``/page``: a request's path is looked up here, never opened."""
    return MappingProxyType(dict(_read(files("app") / "page")))


def _read(folder: Traversable, above: str = "") -> Iterator[tuple[str, PageFile]]:
    for entry in folder.iterdir():
        name = above + entry.name
        if entry.is_dir():
            yield from _read(entry, f"{name}/")
        elif PurePosixPath(entry.name).suffix in MEDIA_TYPES:
            yield name, PageFile.read(entry)


@router.api_route("/", methods=["GET", "HEAD"])
async def show_page(if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """The page itself."""
    return _answer(page_files()["index.html"], if_none_match)


@router.api_route("/page/{name:path}", methods=["GET", "HEAD"])
async def show_file(name: str, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """A style sheet, script or picture of the page."""
    found = page_files().get(name)
    if found is None:
        raise NotFound("The page has no such file.", value=name)
    return _answer(found, if_none_match)


def _answer(file: PageFile, if_none_match: str | None) -> Response:
    headers = {**HEADERS, ETAG: file.tag}
    known = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    if not known.isdisjoint({file.tag, "*"}):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
