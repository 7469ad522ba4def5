"""GET / and below /page: files of the package, with a policy for the browser. ``tests/page`` tests what they do."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import app
from app import error_handlers
from app.routes import page

FOLDER = Path(app.__file__).parent / "page"
FILES = sorted(str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*") if file.is_file())


@pytest.fixture
def client() -> TestClient:
    served = FastAPI()
    error_handlers.install(served)
    served.include_router(page.router)
    return TestClient(served)


class Elements(HTMLParser):
    """All elements of a page, with their attributes and the text that follows each start."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.inline[self.found[-1][0]] = data


def test_every_file_of_the_page_is_served_as_what_it_is(client: TestClient) -> None:
    for name in FILES:
        answer = client.get(f"/page/{name}")
        assert (answer.status_code, answer.content) == (200, (FOLDER / name).read_bytes()), name
        assert answer.headers["content-type"] == page.MEDIA_TYPES[Path(name).suffix]
    assert client.get("/").content == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/styles/frame.css"])
def test_the_browser_is_told_to_trust_nothing_else(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    for kind in ("script-src", "style-src", "connect-src", "img-src"):
        assert f"{kind} 'self'" in policy
    for kind in ("base-uri", "form-action", "frame-ancestors"):
        assert f"{kind} 'none'" in policy
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/page/main.js"])
def test_a_file_that_the_browser_has_is_not_sent_again(client: TestClient, path: str) -> None:
    tag = client.get(path).headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert (again.headers["etag"], "content-security-policy" in again.headers) == (tag, True)
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.head(path).headers["etag"] == tag


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/none.js",
        "/page/../main.py",
        "/page/%2e%2e/main.py",
        "/page//etc/passwd",
        "/page/styles",
        "/page/a%00b",
    ],
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_the_page_has_no_script_and_no_style_in_it_and_nothing_from_elsewhere() -> None:
    elements = Elements((FOLDER / "index.html").read_text(encoding="utf-8"))
    assert not {"script", "style"} & elements.inline.keys()
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag
        for name in ("src", "href"):
            target = attributes.get(name) or ""
            assert not re.match(r"[a-z]+:|//|/", target), f"{target} would not work below a prefix"


def test_every_file_that_a_file_names_is_there() -> None:
    named = re.compile(r"""(?:from |import |url\()"(\.[^"]+)\"""")
    for name in FILES:
        file = FOLDER / name
        for target in named.findall(file.read_text(encoding="utf-8")):
            assert (file.parent / target).is_file(), f"{name} names {target}"
