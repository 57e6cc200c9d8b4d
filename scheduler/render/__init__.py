"""Records turned into pages, feeds and mail: every output is a template."""

from __future__ import annotations

from scheduler.render.pages import Feed, Form, Newsroom, Renderer, Shown
from scheduler.render.topics import Topic

__all__ = ["Feed", "Form", "Newsroom", "Renderer", "Shown", "Topic"]
