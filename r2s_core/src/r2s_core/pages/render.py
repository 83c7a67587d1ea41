"""Fills a template and writes the page."""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from r2s_core.system import files
from r2s_core.system.text import printable

_OWN = "r2s_core.pages"


def write_page(
    path: Path, template: str, facts: Mapping[str, Any], package: str | None = None
) -> Path:
    """Write the page at `path`, whole or not at all.

    Args:
      template: the file's name in `templates/` of this package, or of `package`.
      facts: what the template names. Text is escaped, whoever it comes from; a name that the
        template uses and `facts` lacks raises `jinja2.UndefinedError`.
      package: the dotted name of another package whose `templates/` has the page.
    """
    files.write_text(path, _environment(package).get_template(template).render(facts))
    return path


@functools.cache
def _environment(package: str | None) -> jinja2.Environment:
    names = [package, _OWN] if package else [_OWN]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in names]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    return environment


def data_uri(content: bytes, kind: str) -> str:
    """A file within the page; kind: its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _shown(value: Any) -> Any:
    """Control characters are written out; markup is ours and stays."""
    if isinstance(value, Markup):
        return value
    return printable(value, lines=True)
