"""What a report says of each recipient: by the standards, or in a mail system's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message

from scheduler.intake.reports.mime import ADDRESS, stripped, values
from scheduler.intake.reports.values import Said
from scheduler.record.reach import STATUS, Report, judged

_DETAIL = 200
_WHO = frozenset({"original-recipient", "final-recipient"})
_ONCE = _WHO | {"action", "status"}  # one of them again: another recipient
_ENOUGH = frozenset({"final-recipient", "status"})
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60})[ \t]*:(.*)")
_TYPE = re.compile(r"\s*[\w-]+\s*;")
_TO_SENDER = re.compile(r"(?:return\w* (?:(?:message|mail|it) )?)?to (?:the )?sender", re.IGNORECASE)
_CODES = re.compile(r"(?<![\d.])([45][0-5]\d)[ -]+#?([45]\.[0-7]\.\d{1,3})(?![\d.]*\d)")
_CODE = re.compile(r"(?<![\d.,:/-])([45][0-5]\d)(?=[ -]+[A-Za-z<#(\[*]|[ -]*$)", re.MULTILINE)

_DELAYED = re.compile(
    r"\bwarning\b|\bdelayed\b|not yet been delivered|still (?:being )?(?:trying|retried)|attempts will continue"
    r"|will (?:keep|continue) (?:trying|to (?:be )?(?:try|tried|retr))|need to resend|no action is required|will be retried",
    re.IGNORECASE,
)
_PERMANENT = re.compile(r"permanent|gave up|giving up|given up|final attempt|has failed|did not reach", re.IGNORECASE)
_PARAGRAPH = re.compile(r"^[ \t]{0,4}<?([^\s<>@]{1,64}@[^\s<>:]{1,255})>?:(?=\s|$)", re.MULTILINE)
_COMPLAINTS = {
    "abuse": Report.COMPLAINT,
    "fraud": Report.COMPLAINT,
    "other": Report.COMPLAINT,
    "spam": Report.COMPLAINT,
    "opt-out": Report.UNSUBSCRIBED,  # of drafts before RFC 5965
    "opt-out-list": Report.UNSUBSCRIBED,
}


def delivery(text: str, notice: str) -> list[Said]:
    """RFC 3464 section 2.3: what is said of each recipient. Blank lines count for nothing: gateways add and drop them."""
    groups: list[dict[str, str]] = [{}]
    name = ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        last = groups[-1]
        if match := _FIELD.fullmatch(line.strip()):
            name = match[1].casefold()
            if name in _ONCE and (name in last or (name == "original-recipient" and last.keys() >= _ENOUGH)):
                groups.append(last := {})
            last.setdefault(name, match[2].strip())
        elif line[:1] in {" ", "\t"} and name in last:
            last[name] = f"{last[name]} {line.strip()}"
    about = [each for each in groups if each.keys() & _WHO]
    about = [each for each in about if each.keys() & {"action", "status", "diagnostic-code"}]
    return [_recipient(fields, notice if len(about) == 1 else "") for fields in about[:100]]


def _recipient(fields: dict[str, str], notice: str) -> Said:
    addresses = frozenset(
        address for name in (*_WHO, "x-actual-recipient") for address in _addresses(fields.get(name, ""))
    )
    diagnosis = fields.get("diagnostic-code") or fields.get("x-supplementary-info", "")
    words = stripped(_TYPE.sub("", diagnosis), addresses)
    own, code = _codes(words)
    stated = STATUS.search(fields.get("status", ""))
    status = stated[0] if stated else None
    # A vague status gives way to the refusing host's own, and a failure for good to its "later".
    if status is None or (own and (status.endswith(".0") or own[0] < status[0])):
        status = own or status
    kind = _kind(fields.get("action", "").casefold(), status, code)
    if kind is None:
        if not words and (status is None or status.endswith(".0")):
            words = stripped(notice, addresses)
        temporary = code is not None and code < 500 and own is None
        kind = Report.SOFT if temporary else judged(status, code, words)
    return Said(kind=kind, status=status, addresses=addresses, detail=words[:_DETAIL])


def _kind(action: str, status: str | None, code: int | None) -> Report | None:
    """What the action says; ``None`` where the mail came back. The status' class has the last word (RFC 3464 section 2.3.3)."""
    if action.startswith("delay"):
        return Report.DELAYED
    if action.startswith(("deliver", "relay", "expand")) and (status or "2")[0] == "2":
        return Report.DELIVERED
    if not action.startswith("fail"):
        group = (status or str(code or ""))[:1]
        return {"2": Report.DELIVERED, "4": Report.DELAYED, "": Report.DELAYED}.get(group)
    return None


def _codes(words: str) -> tuple[str | None, int | None]:
    """The enhanced code and the reply code in a system's words."""
    found: list[tuple[str | None, int | None]] = [(each[2], int(each[1])) for each in _CODES.finditer(words)]
    code = int(each[1]) if (each := _CODE.search(words)) else None
    found += [(each[0], code) for each in STATUS.finditer(words) if each[1] != "2" and int(each[2]) <= 7]
    # "5.1.0 - Unknown address error 550-'5.7.1 …'": what was passed on says more.
    return next((each for each in found if each[0] and not each[0].endswith(".0")), found[0] if found else (None, code))


def _addresses(value: str) -> Iterator[str]:
    """The address of a recipient field, as it is and with RFC 3461's and RFC 6533's ways of writing undone."""
    address = value.partition(";")[2] or value
    address = re.sub(r"\([^()]*\)", "", address).strip().strip("<>").strip().casefold()
    if "@" in address:
        yield address
        yield re.sub(r"\+([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), address)
        yield re.sub(r"\\x\{([0-9a-f]{1,6})\}", lambda found: chr(min(int(found[1], 16), 0x10FFFF)), address).casefold()


def free_text(message: Message, subject: str, notice: str) -> Iterator[Said]:
    """What a bounce that follows no standard says; recipients each on a line with a colon are told apart."""
    named = frozenset(
        address.casefold() for value in values(message, "X-Failed-Recipients") for address in ADDRESS.findall(value)
    )
    pieces: dict[frozenset[str], str] = {}
    starts = [*_PARAGRAPH.finditer(notice)]
    for start, end in zip(starts, [*(each.start() for each in starts[1:]), None], strict=False):
        address = frozenset({start[1].casefold()})
        pieces[address] = pieces.get(address, "") + notice[start.end() : end]
    if not pieces:
        pieces[named or frozenset(each.casefold() for each in ADDRESS.findall(notice)[:5])] = f"{subject}\n{notice}"
    is_waiting = _DELAYED.search(f"{subject}\n{notice}") and not _PERMANENT.search(notice)
    for addresses, text in list(pieces.items())[:100]:
        words = _TO_SENDER.sub("", stripped(text, addresses))
        status, code = _codes(words)
        is_final = (status or str(code or ""))[:1] == "5"
        kind = Report.DELAYED if is_waiting and not is_final else judged(status, code, words)
        yield Said(kind=kind, status=status, addresses=addresses, detail=words[:_DETAIL])


def refusal(problem: str, *, status: str | None = None) -> Said:
    """What a server says that refuses a mail at once; `problem` has its words, `status` its enhanced code where that is known."""
    words = stripped(problem)
    own, code = _codes(words)
    return Said(kind=judged(status or own, code, words), status=status or own, detail=words[:_DETAIL])


def feedback(text: str) -> Said:
    """RFC 5965 section 3: what a provider passes on. What is no complaint (not-spam, auth-failure …) is a machine's word."""
    fields = dict(
        reversed(
            [(match[1].casefold(), match[2].strip()) for match in map(_FIELD.fullmatch, text.split("\n")) if match]
        )
    )
    kind = _COMPLAINTS.get(fields.get("feedback-type", "").casefold(), Report.AUTOMATIC)
    addresses = frozenset(_addresses(fields.get("original-rcpt-to", "")))
    return Said(kind=kind, addresses=addresses, detail=stripped(fields.get("user-agent", ""))[:_DETAIL])
