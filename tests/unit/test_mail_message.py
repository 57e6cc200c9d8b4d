from __future__ import annotations

import email
import re
from dataclasses import replace
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.utils import parseaddr, parsedate_to_datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scheduler.errors import RenderRefused
from scheduler.record import Attachment, Purpose, Release
from scheduler.render.mail import LIMIT, addressed, invitation, letter, message_id, wrapped
from scheduler.render.templates import environment, taken

ENVIRONMENT = environment()
ID = "<0123456789abcdef@example.org>"
TOKEN = "abcdefghijklmnopqrstuv27"
RELEASE = Release(
    id="hled-preview",
    uuid="6f1c2a52-7d0f-4c1e-9f57-0f4b6c1d8e3a",
    tag="tag:press.example.org,2026:6f1c2a52-7d0f-4c1e-9f57-0f4b6c1d8e3a",
    revision=1,
    title="High-Level Economic Dialogue",
    summary="Two governments meet.",
    html='<p>Two governments meet, says <a href="plan.html?a=1&amp;b=2">the plan</a>.</p>\n<p>href="plan.html"</p>',
    text="Two governments meet, says the plan.\n\nA second paragraph.",
    published_at=datetime(2026, 12, 1, 14, tzinfo=UTC),
    updated_at=datetime(2026, 12, 2, 9, 30, tzinfo=UTC),
    zone="America/New_York",
    language="en",
    attribution="on background",
    contact="desk@example.org",
    source="https://www.example.org/hled",
)
HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "List-Id", "Auto-Submitted", "X-Auto-Response-Suppress"),
    *("Precedence", "Content-Language", "MIME-Version", "Content-Type", "List-Unsubscribe", "List-Unsubscribe-Post"),
    *("List-Archive", "Archived-At", "Feedback-ID"),
}
LINKS = ("List-Unsubscribe:", "List-Archive:", "Archived-At:")
HOSTILE = st.text(st.characters(codec="utf-8"), max_size=200) | st.lists(
    st.sampled_from(
        [
            "\r\n",
            "\n",
            "\r",
            "Bcc: eve@example.org",
            "=?utf-8?q?=0ABcc:?=",
            '"',
            "\\",
            "<",
            ">",
            "é",
            " ",
            "\x00",
            "x" * 99,
        ]
    ),
    max_size=9,
).map("".join)


def written(release: Release = RELEASE, purpose: Purpose = Purpose.RELEASE, **changes):
    arguments = {
        "environment": ENVIRONMENT,
        "list_id": "press",
        "list_name": "Press list",
        "newsroom_name": "Example Press Office",
        "newsroom_url": "https://news.example.org/room/",
        "sender": "Example Press Office <press@example.org>",
    }
    return letter(release=release, purpose=purpose, **(arguments | changes))


def body(made) -> bytes:
    return b"".join(made.content.filled(TOKEN.encode()))


def sent(made, *, recipient: str = "reader@example.org", token: str = TOKEN, **more) -> bytes:
    return addressed(made, recipient=recipient, message_id=ID, token=token, **more)


def message(made, **more):
    return email.message_from_bytes(sent(made, **more), policy=policy.default)


def invited(**changes) -> bytes:
    arguments = {
        "newsroom_name": "Example Press Office",
        "newsroom_url": "https://news.example.org/room/",
        "sender": "Example Press Office <press@example.org>",
        "recipient": "reader@example.org",
        "lists": ["Press list", "Statistics"],
        "token": TOKEN,
        "message_id": ID,
        "at": datetime(2026, 12, 1, tzinfo=UTC),
    }
    return invitation(ENVIRONMENT, **(arguments | changes))


def is_sound(raw: bytes) -> bool:
    """Whether these are lines as RFC 5322 wants them: ASCII, CRLF, no bare CR or LF, short but for addresses of the web."""
    lines = raw.split(b"\r\n")
    in_links = False
    for line in lines:
        in_links = line.decode().startswith(LINKS) or (in_links and line.startswith(b" "))
        if len(line) > (998 if in_links else 78):
            return False
    return raw.isascii() and raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n") and lines[-1] == b""


def part(read, kind: str) -> str:
    return read.get_body((kind,)).get_content()


def shown(text: str) -> str:
    """A text as one line, which is what a header can hold."""
    return re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+", " ", text).strip()


def test_a_mail_says_what_it_is_whose_it_is_and_that_no_answer_is_expected_from_a_machine():
    """A mail carries everything that mailbox providers and vacation responders look for, once each."""
    read = message(written())
    assert sorted(read.keys()) == sorted(HEADERS)
    assert read["From"] == "Example Press Office <press@example.org>"
    assert read["To"] == "reader@example.org"
    assert read["Subject"] == "High-Level Economic Dialogue"
    assert read["List-Id"] == "Press list <press.example.org>"
    assert read["Message-ID"] == ID
    assert read["Auto-Submitted"] == "auto-generated"
    assert parsedate_to_datetime(read["Date"]) == RELEASE.published_at


def test_plain_text_comes_first_and_html_last():
    """A mail holds the same release twice: as plain text first, as HTML last."""
    read = message(written())
    assert read.get_content_type() == "multipart/alternative"
    assert [each.get_content_type() for each in read.iter_parts()] == ["text/plain", "text/html"]
    for kind in ("plain", "html"):
        text = part(read, kind)
        for words in (
            *(
                "Example Press Office",
                f"https://news.example.org/room/unsubscribe/{TOKEN}",
                "Manage or leave",
                RELEASE.title,
                "Tuesday 1 December 2026, 09:00 EST (14:00 UTC)",
                "on background",
            ),
            *("Two governments meet", "https://news.example.org/room/releases/hled-preview.html", "desk@example.org"),
            "You receive this because you are on the list “Press list”",
        ):
            assert words in " ".join(text.split())


def test_the_bytes_of_a_mail_never_vary():
    """The same mail, made again, is the same byte for byte."""
    once, again = (sent(written(), earlier=("<a@example.org>",)) for _ in range(2))
    assert once == again
    assert invited() == invited()


def test_a_correction_is_announced_and_stands_beside_the_first_mail():
    """A correction says so in its subject and before its text, and is shown in the thread of what it corrects."""
    made = written(replace(RELEASE, revision=2, correction="The figure was wrong."), Purpose.CORRECTION)
    read = message(made, earlier=("<first@example.org>", "<second@example.org>"))
    assert read["Subject"] == "Correction: High-Level Economic Dialogue"
    assert read["In-Reply-To"] == "<second@example.org>"
    assert read["References"] == "<first@example.org> <second@example.org>"
    assert parsedate_to_datetime(read["Date"]) == RELEASE.updated_at
    for kind in ("plain", "html"):
        text = part(read, kind)
        assert text.index("The figure was wrong.") < text.index("Two governments meet")
    unexplained = message(written(RELEASE, Purpose.CORRECTION))
    assert "This version replaces the one sent before." in part(unexplained, "plain")


def test_a_retraction_does_not_send_the_text_again():
    """A retraction tells why, and does not repeat what it takes back."""
    read = message(written(replace(RELEASE, retraction="The plan was withdrawn."), Purpose.RETRACTION))
    assert read["Subject"] == "Retracted: High-Level Economic Dialogue"
    for kind in ("plain", "html"):
        assert "The plan was withdrawn." in part(read, kind)
        assert "Two governments meet" not in part(read, kind)


def test_links_within_the_site_work_from_a_mailbox():
    """A link that is relative in a record is absolute in a mail; words that look like one are left alone."""
    html = part(message(written()), "html")
    assert '<a href="https://news.example.org/room/releases/plan.html?a=1&amp;b=2"' in html
    assert '>href="plan.html"</p>' in html
    assert 'href="//["' in part(message(written(replace(RELEASE, html='<p><a href="//[">broken</a></p>'))), "html")


def test_a_long_release_ends_on_a_whole_paragraph_and_leads_on_to_its_page():
    """Where a mail would be longer than providers show, both its parts end on the same whole paragraph and lead to the page."""
    sentence = "Größe und Wärme. " * 40
    long = replace(
        RELEASE,
        html="".join(f"<p>{sentence}<br><em>{number}</em></p>\n" for number in range(400)),
        text="\n\n".join(f"{sentence}{number}" for number in range(400)),
    )
    made = written(long)
    assert LIMIT - 5_000 < len(body(made)) <= LIMIT
    read = message(made)
    ends = {}
    for kind, end in (("plain", r"Wärme\.\s+(\d+)\s+This mail ends here"), ("html", r"<em>(\d+)</em></p>\s*</div>")):
        text = part(read, kind)
        ends[kind] = int(re.search(end, text)[1])
        assert "Read on" in text
    assert ends["plain"] > 30
    assert abs(ends["plain"] - ends["html"]) <= 3
    endless = message(written(replace(RELEASE, html=f"<p>{'word ' * 30_000}</p>", text="word " * 30_000)))
    assert "<p" in part(endless, "html")
    assert "Two governments meet.</p>" in part(endless, "html")
    assert "Two governments meet." in part(endless, "plain")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ar", "مرحبا بكم في الحوار الاقتصادي. "),
        ("ja", "人工知能に関する新しい政策が火曜日に発表された。"),
        ("ru", "Встреча в Москве. "),
    ],
)
def test_every_script_arrives_as_it_was_written(language, text):
    """Arabic, Japanese and Cyrillic text arrives unharmed, in its own direction."""
    title = (text * 4).strip()
    read = message(written(replace(RELEASE, title=title, text=text * 9, html=f"<p>{text * 9}</p>", language=language)))
    assert read["Subject"] == title
    assert read["Content-Language"] == language
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}"' in part(read, "html")
    assert (text * 9).strip() in part(read, "html")
    for kind in ("plain", "html"):
        assert f"/unsubscribe/{TOKEN}" in part(read, kind)
    assert re.sub(r"\s", "", text * 9) in re.sub(r"\s", "", part(read, "plain"))


@given(title=HOSTILE, name=HOSTILE, list_name=HOSTILE, reader=HOSTILE)
def test_nothing_in_a_title_or_a_name_becomes_a_header(title, name, list_name, reader):
    """Whatever a title, a newsroom's, a list's or a reader's name holds, it stays where it belongs and is read back whole."""
    name, reader = (re.sub("[<>]", "", each).strip().strip('"') for each in (name, reader))
    # In quotes, once what can't be shown is gone from its ends, it is a quoted string, of which the quotes are no part.
    assume(not any(shown(each)[:1] == shown(each)[-1:] == '"' for each in (name, reader)))
    made = written(replace(RELEASE, title=title), list_name=list_name, sender=f"{name} <press@example.org>")
    raw = sent(made, recipient=f"{reader} <reader@example.org>")
    assert is_sound(raw)
    read = email.message_from_bytes(raw, policy=policy.default)
    assert sorted(read.keys()) == sorted(HEADERS)
    assert read["Subject"] == shown(title)
    for header, display, address in (("From", name, "press@example.org"), ("To", reader, "reader@example.org")):
        assert [each.addr_spec for each in read[header].addresses] == [address]
        words, _ = parseaddr(email.message_from_bytes(raw)[header].replace("\r\n", ""))
        assert str(make_header(decode_header(words))) == shown(display)
    assert read["List-Id"].endswith("<press.example.org>")
    assert read.get_boundary().encode() not in b"".join(each.as_bytes() for each in read.iter_parts())


@given(address=HOSTILE)
def test_an_address_never_becomes_a_header(address):
    """Whatever an address holds, it is refused or stays where it belongs; a refusal doesn't repeat it."""
    try:
        raw = sent(written(), recipient=f"{address}@example.org")
    except RenderRefused as refusal:
        problem = refusal.problem
    else:
        problem = "the recipient's address is used"
        assert sorted(email.message_from_bytes(raw).keys()) == sorted(HEADERS)
    assert problem.startswith("the recipient's address")
    assert "eve@example.org" not in problem


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            "nobody",
            "a@",
            "@b.org",
            "a b@c.org",
            "a@b..org",
            "a@-b.org",
            '"a b"@c.org',
            "a@b.org\r\nBcc: c@d.org",
            "a@b.org, c@d.org",
        ),
        *("jürgen@example.org", "a@straße.de", "<a@b.org", f"{'a' * 65}@b.org", f"a@{'b' * 64}.org"),
    ],
)
def test_an_address_that_no_mail_can_reach_is_refused(address):
    """An address that is none, or needs SMTPUTF8, or whose domain has two readings, is refused with the reason."""
    with pytest.raises(RenderRefused):
        sent(written(), recipient=address)


def test_international_names_and_domains_are_written_as_mail_needs_them():
    """A name in any script is shown as it is; an international domain is written in its ASCII form."""
    read = message(written(sender="報道室 <press@例え.jp>"), recipient='"Bäcker, Zoë" <zoe@BÜCHER.example>')
    assert read["From"].addresses[0].display_name == "報道室"
    assert read["From"].addresses[0].addr_spec == "press@xn--r8jz45g.jp"
    assert read["List-Id"] == "Press list <press.xn--r8jz45g.jp>"
    assert read["To"].addresses[0].display_name == "Bäcker, Zoë"
    assert read["To"].addresses[0].addr_spec == "zoe@xn--bcher-kva.example"


def test_a_message_id_belongs_to_one_mail_alone():
    """A Message-ID is the same for the same mail to the same person, and for no other."""
    mail = {
        "uuid": RELEASE.uuid,
        "revision": 1,
        "purpose": Purpose.RELEASE,
        "token": TOKEN,
        "domain": "example.org",
    }
    made = message_id(**mail)
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.org>", made)
    others = ({"revision": 2}, {"purpose": Purpose.CORRECTION}, {"token": "7" * 24}, {"uuid": "another"})
    assert len({made, *(message_id(**mail | other) for other in others)}) == 5


@pytest.mark.parametrize("bad", ["<a b@c>", "a@b", "<a@b>\r\nBcc: <c@d>", "<>"])
def test_a_message_id_that_is_none_is_refused(bad):
    """A Message-ID that could end a header line is refused."""
    with pytest.raises(RenderRefused, match="Message-ID"):
        sent(written(), earlier=(bad,))
    with pytest.raises(RenderRefused, match="Message-ID"):
        invited(message_id=bad)


def test_a_list_whose_id_can_not_stand_in_a_header_is_refused():
    """A list's id is made of letters, digits, dots, dashes and underscores; another is refused before any mail is made."""
    with pytest.raises(RenderRefused, match="rename the list"):
        written(list_id="press list")


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ("{{ newsroom_name }}\n{{ release.text | int / 0 }}", "mail.txt:2: ZeroDivisionError in"),
        ("{{ newsroom_name }}\n{{ realease.text }}", "mail.txt:2: UndefinedError in"),
        ("{{ newsroom_name }}\n\n{% fi %}", "mail.txt:3: Encountered unknown tag 'fi'"),
        (b"\xff", "UnicodeDecodeError"),
    ],
)
def test_a_template_that_fails_is_named_with_its_line_and_without_the_text(tmp_path, template, place):
    """A mail template that fails is named with the line where it fails, and with none of the record's text."""
    (tmp_path / "mail.txt").write_bytes(template if isinstance(template, bytes) else template.encode())
    with pytest.raises(RenderRefused) as refusal:
        written(environment=environment(taken(tmp_path)))
    assert refusal.value.output == "mail.txt"
    assert place in refusal.value.problem
    assert "governments" not in str(refusal.value)
    assert refusal.value.__suppress_context__


def test_text_is_wrapped_without_breaking_urls_or_words():
    """Plain text is wrapped at 72 columns; a URL is never broken, and wide characters count as two columns."""
    url = "https://www.example.org/" + "a/very/long/path/" * 6
    lines = wrapped(f"{'word ' * 40}see「{url}」then {'人工知能。' * 30}").splitlines()
    assert any(f"「{url}」" in line for line in lines)
    assert all(
        sum(2 if ord(character) > 0x2E7F else 1 for character in line) <= 72 for line in lines if url not in line
    )
    assert not any(line.startswith(("。", "」")) for line in lines)
    assert wrapped("one\n\ntwo") == "one\n\ntwo"
    assert wrapped(f"  - {'word ' * 20}").splitlines()[1].startswith("  word")


def test_neither_a_letter_nor_a_mail_shows_its_text_when_printed():
    """A letter that is printed by accident shows none of its text."""
    assert "governments" not in repr(written())


def test_a_reader_leaves_by_one_click_by_a_page_or_by_mail():
    """Every mail names both ways to leave, the web first, each with the reader's token, and neither is broken over two lines."""
    raw = sent(written(bounces="bounces@example.org"))
    web, mail = f"https://news.example.org/room/unsubscribe/{TOKEN}", f"mailto:bounces+{TOKEN}@example.org"
    assert raw.count(f"List-Unsubscribe: <{web}>,\r\n <{mail}?subject=unsubscribe>\r\n".encode()) == 1
    assert raw.count(b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n") == 1
    read = message(written(sender="Press <press+o'ffice&a@example.org>"))
    assert read["List-Unsubscribe"].endswith(f"<mailto:press+o'ffice%26a@example.org?subject=unsubscribe%20{TOKEN}>")


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://bücher.example/presse/", True),
        ("http://127.0.0.1:8080/", True),
        ("http://localhost/", True),
        ("http://[::1]:8080/", True),
        ("http://press.example.org/", False),
    ],
)
def test_one_click_is_offered_where_nobody_can_listen(url, asked):
    """One click is offered over HTTPS, and in a trial on this machine; elsewhere the link stays and leads to a page."""
    read = message(written(newsroom_url=url))
    assert ("List-Unsubscribe-Post" in read) is asked
    assert read["List-Unsubscribe"].startswith(f"<{url.replace('bücher', 'xn--bcher-kva')}unsubscribe/{TOKEN}>")


def test_what_providers_count_complaints_by_tells_nothing_of_the_reader():
    """Feedback-ID names the release, the list, the kind of mail and the sender, the same for everybody."""
    ids = {message(written(), recipient=f"{who}@example.org", token=who * 24)["Feedback-ID"] for who in "ab"}
    assert len(ids) == 1
    assert re.fullmatch(r"6f1c2a52-1:press:release:[0-9a-f]{12}", ids.pop())


SCRIPTS = st.sampled_from(
    ["a", "é", "人", "م", "\n", "\n\n", " ", ".", "=", "From ", "\U0001f600", "\u202e", "\x85", "\r", "x" * 90]
)


@given(text=st.lists(SCRIPTS, max_size=40).map("".join), language=st.sampled_from(["en", "ar", "ja"]))
def test_whatever_a_text_holds_a_second_reader_finds_it_with_the_token_in_its_place(text, language):
    """In every script and encoding, each mail differs from another's by the tokens alone, and is read back whole."""
    made = written(replace(RELEASE, text=text, html=f"<p>{text}</p>", language=language))
    mine, others = (sent(made, token=token) for token in (TOKEN, "7" * 24))
    assert is_sound(mine)
    assert max(map(len, body(made).split(b"\r\n"))) <= 76
    read, other = (email.message_from_bytes(raw, policy=policy.default) for raw in (mine, others))
    assert not [defect for each in read.walk() for defect in each.defects]
    for kind in ("plain", "html"):
        assert part(read, kind).count(f"/unsubscribe/{TOKEN}") == 1
        assert part(other, kind).replace("7" * 24, TOKEN) == part(read, kind)
    assert re.sub(r"\s", "", text) in re.sub(r"\s", "", part(read, "plain"))


def test_a_text_that_looks_like_a_token_stays_as_it_was_written():
    """What an author writes is never taken for the place of a token, be it one, or what stood in a letter for one."""
    plain = written().content.pieces[0]
    text = f"{TOKEN} {'a' * 24} https://news.example.org/room/unsubscribe/{TOKEN}"
    made = written(replace(RELEASE, text=text, html=f"<p>{text}</p>"))
    assert made.content.pieces[0] != plain
    read = message(made, token="7" * 24)
    assert text in " ".join(part(read, "plain").split())
    assert text in part(read, "html")


@pytest.mark.parametrize(
    "bad", ["", "a" * 23, "a" * 25, "A" * 24, "a" * 23 + "\n", "a" * 12 + "\r\nBcc: e@b.c", "0" * 24]
)
def test_a_token_that_is_none_is_refused(bad):
    """A token that could end a line or a link is refused."""
    with pytest.raises(RenderRefused, match="token"):
        sent(written(), token=bad)


def test_a_mail_looks_right_where_styles_are_dropped():
    """What a style sheet says is written at each element, for the many programs that drop it; what is for the dark stays."""
    html = part(message(written(replace(RELEASE, html="<blockquote><p>Words</p></blockquote>"))), "html")
    assert re.search(r"<blockquote [^>]*style=\"[^\"]*border-inline-start", html)
    sheet = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert "@media (prefers-color-scheme: dark)" in sheet
    assert "h1 {" not in sheet
    assert html.index('<meta charset="utf-8">') < 200


def test_a_style_sheet_of_a_template_is_not_fetched(tmp_path):
    """A template that names a style sheet elsewhere makes nobody fetch it: a held record is told to no other host."""
    link = '<link rel="stylesheet" href="http://127.0.0.1:9/a.css">'
    (tmp_path / "mail.html").write_text(f"<html><head>{link}</head><body>{{{{ body | safe }}}}</body></html>")
    assert "governments" in part(message(written(environment=environment(taken(tmp_path)))), "html")


def test_a_postal_address_stands_in_every_mail_where_one_is_set():
    """Where law wants a postal address, each mail ends with it."""
    made = written(postal_address="1 Harbour Street, Selwyn")
    for read in (
        message(made),
        email.message_from_bytes(invited(postal_address="1 Harbour Street, Selwyn"), policy=policy.default),
    ):
        for kind in ("plain", "html"):
            assert "1 Harbour Street, Selwyn" in part(read, kind)


def test_attachments_are_named_with_their_addresses():
    """A mail names what is attached to a release and leads to it; it carries no files. A retraction names none."""
    file = Attachment(
        name="all tables.pdf", media_type="application/pdf", size=9, digest="0" * 64, alt=None, title="Tables"
    )
    release = replace(RELEASE, attachments=(file,))
    for kind in ("plain", "html"):
        text = part(message(written(release)), kind)
        assert "https://news.example.org/room/releases/hled-preview/all%20tables.pdf" in text
        assert "Tables" in text
        assert "Tables" not in part(message(written(release, Purpose.RETRACTION)), kind)


def test_an_invitation_says_what_was_asked_for_and_that_nothing_happens_by_itself():
    """The mail that asks for a confirmation names the lists and the one link, and that without it nothing will be sent."""
    read = email.message_from_bytes(
        invited(recipient="Buy now! http://spam.example <reader@example.org>"), policy=policy.default
    )
    assert read["To"] == "reader@example.org"
    assert read["Auto-Submitted"] == "auto-generated"
    assert "List-Unsubscribe" not in read
    for kind in ("plain", "html"):
        text = part(read, kind)
        for words in ("Press list", "Statistics", "within 7 days", f"https://news.example.org/room/confirm/{TOKEN}"):
            assert words in text
        assert "spam" not in text


@given(name=HOSTILE, lists=st.lists(HOSTILE, min_size=1, max_size=3), token=HOSTILE)
def test_nothing_in_an_invitation_becomes_a_header(name, lists, token):
    """Whatever a newsroom's name, a list's or a token holds, an invitation stays one message in sound lines."""
    raw = invited(newsroom_name=name, lists=lists, token=token)
    assert is_sound(raw)
    read = email.message_from_bytes(raw, policy=policy.default)
    assert len(read.keys()) == 9
    assert [each.get_content_type() for each in read.iter_parts()] == ["text/plain", "text/html"]
