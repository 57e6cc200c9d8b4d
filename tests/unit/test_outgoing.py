"""Requests to addresses that others name: to public ones alone."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scheduler import outgoing
from scheduler.errors import RequestFailed


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "192.88.99.1", "::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "fec0::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1",
        "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "100::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_told_from_public_ones(address):
    """Every address that does not lead to the public net is known as such, also one hidden in another."""
    assert not outgoing.is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "172.32.0.1"]
)
def test_public_addresses_are_known(address):
    """Addresses of the public net are known as such."""
    assert outgoing.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "", "hub.example.org", "ftp://hub.example.org/", "http://", "http:///x", "http://user:secret@hub.example.org/",
        "https://hub.example.org/#x", "https://hub.example.org/a b", "https://hub.example.org/\r\nX: y", "http://[::1",
        "http://hub.example.org:99999/", "http://hub.example.org:0/", "javascript:alert(1)", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(url):
    """What is no complete web address, or holds a password, is refused for good and not repeated."""
    with pytest.raises(RequestFailed) as caught:
        outgoing.request("GET", url)
    assert caught.value.final
    assert "secret" not in str(caught.value)


class Handler(BaseHTTPRequestHandler):
    """Leads elsewhere, or says much."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"x" * 1_000_000)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.asked = []
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_no_redirect_is_followed(server):
    """An answer that leads elsewhere is handed on as it is: where it leads to was never judged."""
    answer = outgoing.request("GET", f"http://127.0.0.1:{server.server_port}/away", allow_private=True)
    assert answer.status == 302
    assert server.asked == ["/away"]


def test_no_proxy_of_the_environment_is_used(server, monkeypatch):
    """A proxy in the environment, which could lead anywhere, is not used."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    assert outgoing.request("GET", f"http://127.0.0.1:{server.server_port}/", allow_private=True).status == 200


def test_only_so_much_is_read(server):
    """Of a long answer no more is read than was asked for, and that it was cut is said."""
    answer = outgoing.request("GET", f"http://127.0.0.1:{server.server_port}/", limit=1000, allow_private=True)
    assert (len(answer.body), answer.whole) == (1000, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_no_spelling_of_the_own_host_is_asked(server, host):
    """However the own host is written, it is not asked unless that is allowed."""
    with pytest.raises(RequestFailed):
        outgoing.request("GET", f"http://{host}:{server.server_port}/")
    assert server.asked == []


def test_the_address_that_was_judged_is_the_one_that_is_asked(server, monkeypatch):
    """A name that gives another address when it is looked up again leads nowhere else: it is looked up once."""
    answers = [[("1.1.1.1", 80)], [("127.0.0.1", server.server_port)]]
    asked = []

    def look_up(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in answers.pop(0)]

    def connect(_: socket.socket, address: tuple[str, int]) -> None:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(RequestFailed):
        outgoing.request("GET", "http://rebinding.example/")
    assert asked == [("1.1.1.1", 80)]
    assert len(answers) == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="There is no openssl here to make a certificate with.")
def test_certificates_are_held_against_the_name(server, tmp_path):
    """A server that shows a certificate of nobody we know, or of another name, is not spoken to."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other.example",
         "-addext", "subjectAltName=DNS:other.example", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate, key)
    server.socket = ours.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}/"
    with pytest.raises(RequestFailed, match="no good certificate"):
        outgoing.request("GET", url, allow_private=True)
    known = ssl.create_default_context(cafile=str(certificate))
    with pytest.raises(RequestFailed, match="no good certificate"):
        outgoing.request("GET", url, allow_private=True, tls=known)
    assert server.asked == []


def test_a_name_that_does_not_exist_is_said():
    """A name that can't be found is told in a sentence, and may be tried again."""
    with pytest.raises(RequestFailed) as caught:
        outgoing.request("GET", "http://no-such-name.invalid/", seconds=5)
    assert not caught.value.final
