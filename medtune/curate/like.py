"""The embedder of vectors that exist, for others to be compared with them."""

import os
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from medtune.artifact import Manifest, read_manifest
from medtune.config import Input
from medtune.curate.embed_config import EmbedderConfig, StatesEmbedder, TextRecipe, TfidfEmbedder
from medtune.curate.vectors import Space, read_space
from medtune.errors import UserError

FIT = "fit"
"""Folder of what was fitted."""


class Likeness(NamedTuple):
    """What makes vectors, and of which texts."""

    embedder: EmbedderConfig
    text: TextRecipe
    fit: Path | None = None
    """Where what was fitted for other vectors lies."""
    space: Space | None = None
    """What those vectors mean."""

    @property
    def dim(self) -> int | None:
        """Numbers in a vector, None where the first one will tell."""
        match self.embedder:
            case _ if self.space:
                return self.space.dim
            case TfidfEmbedder():
                return self.embedder.dim
            case StatesEmbedder():
                return None
            case _:
                return self.embedder.dimensions


def likeness_of(like: Input) -> Likeness:
    """What made the vectors of a directory, by its manifest and those that it was made like."""
    folder = like.path
    manifest = read_manifest(folder)
    if manifest is None or manifest.command != "embed":
        raise UserError(f"{like}: no directory that `medtune embed` made; name one as like")
    if "like" in manifest.inputs:
        return likeness_of(_place_of(folder, manifest, "like"))
    section = dict(manifest.config["embedder"])
    if "embedder.model" in manifest.inputs:
        section["model"] = _place_of(folder, manifest, "embedder.model")
    space = read_space(folder)
    embedder: EmbedderConfig = TypeAdapter(EmbedderConfig).validate_python(section)
    return Likeness(embedder, space.text, folder / FIT, space)


def _place_of(folder: Path, manifest: Manifest, field: str) -> Input:
    """Where an input of a directory lies, seen from here."""
    path = manifest.paths[field]
    if path == manifest.inputs[field]:  # a commit on a hub
        return Input(path)
    return Input(os.path.normpath(folder / path))
