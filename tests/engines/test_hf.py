"""The engine in process: batches answer as single prompts do, likelihoods are right, damage is named."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import log_softmax

from medtune.config import Input
from medtune.engines.base import Choices, Engine, Prompt, open_engine
from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.engines.decoding.scribing import Scribe
from medtune.engines.hf import HfInProcess, load_model
from medtune.engines.rendering.render import decode, encode, prompt_text, render_prompt
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Completion, Dialogue, Likelihood, Message, Record, content_id
from medtune.train import sft, tokenizer
from medtune.train.config import SftConfig, TokenizerConfig

# Raised inside PEFT, where no caller can avoid it.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

GREEDY = Sampling(max_new_tokens=8)


def ask(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


PROMPTS = [
    ask("咳"),
    ask("高血压患者能不能吃香蕉，每天吃多少？" * 3),
    ask("头痛三天了"),
    ask("120/80 mmHg 正常吗？"),
]


def open_hf(
    folder: Path, *, rows: int = 64, tokens: int = 16384, adapter: Input | None = None
) -> HfInProcess:
    config = HfEngine(model=Input(folder), adapter=adapter)
    runtime = EngineRuntime(device="cpu", num_threads=1, max_batch_rows=rows, max_batch_tokens=tokens)
    engine = open_engine(config, runtime)
    assert isinstance(engine, HfInProcess)
    return engine


def generate(engine: Engine, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Completion]:
    answers = dict(engine.generate([Prompt(messages) for messages in prompts], sampling))
    assert sorted(answers) == list(range(len(prompts)))
    return [answers[index] for index in range(len(prompts))]


def rank(engine: Engine, questions: Sequence[Choices]) -> list[dict[str, Likelihood]]:
    found = dict(engine.rank(questions))
    return [found[index] for index in range(len(questions))]


@pytest.fixture(scope="module")
def engine(tiny_model_dir: Path) -> HfInProcess:
    return open_hf(tiny_model_dir)


@pytest.fixture
def damaged(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def change_json(path: Path, **values: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps(content), encoding="utf-8")


# ---- generation ----


def greedy_ids(engine: HfInProcess, ids: list[int], length: int) -> list[int]:
    """What greedy decoding is by definition: the likeliest token again and again, no cache, no batch."""
    out: list[int] = []
    with torch.inference_mode():
        while len(out) < length and not (out and out[-1] in engine.stops):
            out.append(int(engine.model(input_ids=torch.tensor([ids + out])).logits[0, -1].argmax()))
    return out


def told(engine: HfInProcess, ids: Sequence[int]) -> str:
    """The text of an answer: without its end, and without bytes that make no whole character."""
    return decode(engine.tokenizer, ids).rstrip("\ufffd").strip()


def test_a_batch_of_different_lengths_answers_as_one_by_one(family_dir: Path) -> None:
    together = generate(open_hf(family_dir), PROMPTS, GREEDY)
    apart = generate(open_hf(family_dir, rows=1), PROMPTS, GREEDY)
    assert together == apart
    assert len({answer.text for answer in together}) > 1


def test_greedy_takes_the_likeliest_token_each_time(family_dir: Path) -> None:
    engine = open_hf(family_dir)
    for prompt, answer in zip(PROMPTS, generate(engine, PROMPTS, GREEDY), strict=True):
        ids = render_prompt(engine.tokenizer, prompt)
        expected = greedy_ids(engine, ids, GREEDY.max_new_tokens)
        assert answer.text == told(engine, expected)
        assert (answer.prompt_tokens, answer.completion_tokens) == (len(ids), len(expected))


def test_a_small_token_budget_changes_no_answer(engine: HfInProcess, tiny_model_dir: Path) -> None:
    narrow = open_hf(tiny_model_dir, tokens=150)
    assert generate(narrow, PROMPTS, GREEDY) == generate(engine, PROMPTS, GREEDY)


def test_batches_hold_every_index_once_and_keep_to_the_budgets(tiny_model_dir: Path) -> None:
    lengths = [5, 90, 7, 40, 40, 3, 120, 8]
    batches = list(open_hf(tiny_model_dir, rows=3, tokens=100)._batches(lengths))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert batches[0] == [6], "the longest comes first, alone when it exceeds the budget by itself"
    for batch in batches[1:]:
        assert len(batch) <= 3
        assert max(lengths[index] for index in batch) * len(batch) <= 100


def test_nothing_asked_nothing_answered(engine: HfInProcess) -> None:
    assert list(engine.generate([], GREEDY)) == []
    assert list(engine.rank([])) == []


def test_the_same_seed_draws_the_same_and_another_seed_another(engine: HfInProcess) -> None:
    def draw(seed: int) -> list[Completion]:
        torch.manual_seed(len(PROMPTS) + seed * 7)  # what the process drew before must not matter
        torch.rand(3)
        return generate(engine, PROMPTS, Sampling(max_new_tokens=8, temperature=1.0, seed=seed))

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert draw(1) != generate(engine, PROMPTS, GREEDY)


@pytest.mark.parametrize("limit", [{"top_k": 1}, {"top_p": 1e-6}])
def test_a_draw_from_the_likeliest_token_alone_is_greedy(
    engine: HfInProcess, limit: dict[str, float]
) -> None:
    sampling = Sampling.model_validate({"max_new_tokens": 8, "temperature": 1.0, **limit})
    assert generate(engine, PROMPTS, sampling) == generate(engine, PROMPTS, GREEDY)


def test_the_models_own_sampling_settings_do_not_act(damaged: Path, engine: HfInProcess) -> None:
    change_json(
        damaged / "generation_config.json",
        repetition_penalty=3.0,
        temperature=0.1,
        top_k=2,
        do_sample=True,
        max_new_tokens=2,
    )
    other = open_hf(damaged)
    assert generate(other, PROMPTS, GREEDY) == generate(engine, PROMPTS, GREEDY)
    hot = Sampling(max_new_tokens=8, temperature=1.5, seed=3)
    assert generate(other, PROMPTS, hot) == generate(engine, PROMPTS, hot)


def test_the_models_own_end_tokens_stop_it(damaged: Path, engine: HfInProcess) -> None:
    ids = greedy_ids(engine, render_prompt(engine.tokenizer, PROMPTS[0]), 8)
    place = next(place for place in range(1, 8) if ids[place] not in ids[:place])
    end = engine.tokenizer.eos_token_id
    change_json(damaged / "generation_config.json", eos_token_id=[end, ids[place]])
    other = open_hf(damaged)
    (answer,) = generate(other, PROMPTS[:1], GREEDY)
    assert (answer.finish, answer.completion_tokens) == ("stop", place + 1)
    assert answer.text == told(engine, ids[:place])


def test_a_prompt_that_leaves_no_room_for_the_answer_is_refused(engine: HfInProcess) -> None:
    length = len(render_prompt(engine.tokenizer, PROMPTS[0]))
    (fits,) = generate(engine, PROMPTS[:1], Sampling(max_new_tokens=engine.context - length))
    assert fits.completion_tokens <= engine.context - length
    with pytest.raises(UserError, match=r"record 2: .* exceed the model's 256"):
        generate(engine, [PROMPTS[0], ask("很长" * 300)], GREEDY)


# ---- a model that has learnt two answers ----

ANSWERS = {"感冒怎么办": "多喝水，多休息。", "头痛怎么办": "<think>先问病史</think>\n\n请去看医生。"}


@pytest.fixture(scope="module")
def taught_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    records: list[Record] = [
        Dialogue(
            id=content_id(question), messages=(*ask(question), Message(role="assistant", content=answer))
        )
        for question, answer in ANSWERS.items()
    ]
    (folder / "train.jsonl").write_text(
        "".join(record.model_dump_json() + "\n" for record in records), encoding="utf-8"
    )
    sft.run(
        SftConfig.model_validate(
            {
                "out": folder / "out",
                "train": [str(folder / "train.jsonl")],
                "model": str(tiny_model_dir),
                "method": {"type": "full"},
                "max_steps": 60,
                "learning_rate": 1e-2,
                "save_steps": 1000,
                "runtime": {"device": "cpu", "num_threads": 1},
            }
        )
    )
    return folder / "out"


def test_what_sft_taught_comes_out_with_its_end_and_thinking_apart(taught_dir: Path) -> None:
    answers = generate(open_hf(taught_dir), [ask(text) for text in ANSWERS], Sampling(max_new_tokens=64))
    assert [answer.text for answer in answers] == ["多喝水，多休息。", "请去看医生。"]
    assert [answer.reasoning for answer in answers] == [None, "先问病史"]
    assert [answer.finish for answer in answers] == ["stop", "stop"]


def test_finish_is_right_when_the_end_is_exactly_the_last_allowed_token(taught_dir: Path) -> None:
    engine = open_hf(taught_dir)
    length = len(encode(engine.tokenizer, "多喝水，多休息。")) + 1
    (whole,) = generate(engine, [ask("感冒怎么办")], Sampling(max_new_tokens=length))
    (cut,) = generate(engine, [ask("感冒怎么办")], Sampling(max_new_tokens=length - 1))
    assert (whole.finish, whole.completion_tokens, whole.text) == ("stop", length, "多喝水，多休息。")
    assert (cut.finish, cut.completion_tokens, cut.text) == ("length", length - 1, "多喝水，多休息。")


def test_a_row_that_ends_early_in_a_batch_is_not_filled_up(taught_dir: Path) -> None:
    answers = generate(open_hf(taught_dir), [ask(text) for text in ANSWERS], Sampling(max_new_tokens=64))
    tokenizer = load_tokenizer(Input(taught_dir))
    expected = [len(encode(tokenizer, answer)) + 1 for answer in ANSWERS.values()]
    assert [answer.completion_tokens for answer in answers] == expected


def test_thinking_that_was_cut_off_is_not_taken_for_an_answer(taught_dir: Path) -> None:
    engine = open_hf(taught_dir)
    length = len(encode(engine.tokenizer, "<think>先问病史"))
    (answer,) = generate(engine, [ask("头痛怎么办")], Sampling(max_new_tokens=length))
    assert (answer.text, answer.reasoning, answer.finish) == ("", "先问病史", "length")


def test_thinking_that_the_prompt_opens_is_no_answer_until_it_is_closed(
    opening_dir: Path, engine: HfInProcess
) -> None:
    opened = open_hf(opening_dir)
    asked = opened.show(Prompt(PROMPTS[0]))
    assert asked.text.endswith("assistant\n<think>\n")
    (answer,) = generate(opened, PROMPTS[:1], GREEDY)
    said = told(opened, greedy_ids(opened, asked.ids, GREEDY.max_new_tokens))
    assert (answer.text, answer.reasoning) == ("", said)
    for model, text, expected in (
        (opened, "先问病史</think>请就诊。", ("请就诊。", "先问病史")),
        (engine, "先问病史", ("先问病史", None)),
    ):
        scribe = Scribe(model.tokenizer, model.show(Prompt(PROMPTS[0])), Prompt(PROMPTS[0]))
        scribe.feed_all(encode(model.tokenizer, text), is_ended=False)
        completion = scribe.finish("length").completion
        assert completion and (completion.text, completion.reasoning) == expected


def test_the_templates_closing_token_stops_where_the_tokenizer_names_another_end(
    taught_dir: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(taught_dir, tmp_path / "model"))
    marks = ["<|im_start|>", "<|im_end|>"]
    change_json(other / "tokenizer_config.json", eos_token="<|endoftext|>", extra_special_tokens=marks)
    change_json(other / "generation_config.json", eos_token_id=None)
    engine = open_hf(other)
    assert engine.tokenizer.eos_token == "<|endoftext|>"
    (answer,) = generate(engine, [ask("感冒怎么办")], Sampling(max_new_tokens=64))
    assert (answer.finish, answer.text) == ("stop", "多喝水，多休息。")


# ---- likelihoods ----


def plain_logprob(engine: HfInProcess, messages: Sequence[Message], text: str, *, is_closed: bool) -> float:
    """The sum of log-probabilities from one forward pass over one candidate."""
    begin = encode(engine.tokenizer, prompt_text(engine.tokenizer, messages))
    answer = encode(engine.tokenizer, text) + (engine.stops[:1] if is_closed else [])
    with torch.inference_mode():
        logits = engine.model(input_ids=torch.tensor([begin + answer])).logits[0]
    scores = log_softmax(logits[len(begin) - 1 : -1], dim=-1)
    return sum(float(scores[place, token]) for place, token in enumerate(answer))


TEXTS = {"A": "多运动", "B": "每天吃降压药，不要自行停药", "C": "无", "D": "120/80 mmHg"}
QUESTIONS = [Choices(Prompt(messages), TEXTS, prior=Prompt(ask(""))) for messages in PROMPTS]


def test_likelihoods_are_those_of_a_plain_forward_pass(family_dir: Path) -> None:
    engine = open_hf(family_dir)
    for question, found in zip(QUESTIONS, rank(engine, QUESTIONS), strict=True):
        assert list(found) == list(TEXTS)
        for key, text in TEXTS.items():
            given = plain_logprob(engine, question.prompt.messages, text, is_closed=False)
            alone = plain_logprob(engine, ask(""), text, is_closed=False)
            assert found[key].logprob == pytest.approx(given, abs=1e-5, rel=1e-6)
            assert found[key].prior_logprob == pytest.approx(alone, abs=1e-5, rel=1e-6)
            assert found[key].num_tokens == len(encode(engine.tokenizer, text))
            assert found[key].num_chars == len(text)


def test_likelihoods_do_not_depend_on_the_batch(family_dir: Path) -> None:
    together = rank(open_hf(family_dir), QUESTIONS)
    apart = rank(open_hf(family_dir, rows=1), QUESTIONS)
    for one, other in zip(together, apart, strict=True):
        for key in TEXTS:
            assert one[key].logprob == pytest.approx(other[key].logprob, rel=1e-6, abs=1e-5)


def test_a_question_without_a_prior_has_none(engine: HfInProcess) -> None:
    mixed = [Choices(Prompt(PROMPTS[0]), TEXTS), QUESTIONS[1], Choices(Prompt(PROMPTS[2]), {"A": "A"})]
    first, second, third = rank(engine, mixed)
    assert {likelihood.prior_logprob for likelihood in first.values()} == {None}
    assert None not in {likelihood.prior_logprob for likelihood in second.values()}
    assert third["A"].logprob == pytest.approx(
        plain_logprob(engine, PROMPTS[2], "A", is_closed=False), abs=1e-4
    )


def test_sets_of_letters_count_the_end_of_the_answer(engine: HfInProcess) -> None:
    sets = {letters: letters for letters in ("AB", "AC", "ABC", "ABCD")}
    (opened,) = rank(engine, [Choices(Prompt(PROMPTS[0]), sets)])
    (closed,) = rank(engine, [Choices(Prompt(PROMPTS[0]), sets, is_closed=True)])
    for letters in sets:
        assert closed[letters].logprob == pytest.approx(
            plain_logprob(engine, PROMPTS[0], letters, is_closed=True), abs=1e-4
        )
        assert closed[letters].logprob < opened[letters].logprob
        assert closed[letters].num_tokens == opened[letters].num_tokens + 1


def test_an_answer_that_melts_into_the_prompt_is_refused(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        Dialogue(id="1", messages=tuple(ask("答案是A " * 20))).model_dump_json() + "\n", encoding="utf-8"
    )
    tokenizer.run(TokenizerConfig(out=tmp_path / "tokenizer", texts=(Input(texts),), vocab_size=300))
    template = tmp_path / "tokenizer" / "chat_template.jinja"
    wording = template.read_text(encoding="utf-8")
    template.write_text(
        wording.replace("assistant\\n' -}}{%- endif", "assistant\\n答案是' -}}{%- endif"), "utf-8"
    )
    engine = open_hf(make_model(tmp_path / "tokenizer"))
    assert prompt_text(engine.tokenizer, PROMPTS[0]).endswith("答案是")
    with pytest.raises(UserError, match="share a token"):
        rank(engine, [Choices(Prompt(PROMPTS[0]), {"A": "A"})])


def test_a_question_longer_than_the_model_takes_is_refused(engine: HfInProcess) -> None:
    with pytest.raises(UserError, match="the model takes 256"):
        rank(engine, [QUESTIONS[0], Choices(Prompt(ask("很长" * 300)), TEXTS)])


# ---- loading ----


def test_an_adapter_acts_and_fits_only_its_base(
    tiny_model_dir: Path, make_model: Callable[..., Path], tiny_tokenizer_dir: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    peft = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(load_model(Input(tiny_model_dir), "float32"), peft).save_pretrained(str(tmp_path))
    adapter = Input(tmp_path)
    plain, laid = open_hf(tiny_model_dir), open_hf(tiny_model_dir, adapter=adapter)
    assert generate(plain, PROMPTS, GREEDY) != generate(laid, PROMPTS, GREEDY)
    wide = make_wide(tiny_model_dir, tmp_path / "wide")
    with pytest.raises(UserError, match="does not fit"):
        open_hf(wide, adapter=adapter)


def make_wide(folder: Path, out: Path) -> Path:
    """The model of `folder` with wider feed-forward layers."""
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = AutoConfig.from_pretrained(str(folder))
    shape.intermediate_size *= 2
    AutoModelForCausalLM.from_config(shape).save_pretrained(out)
    load_tokenizer(Input(folder)).save_pretrained(out)
    return out


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def set_config(**values: object) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / "config.json", **values)


def lose_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layers.1.mlp.up_proj" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


def only_pickles(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("tokenizer.json"), "holds none of tokenizer.json"),
        (remove("model.safetensors"), r"holds none of \*.safetensors"),
        (remove("config.json"), "holds none of config.json"),
        (only_pickles, "its weights are pickles"),
        (cut_weights, "cannot be loaded"),
        (lose_a_layer, r"lacks weights, such as model.layers.1.mlp.up_proj"),
        (write("config.json", b"{"), "cannot be loaded"),
        (write("tokenizer.json", b"{"), "tokenizer cannot be loaded"),
        (set_config(hidden_size=64), "cannot be loaded"),
        (set_config(model_type="nonesuch"), "cannot be loaded"),
    ],
)
def test_a_damaged_model_directory_is_named_in_one_line(
    damaged: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(damaged)
    with pytest.raises(UserError, match=message) as error:
        open_hf(damaged)
    assert str(damaged) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model directory"):
        open_hf(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}),
        ("config.json", {"_attn_implementation_internal": "evil/kernel"}),
        ("config.json", {"attn_implementation": "evil/kernel"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.T", None]}}),
        ("model.safetensors.index.json", {"weight_map": {"lm_head.weight": "../other/model.safetensors"}}),
        ("model.safetensors.index.json", {"weight_map": {"lm_head.weight": "C:\\\\evil.safetensors"}}),
    ],
)
def test_a_model_that_names_code_or_files_elsewhere_is_refused_and_nothing_runs(
    damaged: Path, tmp_path: Path, file: str, change: dict[str, object]
) -> None:
    trace = tmp_path / "trace"
    (damaged / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()", encoding="utf-8")
    if (damaged / file).exists():
        change_json(damaged / file, **change)
    else:
        (damaged / file).write_text(json.dumps({"metadata": {}, **change}), encoding="utf-8")
    with pytest.raises(UserError, match=f"{file}: names"):
        open_hf(damaged)
    assert not trace.exists()


def test_a_model_of_an_unknown_kind_is_refused(damaged: Path) -> None:
    change_json(damaged / "config.json", model_type="evil")
    with pytest.raises(UserError, match="cannot be loaded"):
        open_hf(damaged)


def test_an_adapter_of_pickles_is_refused(tiny_model_dir: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(
        load_model(Input(tiny_model_dir), "float32"), LoraConfig(target_modules="all-linear")
    )
    adapted.save_pretrained(str(tmp_path))
    torch.save(load_file(tmp_path / "adapter_model.safetensors"), tmp_path / "adapter_model.bin")
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds none of adapter_model.safetensors"):
        open_hf(tiny_model_dir, adapter=Input(tmp_path))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_load_in_the_wanted_number_format(tiny_model_dir: Path, dtype: str) -> None:
    model = load_model(Input(tiny_model_dir), dtype)
    assert {str(weight.dtype) for weight in model.parameters()} == {f"torch.{dtype}"}
    assert not model.training
