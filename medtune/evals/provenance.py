"""Where the numbers of an evaluation are from: what lies behind the predictions, how they were asked for."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from medtune.artifact import digest_of, read_manifest
from medtune.engines.config import HfEngine, HttpEngine, LaunchEngine
from medtune.evals.config import EvaluateConfig
from medtune.evals.prompt import BASE
from medtune.lineage import EXAM_ITEMS, ancestors, home_of
from medtune.records import Phrase
from medtune.reports.phrases import phrase

UNTOLD = (
    *("out", "records", "runtime", "with_base"),
    *(f"engine.{name}" for name in sorted(HttpEngine.UNKEYED | LaunchEngine.UNKEYED)),
)
"""Settings of predict that do not say how the model was asked."""


class Lineage(NamedTuple):
    """What the directories behind the predictions say of the exam."""

    seen: set[str]
    """Ids of questions that had a part in making the model."""
    broken: list[str]
    """Inputs that have changed or vanished since, so that nothing is known of what was before them."""


def trace(predictions: Path) -> Lineage:
    """The exam questions that any directory behind the predictions was made with.

    The answers of a base alone owe nothing to the adapter that was asked beside it.
    """
    seen: set[str] = set()
    broken: set[str] = set()
    for ancestor in ancestors(maker_of(predictions), without=untold_of(predictions)):
        if ancestor.is_changed:
            broken.add(f"{ancestor.field}: {Path(ancestor.path).name}")
        home = home_of(Path(ancestor.path)) if ancestor.manifest else None
        if home and (home / EXAM_ITEMS).is_file():
            seen.update(orjson.loads((home / EXAM_ITEMS).read_bytes()))
    return Lineage(seen, sorted(broken))


def maker_of(predictions: Path) -> Path:
    """The directory that predict made: the one named, or the one that its `base/` lies in."""
    return predictions.parent if predictions.name == BASE else predictions


def untold_of(predictions: Path) -> tuple[str, ...]:
    """The inputs of predict that had no part in these predictions."""
    return ("engine.adapter",) if maker_of(predictions) != predictions else ()


def warn_of_lineage(num_seen: int, n: int, broken: list[str]) -> list[Phrase]:
    """The warnings that the report is stamped with."""
    warnings = [phrase("warn_seen", count=num_seen, n=n)] if num_seen else []
    return warnings + ([phrase("warn_broken", places="; ".join(broken))] if broken else [])


def describe(config: EvaluateConfig) -> dict[str, str]:
    """Where the numbers are from: digests, how the model was asked, how its answers were scored.

    Inputs stand by digest or hub id and not by path, so that the report is the same wherever they lie.
    """
    manifest = read_manifest(maker_of(config.predictions.path))
    assert manifest, "trace() has read it"
    untold = (*UNTOLD, *untold_of(config.predictions.path))
    told = {
        "name": config.name or config.predictions.path.resolve().name,
        "questions": shorten_digest(digest_of(config.questions)),
        "predictions": shorten_digest(digest_of(config.predictions)),
        "medtune": manifest.code,
    }
    told |= {"cloze_norm": config.cloze_norm} if config.task == "exam" else {"task": config.task}
    own = {"formulary": config.formulary, "drugs": config.drugs}
    told |= {name: shorten_digest(digest_of(source)) for name, source in own.items() if source}
    told |= describe_base(config.base) if config.base else {}
    asked = dict(flatten(manifest.config, "predict")) | {
        f"predict.{field}": shorten_digest(digest) for field, digest in manifest.inputs.items()
    }
    return told | {
        key: value
        for key, value in asked.items()
        if key.split(".")[1] not in untold and key.removeprefix("predict.") not in untold
    }


def describe_base(base: HfEngine) -> dict[str, str]:
    """Which base model read the answers, and in which number format."""
    sources = {"model": base.model} | ({"adapter": base.adapter} if base.adapter else {})
    told = {f"base.{field}": shorten_digest(digest_of(source)) for field, source in sources.items()}
    return told | {"base.dtype": base.dtype, "base.quantize": str(base.quantize)}


def shorten_digest(digest: str) -> str:
    """The first 16 digits of a sha256; hub ids stay whole."""
    return digest[:16] if re.fullmatch("[0-9a-f]{64}", digest) else digest


def flatten(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    """Each leaf of nested settings as a dotted name and its text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}.{name}")  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield f"{prefix}.{name}", str(value)
