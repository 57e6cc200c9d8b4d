"""Those who hear of trouble: a web server and a mail server, real ones on loopback, and the settings that name them."""

from __future__ import annotations

import asyncio
import email
import time
from contextlib import asynccontextmanager
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from aiosmtpd.smtp import SMTP
from conftest import PATIENCE, SETTINGS

from scheduler import config

SECRET = "T0PSECRET"


class Receiver:
    """Takes what is posted, and answers as it was told: a status, one with fields, or nothing until it is `released`."""

    def __init__(self):
        self.requests = []
        self.answers = []
        self.released = Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, self.headers, body))
                status, fields = receiver.answers.pop(0) if receiver.answers else (204, {})
                if status is None:
                    receiver.released.wait(PATIENCE)
                    status = 204
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.place}/hooks/{SECRET}?key=alsosecret"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def ids(self):
        return [fields["webhook-id"] for _, fields, _ in self.requests]


class Inbox:
    """What a mail server took; it answers as it was told."""

    def __init__(self):
        self.port = 0
        self.raw = []
        self.answers = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer.startswith("250"):
            self.raw.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return answer

    @property
    def mails(self):
        return [email.message_from_bytes(raw, policy=policy.default) for _, _, raw in self.raw]

    def to(self, recipient):
        return [mail for mail in self.mails if mail["To"] == recipient]


@asynccontextmanager
async def mail_server():
    """A real mail server on loopback, as long as the test's loop runs."""
    inbox = Inbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(inbox, hostname="localhost"), "127.0.0.1", 0)
    inbox.port = server.sockets[0].getsockname()[1]
    try:
        yield inbox
    finally:
        server.close()


def settings(office, *, port=None, more=""):
    """The newsroom's settings, mail by the server at `port`."""
    file = office.folder / "config.yaml"
    text = SETTINGS.format(port=8080, database=office.url)
    if port is not None:
        text = text.replace("maildir:var/mail", f"smtp://127.0.0.1:{port}")
    file.write_text(text + more, "utf-8")
    return config.read(file)


async def until(ask, what):
    """The first true answer of `ask`, which is a look at what was taken or kept."""
    give_up = time.monotonic() + PATIENCE
    while not (answer := ask()):
        assert time.monotonic() < give_up, f"waited in vain for {what}"
        await asyncio.sleep(0.005)
    return answer
