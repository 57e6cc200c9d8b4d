"""A URL of the settings becomes a way out for mail."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from scheduler.errors import ConfigRefused
from scheduler.outlets.mail.envelope import Transport
from scheduler.outlets.mail.maildir import Maildir
from scheduler.outlets.mail.relays import Relays
from scheduler.outlets.mail.smtp import Server, Smtp, is_loopback


def transport(
    url: str,
    *,
    base: Path,
    password: str | None = None,
    connections: int = 8,
    fallback: Transport | None = None,
    connect_for: timedelta = timedelta(seconds=30),
    command_for: timedelta = timedelta(minutes=5),
    reply_for: timedelta = timedelta(minutes=10),
) -> Transport:
    """The transport that `url` names; nothing is opened yet.

    - ``maildir:PATH``: a Maildir, made where there is none; PATH is relative to `base`.
    - ``smtp://user@host:587``: STARTTLS is required and the certificate checked. On loopback TLS is not used unless asked for.
    - ``smtps://user@host:465``: TLS from the start.

    ``?tls=starttls`` and, on loopback alone, ``?tls=none`` choose for ``smtp``; ``?ca=FILE`` names the only authorities to
    trust, relative to `base`; ``?timeout=SECONDS`` replaces `reply_for`, the time the server has to take a mail after its
    final dot (that and `command_for`: RFC 5321 section 4.5.3.2). At most `connections` are open at once. A mail
    that it can't be told anything of, because it can't be reached or used, goes by `fallback`. A Maildir needs neither.

    :raises ConfigRefused: the URL can't be used
    """
    scheme, _, rest = url.partition(":")
    scheme = scheme.lower()
    if scheme == "maildir" and rest.removeprefix("//"):
        return Maildir(base / rest.removeprefix("//"))
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        port = parts.port or (465 if scheme == "smtps" else 587)
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        raise ConfigRefused(["The mail transport is no valid URL; write, for example, smtp://user@host:587."]) from None
    if problems := list(_problems(parts, options, password)):
        raise ConfigRefused(problems)
    security = "tls" if scheme == "smtps" else options.get("tls", "none" if is_loopback(host) else "starttls")
    try:
        trusted = ssl.create_default_context(cafile=str(base / options["ca"]) if "ca" in options else None)
    except OSError:  # which an ssl.SSLError is too
        raise ConfigRefused([f"The mail transport's 'ca' ({options.get('ca')}) is not a readable PEM file."]) from None
    first = Smtp(
        server=Server(
            host=host,
            port=port,
            user=unquote(parts.username) if parts.username else None,
            password=password,
            security=security,
            trusted=trusted,
            connect_for=connect_for.total_seconds(),
            command_for=command_for.total_seconds(),
            reply_for=float(options.get("timeout", reply_for.total_seconds())),
        ),
        connections=connections,
    )
    return first if fallback is None else Relays(first, fallback)


def _problems(parts: SplitResult, options: dict[str, str], password: str | None) -> list[str]:
    """One sentence for each thing that is wrong with an SMTP URL."""
    tls = options.get("tls")
    timeout = options.get("timeout", "1")
    checks = {
        "The mail transport must begin with maildir:, smtp:// or smtps://.": parts.scheme not in {"smtp", "smtps"},
        "The mail transport names no server; write, for example, smtp://user@host:587.": not parts.hostname,
        "The mail transport has a path, which a mail server has not.": parts.path not in {"", "/"},
        "The mail transport holds a password; put it into a file and name that as password_file.": parts.password
        is not None,
        "The mail transport names a user but there is no password; name a file with it as password_file.": (
            parts.username and password is None
        ),
        "There is a mail password but no user; write smtp://user@host:587.": password is not None
        and not parts.username,
        "The mail transport's options are tls, ca and timeout.": options.keys() - {"tls", "ca", "timeout"},
        "The mail transport's 'tls' is starttls or none, and only for smtp://.": (
            tls is not None and (tls not in {"starttls", "none"} or parts.scheme == "smtps")
        ),
        "The mail transport's 'tls=none' is for this machine alone: the mail would cross the network in clear.": (
            tls == "none" and not is_loopback(parts.hostname or "")
        ),
        "The mail transport's 'timeout' is a whole number of seconds above 0.": (
            not (timeout.isascii() and timeout.isdecimal() and int(timeout))
        ),
    }
    return [sentence for sentence, wrong in checks.items() if wrong]
