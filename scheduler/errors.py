"""Every exception we raise. Each message says what happened, to which thing, and what to do."""

from __future__ import annotations

from datetime import timedelta


class EmbargoError(Exception):
    """The base of everything raised on purpose. ``str()`` is one or two sentences for the person who reads it."""


class ConfigRefused(EmbargoError):
    """``config.yaml`` can't be used; nothing of it was taken.

    ``problems`` holds one complete sentence each, with file and line.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class FileRefused(EmbargoError):
    """A record file can't be accepted. It stays where it is, and is read again when it changes.

    ``file`` is its path as given, ``line`` counts from 1 (``None``: the whole file), ``problem`` says what is wrong and
    ``remedy`` what to write instead. None of them quotes the record's text.
    """

    def __init__(self, *, file: str, problem: str, remedy: str, line: int | None = None) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {problem} {remedy}")
        self.file = file
        self.line = line
        self.problem = problem
        self.remedy = remedy


class EmbargoRefused(EmbargoError):
    """An embargo stated in metadata names no single instant.

    ``problem`` is a sentence that quotes the words, ``remedy`` says what to write instead, ``candidates`` are the instants
    (RFC 3339, local offset) it might have meant.
    """

    def __init__(self, *, problem: str, remedy: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.candidates = candidates


class RenderRefused(EmbargoError):
    """A template or a text can't be turned into an output; ``output`` names which one."""

    def __init__(self, *, output: str, problem: str) -> None:
        super().__init__(f"{output}: {problem}")
        self.output = output
        self.problem = problem


class SiteRefused(EmbargoError):
    """A file of the site can't be written; what stood there before still stands. ``file`` is its full path."""

    def __init__(self, *, file: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {problem} {remedy}")
        self.file = file
        self.problem = problem
        self.remedy = remedy


class NotFound(EmbargoError):
    """No record has this id."""

    def __init__(self, record_id: str) -> None:
        super().__init__(f"There is no record '{record_id}'. `embargo queue --all` lists the ids.")
        self.record_id = record_id


class MoveRefused(EmbargoError):
    """The record is not in a state from which this move is allowed; nothing was changed."""

    def __init__(self, record_id: str, problem: str) -> None:
        super().__init__(f"Record '{record_id}': {problem}")
        self.record_id = record_id


class StoreRefused(EmbargoError):
    """The database can't be used: not ours, of another version, damaged, or not to be opened."""


class StoreDamaged(StoreRefused):
    """The database's file is damaged: what is written to it now may be lost, and cost more."""


class AlreadyRunning(EmbargoError):
    """Another service works on the same database."""


class DeliveryFailed(EmbargoError):
    """A mail was not accepted.

    ``final`` means a repeat is pointless (5xx); else it is tried again later. ``unknown`` means the reply to the final dot was
    lost, so that the mail may or may not have gone out (RFC 1047). ``status`` is the enhanced code of the refusal (RFC 3463),
    ``None`` where there was none. ``reached`` is false where the server could not be used at all, so that another may be
    tried; ``met`` where it was there all the same and failed at this mail. Else it would be the same for every other mail.
    """

    def __init__(
        self,
        problem: str,
        *,
        final: bool = False,
        unknown: bool = False,
        status: str | None = None,
        reached: bool = True,
        met: bool = False,
    ) -> None:
        super().__init__(problem)
        self.final = final
        self.unknown = unknown
        self.status = status
        self.reached = reached
        self.met = reached or met


class RequestFailed(EmbargoError):
    """A request to another machine had no success.

    ``final`` means a repeat is pointless until a person changes something; else it may be tried again, at the earliest after
    ``retry_after`` where the other side asked for that.
    """

    def __init__(self, problem: str, *, final: bool = False, retry_after: timedelta | None = None) -> None:
        super().__init__(problem)
        self.final = final
        self.retry_after = retry_after
