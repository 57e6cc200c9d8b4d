"""The forms as a browser shows them: somebody joins, makes mistakes on the way, and leaves again."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from browser import AXE, NEEDED, RULES, SIDEWAYS
from playwright.sync_api import Page
from web_kit import put, running

from scheduler import config
from scheduler.daemon.children import forms
from scheduler.parts import build
from scheduler.store import Store, fence, open_store, subscribers

pytestmark = NEEDED

SETTINGS = """\
newsroom: {{name: "{name}", url: "http://127.0.0.1/", timezone: UTC, language: {language}}}
records: [{{folder: records/}}]
database: sqlite:///var/embargo.db
http: {{listen: "127.0.0.1:8080"}}
mail:
  from: press@example.org
  transport: maildir:var/mail
  consent: "{wording}"
  lists:
    press: {{name: "{press}", public: true}}
    wire: {{name: Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft, public: true}}
"""
ROOMS = {
    "en": ("Valmora Press Office", "I want press releases by e-mail. I can leave at any time.", "Press releases"),
    "ar": ("مكتب فالمورا الصحفي", "أرغب في تلقي البيانات الصحفية بالبريد الإلكتروني.", "البيانات الصحفية"),
}
SHOTS = os.environ.get("EMBARGO_SCREENSHOTS")
"""A folder for pictures of every page, for a person to look at."""


@dataclass
class Visit:
    """A reader in front of a newsroom's forms, and what lies behind them."""

    url: str
    page: Page
    store: Store
    language: str

    def press(self, what):
        """Clicks what leads to another page, and waits until that one is there."""
        with self.page.expect_navigation():
            self.page.click(what)

    def see(self, kind):
        """Looks at the page with axe-core, and at its width; takes pictures where they are asked for."""
        self.page.wait_for_load_state()  # a page before its style sheet is not what a reader meets
        self.page.evaluate(AXE)
        for width, scheme in ((320, "light"), (1440, "dark"), (320, "dark"), (1440, "light")):
            self.page.set_viewport_size({"width": width, "height": 740})
            self.page.emulate_media(color_scheme=scheme)
            assert self.page.evaluate(SIDEWAYS) == 0, kind
            if SHOTS:
                self.page.screenshot(path=f"{SHOTS}/{self.language}-{kind}-{width}-{scheme}.png", full_page=True)
            if (width == 320) is (scheme == "light"):
                found = self.page.evaluate("rules => axe.run({runOnly: {type: 'tag', values: rules}})", RULES)
                assert found["passes"]
                assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == [], kind


@pytest.fixture(params=ROOMS)
def visit(request, chromium, tmp_path):
    name, wording, press = ROOMS[request.param]
    text = SETTINGS.format(name=name, language=request.param, wording=wording, press=press)
    settings = config.parse(text.encode(), path=tmp_path / "config.yaml")
    renderer = build(settings).renderer
    site = {**renderer.fixed(), "feeds.html": renderer.document("feeds.html", topics=[])}
    site["index.html"] = renderer.cards("index.html", (), part="card.html", load=lambda _: ())
    for path, data in site.items():
        put(tmp_path / "public" / path, data)
    store = open_store(settings.database)
    fence.hold(store, now=datetime.now(UTC))
    with running(tmp_path / "public", forms=forms(settings)) as (_, port):
        page = chromium.new_page(viewport={"width": 320, "height": 740})
        page.complaints, page.requests = [], set()
        page.on("console", lambda line: page.complaints.append(line.text))
        page.on("request", lambda request: page.requests.add(request.url))
        yield Visit(f"http://127.0.0.1:{port}/", page, store, request.param)
        page.close()
    store.close()


def test_somebody_joins_and_leaves_without_a_barrier(visit, tmp_path):
    """From the form to the farewell no page has a barrier, on a phone and a desk, light and dark, in both directions of text."""
    page, press = visit.page, ROOMS[visit.language][2]
    page.goto(visit.url)
    visit.press("text=subscribe by e-mail")
    visit.see("form")
    page.fill("#email", "desk@example.org")
    page.check("input[value=press]")
    visit.press("button")
    visit.see("asked")
    (ask,) = subscribers.asks_to_send(visit.store, now=datetime.now(UTC), limit=2)
    page.goto(f"{visit.url}confirm/{ask.token}")
    visit.see("join")
    visit.press("button")
    visit.see("joined")
    assert press in page.inner_text("main")
    page.goto(f"{visit.url}confirm/{'a' * 24}")
    visit.press("button")
    visit.see("late")
    (there,) = subscribers.members(visit.store)
    page.goto(f"{visit.url}unsubscribe/{there.token}")
    visit.see("leave")
    visit.press("button >> nth=0")
    visit.see("left")
    visit.press("button")
    visit.see("everywhere")
    visit.press("text=Subscribe anew")
    assert page.url == f"{visit.url}subscribe"
    visit.store.close()
    (tmp_path / "var/embargo.db").rename(tmp_path / "var/away.db")
    page.fill("#email", "desk@example.org")
    page.check("input[value=press]")
    visit.press("button")
    visit.see("trouble")
    assert {urlsplit(url).netloc for url in page.requests} == {urlsplit(visit.url).netloc}
    assert [line for line in page.complaints if not re.search("status of (404|503)", line)] == []


def test_mistakes_are_found_by_keyboard(visit):
    """What is wrong is announced, stands at its field, and is one key away; what was typed is still there."""
    page = visit.page
    page.goto(f"{visit.url}subscribe")
    page.evaluate("document.forms[0].noValidate = true")  # as a browser that checks nothing
    page.focus("#email")
    page.keyboard.type("desk@@example.org")
    page.keyboard.press("Tab")
    page.keyboard.type("http://x")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "list"  # what is there for bots is passed over
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    visit.see("problems")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "alert"
    assert page.title().startswith("Not done yet: ")
    for name, typed in (("email", "desk@@example.org"), ("name", "http://x")):
        assert page.input_value(f"#{name}") == typed
        assert page.get_attribute(f"#{name}", "aria-describedby") == f"{name}-problem"
        assert page.inner_text(f"#{name}-problem")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "email"
