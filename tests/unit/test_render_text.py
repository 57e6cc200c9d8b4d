"""CommonMark made ready to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree, html

from scheduler.record import Brief
from scheduler.render.text import content

BODY = """\
    assert {name for node in tree.iter() for name in node.attrib} <= {"href", "title", "start", "class"}
    etree.tostring(tree)
