"""The pages as a browser shows them: headless Chromium, against the built-in web server."""

from __future__ import annotations

import json
import subprocess
from urllib.parse import urlsplit

import pytest
from browser import AXE, NEEDED, RULES, SIDEWAYS
from conftest import eventually, free_port
from samples import ADDRESSES, BY_ID, ROOT, write
from web_kit import command, listening

pytestmark = NEEDED

HOME = "America/New_York"
KINDS = pytest.mark.parametrize("kind", ADDRESSES)
# The page of a release is in the release's own language, whatever the newsroom's.
ROOMS = pytest.mark.parametrize(
    ("room", "kind"),
    [("", kind) for kind in ADDRESSES] + [("ar/", kind) for kind in ADDRESSES if kind not in BY_ID],
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the sample site; below it, in ``ar/``, stands that of a newsroom that writes Arabic."""
    folder, port = tmp_path_factory.mktemp("pages"), free_port()
    url = f"http://127.0.0.1:{port}/"
    write(folder, url=url, language="en")
    write(folder / "ar", url=f"{url}ar/", language="ar")
    server = subprocess.Popen(command(folder, port), stdin=subprocess.PIPE, cwd=ROOT)
    eventually(lambda: listening(port), "the web server")
    yield url
    server.stdin.close()
    server.wait(30)


@pytest.fixture
def visit(chromium, site):
    """A function that opens a page, by its kind, in a browser of its own."""
    contexts = []

    def opened(kind: str, *, width: int = 1440, zone: str = HOME, room: str = "", **options):
        context = chromium.new_context(viewport={"width": width, "height": 740}, timezone_id=zone, **options)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.requests = [], []
        page.on("console", lambda line: page.complaints.append(line.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(site + room + ADDRESSES[kind], wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    ("width", "room", "kind"),
    [(360, "", kind) for kind in ADDRESSES]
    + [(1440, "", kind) for kind in ADDRESSES]
    + [(360, "ar/", kind) for kind in ADDRESSES if kind not in BY_ID],
)
def test_no_page_has_a_barrier(visit, kind, room, width):
    """axe-core finds nothing on any kind of page, on a phone and on a desk, light and dark."""
    page = visit(kind, width=width, zone="Asia/Tokyo", room=room)
    page.evaluate(AXE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("rules => axe.run({runOnly: {type: 'tag', values: rules}})", RULES)
        assert found["passes"]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []


@ROOMS
def test_no_page_scrolls_sideways(visit, kind, room):
    """Long words, wide tables and text from right to left stay within the narrowest phone; wide tables scroll by themselves."""
    page = visit(kind, width=320, zone="Asia/Tokyo", room=room, is_mobile=True)
    for width in (320, 360, 768, 928, 1440):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate(SIDEWAYS) == 0, width
        assert page.evaluate("innerWidth") == width


@KINDS
def test_nothing_leaves_the_host_and_nothing_complains(visit, kind, site):
    """A page asks its own host alone, and gives the browser nothing to complain of: no script or style against the policy."""
    page = visit(kind, zone="Asia/Tokyo")
    page.evaluate("document.documentElement.scrollIntoView({block: 'end'})")  # pictures are fetched when they come near
    page.wait_for_load_state("networkidle")
    assert {urlsplit(url).netloc for url in page.requests} == {urlsplit(site).netloc}
    missing = "the server responded with a status of 404" if kind == "missing page" else "\0"
    assert [line for line in page.complaints if missing not in line] == []


@KINDS
def test_no_script_is_needed(visit, kind):
    """Without script a page says the same, with the newsroom's time and UTC."""
    bare, full = visit(kind, java_script_enabled=False), visit(kind)
    assert bare.inner_text("body") == full.inner_text("body")
    assert full.locator(".own").count() == 0
    if kind == "labour-force":
        assert "Tuesday 1 December 2026, 09:00 EST (14:00 UTC)" in bare.inner_text("main")


def test_the_reader_s_own_time_is_added(visit):
    """A reader elsewhere finds their own time behind the newsroom's, with the date where it differs; at home there is none."""
    assert visit("labour-force", zone="Asia/Tokyo").inner_text(".rail .own") == "23:00 your time"
    assert visit("labour-force", zone="Pacific/Auckland").inner_text(".rail .own") == "2 Dec 2026, 03:00 your time"
    assert visit("labour-force", zone="America/Toronto").locator(".own").count() == 0
    times = visit("front page", zone="Asia/Tokyo").locator(".own")
    assert times.count() == len(BY_ID)


def test_each_question_leads_to_its_place(visit):
    """The list of questions leads to the place in the transcript where each is asked, in the order of the call."""
    page = visit("call")
    links = page.locator(".questions a")
    assert links.count() == len(BY_ID["call"].questions) == 24
    assert links.nth(16).inner_text() == "Henrik Adeyemi, Selwyn Courier"
    links.nth(16).click()
    target = page.locator(":target")
    eventually(
        lambda: page.evaluate("document.querySelector(':target').getBoundingClientRect().top < innerHeight / 2"),
        "what the page is to show",
    )
    assert target.inner_text().split("\n") == [
        "QUESTION:",
        "Thank you. Is item 17 of the accord settled, and who pays for it?",
    ]
    assert page.locator(".turn.asked").count() == 24


def test_speakers_are_set_apart(visit):
    """In a transcript each turn begins with its speaker on a line of their own, at the same edge as the words."""
    page = visit("call", width=360)
    speaker, words = (page.locator(".turn").nth(3).locator(each) for each in ("strong", "p >> nth=0"))
    assert speaker.inner_text() == "SENIOR MINISTRY OFFICIAL TWO:"
    assert speaker.evaluate("node => getComputedStyle(node).display") == "block"
    assert speaker.bounding_box()["x"] == words.bounding_box()["x"]
    assert page.locator(".turn").count() == BY_ID["call"].html.count("<strong>")


def test_pictures_push_nothing_away(visit):
    """A picture that arrives late moves no line of the page, and says in words what it shows."""
    page = visit("labour-force")
    before = page.locator("#about").bounding_box()
    page.locator("figure img").last.scroll_into_view_if_needed()
    eventually(
        lambda: page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)"),
        "what the page is to show",
    )
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    assert page.locator("#about").bounding_box() == before
    assert page.locator("img").first.get_attribute("alt") == "The ferry at the pier of Karsholm at dusk"
    assert "All tables, November PDF, 482.1 kB" in page.inner_text(".files")


def test_machines_find_the_article(visit, site):
    """A release describes itself as a NewsArticle with dates, people, pictures and correction, and to social networks."""
    page = visit("labour-force")
    data = json.loads(page.locator("script[type='application/ld+json']").text_content())
    assert (data["@type"], data["datePublished"], data["isAccessibleForFree"]) == (
        "NewsArticle",
        "2026-12-01T14:00:00Z",
        True,
    )
    assert data["image"] == [f"{site}releases/labour-force/harbour.png", f"{site}releases/labour-force/tall.png"]
    assert page.get_attribute("meta[property='og:image']", "content") == data["image"][0]
    data = json.loads(visit("corrected").locator("script[type='application/ld+json']").text_content())
    assert data["correction"]["text"] == BY_ID["corrected"].correction
    assert "image" not in data
    page = visit("retracted")
    assert (
        json.loads(page.locator("script[type='application/ld+json']").text_content())["creativeWorkStatus"]
        == "Retracted"
    )
    assert "14,472,000" not in page.content()


def test_each_page_is_in_the_language_of_its_content(visit):
    """A page has the language and direction of its main content; menu and foot are English in every newsroom."""
    for kind, language, way in (
        ("arabic", "ar", "rtl"),
        ("chinese", "zh-Hans", "ltr"),
        ("subscription page", "en", "ltr"),
    ):
        page = visit(kind)
        assert page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == [language, way]
        assert (
            page.evaluate("[...document.querySelectorAll('.top, .foot')].map(node => node.lang + node.dir)")
            == ["enltr"] * 2
        )


def test_a_page_can_be_used_by_keyboard(visit):
    """The first key leads past the menu to the content, and wide tables can be reached and scrolled."""
    page = visit("long", width=360)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    table = page.locator(".scroll")
    table.focus()
    page.keyboard.press("ArrowRight")
    eventually(lambda: page.evaluate("document.activeElement.scrollLeft > 0"), "what the page is to show")
    assert page.evaluate(SIDEWAYS) == 0


@pytest.mark.parametrize("kind", ["labour-force", "call", "corrected", "long", "chapter"])
def test_paper_shows_the_text_alone(visit, kind):
    """Printed, a page is black on white without menu and foot, with the addresses of its links, and nothing is cut off."""
    page = visit(kind, width=700, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator(".top nav").is_visible()
    assert not page.locator(".foot").is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("h1").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_motion_is_left_out_for_those_who_ask(visit):
    """A jump to a question glides, except for readers who asked for less motion."""
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert visit("call", reduced_motion="reduce").evaluate(behaviour) == "auto"
    assert visit("call", reduced_motion="no-preference").evaluate(behaviour) == "smooth"


def test_feeds_are_found_from_each_page(visit, site):
    """A reader given the address of a topic's page is offered the topic's feeds first; other pages offer those of everything."""
    alternate = "[...document.querySelectorAll('link[rel=alternate]')].map(link => link.href)"
    names = ("rss.xml", "atom.xml", "feed.json")
    everything = [site + name for name in names]
    assert visit("topic").evaluate(alternate) == [f"{site}topics/labour/{name}" for name in names] + everything
    assert visit("call").evaluate(alternate) == everything
    links = visit("subscription page").evaluate("[...document.querySelectorAll('main a')].map(link => link.href)")
    assert set(everything) <= set(links)
    assert f"{site}topics/labour/atom.xml" in links
