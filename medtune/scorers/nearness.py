"""How near texts come to questions: the characters and pairs of characters that both hold, in any order.

Rare ones count more (TF-IDF). It takes the place of an embedding where nothing may be downloaded. An SVD of
these vectors ranks worse: docs/decisions/012.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer

from medtune.scorers.overlap import bare

SENTENCE = re.compile(r"[^。！？!?]+")
OPTION = re.compile(r"(?:^|(?<=[\s(（,，;；:：]))[A-J]\s?[.．、:：)）]")
"""The mark of an option: what comes after it asks nothing."""
MIN_PASSAGE_CHARS = 6
"""Less is a name and asks nothing."""
BLOCK_PASSAGES = 2048
"""Compared at once: 8 KiB for each question."""


def passages_of(text: str) -> Iterator[str]:
    """What may ask a question: each line, and each sentence of a line that holds several, without options."""
    for line in text.splitlines():
        sentences = SENTENCE.findall(line)
        for whole in (line, *(sentences if len(sentences) > 1 else ())):
            passage = OPTION.split(whole.strip(), maxsplit=1)[0].strip()
            if len(bare(passage)) >= MIN_PASSAGE_CHARS:
                yield passage


def draw_sample(texts: Iterable[str], size: int, chance: Random) -> list[str]:
    """At most `size` of the texts, each as likely as any other (algorithm R, Vitter 1985)."""
    sample: list[str] = []
    for number, text in enumerate(texts):
        if number < size:
            sample.append(text)
        elif (place := chance.randrange(number + 1)) < size:
            sample[place] = text
    return sample


def fit_wording(texts: Iterable[str]) -> TfidfVectorizer:
    """What makes vectors of texts, with the weights that their characters have in these."""
    wording = TfidfVectorizer(
        analyzer="char",
        ngram_range=(1, 2),
        sublinear_tf=True,
        dtype=np.float32,  # pyright: ignore[reportArgumentType]  # scikit-learn takes it
    )
    return wording.fit(map(bare, texts))


def vectors_of(wording: TfidfVectorizer, texts: Iterable[str]) -> csr_array:
    """(texts, features): a row of unit length for each text."""
    return csr_array(wording.transform(map(bare, texts)))


def measure_nearness(
    wording: TfidfVectorizer, questions: csr_array, texts: Sequence[str]
) -> NDArray[np.float32]:
    """(questions, texts): cosine of each question with the passage of each text that is nearest to it."""
    num_questions = questions.shape[0]  # pyright: ignore[reportOptionalSubscript]  # it has a shape
    nearest = np.zeros((num_questions, len(texts)), dtype=np.float32)
    passages = [(number, passage) for number, text in enumerate(texts) for passage in passages_of(text)]
    for start in range(0, len(passages), BLOCK_PASSAGES):
        block = passages[start : start + BLOCK_PASSAGES]
        cells = (questions @ vectors_of(wording, (passage for _, passage in block)).T).toarray()
        owners, firsts = np.unique([number for number, _ in block], return_index=True)
        nearest[:, owners] = np.maximum(nearest[:, owners], np.maximum.reduceat(cells, firsts, axis=1))
    return nearest


def nearest_passage(wording: TfidfVectorizer, question: csr_array, text: str) -> str:
    """The passage of a text that is nearest to a question; empty where there is none."""
    passages = list(passages_of(text))
    if not passages:
        return ""
    return passages[int(np.argmax((question @ vectors_of(wording, passages).T).toarray()[0]))]
