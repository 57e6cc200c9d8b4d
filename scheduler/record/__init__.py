"""What a record, a revision and a delivery are, and which moves are allowed. Pure: no I/O, no clock."""

from __future__ import annotations

from scheduler.record.values import (
    Attachment,
    Brief,
    Content,
    Decided,
    Delivery,
    DeliveryState,
    Draft,
    Enclosed,
    Overdue,
    PastOnArrival,
    Purpose,
    Question,
    Release,
    Standing,
    State,
    StatedEmbargo,
    Verdict,
    Version,
    address_of,
)
from scheduler.record.verdict import FAR_AHEAD, check, instants

__all__ = [
    "FAR_AHEAD",
    "Attachment",
    "Brief",
    "Content",
    "Decided",
    "Delivery",
    "DeliveryState",
    "Draft",
    "Enclosed",
    "Overdue",
    "PastOnArrival",
    "Purpose",
    "Question",
    "Release",
    "Standing",
    "State",
    "StatedEmbargo",
    "Verdict",
    "Version",
    "address_of",
    "check",
    "instants",
]
