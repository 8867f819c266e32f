"""Tokenizers from directories and hubs, and where a model lies; no weights are read here."""

from typing import NamedTuple

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from medtune.config import Input
from medtune.engines.config import HfEngine
from medtune.engines.rendering.dress import dress
from medtune.engines.vetting import vet
from medtune.errors import UserError
from medtune.hub import fetch

UNLOADABLE = (OSError, ValueError, RuntimeError, SafetensorError, StrictDataclassError)
"""What the libraries raise on files that are damaged, of another shape, or not of their kind."""
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl")


class Loadable(NamedTuple):
    """What transformers' from_pretrained wants of a model: never remote code, never pickles."""

    name: str
    revision: str | None


def locate(source: Input, *files: str) -> Loadable:
    """Where to load from. A directory must hold one of `files`; the error says which is missing."""
    if source.is_hub_id:
        name, _, revision = source.partition("@")
        return Loadable(name, revision or None)
    if source.scheme:
        return Loadable(str(fetch(source)), None)
    folder = source.path
    if not folder.is_dir():
        raise UserError(f"{source}: no such model directory")
    if files and not any(next(folder.glob(pattern), None) for pattern in files):
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if files == WEIGHTS and pickles:
            raise UserError(
                f"{source}: its weights are pickles ({pickles[0]}), which can run code when they are read; "
                "save it as safetensors where you trust it"
            )
        raise UserError(
            f"{source}: holds none of {', '.join(files)}; "
            "name a directory that holds a saved model and its tokenizer"
        )
    return Loadable(str(folder), None)


def load_tokenizer(source: Input) -> PreTrainedTokenizerBase:
    """The tokenizer of a model or tokenizer directory, padding set up."""
    name, revision = locate(source, "tokenizer.json", "tokenizer.model", "vocab.json")
    vet(name, revision, source)
    disable_progress_bar()  # transformers' bars count files; ours count what a user waits for
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    except UNLOADABLE as error:
        raise UserError(f"{source}: its tokenizer cannot be loaded: {' '.join(str(error).split())}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def open_tokenizer(config: HfEngine) -> PreTrainedTokenizerBase:
    """The tokenizer that the answers are trained on: an adapter's own, where it was saved with one."""
    adapter = config.adapter
    has_own = adapter is not None and (adapter.path / "tokenizer.json").is_file()
    tokenizer = load_tokenizer(adapter if adapter is not None and has_own else config.model)
    if config.template or config.thinking:
        dress(tokenizer, template=config.template, thinking=config.thinking)
    return tokenizer
