"""The bytes of attachments, in the database: so a backup, a copy and every machine have them, and a lift needs no other file."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from scheduler.store.engine import Store
from scheduler.store.schema import attachment_chunks, attachments, micros

CHUNK = 256 * 1024
"""Bytes of one piece: written and synced in a few milliseconds."""
_PAUSE = 0.002
"""Seconds the write lock is left alone between two pieces: a lift that waits for it asks each millisecond."""
_ABANDONED = timedelta(days=1)


def keep(store: Store, *, digest: str, chunks: Iterable[bytes], now: datetime) -> bool:
    """Takes in the bytes with this SHA-256 (hex), each of `chunks` in a transaction of its own; what is there is left alone.

    Until the last step nothing counts: whoever is killed on the way has kept nothing. ``False`` where the bytes turn out to be
    others; nothing is kept then.
    """
    if _is_kept(store, digest):
        return True
    _sweep(store, before=now - _ABANDONED)
    upload = f"{micros(now):020} {uuid.uuid4()}"
    found, size, count, is_whole = hashlib.sha256(), 0, 0, False
    try:
        for data in chunks:
            with store.write(alone=False) as db:  # pieces of its own
                db.execute(insert(attachment_chunks).values(upload=upload, number=count, data=data))
            found.update(data)
            size += len(data)
            count += 1
            time.sleep(_PAUSE)
        if found.hexdigest() == digest:
            is_whole = _finish(store, digest=digest, upload=upload, size=size, count=count)
    finally:
        if not is_whole:
            _discard(store, upload)
    return is_whole or _is_kept(store, digest)


def _is_kept(store: Store, digest: str) -> bool:
    with store.read() as db:
        return db.execute(select(attachments.c.digest).where(attachments.c.digest == digest)).scalar() is not None


def _finish(store: Store, *, digest: str, upload: str, size: int, count: int) -> bool:
    pieces = select(func.count()).where(attachment_chunks.c.upload == upload)
    try:
        with store.write() as db:
            # Whoever's clock is a day ahead may have swept them.
            is_whole = db.execute(pieces).scalar() == count
            if is_whole:
                db.execute(insert(attachments).values(digest=digest, upload=upload, size=size))
    except IntegrityError:  # another process was quicker
        return False
    return is_whole


def _discard(store: Store, upload: str) -> None:
    first = select(func.min(attachment_chunks.c.number)).where(attachment_chunks.c.upload == upload).scalar_subquery()
    piece = delete(attachment_chunks).where(attachment_chunks.c.upload == upload, attachment_chunks.c.number == first)
    while True:
        with store.write() as db:
            if not db.execute(piece).rowcount:
                return
        time.sleep(_PAUSE)


def _sweep(store: Store, *, before: datetime) -> None:
    """Discards what was broken off before this instant. What is whole stays: revisions refer to it, and those are for ever."""
    query = (
        select(attachment_chunks.c.upload)
        .where(
            attachment_chunks.c.upload < f"{micros(before):020}",
            attachment_chunks.c.upload.not_in(select(attachments.c.upload)),
        )
        .distinct()
    )
    with store.read() as db:
        abandoned = db.execute(query).scalars().all()
    for upload in abandoned:
        _discard(store, upload)


def read(store: Store, digest: str) -> bytes:
    """The bytes with this digest. Raises :class:`~scheduler.errors.StoreDamaged` where they are not there, or not all of them."""
    query = (
        select(attachments.c.size, attachment_chunks.c.data)
        .join(attachment_chunks, attachment_chunks.c.upload == attachments.c.upload)
        .where(attachments.c.digest == digest)
        .order_by(attachment_chunks.c.number)
    )
    with store.read() as db:
        rows = db.execute(query).all()
    data = b"".join(row.data for row in rows)
    if not rows or len(data) != rows[0].size:
        raise store.damaged("an attachment of a record is not whole in it")
    return data
