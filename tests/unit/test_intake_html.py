"""Saved web pages: their text without what surrounds it, and what fails closed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_kit import brief, documented, fate, only_a_brief_or_a_refusal

from scheduler.intake import is_record
from scheduler.intake.hypertext import piece
from scheduler.record import StatedEmbargo
from scheduler.render.text import content

HEAD = """<!DOCTYPE html><html lang="es-MX"><head><meta charset="utf-8">
<title>Sin cambios la tasa | Banco Ejemplo</title>
<meta property="og:title" content="Sin cambios la tasa">
<meta name="article:embargo" content="2026-12-01T09:00:00-06:00">
<meta property="article:published_time" content="2026-11-24T10:00:00-06:00">
<link rel="canonical" href="https://banco.example/prensa/tasa">
<script>document.write("EMBARGO")</script><style>p { color: red }</style></head>"""
AROUND = """<body class="page"><a class="skip-link" href="#c">Saltar</a><div id="cookie-consent"><p>Usamos cookies para todo,
y para más cosas todavía.</p></div><header><nav><ul><li><a href="/">Inicio</a></li><li><a href="/p">Prensa</a></li></ul></nav>
<h1>Banco Ejemplo</h1></header>{}<aside><h2>Más leídas</h2><ul><li><a href="/1">Otra nota</a></li></ul></aside>
<footer><p>Banco Ejemplo, Calle 1, Ciudad de México. Todos los derechos reservados.</p></footer></body></html>"""
STORY = """<h1>Sin cambios la <em>tasa</em></h1><p>La tasa queda en <strong>7 %</strong>, dijo el
<a href="https://banco.example/a(b)">banco</a>.</p><h2>Motivos</h2><ul><li>Uno</li><li>Dos<ul><li>Dos y medio</li></ul></li></ul>
<table><tr><th>Año</th><th>Tasa</th></tr><tr><td>2025</td><td>8 %</td></tr></table><blockquote><p>Una cita.</p></blockquote>
<p>1. diciembre: línea<br>otra línea * con_marcas</p><div class="share-buttons"><p>Compartir en redes</p></div>"""
TEXT = """La tasa queda en **7** %, dijo el [banco](https://banco.example/a%28b%29).

## Motivos

- Uno
- Dos
  - Dos y medio

| Año | Tasa |
| --- | --- |
| 2025 | 8 % |

> Una cita.

1.\u00a0diciembre: línea\u0020\u0020
otra línea \\* con\\_marcas"""


def page(story=f"<main><article>{STORY}</article></main>", head=HEAD):
    return head + AROUND.format(story)


@pytest.mark.parametrize(
    ("story", "body"),
    [
        (f"<main><article>{STORY}</article></main>", "article"),
        (f"<main>{STORY}</main>", "main"),
        (f'<div role="main"><div>{STORY}</div></div>', "div"),
        (f'<div class="wrapper"><div class="content">{STORY}</div></div>', "div"),
        (f'<table><tr><td width="80"><a href="/x">Enlace</a></td><td>{STORY}</td></tr></table>', "td"),
        (f"<article>{STORY}</article><article><h2>Otra</h2><p>Breve.</p></article>", "article"),
    ],
)
def test_a_page_is_its_text_without_what_surrounds_it(story, body):
    """Of a saved page the text is taken, however its makers marked it up; menus, notices and scripts are not."""
    found = brief(page(story), "tasa.html")
    assert found.title == "Sin cambios la tasa"
    assert found.body == TEXT
    assert dict(found.places)["body"] == body
    documented(found, "Web pages")


def test_a_page_is_read_field_by_field():
    """A page gives its language, its address, its date and the embargo in its meta tags."""
    found = brief(page(), "tasa.htm")
    assert (found.id, found.language, found.source) == ("tasa", "es-MX", "https://banco.example/prensa/tasa")
    assert (str(found.issued), found.embargo) == ("2026-11-24", StatedEmbargo(words="2026-12-01T09:00:00-06:00"))
    assert fate(page(), "tasa.html") == "held 2026-12-01 15:00"
    assert "Usamos cookies" in found.notes


@pytest.mark.parametrize(
    ("old", "new", "becomes"),
    [
        ("article:embargo", "prism.embargoDate", "held 2026-12-01 15:00"),
        ("article:embargo", "dcterms.available", "held 2026-12-01 15:00"),
        ("article:embargo", "description", "attention"),
        ("2026-12-01T09:00:00-06:00", "2026-12-01T09:00:00", "attention"),
        ("2026-12-01T09:00:00-06:00", "2026-12-01", "attention"),
        ("2026-12-01T09:00:00-06:00", "true", "attention"),
        ("2026-12-01T09:00:00-06:00", "", "attention"),
        ("<script>", '<meta name="embargo" content="2026-12-02T09:00:00Z"><script>', "attention"),
        ("<script>", '<meta name="embargo" content="2026-12-01T15:00:00Z"><script>', "held 2026-12-01 15:00"),
        ("<p>La tasa", "<p>EMBARGOED UNTIL 3 December 2026, 09:00 UTC</p><p>La tasa", "attention"),
        ("<p>La tasa", "<!-- EMBARGOED UNTIL 3 December 2026, 09:00 UTC --><p>La tasa", "attention"),
        ("<footer>", "<footer>EMBARGOED UNTIL 3 December 2026, 09:00 UTC ", "attention"),
        ("<p>La tasa", "<p hidden>EMBARGOED UNTIL 3 December 2026, 09:00 UTC</p><p>La tasa", "attention"),
    ],
)
def test_what_is_not_understood_is_never_released(old, new, becomes):
    """An embargo in a page's meta tags, comments or furniture that is not understood, or differs, is attention."""
    text = page()
    assert old in text
    assert fate(text.replace(old, new), "tasa.html") == becomes


def test_an_embargo_that_stands_only_around_the_text_is_shown_to_a_person():
    """A statement in a page's furniture may speak of another text: alone it neither holds nor releases."""
    bare = HEAD.replace('<meta name="article:embargo" content="2026-12-01T09:00:00-06:00">', "")
    line = "EMBARGOED UNTIL 1 December 2026, 09:00 UTC"
    assert fate(page(head=bare), "a.html") == "attention"
    assert fate(page(head=bare).replace("<footer>", f"<footer><p>{line}</p>"), "a.html") == "attention"
    assert fate(page(head=bare).replace("<p>La tasa", f"<p>{line}</p><p>La tasa"), "a.html") == "held 2026-12-01 09:00"


@pytest.mark.parametrize(
    ("said", "encoding"),
    [
        ('<meta charset="iso-8859-1">', "windows-1252"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">', "windows-1251"),
        ("<meta charset=Shift_JIS>", "shift_jis"),
        ('<meta charset="utf-8">', "utf-16"),
        ("", "utf-8"),
        ("", "utf-8-sig"),
    ],
)
def test_a_page_is_read_in_its_encoding(said, encoding):
    """A page's encoding is that of its byte order mark, else the one it states, else UTF-8."""
    words = {"windows-1251": "Ставка", "shift_jis": "金利据え置き"}.get(encoding, "Zinsen “unverändert”")
    words = words if encoding != "utf-16" else words + " 利"
    data = f"<html><head>{said}<title>{words}</title></head><body><p>{words}</p></body></html>".encode(encoding)
    assert (brief(data, "a.html").title, brief(data, "a.html").body) == (words, words)


@pytest.mark.parametrize(
    "data",
    [
        "<p>Ä</p>".encode("latin-1"),
        '<meta charset="utf-8"><p>Ä</p>'.encode("latin-1"),
        b'<meta charset="unicode_escape"><title>a</title><p>b',
        b"<title>Only a title</title>",
        b"<p>No title</p>",
        b"<title>a</title>" + b"<div>" * 1000 + b"x",
        b"<title>a</title>" + b"<p>x" * 70_000,
        b"<title>a</title>" + b"&" * 1_000_000,
    ],
)
def test_a_page_that_can_not_be_read_whole_is_refused(data):
    """A page in no known encoding, without a title or a text, or of too many elements is refused, and soon."""
    started = time.perf_counter()
    assert fate(data, "a.html") == "refused"
    assert time.perf_counter() - started < 5


def test_scripts_never_survive():
    """Nothing of a page that a browser would run, and no address but of the web and of mail, is in what is shown."""
    bad = """<p onclick="alert(1)">a</p><a href="javascript:alert(1)">b</a><a href="data:text/html,x">c</a><iframe src="//x">d
</iframe><svg><script>alert(1)</script></svg><img src=x onerror=alert(1)><p>&lt;script&gt;alert(2)&lt;/script&gt;</p>
<object data=x></object><a href='https://ok.example/"><script>'>e</a><style>@import</style>
<p>[x](javascript:alert(3)) ![y](data:z)</p>"""
    shown = content(brief(f"<title>t</title><main>{bad}</main>", "a.html")).html
    assert "<script" not in shown
    assert "onclick" not in shown
    assert "<img" not in shown
    assert 'href="javascript' not in shown
    assert 'href="data' not in shown
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in shown


def test_what_a_browser_saves_beside_a_page_is_no_record():
    """The frames that a browser saves in a folder beside a page are not taken for pages of their own."""
    assert is_record(Path("press/page.html"))
    assert not is_record(Path("press/page_files/frame.html"))
    assert is_record(Path("press_files/record.md"))


@settings(max_examples=80, deadline=None)
@given(text=st.text(max_size=60))
def test_a_text_is_shown_as_it_stands(text):
    """Whatever signs a paragraph of HTML holds, readers see exactly these."""
    import html

    words = " ".join(
        text.replace("\u00ad", "").replace("\u200b", "").replace("\u2060", "").replace("\ufeff", "").split()
    )
    words = "".join(sign for sign in words if sign.isprintable())
    if not words.strip():
        return
    found = brief(f"<meta charset=utf-8><title>t</title><main><p>{html.escape(words)}</p></main>", "a.html")
    assert " ".join(content(found).text.split()) == " ".join(words.split())


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_the_bytes_nothing_but_a_brief_or_a_refusal_comes_out(data):
    """Bytes changed, cut or put in anywhere in a page give a brief or a refusal."""
    whole = page().encode()
    at, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 60))
    put = data.draw(
        st.binary(max_size=12) | st.sampled_from([b"<table>", b"</", b"<!--", b"&#0;", b"<svg>", b"<a", b"<plaintext>"])
    )
    only_a_brief_or_a_refusal(whole[:at] + put + whole[at + length :], "a.html")


def test_a_piece_that_is_nested_too_deeply_is_told():
    """Nesting without end in a piece of HTML is an error, not a crash."""
    with pytest.raises(ValueError, match=r"^$"):
        piece("<div>" * 500)
    for tags in ("<ul><li>", "<blockquote>", "<table><tr><td>", "<b>", "<ol><li><p>"):
        assert fate("<title>t</title>" + tags * 140 + "x", "a.html") in ("attention", "refused")
