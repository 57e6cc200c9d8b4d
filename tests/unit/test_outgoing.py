"""Requests that go out: to public addresses alone, and never for longer than was said."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import Message
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import outgoing
from scheduler.errors import RequestFailed
from scheduler.outgoing import Answer, is_public, parse, request

# Of hub.example.org, until 2119, signed by itself; it keeps nothing secret.
PEM = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXoifbDxYwk+WAuEs
CgcMkd4cTjhsD4syNQmBALLn4eKhRANCAATuJbL1ubGB3EyEHUemBJEEgacpPSlG
52GUx8fk2dCoCN0x7GvkQ7jNBandozuri8NWFYm0kzJBywW8R+AtxXlc
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBqDCCAU2gAwIBAgIUK4cPFinz9B3p5VgfAFlnFZVKDcIwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPaHViLmV4YW1wbGUub3JnMCAXDTIwMDEwMTAwMDAwMFoYDzIx
MTkxMjA4MDAwMDAwWjAaMRgwFgYDVQQDDA9odWIuZXhhbXBsZS5vcmcwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAATuJbL1ubGB3EyEHUemBJEEgacpPSlG52GUx8fk
2dCoCN0x7GvkQ7jNBandozuri8NWFYm0kzJBywW8R+AtxXlco28wbTAdBgNVHQ4E
FgQU8mFHgq5FH6wrNy6imKiHOJ4DjZMwHwYDVR0jBBgwFoAU8mFHgq5FH6wrNy6i
mKiHOJ4DjZMwDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgg9odWIuZXhhbXBs
ZS5vcmcwCgYIKoZIzj0EAwIDSQAwRgIhAIBxKrIZSNtMAb1NysyoHRXVss9Na95L
DORilp8ju/QjAiEA5nbpYi5FW/0ukdVxy+t1QrJXepwTZr2gT+pxSxmeOJo=
-----END CERTIFICATE-----
"""
OK = b"HTTP/1.1 200 OK\r\n"
FAR = 30.0


class Server:
    """Hands each connection to `answer` with what was asked, and writes down what that was."""

    def __init__(self, answer: Callable[[socket.socket], None], *, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[bytes] = []
        self.connections = 0
        self.gone = threading.Event()
        """Set when the other side has hung up on `answer`."""
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def _run(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self.connections += 1
            with sock, contextlib.suppress(OSError):
                sock.settimeout(FAR)
                if not self._serve(sock):
                    return

    def _serve(self, sock: socket.socket) -> bool:
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True)
        with sock:
            said = b""
            while b"\r\n\r\n" not in said:
                if not (more := sock.recv(65536)):
                    return True
                said += more
            if said.startswith(b"STOP"):
                return False
            head, _, body = said.partition(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
            while len(body) < length:
                body += sock.recv(65536)
            self.asked.append(head + b"\r\n\r\n" + body)
            try:
                self._answer(sock)
            except OSError:
                self.gone.set()
                raise
        return True

    def close(self) -> None:
        self._tls = None
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"STOP\r\n\r\n")
            self._thread.join(FAR)
        self._listener.close()
        assert not self._thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers = []

    def start(answer: bytes | Callable[[socket.socket], None], **more) -> Server:
        servers.append(Server((lambda sock: sock.sendall(answer)) if isinstance(answer, bytes) else answer, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def drip(first: bytes) -> Callable[[socket.socket], None]:
    """Sends `first` and then a byte every few milliseconds, for as long as anybody listens."""

    def answer(sock: socket.socket) -> None:
        sock.sendall(first)
        while True:
            time.sleep(0.01)  # what the server is about
            sock.sendall(b"a")

    return answer


def names(monkeypatch, *addresses: str) -> list[str]:
    """Every name now leads to these addresses, in this order; gives the names that are asked for."""
    asked: list[str] = []

    def resolve(host, port, **_):
        asked.append(host)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (each, port, 0, 0))
            if ":" in each
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def failed(url: str, **more) -> RequestFailed:
    with pytest.raises(RequestFailed) as caught:
        request("GET", url, **more)
    assert str(caught.value).endswith("."), caught.value
    return caught.value


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "193.0.14.129",
        "100.63.255.255",
        "172.32.0.1",
        "2001:4860:4860::8888",
        "2a00:1450:4001:81b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_a_public_address(address):
    """An address of the public net is good, also an IPv4 one written inside an IPv6 one, as in networks without IPv4."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.254",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:0:8.8.8.8",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "4000::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_an_address_that_is_not_public(address):
    """Private, loopback, link-local, carrier's, multicast and reserved addresses are not public, nor are tunnels to them."""
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_as_itself(address):
    """However an IPv4 address is written inside an IPv6 one, it is public only if it is so by itself."""
    good = is_public(str(address))
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert is_public(str(IPv6Address(int(IPv6Address(prefix)) | int(address)))) is good
    assert not good or (IPv4Address(address).is_global and not address.is_multicast)
    for hidden in (int(address), 0x2002 << 112 | int(address) << 80, 0x20010000 << 96 | int(address)):
        assert not is_public(str(IPv6Address(hidden)))


@pytest.mark.parametrize(
    "url",
    [
        "http://a/",
        "HTTPS://Hub.Example.org",
        "https://hub.example.org:8443/@press?a=1&b=2",
        "http://[2001:4860:4860::8888]:80/",
        "http://10.0.0.1/",
    ],
)
def test_a_complete_address_is_taken(url):
    """Complete http and https addresses are taken, with any port and any host: where it leads to is asked at the request."""
    assert parse(url).hostname


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hub.example.org",
        "//hub.example.org/",
        "ftp://hub.example.org/",
        "file:///etc/passwd",
        "https:///path",
        "https://user:sesame@hub.example.org/",
        "https://sesame@hub.example.org/",
        "https://good.example\\@evil.example/",
        "https://hub.example.org/#part",
        "https://hub.example.org:0/",
        "https://hub.example.org:99999/",
        "https://hub.example.org:x/",
        "https://hub example.org/",
        " https://hub.example.org/",
        "https://hub.example.org/\r\nX: y",
        "https://hub.example.org/\n",
        "https://hub.example.org/\x00",
        'https://hub.example.org/">',
        "https://höb.example.org/",
        "http://[::1/",
    ],
)
def test_an_address_that_cannot_be_used(url):
    """What is no complete address, or holds a password, is refused, and never repeated."""
    with pytest.raises(RequestFailed, match=r"This is no complete web address. Write it as https://") as refused:
        request("GET", url)
    assert refused.value.final
    assert "sesame" not in str(refused.value)


def test_a_request_and_its_answer(serve):
    """A request arrives with its body, names us, and its answer comes back with status, fields and body."""
    server = serve(b"HTTP/1.1 202 Accepted\r\nX-Note: yes\r\nContent-Length: 5\r\n\r\nthank you")
    answer = request("POST", f"{server.url}a%20b?c=d", body=b"x=y", headers={"Content-Type": "t/t"}, allow_private=True)
    assert (answer.status, answer.headers["x-note"], answer.body, answer.whole) == (202, "yes", b"thank", True)
    [asked] = server.asked
    assert asked.startswith(b"POST /a%20b?c=d HTTP/1.1\r\n")
    assert asked.endswith(b"\r\n\r\nx=y")
    fields = dict(line.split(b": ") for line in asked.split(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    assert fields[b"Host"] == f"127.0.0.1:{server.port}".encode()
    assert fields[b"Content-Type"] == b"t/t"
    assert fields[b"Connection"] == b"close"
    assert fields[b"User-Agent"].startswith(b"Embargo/")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
    ],
)
def test_nothing_reaches_the_house(serve, host):
    """However the host itself is written, no connection is made to it, and the sentence says what may be done."""
    server = serve(OK)
    error = failed(f"http://{host}:{server.port}/")
    assert error.final
    assert str(error).startswith(f"http://{host}:{server.port} leads to ")
    assert str(error).endswith(
        "which is no public address. Write another address, or `allow_private: true` where it is meant."
    )
    assert server.connections == 0


def test_the_address_that_was_judged_is_the_one_that_is_used(serve, monkeypatch):
    """A name is looked up once, and the connection goes to an address that was found good: later answers change nothing."""
    good, bad = "127.0.0.1", "10.0.0.1"
    server = serve(OK + b"Content-Length: 0\r\n\r\n")
    monkeypatch.setattr(outgoing, "is_public", lambda address: address == good)
    asked = names(monkeypatch, bad, good, bad)
    assert request("GET", f"http://rebinding.example:{server.port}/").status == 200
    assert asked == ["rebinding.example"]
    assert f"Host: rebinding.example:{server.port}".encode() in server.asked[0]
    names(monkeypatch, bad, "::1")
    assert failed(f"http://rebinding.example:{server.port}/").final


def test_a_second_address_is_tried(serve, monkeypatch):
    """Where a name has several addresses, one that refuses the connection does not keep us from the next."""
    server = serve(OK + b"Content-Length: 0\r\n\r\n")
    names(monkeypatch, "127.0.0.2", "::1", "127.0.0.1")
    assert request("GET", f"http://hub.example.org:{server.port}/", allow_private=True).status == 200


def test_a_redirect_is_not_followed(serve):
    """A redirect is an answer like others: nobody is led on by one."""
    other = serve(OK)
    server = serve(f"HTTP/1.1 302 Found\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode())
    answer = request("GET", server.url, allow_private=True)
    assert (answer.status, answer.headers["Location"]) == (302, other.url)
    assert other.connections == 0


def test_the_environment_names_no_proxy(serve, monkeypatch):
    """A proxy that the environment names is not used: it would reach what we may not."""
    proxy = serve(OK)
    server = serve(OK + b"Content-Length: 0\r\n\r\n")
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.setenv("no_proxy", "")
    assert request("GET", server.url, allow_private=True).status == 200
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "first",
    [b"", b"HTTP/1.1 200 OK", OK + b"X-Long: ", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["status line", "status", "field", "continue"],
)
def test_a_server_that_drips_gains_no_time(serve, first):
    """A server that sends a byte now and then, for ever, is left when the time is over."""
    server = serve(drip(first))
    error = failed(server.url, seconds=0.3, allow_private=True)
    assert str(error) == f"http://127.0.0.1:{server.port} did not answer within 0.3 s."
    assert not error.final
    assert server.gone.wait(FAR)


def test_a_body_that_drips_is_cut(serve):
    """A server that says its status and then drips is heard: the status counts, and the body is known to be incomplete."""
    server = serve(drip(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9999\r\n\r\n"))
    answer = request("GET", server.url, seconds=1, allow_private=True)
    assert (answer.status, answer.whole) == (202, False)
    assert server.gone.wait(FAR)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_says_nothing_is_left(serve, scheme):
    """A server that takes the connection and says nothing, in clear or instead of TLS, is left when the time is over."""
    server = serve(lambda sock: sock.recv(1))
    error = failed(f"{scheme}://127.0.0.1:{server.port}/", seconds=0.2, allow_private=True)
    assert "did not answer within 0.2 s" in str(error)


def test_a_name_server_that_says_nothing_is_left(monkeypatch):
    """A look-up that hangs is given up in time, and left behind."""
    end = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: end.wait(FAR))
    assert "did not answer within" in str(failed("http://hub.example.org/", seconds=0.1))
    end.set()


@pytest.mark.parametrize("head", [OK + b"\r\n", OK + b"Content-Length: 99999999999\r\n\r\n"])
def test_no_more_is_read_than_was_wanted(serve, head):
    """Of a body without an end no more is read than was wanted."""

    def flood(sock):
        sock.sendall(head)
        while True:
            sock.sendall(b"x" * 65536)

    server = serve(flood)
    answer = request("GET", server.url, limit=1000, allow_private=True)
    assert (answer.body, answer.whole) == (b"x" * 1000, False)
    assert server.gone.wait(FAR)


@pytest.mark.parametrize(
    ("sent", "whole"),
    [
        (b"Content-Length: 4\r\n\r\nabcd", True),
        (b"\r\nabcd", True),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", True),
        (b"Content-Length: 5\r\n\r\nabcd", False),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n", False),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabcd\r\n", False),
    ],
)
def test_whether_a_body_is_whole(serve, sent, whole):
    """A body that ended early, by whatever way it is measured, is never taken for a whole one."""
    answer = request("GET", serve(OK + sent).url, limit=4, allow_private=True)
    assert answer.whole is whole
    assert not whole or answer.body == b"abcd"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"220 mail.example.org ESMTP\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        OK + b"X: y\r\n" * 200 + b"\r\n",
        OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"y" * 70_000,
    ],
)
def test_an_answer_that_is_not_http(serve, sent):
    """What is not HTTP, or has more or longer fields than anybody needs, is a failure that may pass."""
    error = failed(serve(sent).url, allow_private=True)
    assert "is not HTTP" in str(error) or "can't be reached" in str(error)
    assert not error.final


def test_nobody_is_there(monkeypatch):
    """A refused connection and a name that can't be found may pass, and the sentence names the host alone: no path, no query."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = failed(f"http://127.0.0.1:{port}/path?key=sesame", allow_private=True)
    assert str(error) == f"http://127.0.0.1:{port} can't be reached: Connection refused."

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    unknown_error = failed("http://nowhere.example/path?key=sesame")
    assert str(unknown_error) == "http://nowhere.example: the name can't be found: Name or service not known."
    assert not error.final
    assert not unknown_error.final


def test_what_can_be_no_name():
    """A host that can be no name is refused for good."""
    assert failed(f"http://{'a' * 64}.example/").final
    assert failed("http://a..example/").final


@pytest.fixture
def certified(tmp_path):
    (tmp_path / "ca.pem").write_text(PEM)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "ca.pem")
    return context


def test_a_certificate_has_to_be_that_of_the_name(serve, certified, tmp_path, monkeypatch):
    """Over TLS the server has to prove the name that was asked for, by an authority that is trusted; else nothing is sent."""
    server = serve(OK + b"Content-Length: 0\r\n\r\n", tls=certified)
    names(monkeypatch, "127.0.0.1")
    trusting = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    for host, tls in (("other.example.org", trusting), ("127.0.0.1", trusting), ("hub.example.org", None)):
        error = failed(f"https://{host}:{server.port}/", tls=tls, allow_private=True)
        assert "shows no good certificate" in str(error)
        assert server.asked == []
    good = request("GET", f"https://hub.example.org:{server.port}/", tls=trusting, allow_private=True)
    assert good.status == 200


def test_a_server_that_speaks_no_tls():
    """A server that answers TLS in clear is a failure that may pass."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            sock, _ = listener.accept()
            with sock:
                sock.recv(10)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        error = failed(f"https://127.0.0.1:{listener.getsockname()[1]}/", allow_private=True)
        thread.join(FAR)
    assert "can't be reached" in str(error)
    assert not error.final


DATE = "Tue, 01 Dec 2026 14:00:00 GMT"


@pytest.mark.parametrize(
    ("stated", "date", "wait"),
    [
        ("120", None, timedelta(seconds=120)),
        (" 0 ", None, timedelta()),
        ("Tue, 01 Dec 2026 14:02:00 GMT", DATE, timedelta(seconds=120)),
        ("Tue, 01 Dec 2026 13:00:00 GMT", DATE, timedelta()),
        ("Tue, 01 Dec 2026 14:02:00 GMT", None, None),
        ("Tue, 01 Dec 2026 14:02:00", DATE, None),
        ("soon", DATE, None),
        ("-5", DATE, None),
        ("9" * 30, DATE, None),
        ("\u0664", DATE, None),
        (None, DATE, None),
    ],
)
def test_how_long_we_are_asked_to_wait(stated, date, wait):
    """`Retry-After` is understood in seconds and as a date, which is measured by the clock of the one who sent it."""
    headers = Message()
    for name, value in (("Retry-After", stated), ("Date", date)):
        if value is not None:
            headers[name] = value
    assert Answer(status=429, headers=headers, body=b"", whole=True).retry_after == wait
