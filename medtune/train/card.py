"""The card of a trained model: base, method, data with digests and licences, settings, losses; no machine."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml
from jinja2 import Environment, StrictUndefined

import medtune
from medtune.artifact import Counts, digest_of, read_manifest, without_paths, write_text
from medtune.config import Input, find_inputs
from medtune.lineage import home_of
from medtune.train.config import PtConfig, TrainingConfig

TEMPLATE = Path(__file__).parent / "card.md.jinja"


class Source(NamedTuple):
    """What a run read."""

    field: str
    name: str
    digest: str
    made_by: str
    """The command and its key, empty for what medtune did not make."""
    licences: list[str]


def write_card(config: TrainingConfig, counts: Counts, *, base: str) -> None:
    """Nothing; `README.md` in `config.out`, the same bytes for the same run."""
    method = config.model_dump(include={"method"})["method"]["type"]
    content = {
        "library": "transformers" if method in ("full", "freeze") else "peft",
        "base": base,
        "stage": "pt" if isinstance(config, PtConfig) else "sft",
        "method": method,
        "version": medtune.__version__,
        "inputs": [describe(field, source) for field, source in find_inputs(config)],
        "counts": counts,
        "settings": yaml.safe_dump(settings_of(config), allow_unicode=True, sort_keys=False),
    }
    template = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    write_text(
        config.out / "README.md", template.from_string(TEMPLATE.read_text(encoding="utf-8")).render(content)
    )


def settings_of(config: TrainingConfig) -> dict[str, object]:
    """What the config says, without paths and what does not change the result."""
    settings = without_paths(config.model_dump(exclude={"out", "runtime"}))
    assert isinstance(settings, dict)
    return {key: value for key, value in settings.items() if _says_something(value)}


def _says_something(value: object) -> bool:
    if isinstance(value, list | tuple | dict):
        items = value.values() if isinstance(value, dict) else value
        return any(_says_something(item) for item in items)
    return value is not None


def describe(field: str, source: Input) -> Source:
    """What is known of an input."""
    if source.is_remote:
        return Source(field, str(source), str(digest_of(source)), "", [])
    home = home_of(source.path)
    manifest = read_manifest(home) if home else None
    return Source(
        field=field,
        name=str(source) if source.startswith("samples:") else source.path.name,
        digest=digest_of(source)[:16],
        made_by=f"{manifest.command} {manifest.key[:8]}" if manifest else "",
        licences=sorted(set(find_licences(home, set()))) if home else [],
    )


def find_licences(home: Path, seen: set[Path]) -> Iterator[str]:
    """The licences that the sources of a directory state, and those of what it was made from."""
    manifest = read_manifest(home)
    if manifest is None or home in seen:
        return
    seen.add(home)
    yield from _stated(manifest.config)
    for path in manifest.paths.values():
        parent = home_of(Path(os.path.normpath(home / path)))
        if parent:
            yield from find_licences(parent, seen)


def _stated(settings: object) -> Iterator[str]:
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key == "license" and isinstance(value, str) and value:
                yield value
            yield from _stated(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _stated(value)
