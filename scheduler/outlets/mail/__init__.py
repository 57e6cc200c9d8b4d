"""Where mail leaves: an SMTP server, with another to fall back on, or a Maildir.

urls.py      a URL of the settings -> a transport
relays.py    the first server, and the other for when it can't be used
smtp.py      one server: its connections, its pace, one mail over one of them
wire.py      one connection: commands out, replies in, in their order
maildir.py   a Maildir
envelope.py  what may be said to a server: addresses, and a message as it crosses the wire
"""

from __future__ import annotations

from scheduler.outlets.mail.envelope import Transport
from scheduler.outlets.mail.urls import transport

__all__ = ["Transport", "transport"]
