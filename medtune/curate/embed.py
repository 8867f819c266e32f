"""A vector for each record or question: `vectors.npy`, `ids.txt`, and `space.json` for what they mean.

What a killed run had finished is kept, and the rest comes out the same.
"""

import random
import shutil
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from medtune.artifact import CHECKPOINTS, Counts, write_json, write_lines
from medtune.curate.embed_config import ApiEmbedder, EmbedConfig, TextRecipe, TfidfEmbedder
from medtune.curate.embedders import Embedded, Embedder, Setup, embed_batch, open_embedder, rows_at_once
from medtune.curate.finished import Ledger
from medtune.curate.like import FIT, Likeness, likeness_of
from medtune.curate.texts import text_for
from medtune.curate.vectors import IDS, SPACE, VECTORS, Space, differences
from medtune.engines.config import LocalWorkers
from medtune.engines.workers import spread
from medtune.errors import Advice, UserError
from medtune.places import read_places

BLOCK_ROWS = 4096
"""Records in memory at once. Batches are made inside a block, so that a resumed run makes the same ones."""


class Text(NamedTuple):
    """What is to be embedded of a record."""

    row: int
    place: str
    """`file:line`"""
    id: str
    text: str


class Survey(NamedTuple):
    """What is known of all records before the first is embedded."""

    ids: list[str]
    num_chars: np.ndarray
    """(records,) characters of each text."""


def run(config: EmbedConfig) -> Counts:
    """The counts of the vectors in `config.out`, one row a record."""
    known = likeness_of(config.like) if config.like else Likeness(config.embedder, config.text)
    if fault := config.runtime.without_effect(known.embedder.type):
        raise UserError(fault)
    survey = look_over(config, known.text)
    work = config.out / CHECKPOINTS
    setup = Setup(known.embedder, config.role, known.fit or work / FIT, config.runtime)
    if isinstance(known.embedder, TfidfEmbedder) and known.fit is None:
        fit_once(known.embedder, config, survey, setup.fit)
    embedder = open_embedder(setup)
    if known.space:
        refuse_unlike(known.space, space_of(known, config, embedder, dim=known.space.dim))
    ledger = Ledger(work, num_rows=len(survey.ids), dtype=config.dtype, dim=known.dim)
    try:
        tell_cost(config, known, survey, ledger)
        embed_missing(config, setup, embedder, ledger, known.text)
        ledger.write_vectors(config.out / VECTORS)
    except UserError:
        ledger.close()
        if ledger.is_empty:  # nothing to go on with, so that `out` is free for other settings
            shutil.rmtree(work)
        raise
    finally:
        ledger.close()
    assert ledger.dim is not None, "there are rows"
    write_lines(config.out / IDS, (f"{name}\n".encode() for name in survey.ids))
    space = space_of(known, config, embedder, dim=ledger.dim)
    write_json(config.out / SPACE, space.model_dump())
    if setup.fit == work / FIT and setup.fit.is_dir():
        shutil.copytree(setup.fit, config.out / FIT)
    shutil.rmtree(work)
    truncated, tokens = ledger.totals
    counts = {"rows": len(survey.ids), "dim": ledger.dim, "model": space.model, "truncated": truncated}
    return {**counts, "tokens": tokens} if isinstance(known.embedder, ApiEmbedder) else counts


def read_texts(config: EmbedConfig, recipe: TextRecipe) -> Iterator[Text]:
    """The text of each record, in the order of the files."""
    for row, place in enumerate(read_places(config.records)):
        yield Text(row, f"{place.file}:{place.line}", place.record.id, text_for(place.record, recipe))


def look_over(config: EmbedConfig, recipe: TextRecipe) -> Survey:
    """What is known of all records; one that cannot have a vector is refused before any is paid for."""
    ids: list[str] = []
    num_chars: list[int] = []
    for text in read_texts(config, recipe):
        if not text.text.strip():
            raise UserError(f"{text.place}: has no text ({recipe}) to embed; leave the record out")
        if text.id.splitlines() != [text.id]:
            raise UserError(f"{text.place}: the id {text.id!r} is not one line; give the record another")
        ids.append(text.id)
        num_chars.append(len(text.text))
    if not ids:
        raise UserError(f"{', '.join(config.records)}: no records")
    return Survey(ids, np.array(num_chars))


def fit_once(embedder: TfidfEmbedder, config: EmbedConfig, survey: Survey, folder: Path) -> None:
    """Nothing; the embedder is fitted on the records, or was so by the run that this one goes on with."""
    from medtune.curate.embed_tfidf import fit, read_fitted  # scikit-learn

    if read_fitted(folder):
        return
    num_rows = len(survey.ids)
    drawn = set(random.Random(embedder.seed).sample(range(num_rows), min(embedder.fit_rows, num_rows)))
    fit(embedder, (text.text for text in read_texts(config, config.text) if text.row in drawn), folder)


def embed_missing(
    config: EmbedConfig, setup: Setup, embedder: Embedder, ledger: Ledger, recipe: TextRecipe
) -> None:
    """Nothing; the ledger holds every row. A text that fails ends the run, after its batch is kept."""
    size = rows_at_once(setup.config, config.runtime)
    batches = batches_of(read_texts(config, recipe), size, ledger)
    is_here = isinstance(config.runtime.workers, LocalWorkers)
    results = spread(
        batches,
        config.runtime.workers,
        hold=(lambda: embedder) if is_here else partial(open_embedder, setup),
        work=embed_texts,
        device=config.runtime.device if setup.config.type in ("states", "sentence-transformers") else "cpu",
        num_threads=config.runtime.num_threads,
    )
    with tqdm(
        total=len(ledger.places), initial=ledger.num_done, desc=config.out.name, unit="record", disable=None,
        leave=False,
    ) as bar:  # fmt: skip
        for _, (batch, answer) in results:
            embedded = expect(answer, ledger.dim)
            ledger.add([text.row for text in batch], embedded)
            if embedded.faults:
                first = min(embedded.faults, key=lambda place: batch[place].row)
                raise UserError(
                    f"{batch[first].place}: {embedded.faults[first]}; mend the record or leave it out"
                )
            bar.update(len(batch))


def expect(embedded: Embedded, dim: int | None) -> Embedded:
    """The same, every text at fault where the vectors are not as wide as those before."""
    num_texts, width = embedded.vectors.shape
    if dim in (None, width) or len(embedded.faults) == num_texts:
        return embedded
    fault = f"has a vector of {width} numbers where {dim} are expected"
    return embedded._replace(faults=dict.fromkeys(range(num_texts), fault))


def batches_of(texts: Iterator[Text], size: int, ledger: Ledger) -> Iterator[list[Text]]:
    """What is missing, in batches of similar length, the longest of each block first."""
    while block := list(islice(texts, BLOCK_ROWS)):
        block.sort(key=lambda text: (-len(text.text), text.row))
        for start in range(0, len(block), size):
            if batch := [text for text in block[start : start + size] if not ledger.holds(text.row)]:
                yield batch


def embed_texts(embedder: Embedder, batch: list[Text]) -> tuple[list[Text], Embedded]:
    """The batch with its vectors."""
    try:
        return batch, embed_batch(embedder, [text.text for text in batch])
    except UserError as error:
        first = min(batch, key=lambda text: text.row)
        raise UserError(f"{first.place}, in a batch of {len(batch)}: {error}") from None


def space_of(known: Likeness, config: EmbedConfig, embedder: Embedder, *, dim: int) -> Space:
    """What the vectors mean."""
    return Space(
        type=known.embedder.type, dim=dim, text=known.text, role=config.role, **embedder.basis._asdict()
    )


def refuse_unlike(like: Space, space: Space) -> None:
    """Nothing, or a UserError when the embedder is no longer what it was where `like` points."""
    if told := differences(like, space):
        raise UserError(f"like: its embedder is not what it was: {told}; embed those records again")


def tell_cost(config: EmbedConfig, known: Likeness, survey: Survey, ledger: Ledger) -> None:
    """Nothing; before a server is asked its price is told, and refused where it is too high."""
    missing = ledger.places < 0
    if not isinstance(known.embedder, ApiEmbedder) or not missing.any():
        return
    limit = known.embedder.max_chars or survey.num_chars.max()
    prompt = known.embedder.query_prompt if config.role == "query" else known.embedder.passage_prompt
    tokens = int(np.minimum(survey.num_chars[missing], limit).sum()) + len(prompt) * int(missing.sum())
    told = (
        f"{missing.sum()} texts of about {tokens} tokens, a character counted as one, go to "
        f"{known.embedder.base_url}"
    )
    price, highest = config.runtime.price_per_million_tokens, config.runtime.max_cost
    if price is not None:
        cost = (tokens + ledger.totals.tokens) * price / 1e6
        told += f"; with what was paid before, about {cost:.2f} in all"
        if highest is not None and cost > highest:
            raise UserError(f"{told}, above runtime.max_cost {highest:g}; raise it or embed less")
    warnings.warn(told, Advice, stacklevel=2)
