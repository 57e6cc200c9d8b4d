"""The values: what a record, a revision and a delivery are. Pure: no I/O, no clock."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from scheduler.embargo import Kind, Lift


class State(StrEnum):
    """Where a record stands. Who moves it on is said behind each."""

    ATTENTION = "attention"  # a person: confirm, amend, withdraw, or an edit of the file
    HELD = "held"  # the lift; or a person: amend, lift, withdraw
    RELEASED = "released"  # a person: correct, retract
    WITHDRAWN = "withdrawn"  # no one
    RETRACTED = "retracted"  # no one


class DeliveryState(StrEnum):
    """Where one mail to one address stands."""

    PENDING = "pending"  # owed, nothing tried or to be tried again at `due_at`
    CLAIMED = "claimed"  # a worker has it; nothing has left
    SENDING = "sending"  # announced: from here on a crash leaves it unknown
    SENT = "sent"  # the next server has taken it
    FAILED = "failed"  # refused for good, or given up
    UNCERTAIN = "uncertain"  # the reply was lost; it may or may not have gone out
    SUPPRESSED = "suppressed"  # not sent: its reader has left the list, or no mail reaches him


class Membership(StrEnum):
    """Where one address on one list stands."""

    ACTIVE = "active"
    LEFT = "left"  # he has unsubscribed, or was taken off at his word
    BOUNCED = "bounced"  # mail does not reach him
    COMPLAINED = "complained"  # he told his provider that it is spam


class Uncertain(StrEnum):
    """What to do with a list's mails of which no one knows whether they arrived."""

    HOLD = "hold"  # a person decides
    RESEND = "resend"  # the same bytes again


class Purpose(StrEnum):
    """Why a mail is owed."""

    RELEASE = "release"
    CORRECTION = "correction"
    RETRACTION = "retraction"


class PastOnArrival(StrEnum):
    """What to do with a record whose lift has passed before it came in."""

    HOLD = "hold"  # attention
    RELEASE = "release"


class Overdue(StrEnum):
    """What to do at start with a record that fell due while the service was down."""

    RELEASE = "release"
    HOLD = "hold"  # attention


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedEmbargo:
    """The ``embargo`` of a record's metadata, as written: ``words`` verbatim, ``zone`` if given apart, ``line`` in the file."""

    words: str
    zone: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a transcript: who asked, for which outlet (``None`` where the text does not say).

    It is asked in the ``turn``-th turn of the text, counting from 1: its place, which is no part of what it is.
    """

    asker: str | None = field(default=None, repr=False)
    outlet: str | None = field(default=None, repr=False)
    turn: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that belongs to a record, as the store keeps it. Its bytes are the store's, under ``digest`` (SHA-256 in hex).

    ``name`` is the file's name in its address, ``size`` in bytes. ``alt`` says in words what an image shows; without it the
    image is only offered, not shown.
    """

    name: str = field(repr=False)
    media_type: str
    size: int
    digest: str
    alt: str | None = field(default=None, repr=False)
    title: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosed:
    """An attachment as a brief names it: ``path`` is where its bytes are, ``line`` where the brief says so.

    As long as they have not been read, the attachment's ``size`` is 0 and its ``digest`` empty.
    """

    attachment: Attachment
    path: str = field(repr=False)
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What a source hands us: raw fields, and where they came from.

    ``origin`` is the source's own name for it (a file's path), ``digest`` the SHA-256 of its bytes in hex. ``body`` is
    CommonMark; ``body_line`` is the line of the file on which it starts, counting from 1. ``issued`` is the date of the
    document where it states one, ``seen`` a date on or after it (when the page was saved): a bound, never a date of issue.

    ``doubt`` is what keeps it from lifting by itself whatever it says about when, in whole sentences. ``notes`` is what stands
    around the text (an editor's note, a page's furniture): read for an embargo, shown to no one. Of files that machines write
    ``places`` has where each field was found, and ``left`` what was not taken, a phrase each.
    """

    id: str
    origin: str
    digest: str
    title: str = field(repr=False)
    body: str = field(repr=False)
    body_line: int = 1
    embargo: StatedEmbargo | None = None
    summary: str | None = field(default=None, repr=False)
    topics: tuple[str, ...] = field(default=(), repr=False)
    attribution: str | None = field(default=None, repr=False)
    withhold: tuple[str, ...] = field(default=(), repr=False)
    lists: tuple[str, ...] | None = None
    contact: str | None = field(default=None, repr=False)
    source: str | None = field(default=None, repr=False)
    language: str | None = None
    correction: str | None = field(default=None, repr=False)
    issued: date | None = None
    seen: date | None = None
    moderator: str | None = field(default=None, repr=False)
    speakers: tuple[str, ...] = field(default=(), repr=False)
    questions: tuple[Question, ...] = field(default=(), repr=False)
    enclosed: tuple[Enclosed, ...] = ()
    doubt: str | None = field(default=None, repr=False)
    notes: str = field(default="", repr=False)
    places: tuple[tuple[str, str], ...] = ()
    left: tuple[str, ...] = field(default=(), repr=False)

    @property
    def attached(self) -> tuple[str, ...]:
        """The digests of its attachments, in their order, each once."""
        return tuple(dict.fromkeys(each.attachment.digest for each in self.enclosed))

    @property
    def whole_digest(self) -> str:
        """What tells one version from another: ``digest``, or where there are attachments the SHA-256 of it and all of theirs,
        in hex, in their order, parted by blanks.
        """
        if not self.enclosed:
            return self.digest
        digests = (self.digest, *(each.attachment.digest for each in self.enclosed))
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A brief's text made ready to be shown: sanitised HTML, plain text (paragraphs parted by an empty line), summary."""

    html: str = field(repr=False)
    text: str = field(repr=False)
    summary: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A record as the outputs see it; what templates are given.

    ``tag`` is its permanent ``tag:`` URI (RFC 4151), made once when the record came in, ``address`` the page's path below the
    newsroom's URL. ``published_at`` is the lift, ``updated_at`` the last significant change. ``correction`` and ``retraction``
    are sentences for readers, where there are any.
    """

    id: str
    uuid: str
    tag: str
    revision: int
    title: str = field(repr=False)
    summary: str = field(repr=False)
    html: str = field(repr=False)
    text: str = field(repr=False)
    published_at: datetime
    updated_at: datetime
    zone: str
    language: str
    topics: tuple[str, ...] = field(default=(), repr=False)
    attribution: str | None = field(default=None, repr=False)
    contact: str | None = field(default=None, repr=False)
    source: str | None = field(default=None, repr=False)
    moderator: str | None = field(default=None, repr=False)
    speakers: tuple[str, ...] = field(default=(), repr=False)
    questions: tuple[Question, ...] = field(default=(), repr=False)
    correction: str | None = field(default=None, repr=False)
    retraction: str | None = field(default=None, repr=False)
    attachments: tuple[Attachment, ...] = ()

    @property
    def address(self) -> str:
        """The page's path below the newsroom's URL, not percent-encoded."""
        return self.address_of(self.id)

    @staticmethod
    def address_of(record_id: str) -> str:
        """The path of the page of the record with this id."""
        return f"releases/{record_id}.html"

    @property
    def folder(self) -> str:
        """The folder of its attachments below the newsroom's URL."""
        return f"releases/{self.id}"

    def address_of_attachment(self, attachment: Attachment) -> str:
        """The path of an attachment below the newsroom's URL, not percent-encoded."""
        return f"{self.folder}/{attachment.name}"


class Version(NamedTuple):
    """What decides how a release looks. ``changed`` says that ``updated_at`` is a correction's or a retraction's instant."""

    id: str
    uuid: str
    revision: int
    published_at: datetime
    updated_at: datetime
    retracted: bool = False
    changed: bool = False


def address_of(recipient: str) -> str:
    """What tells people apart: the address in ``Name <address>``, or the bare one, in lower case."""
    text = recipient.strip()
    return (text[text.rfind("<") + 1 : -1].strip() if text.endswith(">") else text).casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One mail owed to one address for one revision, as a worker holds it.

    ``epoch`` counts how often it was taken: what an earlier holder still says about it counts no more. ``token`` stands for the
    reader's place on the list in links and return paths. ``earlier`` are the Message-IDs this person already had for the record,
    oldest first.
    """

    id: int
    epoch: int
    record_id: str
    revision: int
    purpose: Purpose
    list: str
    recipient: str = field(repr=False)
    attempts: int
    token: str = field(repr=False)
    earlier: tuple[str, ...] = ()


class Decided(StrEnum):
    """Where a record's embargo was read."""

    METADATA = "metadata"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to happen to a brief: held until ``lift`` (``None``: until a person lifts it), or attention with its reason.

    ``words`` are those of the metadata, else of the text; of both where they contradict each other. ``kind`` is then ``event``
    if either waits for one. ``candidates`` are the instants that may be meant, likeliest first, no instant twice.
    """

    state: State
    kind: Kind
    words: str = field(repr=False)
    decided: Decided
    lift: Lift | None = None
    reason: str | None = field(default=None, repr=False)
    candidates: tuple[Lift, ...] = ()
    unfit: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a revision is made from: a brief with everything decided about it.

    ``zone`` and ``language`` hold where it names none; ``domain`` is the newsroom's, for the ``tag:`` URI of a new record.
    """

    brief: Brief
    content: Content = field(repr=False)
    verdict: Verdict
    zone: str
    language: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A record as it stands in the store, without its texts.

    ``digest`` is that of its file as last read, accepted or not; ``accepted_digest`` that of the current revision.
    """

    id: str
    uuid: str
    origin: str
    digest: str
    accepted_digest: str
    state: State
    revision: int
    lift_at: datetime | None
    settled_by: str | None
    reason: str | None = field(repr=False)
    lists: tuple[str, ...] | None
    accepted_at: datetime
    released_at: datetime | None
    changed_at: datetime | None
    vanished: bool
    kind: Kind
    words: str = field(repr=False)
    zone: str
    candidates: tuple[Lift, ...] = field(repr=False)
    unfit: str | None = field(repr=False)
    title: str = field(repr=False)
