"""What stands around the views: the way between them, colours, the key, and a service that does not answer."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import Watched, pressed

VIEWS = {"Edit": "Write a fact", "Jobs": "Jobs", "Ask": "Ask", "History": "History", "Serving": "Serving"}
KEY = "pk-secret"


def test_the_views_are_reached_with_the_mouse(page: Page) -> None:
    page.goto("/")
    for name, title in VIEWS.items():
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(page.locator("[aria-current=page]")).to_have_text(name)
        assert page.title().startswith(title)


def test_the_views_are_reached_with_the_keyboard_and_the_heading_has_the_focus(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_label("Sentence", exact=True)).to_be_visible()
    for path, title in (("jobs", "Jobs"), ("ask", "Ask"), ("history", "History"), ("serving", "Serving")):
        pressed(page, "Shift+Tab", f"nav a[href='#/{path}']")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_the_first_stop_of_the_tab_key_leads_past_the_masthead(page: Page) -> None:
    page.goto("/#/ask")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ask")


@pytest.mark.parametrize(("system", "other"), [("light", "Dark"), ("dark", "Light")])
def test_the_colours_are_the_systems_until_others_are_chosen(page: Page, system: str, other: str) -> None:
    page.emulate_media(color_scheme="dark" if system == "dark" else "light")
    page.goto("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("button", name=f"{other}: change the colours").click()
    chosen = page.evaluate(ground)
    assert chosen != before
    page.reload()
    assert page.evaluate(ground) == chosen


def shut(page: Page) -> list[str | None]:
    """A service that wants a key for everything; what it was shown."""
    shown: list[str | None] = []

    def answer(route: Route) -> None:
        shown.append(route.request.headers.get("authorization"))
        if shown[-1] == f"Bearer {KEY}":
            route.continue_()
        else:
            problem = {"title": "Unauthorized", "status": 401, "code": "unauthenticated", "detail": "A key is needed."}
            route.fulfill(status=401, content_type="application/problem+json", json=problem)

    page.route("**/models", answer)
    return shown


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(page: Page, watched: Watched) -> None:
    watched.may_be_refused("/models")
    shown = shut(page)
    page.goto("/")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Key")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("The service did not take this key.")
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Sentence", exact=True)).to_be_visible()
    assert shown == [None, "Bearer wrong", f"Bearer {KEY}"]
    page.reload()
    expect(page.get_by_label("Sentence", exact=True)).to_be_visible()
    kept = page.evaluate("[JSON.stringify(sessionStorage).includes('pk-secret'), JSON.stringify(localStorage)]")
    assert (kept[0], KEY in kept[1], page.context.cookies()) == (True, False, [])


def test_without_a_key_the_view_says_so_and_can_be_tried_again(page: Page, watched: Watched) -> None:
    watched.may_be_refused("/models")
    shut(page)
    page.goto("/")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("A key is needed.")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("dialog").get_by_label("Key").fill(KEY)
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_label("Sentence", exact=True)).to_be_visible()


def test_a_key_is_given_and_forgotten_by_its_button(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="API key").click()
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("sessionStorage.getItem('palimpsest-key')") == f'"{KEY}"'
    page.get_by_role("button", name="API key").click()
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("sessionStorage.getItem('palimpsest-key')") is None


def test_a_service_that_cannot_be_reached_is_an_error_that_can_be_tried_again(page: Page, watched: Watched) -> None:
    watched.may_be_refused("/models")
    page.route("**/models", lambda route: route.abort())
    page.goto("/#/history")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    page.unroute("**/models")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Versions")).to_be_visible()


def test_without_a_model_the_page_says_what_to_do(page: Page) -> None:
    page.route("**/models", lambda route: route.fulfill(json={"models": []}))
    page.goto("/")
    expect(page.get_by_text("No model is served here yet.")).to_be_visible()
    page.unroute("**/models")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_label("Sentence", exact=True)).to_be_visible()


def test_one_of_several_models_is_chosen(page: Page) -> None:
    def two(route: Route) -> None:
        reply = route.fetch()
        models = reply.json()["models"]
        route.fulfill(json={"models": [{"id": "another", "version": 0, "live": False, "workers": []}, *models]})

    page.route("**/models", two)
    page.goto("/")
    choice = page.get_by_label("Model", exact=True)
    expect(choice).to_have_value("atlas-gpt2")
    choice.select_option("another")
    expect(page.get_by_role("contentinfo")).to_contain_text("another is not served now.")
