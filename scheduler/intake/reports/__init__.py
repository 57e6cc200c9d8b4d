"""What a message that came back says: bytes in, values out.

Delivery reports (RFC 3464, RFC 6533), complaints (RFC 5965), requests to be taken off (RFC 2369 section 3.2), and what mail
systems wrote before there were standards. Strangers write all of it: nothing here fails, and what can't be read is foreign.
"""

from __future__ import annotations

from scheduler.intake.reports.look import LIMIT, read
from scheduler.intake.reports.recipients import refusal
from scheduler.intake.reports.values import Reading, Said

__all__ = ["LIMIT", "Reading", "Said", "read", "refusal"]
