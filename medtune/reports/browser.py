"""A page on which rows are searched, filtered and read one by one: one file, its data and program inside."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from medtune.records import Phrase
from medtune.reports.phrases import LANGUAGES, fill

ROOM = Path(__file__).parent
TEMPLATE, PROGRAM = "browser.html.jinja", ("browser_rows.js", "browser.js")
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Signs that could end a script or open a tag. Within JSON texts their escapes mean the same."""


def render_browser(content: Mapping[str, object], *, title: Phrase, no_script: Phrase) -> str:
    """The page. Only its own program runs on it, known by its hash, and nothing can be fetched."""
    environment = Environment(
        loader=FileSystemLoader(ROOM, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    program = "".join((ROOM / name).read_text(encoding="utf-8") for name in PROGRAM)
    digest = base64.b64encode(hashlib.sha256(program.encode("utf-8")).digest()).decode("ascii")
    titles = {language: fill(title, language) for language in LANGUAGES}
    return environment.get_template(TEMPLATE).render(
        titles=titles,
        languages={language: fill(Phrase(key="page_switch"), language) for language in LANGUAGES},
        disclaimers={language: fill(Phrase(key="page_disclaimer"), language) for language in LANGUAGES},
        no_script=[fill(no_script, language) for language in LANGUAGES],
        digest=digest,
        program=Markup(program),  # ours
        data=Markup(escape_json(content)),
    )


def escape_json(content: Mapping[str, object]) -> str:
    """JSON that can stand inside a script tag, whatever its texts hold."""
    text = orjson.dumps(content).decode("utf-8")
    for sign, escape in UNSAFE.items():
        text = text.replace(sign, escape)
    return text
