"""The tables. What must never happen is a constraint here, with a name a person understands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    case,
)

from scheduler.record import DeliveryState, Membership, Purpose, State

if TYPE_CHECKING:
    from enum import StrEnum

    from sqlalchemy import Dialect

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Text sorts by its bytes, as SQLite's does, whatever the server's language: else feeds would differ from machine to machine.
_Text = Text().with_variant(Text(collation="C"), "postgresql")

# SQLite numbers rows by itself only where the type is exactly INTEGER.
_RowId = BigInteger().with_variant(Integer(), "sqlite")


def micros(at: datetime) -> int:
    """An aware instant as whole microseconds since 1970, exactly (no float on the way)."""
    if at.tzinfo is None:
        raise ValueError("an instant without a zone can't be stored")
    return (at - _EPOCH) // _MICROSECOND


def instant(value: int) -> datetime:
    """The inverse of :func:`micros`, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


class Instant(TypeDecorator[datetime]):
    """An instant as integer microseconds since 1970: sorts, loses nothing, and means the same on every database.

    A naive value is a bug and refused.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the interface
        return None if value is None else micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the interface
        return None if value is None else instant(value)


def _known(column: str, values: type[StrEnum]) -> str:
    names = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({names})"


def _only(where: ColumnElement[bool]) -> dict[str, Any]:
    """For an index of those rows alone; each database has its own word for that."""
    return {"sqlite_where": where, "postgresql_where": where}


metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", _Text, primary_key=True),
    Column("value", _Text, nullable=False),
)

# The row the lift updates: narrow, since SQLite rewrites the whole row. Texts are in `revisions`.
records = Table(
    "records",
    metadata,
    Column("id", _Text, primary_key=True),
    Column("uuid", _Text, nullable=False, unique=True),
    Column("tag", _Text, nullable=False, unique=True),  # for ever, whatever becomes of the newsroom's address
    Column("origin", _Text, nullable=False),
    Column("digest", _Text, nullable=False),  # of the file as last read, accepted or refused
    Column("state", _Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("lift_at", Instant),  # null: a person lifts it
    Column("settled_by", _Text),  # who decided the lift by command; null: the file did
    Column("reason", _Text),
    Column("lists", _Text),  # JSON; null: the default lists
    Column("accepted_at", Instant, nullable=False),
    Column("released_at", Instant),
    Column("changed_at", Instant),  # last significant change after the release
    Column("retraction", _Text),  # what readers are told in its place
    Column("vanished", Integer, nullable=False, default=0),
    CheckConstraint(_known("state", State), name="record_state_is_known"),
    CheckConstraint(
        "(state IN ('released', 'retracted')) = (released_at IS NOT NULL)", name="released_means_it_has_an_instant"
    ),
    CheckConstraint(
        "released_at IS NULL OR (lift_at IS NOT NULL AND released_at >= lift_at)",
        name="nothing_is_released_before_its_lift",
    ),
    CheckConstraint("(state = 'attention') = (reason IS NOT NULL)", name="attention_always_has_a_reason"),
)
Index(
    "held_by_lift",
    records.c.lift_at,
    **_only(records.c.state == State.HELD),
)
Index("records_by_origin", records.c.origin)
Index("records_by_digest", records.c.digest)
Index(
    "records_by_release",
    records.c.released_at,
    **_only(records.c.released_at.is_not(None)),
)

# For what was corrected or retracted of late, among all that was ever released.
records_by_change = Index(
    "records_by_change",
    records.c.changed_at,
    **_only(records.c.changed_at.is_not(None)),
)

revisions = Table(
    "revisions",
    metadata,
    Column("record_id", _Text, ForeignKey("records.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", _Text, nullable=False),
    Column("accepted_at", Instant, nullable=False),
    Column("embargo_kind", _Text, nullable=False),
    Column("embargo_words", _Text, nullable=False),
    Column("embargo_source", _Text, nullable=False),  # "metadata" or "text"
    Column("lift_local", _Text),
    Column("lift_zone", _Text, nullable=False),
    Column("tz_version", _Text, nullable=False),
    Column("candidates", _Text, nullable=False),  # JSON
    Column("unfit", _Text),  # why this text may not go out, whatever the time
    Column("fields", _Text, nullable=False),  # JSON: topics, attribution, questions …
    Column("title", _Text, nullable=False),
    Column("summary", _Text, nullable=False),
    Column("text", _Text, nullable=False),
    Column("html", _Text, nullable=False),
)

# An attachment's bytes, in pieces: the write lock is never held for longer than one of them takes. An upload that was broken off
# has pieces and no row in `attachments`.
attachment_chunks = Table(
    "attachment_chunks",
    metadata,
    Column("upload", _Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

# What is here is whole. The same bytes are kept once, whoever attaches them.
attachments = Table(
    "attachments",
    metadata,
    Column("digest", _Text, primary_key=True),
    Column("upload", _Text, nullable=False, unique=True),
    Column("size", Integer, nullable=False),
)

# Which attachments a revision has; what is said of each stands in its `fields`.
revision_attachments = Table(
    "revision_attachments",
    metadata,
    Column("record_id", _Text, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("digest", _Text, ForeignKey("attachments.digest"), primary_key=True),
    ForeignKeyConstraint(["record_id", "revision"], ["revisions.record_id", "revisions.number"]),
)

refusals = Table(
    "refusals",
    metadata,
    Column("origin", _Text, primary_key=True),
    Column("digest", _Text, nullable=False),
    Column("line", Integer),
    Column("problem", _Text, nullable=False),
    Column("remedy", _Text, nullable=False),
    Column("refused_at", Instant, nullable=False),
)

mailings = Table(
    "mailings",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("record_id", _Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("purpose", _Text, nullable=False),
    Column("list", _Text, nullable=False),
    Column("owed_at", Instant, nullable=False),
    Column("frozen_at", Instant),
    Column("frozen_to", _RowId, nullable=False, server_default="0"),  # so far the audience has been written down
    Column("segments", Integer, nullable=False, server_default="0"),  # in so many steps
    ForeignKeyConstraint(["record_id", "revision"], ["revisions.record_id", "revisions.number"]),
    CheckConstraint(_known("purpose", Purpose), name="mailing_purpose_is_known"),
    UniqueConstraint("record_id", "revision", "purpose", "list", name="a_list_is_owed_once"),
)
Index(
    "mailings_to_freeze",
    mailings.c.id,
    **_only(mailings.c.frozen_at.is_(None)),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("mailing_id", _RowId, ForeignKey("mailings.id"), nullable=False),
    Column("segment", Integer, nullable=False),
    Column("subscriber_id", _RowId),  # null: written before there were subscribers
    Column("record_id", _Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("purpose", _Text, nullable=False),
    Column("recipient", _Text, nullable=False),
    Column("address", _Text, nullable=False),  # the recipient's, bare and in lower case: what tells people apart
    Column("state", _Text, nullable=False),
    Column("priority", Integer, nullable=False),  # 0: corrections and retractions; 1: short lists; 2: long ones
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("epoch", Integer, nullable=False, default=0),  # how often it was taken: fences who holds it
    Column(
        "repeats", Integer, nullable=False, default=0
    ),  # how often it was sent again unasked, since it may not have arrived
    Column("worker", _Text),
    Column("lease_until", Instant),
    Column("message_id", _Text),
    Column("problem", _Text),
    Column("settled_at", Instant),
    CheckConstraint(_known("state", DeliveryState), name="delivery_state_is_known"),
    CheckConstraint("(state IN ('claimed', 'sending')) = (worker IS NOT NULL)", name="work_in_hand_has_a_worker"),
    UniqueConstraint("record_id", "address", "revision", "purpose", name="a_mail_goes_to_a_person_once"),
)


def called_off(end: DeliveryState) -> ColumnElement[str]:
    """The state of a mail that does not go any more: `end`, or uncertain where it may have arrived at an earlier try."""
    return case((deliveries.c.message_id.is_(None), end.value), else_=DeliveryState.UNCERTAIN.value)


Index("deliveries_by_segment", deliveries.c.mailing_id, deliveries.c.segment)
Index(
    "deliveries_due",
    deliveries.c.priority,
    deliveries.c.due_at,
    **_only(deliveries.c.state == DeliveryState.PENDING),
)
# For what is to be sent again, of a few rows among many.
Index(
    "deliveries_uncertain",
    deliveries.c.mailing_id,
    **_only(deliveries.c.state == DeliveryState.UNCERTAIN),
)
Index(
    "deliveries_in_hand",
    deliveries.c.lease_until,
    **_only(deliveries.c.worker.is_not(None)),
)

# One row an address on a list. What the office lists (settings and files) is marked `listed` at each reading.
subscribers = Table(
    "subscribers",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("list", _Text, nullable=False),
    Column("address", _Text, nullable=False),  # bare and in lower case
    Column("recipient", _Text, nullable=False),  # bare or as Name <address>
    Column("token", _Text, nullable=False, unique=True),
    Column("state", _Text, nullable=False),
    Column("origin", _Text, nullable=False),  # office: settings or file; form; command
    Column("listed", Integer, nullable=False),  # 0: kept to remember how it stands, no part of an audience
    Column("reading", Integer, nullable=False, default=0),  # the reading of the office's lists that last named it
    Column("since_at", Instant, nullable=False),  # since when it is in its state
    Column("reason", _Text),  # why it is in its state
    Column("consent", _Text),  # JSON: when it was asked for, confirmed, from where, and the wording agreed to
    CheckConstraint(_known("state", Membership), name="membership_is_known"),
    UniqueConstraint("list", "address", name="a_person_is_on_a_list_once"),
)
Index("subscribers_by_list", subscribers.c.list, subscribers.c.id)
Index("subscribers_by_address", subscribers.c.address)

# Who asked, through the form, to be put on lists: told by mail, and put there when that mail's link is followed.
asks = Table(
    "asks",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("token", _Text, nullable=False, unique=True),
    Column("address", _Text, nullable=False),
    Column("recipient", _Text, nullable=False),
    Column("lists", _Text, nullable=False),  # JSON
    Column("wording", _Text, nullable=False),
    Column("asked_from", _Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("announced_at", Instant),  # its mail may have gone from here on
    Column("sent_at", Instant),
    Column("problem", _Text),
    Column("confirmed_at", Instant),
)
Index("asks_by_address", asks.c.address, asks.c.asked_at)
Index(
    "asks_to_send",
    asks.c.due_at,
    **_only(asks.c.announced_at.is_(None)),
)

# Addresses that were erased, as keyed hashes: no list may bring them back.
forgotten = Table(
    "forgotten",
    metadata,
    Column("hash", _Text, primary_key=True),
    Column("forgotten_at", Instant, nullable=False),
)

# What mail systems and providers reported about mails of ours.
reports = Table(
    "reports",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("digest", _Text, nullable=False, unique=True),  # of the message that brought it: a report counts once
    Column("at", Instant, nullable=False),
    Column("kind", _Text, nullable=False),
    Column("subscriber_id", _RowId, index=True),
    Column("delivery_id", _RowId),
    Column("status", _Text),  # RFC 3463
    Column("detail", _Text),
)

trail = Table(
    "trail",
    metadata,
    Column("seq", _RowId, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", _Text, nullable=False),
    Column("event", _Text, nullable=False),
    Column("record_id", _Text),
    Column("revision", Integer),
    Column("detail", _Text, nullable=False),  # canonical JSON
    Column("previous", _Text, nullable=False),
    Column("hash", _Text, nullable=False),
)

# One row: the trail's end. Taking it for update puts writers of the trail in a queue.
trail_head = Table(
    "trail_head",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("seq", _RowId, nullable=False),
    Column("hash", _Text, nullable=False),
    CheckConstraint('"only" = 1', name="there_is_one_trail"),
)
