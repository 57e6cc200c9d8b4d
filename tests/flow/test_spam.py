"""What a spam filter thinks of our mail: SpamAssassin as it comes, without the network."""

# ruff: noqa: RUF001  # Chinese and Arabic are written with their own signs
from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.intake import read
from scheduler.record import Purpose, Release
from scheduler.render.mail import addressed, invitation, letter
from scheduler.render.templates import environment
from scheduler.render.text import content

FILTER = shutil.which("spamassassin")
pytestmark = pytest.mark.skipif(FILTER is None, reason="There is no spamassassin here, so nobody judges the mail.")

AT = datetime(2026, 11, 24, 14, tzinfo=UTC)
URL = "https://press.example.org/"
SENDER = "Valmora Press Office <press@example.org>"
REPORT = """\
The unemployment rate fell to **4.6 per cent** in November, its lowest since 2019, the Statistics Office said on Tuesday.

> “More people found work than left school,” said the Chief Statistician.

| Month | Rate |
|---|--:|
| October | 4.8 |
| November | 4.6 |

The series is in the [public data set](https://www.example.org/data). The December figures come out on 5 January.
"""
NOTICE = (
    "The ferry to Karsholm runs again from Thursday at 06:00. Tickets bought before the storm stay valid until March."
)
CHINESE = "统计局今天公布，十一月全国失业率降至 **4.6%**，为二〇一九年以来的最低水平。就业人数增加四万一千人，其中大部分为全职。"
JAPANESE = "統計局は火曜日、十一月の失業率が **4.6%** に下がったと発表した。二〇一九年以来の低い水準である。"
ARABIC = "أعلنت **هيئة المياه** اليوم أن خزانات البلاد امتلأت بنسبة 87 في المئة، وهي أعلى نسبة منذ عام 2019."
OURS = {
    "release": ("Unemployment falls to 4.6 per cent", REPORT, "en", Purpose.RELEASE),
    "correction": ("Unemployment falls to 4.6 per cent", REPORT, "en", Purpose.CORRECTION),
    "retraction": ("Unemployment falls to 4.6 per cent", REPORT, "en", Purpose.RETRACTION),
    "notice": ("Ferry to Karsholm runs again on Thursday", NOTICE, "en", Purpose.RELEASE),
    "chinese": ("十一月失业率降至百分之四点六", CHINESE, "zh-Hans", Purpose.RELEASE),
    "japanese": ("十一月の失業率、七年ぶりの低さに", JAPANESE, "ja", Purpose.RELEASE),
    "arabic": ("خزانات المياه عند أعلى مستوى", ARABIC, "ar", Purpose.RELEASE),
}


def mail(title: str, body: str, language: str, purpose: Purpose, *, url: str) -> bytes:
    made = content(read(Path("one.md"), data=f'---\ntitle: "{title}"\n---\n{body}'.encode(), origin="one"))
    release = Release(
        id="one",
        uuid="6f1c2a52-7d0f-4c1e-9f57-0f4b6c1d8e3a",
        tag="tag:press.example.org,2026:one",
        revision=1,
        title=title,
        summary=made.summary,
        html=made.html,
        text=made.text,
        published_at=AT,
        updated_at=AT,
        zone="Europe/Berlin",
        language=language,
        correction="The rate of October is 4.8, not 4.7." if purpose is Purpose.CORRECTION else None,
        retraction="Sent in error: the figures are of October." if purpose is Purpose.RETRACTION else None,
    )
    made = letter(
        environment(),
        release=release,
        purpose=purpose,
        list_id="press",
        list_name="Press list",
        newsroom_name="Valmora Press Office",
        newsroom_url=url,
        sender=SENDER,
    )
    earlier = () if purpose is Purpose.RELEASE else (f"<{'e' * 32}@example.org>",)
    message_id = f"<{'0123456789abcdef' * 2}@example.org>"
    return addressed(made, recipient="Zoë <zoe@example.net>", message_id=message_id, token="k4w7" * 6, earlier=earlier)


def scores(messages: list[bytes], home: Path) -> list[tuple[float, str]]:
    """Points and rules of each of these."""
    box = b"".join(b"From x Tue Nov 24 14:00:00 2026\n" + each.replace(b"\r\n", b"\n") + b"\n" for each in messages)
    found = subprocess.run(
        [FILTER, "--local", "--test-mode", "--nocreate-prefs", "--mbox"],
        input=box,
        stdout=subprocess.PIPE,
        env=os.environ | {"HOME": str(home), "LC_ALL": "C"},
        check=False,
    ).stdout.decode("utf-8", "replace")
    reports = found.split("Content analysis details:")[1:]
    return [(float(re.search(r"\((-?[\d.]+) points", each)[1]), each[:1500]) for each in reports]


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:8080/"])
def test_no_mail_looks_like_spam(tmp_path, url):
    """SpamAssassin gives every kind of mail, in every script, less than 0 points."""
    found = scores([mail(*each, url=url) for each in OURS.values()], tmp_path)
    assert [(name, report) for name, (points, report) in zip(OURS, found, strict=True) if points >= 0] == []


def test_no_invitation_looks_like_spam(tmp_path):
    """SpamAssassin finds nothing against the mail that asks for a confirmation."""
    asked = invitation(
        environment(),
        newsroom_name="Valmora Press Office",
        newsroom_url=URL,
        sender=SENDER,
        recipient="zoe@example.net",
        lists=["Press list"],
        token="k4w7" * 6,
        message_id=f"<{'0123456789abcdef' * 2}@example.org>",
        at=AT,
    )
    [(points, report)] = scores([asked], tmp_path)
    assert points <= 0, report
