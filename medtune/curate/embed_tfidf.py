"""Character n-grams weighted by TF-IDF and folded by a truncated SVD: no model, no network."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from medtune.artifact import digest_of_file, write_json
from medtune.curate.embed_config import TfidfEmbedder
from medtune.curate.embedders import Basis, Embedded
from medtune.errors import UserError

GRAMS, WEIGHTS, FOLDING, FITTED = "grams.json", "weights.npy", "folding.npy", "fitted.json"
"""The n-grams in order, their inverse document frequencies, the SVD's (dim, n-grams), and how it was fitted.
No file holds a pickle. `fitted.json` is written last."""


class Fitted(NamedTuple):
    """Digests of what was fitted, and on how many records."""

    rows: int
    files: dict[str, str]


def fit(config: TfidfEmbedder, texts: Iterable[str], folder: Path) -> None:
    """Nothing; what was fitted on the texts lies in the folder."""
    counted = vectorizer(config)
    try:
        weighed = counted.fit_transform(texts)
    except ValueError as error:  # an empty vocabulary
        raise UserError(
            f"embedder.ngram_range {list(config.ngram_range)}: {error}; take shorter ones"
        ) from None
    rows, grams = weighed.shape
    most = min(rows, grams) - 1
    if config.dim > most:
        raise UserError(
            f"embedder.dim {config.dim}: {rows} records with {grams} n-grams give {max(most, 0)} numbers at "
            "most; lower embedder.dim, or embed more records"
        )
    folding = TruncatedSVD(config.dim, random_state=config.seed).fit(weighed)  # svd_flip settles the signs
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / GRAMS, counted.get_feature_names_out().tolist())
    np.save(folder / WEIGHTS, np.asarray(counted.idf_, dtype=np.float32))
    np.save(folder / FOLDING, np.asarray(folding.components_, dtype=np.float32))
    files = {name: digest_of_file(folder / name) for name in (GRAMS, WEIGHTS, FOLDING)}
    write_json(folder / FITTED, Fitted(rows, files)._asdict())


def read_fitted(folder: Path) -> Fitted | None:
    """How it was fitted, None where nothing whole lies."""
    path = folder / FITTED
    return Fitted(**orjson.loads(path.read_bytes())) if path.is_file() else None


def vectorizer(config: TfidfEmbedder, grams: list[str] | None = None) -> TfidfVectorizer:
    """What counts n-grams, those given or else the most frequent ones."""
    return TfidfVectorizer(
        analyzer="char",
        ngram_range=config.ngram_range,
        max_features=config.max_features,
        sublinear_tf=True,
        vocabulary=grams,
        dtype=np.float32,  # pyright: ignore[reportArgumentType]  # scikit-learn takes it
    )


class TfidfFolding:
    """What was fitted, ready for texts. See `embedders.Embedder`."""

    def __init__(self, config: TfidfEmbedder, folder: Path) -> None:
        fitted = read_fitted(folder)
        if fitted is None or any(not (folder / name).is_file() for name in fitted.files):
            raise UserError(f"{folder}: holds no whole fit of tfidf; embed the pool again")
        self._vectorizer = vectorizer(config, orjson.loads((folder / GRAMS).read_bytes()))
        self._vectorizer.idf_ = np.load(folder / WEIGHTS, allow_pickle=False)
        self._folding = np.load(folder / FOLDING, allow_pickle=False)
        self.basis = Basis(
            model=hashlib.sha256(orjson.dumps(fitted.files, option=orjson.OPT_SORT_KEYS)).hexdigest(),
            settings={
                "ngram_range": list(config.ngram_range),
                "fit_rows": fitted.rows,
                "n_grams": self._folding.shape[1],
                "seed": config.seed,
            },
        )

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of some texts; one without any known n-gram has no direction."""
        return Embedded(np.asarray(self._vectorizer.transform(texts) @ self._folding.T, dtype=np.float32))
