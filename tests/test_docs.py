"""The pages in Markdown: their links lead somewhere, and the API's page has the routes that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.main import create_app
from app.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
ROUTE = re.compile(r"`(GET|POST|DELETE|PUT|PATCH) (/[^`?\s]*)`")


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in a link: lower case, hyphens for spaces, other signs left out."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), (path, anchor)
        if anchor:
            assert anchor in anchors(target), (path, anchor)


def test_the_apis_page_has_all_routes_and_no_others() -> None:
    described = create_app(Settings(redis_url="redis://127.0.0.1:1")).openapi()["paths"]
    routes = {(method.upper(), path) for path, methods in described.items() for method in methods}
    assert set(ROUTE.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))) == routes


def test_every_page_of_docs_can_be_found_from_the_readme() -> None:
    found = {path for path, _ in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert {f"docs/{page.name}" for page in PAGES if page.parent.name == "docs"} <= found
