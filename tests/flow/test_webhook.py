"""Alerts by webhook: what is posted, in each form, and what an answer means; a real server on loopback."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alert_kit import SECRET, Receiver

from scheduler.errors import RequestFailed
from scheduler.outlets.webhook import Hook, Line, Notice, post

NOW = datetime(2026, 12, 1, 6, tzinfo=UTC)
KEY = bytes(range(32))
NOTICE = Notice(
    id="msg_0123",
    at=NOW,
    newsroom="Press & <Public> Affairs",
    host="news1",
    database="/srv/embargo.db",
    headline="overdue: 2 records; mail failing",
    lines=(
        Line(
            status="new",
            kind="overdue",
            subject="",
            problem="2 records are late.",
            remedy="See `embargo queue`.",
            urgent=True,
        ),
        Line(
            status="standing", kind="disk", subject="/srv", problem="The disk <!channel> & *more*.", remedy="Free some."
        ),
        Line(status="over", kind="mail_failing", subject=""),
    ),
)


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def hook(receiver, form="standard", secret=None):
    return Hook(url=receiver.url, form=form, secret=secret)


def signature(key, message):
    """HMAC-SHA256 as RFC 2104 defines it, of the hash alone."""
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return base64.b64encode(hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()).decode()


def test_a_standard_webhook_can_be_verified(receiver):
    """The signature is that of Standard Webhooks: over the id, the instant of the try, and the very bytes of the body."""
    later = NOW + timedelta(seconds=90.7)
    assert post(hook(receiver, secret=base64.b64encode(KEY).decode()), NOTICE, now=later)
    [(path, fields, body)] = receiver.requests
    assert path == f"/hooks/{SECRET}?key=alsosecret"
    assert fields["Content-Type"] == "application/json"
    assert (fields["webhook-id"], fields["webhook-timestamp"]) == ("msg_0123", str(int(later.timestamp())))
    signed = b"msg_0123." + fields["webhook-timestamp"].encode() + b"." + body
    assert fields["webhook-signature"] == f"v1,{signature(KEY, signed)}"


def test_the_example_of_the_standard_is_signed_alike():
    """The computation agrees with the known example of the reference libraries."""
    from scheduler.outlets.webhook import _signed

    at = datetime.fromtimestamp(1614265330, UTC)
    fields = _signed("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert fields["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_a_standard_webhook_says(receiver):
    """The body names its type and the instant, says whose alert it is, and lists the troubles."""
    post(hook(receiver), NOTICE, now=NOW)
    [(_, fields, body)] = receiver.requests
    assert "webhook-signature" not in fields
    said = json.loads(body)
    assert (said["type"], said["timestamp"]) == ("embargo.alert", "2026-12-01T06:00:00Z")
    assert said["data"].keys() == {"newsroom", "host", "database", "headline", "urgent", "lines"}
    assert said["data"]["urgent"] is True
    assert said["data"]["lines"][0] == {
        "status": "new",
        "kind": "overdue",
        "subject": "",
        "problem": "2 records are late.",
        "remedy": "See `embargo queue`.",
        "urgent": True,
    }
    assert [line["status"] for line in said["data"]["lines"]] == ["new", "standing", "over"]


def test_slack_is_told_in_blocks(receiver):
    """Slack gets a text and blocks in which nothing is a link, a channel or a call for anybody."""
    post(hook(receiver, "slack"), NOTICE, now=NOW)
    [(_, fields, body)] = receiver.requests
    assert "webhook-id" not in fields
    said = json.loads(body)
    assert said["text"] == "Press &amp; &lt;Public&gt; Affairs: overdue: 2 records; mail failing"
    texts = [block["text"] for block in said["blocks"][:-1]]
    assert all(text["type"] == "mrkdwn" and text["verbatim"] for text in texts)
    assert texts[1]["text"] == "2 records are late.\n>See `embargo queue`."
    assert texts[2]["text"] == "Still: The disk &lt;!channel&gt; &amp; *more*.\n>Free some."
    assert texts[3]["text"] == "Over: mail failing"
    assert "news1" in said["blocks"][-1]["elements"][0]["text"]


def test_teams_is_told_by_a_card(receiver):
    """Teams gets an Adaptive Card in a message, in runs of text that are not taken for Markdown."""
    post(hook(receiver, "teams"), NOTICE, now=NOW)
    said = json.loads(receiver.requests[0][2])
    [attachment] = said["attachments"]
    assert (said["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    texts = [run["text"] for block in card["body"] for run in block["inlines"]]
    assert texts[0] == "Press & <Public> Affairs: overdue: 2 records; mail failing"
    assert texts[1:5] == [
        "2 records are late.",
        "See `embargo queue`.",
        "Still: The disk <!channel> & *more*.",
        "Free some.",
    ]
    assert card["body"][0]["inlines"][0]["color"] == "Attention"


@pytest.mark.parametrize("form", ["slack", "teams"])
def test_a_flood_is_cut_to_what_is_taken(receiver, form):
    """However much is the matter, what is posted stays within what Slack and Teams take, and says that there is more."""
    line = Line(status="new", kind="list", subject="x", problem="é" * 5000, remedy="è" * 5000)
    post(hook(receiver, form), replace(NOTICE, lines=(line,) * 200), now=NOW)
    body = receiver.requests[0][2]
    assert "180 more: see `embargo status`." in body.decode()
    if form == "teams":
        assert len(body.decode()) < 28_000
    else:
        blocks = json.loads(body)["blocks"]
        assert len(blocks) <= 50
        assert all(len(block["text"]["text"]) <= 3000 for block in blocks[:-1])


def test_a_text_that_is_no_unicode_is_posted(receiver):
    """A folder's name that is no text hinders no alert."""
    line = Line(status="new", kind="disk", subject="\udcff", problem="The disk of \udcff is full.")
    for form in ("standard", "slack", "teams"):
        assert post(hook(receiver, form), replace(NOTICE, lines=(line,)), now=NOW)
        json.loads(receiver.requests[-1][2])


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_answer_of_the_200s_is_a_yes(receiver, status):
    """What is answered with 2xx is taken."""
    receiver.answers = [(status, {})]
    assert post(hook(receiver), NOTICE, now=NOW) is True


def test_gone_is_gone(receiver):
    """Where 410 is answered there is nobody who wants alerts any more."""
    receiver.answers = [(410, {})]
    assert post(hook(receiver), NOTICE, now=NOW) is False


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(receiver, status):
    """A server that has too much to do is asked again, after the time that it names."""
    receiver.answers = [(status, {"Retry-After": "120"})]
    with pytest.raises(RequestFailed) as failed:
        post(hook(receiver), NOTICE, now=NOW)
    assert (failed.value.final, failed.value.retry_after) == (False, timedelta(minutes=2))


@pytest.mark.parametrize(
    ("status", "advice"), [(302, "new address"), (400, "Correct"), (403, "Correct"), (404, "Correct")]
)
def test_what_does_not_pass_is_for_a_person(receiver, status, advice):
    """A redirect is not followed, and what is refused is not pressed: a person has to correct the address."""
    receiver.answers = [(status, {"Location": receiver.url})]
    with pytest.raises(RequestFailed, match=advice) as failed:
        post(hook(receiver), NOTICE, now=NOW)
    assert failed.value.final
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("answer", [(404, {}), (500, {}), (302, {"Location": "/"}), None])
def test_the_address_is_a_secret(receiver, answer):
    """No error, and no printed value, says more of the address than its host."""
    if answer is None:
        receiver.close()
    else:
        receiver.answers = [answer]
    with pytest.raises(RequestFailed) as failed:
        post(hook(receiver, secret="c2VjcmV0"), NOTICE, now=NOW)
    for words in (str(failed.value), repr(failed.value), repr(hook(receiver, secret="c2VjcmV0"))):
        assert SECRET not in words
        assert "alsosecret" not in words
        assert "c2VjcmV0" not in words
    assert receiver.place in str(failed.value)


def test_the_receiver_of_the_document_takes_ours_alone(receiver):
    """The few lines by which the document verifies an alert take ours, and none that was changed, is old, or is another's."""
    document = (Path(__file__).parents[2] / "docs/alerts.md").read_text("utf-8")
    names = {}
    exec(re.search(r"```python\n(.*?)```", document, re.DOTALL)[1], names)
    secret = base64.b64encode(KEY).decode()
    post(hook(receiver, secret=secret), NOTICE, now=datetime.now(UTC))
    post(hook(receiver, secret=secret), NOTICE, now=datetime.now(UTC) - timedelta(minutes=6))
    (_, fields, body), (_, old, same) = receiver.requests
    is_ours = names["is_ours"]
    assert is_ours(fields, body, f"whsec_{secret}")
    assert not is_ours(old, same, secret)
    assert not is_ours(fields, body + b" ", secret)
    assert not is_ours(fields, body, base64.b64encode(KEY[::-1]).decode())
