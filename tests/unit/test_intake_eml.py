"""Saved mails: what is understood, and what fails closed."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_kit import brief, documented, fate, only_a_brief_or_a_refusal, verdict

from scheduler.record import State

LINE = "EMBARGOED UNTIL 1 December 2026, 09:00 UTC"
TEXT = """Der Leitzins bleibt im Dezember unverändert, wie der Rat der Bank am
Dienstag mitteilte.
- erstens
- zweitens

> Zitat der Bank

-- \nMax Muster, Pressestelle
"""


def mail(text=TEXT, page=None, **headers):
    made = EmailMessage()
    made["From"] = "Max Muster <max@bank.example>"
    made["Subject"] = "Fwd: Leitzins unverändert «Beschluss»"
    made["Date"] = "Tue, 24 Nov 2026 10:00:00 +0100"
    made["Message-ID"] = "<20261124.7@mail.bank.example>"
    for name, value in headers.items():
        del made[name.replace("_", "-")]
        if value is not None:
            made[name.replace("_", "-")] = value
    if text is not None:
        made.set_content(text)
    if page is not None:
        (made.set_content if text is None else made.add_alternative)(page, subtype="html")
    return made


def test_a_mail_is_read_field_by_field():
    """A mail gives its subject, its text and its date; who sent it, and his signature, go nowhere."""
    made = mail()
    made["Content-Language"] = "de"
    found = brief(bytes(made), "mail.eml")
    assert (found.id, found.title) == ("20261124.7-mail.bank.example", "Leitzins unverändert «Beschluss»")
    assert found.body == (
        "Der Leitzins bleibt im Dezember unverändert, wie der Rat der Bank am\nDienstag mitteilte.  \n"
        "\\- erstens  \n\\- zweitens\n\n> Zitat der Bank"
    )
    assert (str(found.issued), found.language, found.left) == ("2026-11-24", "de", ("who sent it",))
    assert "Max" not in found.title + found.body
    documented(found, "Mail")
    documented(
        brief(bytes(mail(text=None, page="<p>Nur <b>HTML</b></p>", X_Embargo="2026-12-01T09:00:00Z")), "a.eml"), "Mail"
    )


@pytest.mark.parametrize(
    ("made", "becomes"),
    [
        (mail(), "attention"),
        (mail(Subject=f"{LINE}: Rates"), "held 2026-12-01 09:00"),
        (mail(Subject="Fwd: SPERRFRIST 1. Dezember 2026, 10.00 Uhr MEZ: Zins"), "held 2026-12-01 09:00"),
        (mail(Subject="EMBARGOED: Rates"), "attention"),
        (mail(f"{LINE}\n\n{TEXT}"), "held 2026-12-01 09:00"),
        (mail(f"{LINE}\n\n{TEXT}", Subject="EMBARGOED UNTIL 2 December 2026, 09:00 UTC: Rates"), "attention"),
        (mail(f"{LINE}\n\n{TEXT}", page="<p>EMBARGOED UNTIL 2 December 2026, 09:00 UTC</p><p>Text</p>"), "attention"),
        (mail(page=f"<p>{LINE}</p><p>Text</p>"), "attention"),
        (mail(None, page=f"<p>{LINE}</p><p>Text</p>"), "held 2026-12-01 09:00"),
        (mail(f"Text.\n\n-- \n{LINE}"), "attention"),
        (mail("For immediate release\n\nText."), "attention"),
        (mail(X_Embargo="2026-12-01T10:00:00+01:00"), "held 2026-12-01 09:00"),
        (mail(X_Embargo="Tue, 1 Dec 2026 10:00:00 +0100"), "attention"),
        (mail(X_Embargo="2026-12-01T10:00:00"), "attention"),
        (mail(X_Embargo="2026-11-01T10:00:00Z", X_Embargo_Until="2026-12-01T10:00:00Z"), "attention"),
        (mail(X_Embargo="2026-12-01T09:00:00Z", Keywords="EMBARGOED UNTIL 2 December 2026, 09:00 UTC"), "attention"),
        (mail(Subject=None), "refused"),
        (mail(""), "refused"),
    ],
)
def test_what_is_not_understood_is_never_released(made, becomes):
    """An embargo in a mail's subject, header or text holds it; one that is not understood, or two that differ, are attention."""
    assert fate(bytes(made), "mail.eml") == becomes


def test_attachments_are_never_left_out_in_silence():
    """A mail with an attachment is attention, and says so; a picture inside its text is left out."""
    made = mail(f"{LINE}\n\nText.", page="<p>Text <img src='cid:a'></p>")
    made.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="bericht.pdf")
    found = verdict(bytes(made), "mail.eml")
    assert found.state is State.ATTENTION
    assert "an attachment, which is not taken" in (found.reason or "")
    assert len(found.candidates) == 1
    assert "an attachment" in brief(bytes(made), "mail.eml").left
    inside = mail(f"{LINE}\n\nText.", page="<p>Text <img src='cid:a'></p>")
    inside.get_payload()[1].add_related(b"\x89PNG", maintype="image", subtype="png", cid="<a>")
    assert fate(bytes(inside), "mail.eml") == "held 2026-12-01 09:00"
    assert "pictures" in brief(bytes(inside), "mail.eml").left
    passed = mail(f"{LINE}\n\nSee below.")
    passed.add_attachment(mail())
    assert fate(bytes(passed), "mail.eml") == "attention"


@pytest.mark.parametrize(
    ("header", "text", "title", "body"),
    [
        (
            b"Subject: =?koi8-r?B?8NLJ18XU?=\nContent-Type: text/plain; charset=koi8-r",
            "Привет".encode("koi8-r"),
            "Привет",
            "Привет",
        ),
        (
            b"Subject: =?iso-2022-jp?B?GyRCNmJNeBsoQg==?=\nContent-Type: text/plain; charset=Shift_JIS",
            "金利".encode("shift_jis"),
            "金利",
            "金利",
        ),
        (
            b"Subject: =?utf-8?Q?Z=C3=BC?=\n =?utf-8?Q?ge?=\nContent-Type: text/plain; charset=iso-8859-1",
            b"Z\xfcge",
            "Züge",
            "Züge",
        ),
        (
            b"Subject: a\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable",
            b"Z=C3=BC=\nge",
            "a",
            "Züge",
        ),
        (
            b"Subject: a\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64",
            b"WsO8Z2U=",
            "a",
            "Züge",
        ),
    ],
)
def test_a_mail_is_read_in_its_encodings(header, text, title, body):
    """Encoded words in the subject and the encodings of the text are read as they are stated."""
    found = brief(header + b"\n\n" + text + b"\n", "a.eml")
    assert (found.title, found.body) == (title, body)


@pytest.mark.parametrize(
    "data",
    [
        b"no mail at all",
        b"Subject: a\nContent-Type: text/plain\n\n\xe4\n",
        b"Subject: a\nContent-Type: text/plain; charset=unicode_escape\n\na\n",
        b"Subject: a\nContent-Type: text/plain; charset=none-such\n\na\n",
        b"Subject: a\nContent-Type: multipart/encrypted; boundary=b\n\n--b\n\nx\n--b--\n",
        b"Subject: a\nContent-Type: application/pkcs7-mime\n\nx\n",
        b"Subject: a\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 500 + b"--b--\n",
        b"Subject: " + b"a" * 301 + b"\n\nx\n",
        b"Subject: a\x08b\n\nx\n",
        b"Subject: a\n\nx\x08y\n",
        b"Subject: a\nDate: Tue, 24 Nov 2026 10:00:00 +" + b"9" * 30 + b"\n\nx\n",
        b"Subject: a\nContent-Type: text/html\n\n" + b"<div>" * 1000,
    ],
)
def test_a_mail_that_can_not_be_read_whole_is_refused(data):
    """A mail in no known encoding, encrypted, or without subject or text is refused, with what to do."""
    assert fate(data, "a.eml") == "refused"


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_the_bytes_nothing_but_a_brief_or_a_refusal_comes_out(data):
    """Bytes changed, cut or put in anywhere in a mail give a brief or a refusal."""
    made = mail(page="<p>Text</p>")
    made.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="bericht.pdf")
    whole = bytes(made)
    at, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 40))
    put = data.draw(
        st.binary(max_size=12) | st.sampled_from([b"=?", b"?=", b"\n", b'"', b";", b"<", b"charset=", b"=?utf-7?Q?+?="])
    )
    only_a_brief_or_a_refusal(whole[:at] + put + whole[at + length :], "a.eml")
