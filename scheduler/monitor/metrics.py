"""What Prometheus is told. No label holds a title, an address or a record id; docs/monitoring.md has the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from scheduler.monitor.look import KINDS, Snapshot, Trouble
from scheduler.record import State
from scheduler.store.vitals import LATENESS_BUCKETS, Vitals


def expose(snapshot: Snapshot, troubles: Sequence[Trouble], *, accept: str = "") -> tuple[bytes, str]:
    """The metrics in the form that the request's `accept` asks for, and its content type. What is not known is left out."""
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_Collected(snapshot, troubles))
    return encode(registry), content_type


class _Collected(Collector):
    def __init__(self, snapshot: Snapshot, troubles: Sequence[Trouble]) -> None:
        self._snapshot = snapshot
        self._troubles = troubles

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        seen = self._snapshot
        yield from _number("embargo_service_up", "1 while the service's heartbeat is fresh.", seen.alive)
        age = None if seen.beat_age is None else seen.beat_age.total_seconds()
        yield from _number("embargo_beat_age_seconds", "How old the service's last heartbeat is.", age)
        if seen.problem is None:
            yield from _of_the_database(seen)
        if seen.vitals is not None and seen.alive:
            yield from _of_the_service(seen.vitals)
        if seen.nodes:
            alive = sum(each.alive for each in seen.nodes)
            yield from _number("embargo_nodes_up", "Services on this database whose heartbeat is fresh.", alive)
        feed_age = None if seen.feed_at is None else (seen.at - seen.feed_at).total_seconds()
        yield from _number("embargo_feed_age_seconds", "How long ago the feed was last written.", feed_age)
        disk = {str(folder): free for folder, free in seen.disk.items()}
        yield _labelled("embargo_disk_free_bytes", "Free bytes of each disk, by a folder on it.", "folder", disk)
        kinds = dict.fromkeys(KINDS, 0) | Counter(trouble.kind for trouble in self._troubles)
        yield _labelled("embargo_trouble", "What a person is to be told, by kind.", "kind", kinds)


def _of_the_database(seen: Snapshot) -> Iterator[Metric]:
    yield from _number("embargo_held", "Records that wait for their lift.", seen.counts.get(State.HELD, 0))
    attention = seen.counts.get(State.ATTENTION, 0)
    yield from _number("embargo_attention", "Records that wait for a person.", attention)
    lift_at = seen.lifts[0].lift_at if seen.lifts else None
    yield from _at("embargo_next_lift_timestamp_seconds", "When the next record lifts.", lift_at)
    yield from _number("embargo_due_unreleased", "Records still held though their lift has come.", seen.due)
    at = seen.released_at
    yield from _at("embargo_newest_release_timestamp_seconds", "When a record was last released.", at)
    mails = {state.value: count for state, count in seen.ledger.items()}
    yield _labelled("embargo_ledger", "Mails owed in the last 48 hours, by state.", "state", mails)


def _of_the_service(beat: Vitals) -> Iterator[Metric]:
    yield from _number("embargo_armed", "1 while the alarm is set for a lift.", beat.armed_for is not None)
    yield from _number(
        "embargo_clock_trusted", "0 while the clock is in doubt and nothing lifts by time.", not beat.doubts
    )
    ahead = "How far the clock was ahead of the last NTP answer."
    yield from _number("embargo_clock_offset_seconds", ahead, beat.offset_s)
    server = "How far the database server's clock was ahead of the host's."
    yield from _number("embargo_server_clock_offset_seconds", server, beat.server_offset_s)
    valid = not beat.config_problems
    yield from _number("embargo_config_valid", "0 while a newer edit of the settings is refused.", valid)
    yield from _at("embargo_config_taken_timestamp_seconds", "When the settings in force were taken.", beat.config_at)
    lateness = HistogramMetricFamily("embargo_lateness_seconds", "How late records were released, since the start.")
    bounds = [*(str(bound) for bound in LATENESS_BUCKETS), "+Inf"]
    lateness.add_metric([], list(zip(bounds, accumulate(beat.lateness), strict=True)), beat.lateness_sum_s)
    yield lateness


def _number(name: str, meaning: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield GaugeMetricFamily(name, meaning, value=value)


def _at(name: str, meaning: str, at: datetime | None) -> Iterator[Metric]:
    yield from _number(name, meaning, None if at is None else at.timestamp())


def _labelled(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
