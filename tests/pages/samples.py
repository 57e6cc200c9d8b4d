"""A site with every kind of page, made by the renderer from releases that are hard to show well."""

# ruff: noqa: RUF001  # Chinese is written with Chinese signs, and transcripts with typographic ones
from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scheduler.intake import read
from scheduler.record import Attachment, Release, Version
from scheduler.render import Newsroom, Renderer, Topic
from scheduler.render.text import content
from scheduler.render.topics import folder_of

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 12, 1, 14, tzinfo=UTC)
HUBS = ("https://hub.example.org/",)

PLAIN = """\
The unemployment rate fell to **4.6 per cent** in November, its lowest since 2019, the Statistics Office said on Tuesday.
Employment rose by 41,000, most of it full-time, and the share of people in work or looking for it stood still.

> “More people found work than left school,” said the Chief Statistician. “That has not happened in an autumn for seven years.”

## Where the jobs are

- Health and care: 18,000 more
- Building: 9,000 more, after a summer of losses
- Retail: 2,000 fewer

| Month | Rate | Employed |
|---|--:|--:|
| September | 5.0 | 14,402,000 |
| October | 4.8 | 14,431,000 |
| November | 4.6 | 14,472,000 |

### Notes for editors

1. All figures are seasonally adjusted. The series is `LF-1401` of the [public data set](https://www.example.org/data).
2. The December figures come out on 5 January.

---

```
LF-1401;2026-11;4.6;14472000;seasonally adjusted;first estimate;standard error 0.1 of a percentage point
```
"""
WIDE = "| " + " | ".join(f"Column {number}" for number in range(1, 15)) + " |\n" + "|---" * 14 + "|\n"
WIDE += "".join("| " + " | ".join(f"{row * column:,}.00" for column in range(1, 15)) + " |\n" for row in range(1, 9))
WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
ARABIC = """\
أعلنت **هيئة المياه** اليوم أن خزانات البلاد امتلأت بنسبة 87 في المئة، وهي أعلى نسبة منذ عام 2019.

> قال المدير العام: «يكفي هذا المخزون مدن الساحل حتى نهاية الصيف».

| الخزان | النسبة |
|---|--:|
| الشمال | 91 |
| الجنوب | 83 |
"""
CHINESE = """\
统计局今天公布，十一月全国失业率降至 **4.6%**，为二〇一九年以来的最低水平。就业人数增加四万一千人，其中大部分为全职。

- 医疗与护理：增加一万八千人
- 建筑业：增加九千人
"""
_ASKERS = (
    ("Henrik Adeyemi", "the Selwyn Courier"),
    ("Marta Quill", "Strait Radio"),
    ("Sofia Brandt", "the North Coast Gazette"),
    ("Ana de la Cruz", "Ostrand Public Television"),
)
_WORDS = (
    "The limit will be proposed by scientists of both sides each autumn, and neither government can raise it alone. A skipper "
    "who had to ask two authorities for a licence, and often got two different answers, will ask one. "
)


def _call() -> str:
    """A transcript of about 40 printed pages with 24 questions."""
    lines = ["Senior Ministry Officials on the Valmora-Ostrand Strait Accord", ""]
    lines += ["MODERATOR: Good afternoon. This call is on background, attributable to senior ministry officials.", ""]
    for number in range(24):
        name, outlet = _ASKERS[number % 4]
        lines += [f"MODERATOR: Let’s go to the line of {name} from {outlet}.", ""]
        lines += [f"QUESTION: Thank you. Is item {number + 1} of the accord settled, and who pays for it?", ""]
        speaker = "SENIOR MINISTRY OFFICIAL ONE" if number % 2 else "SENIOR MINISTRY OFFICIAL TWO"
        lines += [f"{speaker}: {_WORDS * 4}", "", _WORDS * 5, "", _WORDS * 3, ""]
        lines += ["QUESTION: And when?", "", f"{speaker}: In the spring.", ""]
    return "\n".join([*lines, "MODERATOR: Thank you all."])


def _picture(width: int, height: int) -> bytes:
    """A PNG with a gradient (PNG specification, sections 11.2.2 to 11.2.5)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + bytes(part for x in range(width) for part in (40 + 120 * y // height, 110 + 60 * x // width, 150))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


FILES = {
    "harbour.png": _picture(900, 500),
    "tall.png": _picture(300, 700),
    "tables.pdf": b"%PDF-1.4\n" + b"x" * 482_113,
    "series.csv": b"month;rate\n2026-11;4.6\n",
}
_TYPES = {"png": "image/png", "pdf": "application/pdf", "csv": "text/csv"}
_ALT = {"harbour.png": "The ferry at the pier of Karsholm at dusk", "tall.png": "The lighthouse of Port Selwyn"}
_TITLE = {
    "harbour.png": "The night ferry at Karsholm. Photo: Ministry of Transport",
    "tables.pdf": "All tables, November",
}
ATTACHMENTS = tuple(
    Attachment(
        name=name,
        media_type=_TYPES[name.rpartition(".")[2]],
        size=len(data),
        digest="0" * 64,
        alt=_ALT.get(name),
        title=_TITLE.get(name),
    )
    for name, data in FILES.items()
)


def release(stem: str, body: str, *, suffix: str = ".md", **fields: object) -> Release:
    """A release as it would come out of the store."""
    given = fields.pop("title", None)
    text = body if suffix == ".txt" else f'---\ntitle: "{given}"\n---\n{body}'
    brief = read(Path(f"{stem}{suffix}"), data=text.encode(), origin=stem)
    made = content(brief)
    values = {
        "id": stem,
        "uuid": stem,
        "tag": f"tag:press.example.org,2026:{stem}",
        "revision": 1,
        "title": brief.title,
        "summary": made.summary,
        "html": made.html,
        "text": made.text,
        "published_at": AT,
        "updated_at": AT,
        "zone": "America/New_York",
        "language": "en",
        "attribution": brief.attribution,
        "moderator": brief.moderator,
        "speakers": brief.speakers,
        "questions": brief.questions,
    }
    return Release(**(values | fields))


_LABOUR = release(
    "labour-force",
    PLAIN,
    title="Unemployment falls to 4.6 per cent, its lowest in seven years",
    topics=("labour", "statistics"),
    attribution="Statistics Office",
    contact="press@example.org",
    source="https://www.example.org/releases/labour-force-november",
)
RELEASES = (
    replace(_LABOUR, attachments=ATTACHMENTS),
    release("call", _call(), suffix=".txt", topics=("strait accord",), published_at=AT - timedelta(hours=5)),
    replace(
        _LABOUR,
        id="corrected",
        uuid="corrected",
        correction="The number of people in work is 14,472,000, not 14,742,000.",
        updated_at=AT + timedelta(hours=26),
    ),
    replace(
        _LABOUR,
        id="retracted",
        uuid="retracted",
        retraction="Sent in error: the figures are of October.",
        updated_at=AT + timedelta(days=2),
    ),
    release("arabic", ARABIC, title="خزانات المياه عند أعلى مستوى منذ سبع سنوات", language="ar", topics=("المياه",)),
    release(
        "chinese",
        CHINESE,
        title="十一月失业率降至百分之四点六，为七年来最低",
        language="zh-Hans",
        topics=("劳动力市场",),
    ),
    release(
        "long",
        f"{WORD * 3}\n\n{WIDE}\n\n> {WORD}\n\n```\n{WORD * 3}\n```\n\n<https://www.example.org/{WORD * 2}>",
        title=f"{WORD}: a title that goes on for longer than anybody should write one, with commas, and then some more words "
        "until three lines are full",
        topics=(WORD, "x" * 60),
        attribution=WORD,
        contact=f"{WORD}@example.org",
    ),
)
BY_ID = {each.id: each for each in RELEASES}
_MANY = tuple(
    replace(
        _LABOUR,
        id=f"r{number}",
        uuid=f"r{number}",
        published_at=AT + timedelta(hours=7 * number),
        correction="x" if number % 9 == 4 else None,
    )
    for number in range(25)
)
TOPICS = tuple(Topic(name=name, folder=folder_of(name)) for each in RELEASES for name in each.topics)[:7]
ADDRESSES = {
    "front page": "",
    "empty front page": "empty/",
    "topics": "topics/",
    "no topics": "empty/topics/",
    "topic": "topics/labour/",
    "empty topic": "empty/topic/",
    "archive": "archive/",
    "empty archive": "empty/archive/",
    "chapter": "archive/2026-12-2/",
    "subscription page": "feeds.html",
    "missing page": "nowhere",
    **{each.id: each.address for each in RELEASES},
}
"""Kind of page -> its address on the sample site."""


def write(folder: Path, *, url: str, language: str = "en") -> None:
    """Writes the sample site of a newsroom at `url` in New York."""
    newsroom = Newsroom(name="Valmora Press Office", url=url, zone="America/New_York", language=language)
    renderer = Renderer(newsroom=newsroom, hubs=HUBS)

    def cards(template: str, shown: tuple[Release, ...], *, part: str = "card.html", **values: object) -> bytes:
        versions = [
            Version(
                id=each.id,
                uuid=each.uuid,
                revision=each.revision,
                published_at=each.published_at,
                updated_at=each.updated_at,
                retracted=each.retraction is not None,
            )
            for each in shown
        ]
        return renderer.cards(template, versions, part=part, load=lambda _: shown, **values)

    def chapter(stem: str, title: str, number: int, count: int) -> dict[str, object]:
        return {"folder": f"archive/{stem}/", "title": title, "number": number, "count": count}

    november = chapter("2026-11", "November 2026", 1, 12)
    december = [chapter(f"2026-12{end}", "December 2026", n, 100) for n, end in enumerate(("", "-2", "-3"), 1)]
    months = [
        {"title": "December 2026", "count": 300, "chapters": december},
        {"title": "November 2026", "count": 12, "chapters": [november]},
        {"title": "October 2026", "count": 1, "chapters": [chapter("2026-10", "October 2026", 1, 1)]},
    ]
    topics = sorted(set(TOPICS), key=lambda each: each.name)
    nothing = Topic(name="harbours", folder="topics/harbours/")
    pages = {
        "index.html": cards("index.html", RELEASES),
        "empty/index.html": cards("index.html", ()),
        "topics/index.html": renderer.document("topics.html", topics=topics),
        "empty/topics/index.html": renderer.document("topics.html", topics=[]),
        "topics/labour/index.html": cards("topic.html", RELEASES[:1], topic=TOPICS[0]),
        "empty/topic/index.html": cards("topic.html", (), topic=nothing),
        "archive/index.html": renderer.document("archive.html", months=months),
        "empty/archive/index.html": renderer.document("archive.html", months=[]),
        "archive/2026-12-2/index.html": cards(
            "chapter.html", _MANY, part="line.html", chapter=december[1], of=3, previous=december[0], next=december[2]
        ),
        "feeds.html": renderer.document("feeds.html", topics=topics),
        **renderer.fixed(),
        **{each.address: renderer.page(each) for each in RELEASES},
    }
    pages |= {BY_ID["labour-force"].address.removesuffix(".html") + f"/{name}": data for name, data in FILES.items()}
    for path, data in pages.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
