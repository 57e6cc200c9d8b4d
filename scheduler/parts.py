"""Builds the pipeline's parts from the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment

from scheduler.clock import Clock
from scheduler.config import Config
from scheduler.outlets.mail import Transport, transport
from scheduler.outlets.site import Site
from scheduler.pipeline.accept import Policy, Rehearsal
from scheduler.pipeline.audience import MailList
from scheduler.pipeline.deliver import Postroom
from scheduler.pipeline.release import Projection
from scheduler.pipeline.stationery import Stationery
from scheduler.record import Purpose, Release
from scheduler.render import Newsroom, Renderer
from scheduler.render.mail import NOBODY, addressed
from scheduler.render.templates import environment
from scheduler.store import Store


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What accepts, renders and rehearses, as the settings want it."""

    config: Config
    newsroom: Newsroom
    environment: Environment
    lists: dict[str, MailList]

    @cached_property
    def renderer(self) -> Renderer:
        """Tries every template when it is first asked for, which takes a command that shows nothing too long."""
        if self.config.mail is not None:
            # No record's rehearsal would tell what is wrong with this one.
            names = [known.name for known in self.lists.values()]
            sender = self.stationery.sender
            self.stationery.invitation(recipient=sender, lists=names, token=NOBODY, at=datetime.fromtimestamp(0, UTC))
        return Renderer(newsroom=self.newsroom, overrides=self.config.own, hubs=self.config.websub.hubs)

    @cached_property
    def stationery(self) -> Stationery:
        """What all mails have in common; mail must be configured."""
        mail = self.config.mail
        assert mail is not None
        return Stationery(
            environment=self.environment,
            newsroom=self.newsroom,
            sender=mail.sender,
            bounces=mail.bounces.address if mail.bounces else None,
            postal_address=mail.postal_address,
        )

    def policy(self, folder: Path | None = None) -> Policy:
        """The policy for records from `folder`, one of the configured ones; for any other, the newsroom's."""
        zones = {part.folder: part.timezone for part in self.config.records}
        return Policy(
            zone=zones.get(folder or Path()) or self.newsroom.zone,
            language=self.newsroom.language,
            domain=self.newsroom.domain,
            past_on_arrival=self.config.embargo.past_on_arrival,
            lists=tuple(self.lists),
            default_lists=self.config.default_lists,
        )

    @property
    def rehearse(self) -> Rehearsal:
        """Renders every output of a release and throws it away; raises :class:`RenderRefused`.

        Raises it when it is asked for, too, where a template is broken: that is no fault of a record.
        """
        return partial(self._rehearse, self.renderer)

    def _rehearse(self, renderer: Renderer, release: Release) -> None:
        renderer.rehearse(release)
        # One list stands for all: a mail differs from list to list by the list's name alone.
        for list_id, known in list(self.lists.items())[:1]:
            self.letter(release, purpose=Purpose.RELEASE, list_id=list_id, list_name=known.name)

    def letter(self, release: Release, *, purpose: Purpose, list_id: str, list_name: str) -> bytes:
        """A mail about a release as it goes out, to ourselves, whose link to leave leads nowhere."""
        made = self.stationery.letter(release, purpose=purpose, list_id=list_id, list_name=list_name)
        name = self.stationery.message_id(release, revision=release.revision, purpose=purpose, token=NOBODY)
        return addressed(made, recipient=self.stationery.sender, message_id=name, token=NOBODY)

    def projection(self, store: Store, *, announce: Callable[[Sequence[str]], None] = lambda _: None) -> Projection:
        """The site these settings want; its folder is made. `announce` is told which of the main feeds have changed."""
        return Projection(
            store=store,
            site=Site(self.config.site.folder),
            renderer=self.renderer,
            items=self.config.site.items,
            full_text=self.config.site.text == "full",
            announce=announce,
        )

    def transport(self, **otherwise: Any) -> Transport:
        """The way out for mail, by the settings where nothing is wanted `otherwise`."""
        mail = self.config.mail
        assert mail is not None
        wanted: dict[str, Any] = {"base": self.config.file.parent, "connections": mail.connections} | otherwise
        other = None
        if mail.fallback is not None:
            other = transport(mail.fallback, password=self.config.fallback_password, **wanted)
        return transport(mail.transport, password=self.config.password, fallback=other, **wanted)

    def postroom(self, store: Store, worker: str, read_clock: Clock, way_out: Transport) -> Postroom:
        """The hold on the ledger of the worker of that name; mail leaves by `way_out`."""
        mail = self.config.mail
        assert mail is not None
        return Postroom(
            store=store,
            transport=way_out,
            stationery=self.stationery,
            lists=self.lists,
            worker=worker,
            clock=read_clock,
            connections=mail.connections,
            rate=mail.rate,
        )


def build(config: Config, *, tried: bool = True) -> Parts:
    """The parts for these settings. Raises :class:`RenderRefused` where a template is broken, unless not `tried` yet."""
    newsroom = Newsroom(
        name=config.newsroom.name,
        url=config.newsroom.url,
        zone=config.newsroom.timezone,
        language=config.newsroom.language,
        subscribe=config.http is not None and any(part.public for part in config.lists.values()),
    )
    parts = Parts(
        config=config,
        newsroom=newsroom,
        environment=environment(config.own, examined=tried),
        lists={
            name: MailList(name=part.name, recipients=tuple(part.recipients), file=part.file, uncertain=part.uncertain)
            for name, part in config.lists.items()
        },
    )
    if tried:
        _ = parts.renderer
    return parts
