"""Records turned into pages, feeds and mail: every output is a template."""

from __future__ import annotations

from scheduler.render.feed import Feed, Form
from scheduler.render.pages import Renderer, Shown
from scheduler.render.templates import Newsroom
from scheduler.render.topics import Topic

__all__ = ["Feed", "Form", "Newsroom", "Renderer", "Shown", "Topic"]
