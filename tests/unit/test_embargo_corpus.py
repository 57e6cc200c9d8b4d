"""Real embargo statements, where they are at hand: ../shared/corpus beside the checkout, or the folder EMBARGO_CORPUS names.

The folder holds ``embargo-lines.jsonl`` and, if it likes, ``documents/`` with ``labels.json``. The texts are not ours to pass
on: a failure names the ids alone.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import pytest

from scheduler.embargo import Kind, Reading, read

NAMED = os.environ.get("EMBARGO_CORPUS")
CORPUS = Path(NAMED or Path(__file__).parents[3] / "shared" / "corpus")
ABSENT = (
    f"The readings of real statements were not checked: there is no corpus at {CORPUS} (EMBARGO_CORPUS names another)."
)

pytestmark = pytest.mark.filterwarnings("default:The readings of real statements")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A real statement or document: its label, and how it was read. ``lifts`` is aware, for ``fixed`` alone."""

    id: str
    kind: Kind
    lifts: datetime | None
    reading: Reading = field(repr=False)

    @property
    def exact(self):
        return self.reading.kind is self.kind and (self.reading.lift.at if self.reading.lift else None) == self.lifts


def labelled(item, text):
    issued = date.fromisoformat(item["issued"]) if item.get("issued") else None
    return Labelled(
        id=item["id"],
        kind=Kind(item["kind"]),
        lifts=datetime.fromisoformat(item["lifts"]) if item["lifts"] else None,
        reading=read(text, default_zone=item["default_zone"], issued=issued),
    )


@pytest.fixture(scope="module")
def corpus():
    """Every statement and document of the corpus, read."""
    lines, labels = CORPUS / "embargo-lines.jsonl", CORPUS / "documents" / "labels.json"
    if NAMED is None and not lines.is_file():
        warnings.warn(ABSENT, stacklevel=1)
        # Real texts of others, which the repository does not carry; named by hand, a missing corpus is an error.
        pytest.skip(ABSENT)
    items = [json.loads(line) for line in lines.read_text("utf-8").splitlines() if line.strip()]
    documents = json.loads(labels.read_text("utf-8")) if labels.is_file() else []
    return [labelled(item, item["text"]) for item in items] + [
        labelled(item, (labels.parent / item["file"]).read_text("utf-8")) for item in documents
    ]


def few(ids, *, of, share):
    """Asserts that these are no larger a share of ``of``."""
    assert len(ids) <= share * of, ids


def test_real_statements_are_read_exactly(corpus):
    """Of real statements and documents, 98 in 100 are read with the exact kind and instant."""
    few([one.id for one in corpus if not one.exact], of=len(corpus), share=0.02)


def test_no_real_statement_is_read_early(corpus):
    """No real statement is answered with an instant before its own, or released at once."""
    early = [
        one.id
        for one in corpus
        if one.lifts
        and (one.reading.kind is Kind.IMMEDIATE or (one.reading.lift is not None and one.reading.lift.at < one.lifts))
    ]
    assert early == []


def test_what_sets_no_instant_is_given_none(corpus):
    """No real text that waits for an event, or sets no embargo, comes out with an instant or as free to be released."""
    free = {Kind.FIXED, Kind.IMMEDIATE}
    assert [one.id for one in corpus if one.kind in {Kind.EVENT, Kind.NONE} and one.reading.kind in free] == []


def test_few_texts_without_an_embargo_are_taken_for_one(corpus):
    """At most 2 in 100 real texts that only speak of embargoes are taken to set one."""
    none = [one for one in corpus if one.kind is Kind.NONE]
    few([one.id for one in none if one.reading.kind is not Kind.NONE], of=len(none), share=0.02)


def test_few_statements_that_can_be_computed_are_asked_about(corpus):
    """At most 4 in 100 real statements that a careful reader can compute are put to a person."""
    fixed = [one for one in corpus if one.kind is Kind.FIXED]
    few([one.id for one in fixed if one.reading.kind is Kind.AMBIGUOUS], of=len(fixed), share=0.04)
