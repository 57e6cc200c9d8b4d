"""The mails as a browser shows their HTML: on a phone and on a desk, light and dark."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from email import policy

import pytest
from browser import AXE, NEEDED, RULES, SIDEWAYS
from samples import BY_ID

from scheduler.record import Purpose
from scheduler.render.mail import NOBODY, addressed, invitation, letter
from scheduler.render.templates import environment

pytestmark = NEEDED

SHARED = {
    "newsroom_name": "Valmora Press Office",
    "newsroom_url": "https://news.example.org/",
    "sender": "Valmora Press Office <press@example.org>",
    "postal_address": "Valmora Press Office, 1 Harbour Street, Selwyn",
}
PURPOSES = {"corrected": Purpose.CORRECTION, "retracted": Purpose.RETRACTION}
KINDS = [*BY_ID, "invitation"]
# A mail is shown within a program that has landmarks of its own, and lets the keyboard into what scrolls.
NOT_OURS = ("landmark-one-main", "region", "scrollable-region-focusable")
LEFT_OUT = {rule: {"enabled": False} for rule in NOT_OURS}


def html_of(kind: str) -> str:
    if kind == "invitation":
        raw = invitation(
            environment(),
            recipient="zoe@example.net",
            lists=["Press list", "Statistics"],
            token=NOBODY,
            message_id="<one@example.org>",
            at=datetime(2026, 12, 1, tzinfo=UTC),
            **SHARED,
        )
    else:
        purpose = PURPOSES.get(kind, Purpose.RELEASE)
        made = letter(
            environment(), release=BY_ID[kind], purpose=purpose, list_id="press", list_name="Press list", **SHARED
        )
        raw = addressed(made, recipient="zoe@example.net", message_id="<one@example.org>", token=NOBODY)
    return email.message_from_bytes(raw, policy=policy.default).get_body(("html",)).get_content()


@pytest.fixture
def page(chromium):
    """A page without a network, that keeps the addresses it was asked to fetch."""
    context = chromium.new_context(offline=True)
    page = context.new_page()
    page.requests = []
    page.on("request", lambda request: page.requests.append(request.url))
    yield page
    context.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_has_no_barrier_and_fits(page, kind):
    """axe-core finds nothing in any mail, light and dark; none is wider than a phone, and none fetches anything."""
    page.set_content(html_of(kind))
    for width in (320, 390, 1280):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate(SIDEWAYS) == 0, width
    page.evaluate(AXE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        options = {"runOnly": {"type": "tag", "values": RULES}, "rules": LEFT_OUT}
        found = page.evaluate("options => axe.run(options)", options)
        assert found["passes"]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []
    assert page.requests == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_mail_is_dark_where_the_reader_s_program_is(page, scheme):
    """A mail follows the reader's choice of light or dark, though its colours stand at each element."""
    page.emulate_media(color_scheme=scheme)
    page.set_content(html_of("corrected"))
    paper, ink = (
        ("rgb(255, 255, 255)", "rgb(23, 33, 43)") if scheme == "light" else ("rgb(17, 23, 29)", "rgb(230, 235, 240)")
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == ink
