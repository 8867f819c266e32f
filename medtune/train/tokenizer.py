"""A byte-level BPE tokenizer with ChatML turns, trained on records."""

from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from medtune.artifact import Counts, read_jsonl
from medtune.errors import UserError
from medtune.records import RECORD, Dialogue, Document, Preference, Question
from medtune.train.config import TokenizerConfig

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THINKING = [AddedToken(tag, normalized=False) for tag in ("<think>", "</think>")]
"""One token each, but not special: what is special vanishes when an answer is decoded."""
TEMPLATE = Path(__file__).with_name("chatml.jinja")


def run(config: TokenizerConfig) -> Counts:
    """The counts of a tokenizer made in `config.out`."""
    tokenizer = Tokenizer(models.BPE())
    # Digits one by one, so that doses and years are spelt and not memorised as wholes.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    texts = [text for source in config.texts for text in read_texts(source.path)]
    if not texts:
        raise UserError(f"{', '.join(config.texts)}: no texts to learn a vocabulary from")
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size - len(THINKING),
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(THINKING)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[TURN_START],
        chat_template=TEMPLATE.read_text(encoding="utf-8").replace("\n", ""),
        clean_up_tokenization_spaces=False,
    )
    wrapped.save_pretrained(config.out)
    num_chars = sum(map(len, texts))
    num_tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(texts))
    return {
        "vocab": tokenizer.get_vocab_size(),
        "chars_per_token": num_chars / num_tokens,
        "texts": len(texts),
    }


def read_texts(path: Path) -> Iterator[str]:
    """Every text in a file of records."""
    for record in read_jsonl(path, RECORD):
        match record:
            case Document():
                yield record.text
            case Dialogue():
                yield from (message.content for message in record.messages)
            case Preference():
                yield from (*(message.content for message in record.prompt), record.chosen, record.rejected)
            case Question():
                yield from (*filter(None, [record.case]), record.stem, *record.options.values())
