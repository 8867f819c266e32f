"""Several answers at once from one model: each as if it were alone."""

import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    LogitsProcessorList,
    MistralConfig,
    MistralForCausalLM,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from medtune.config import Input
from medtune.engines.base import Delta, Prompt, Refused, Request, open_engine, stream
from medtune.engines.config import EngineRuntime, HfEngine, Sampling
from medtune.engines.decoding.drawing import Row, draw, pick
from medtune.engines.decoding.scribing import bytes_of
from medtune.engines.hf import HfInProcess
from medtune.engines.tokenizing import load_tokenizer
from medtune.errors import UserError
from medtune.records import Completion, Message

ASKED = ("头痛怎么办？", "感冒三天了，还发烧，要不要去医院？请告诉我。", "你好", "What is diabetes?")
GREEDY = Sampling(max_new_tokens=24)


def open_hf(model: Path, *, rows: int = 64, tokens: int = 16384, **named: object) -> HfInProcess:
    config = HfEngine.model_validate({"model": str(model), **named})
    engine = open_engine(
        config, EngineRuntime(device="cpu", num_threads=1, max_batch_rows=rows, max_batch_tokens=tokens)
    )
    assert isinstance(engine, HfInProcess)
    return engine


def ask(text: str, **settings: object) -> Prompt:
    return Prompt([Message(role="user", content=text)], **settings)  # type: ignore[arg-type]


def answer_all(engine: HfInProcess, requests: Sequence[Request]) -> list[list[Delta]]:
    """The stretches of each answer, all asked at once."""
    found: list[list[Delta]] = [[] for _ in requests]
    done = [threading.Event() for _ in requests]

    def sink(index: int) -> Callable[[Delta], None]:
        def take(delta: Delta) -> None:
            found[index].append(delta)
            if delta.completion:
                done[index].set()

        return take

    for index, request in enumerate(requests):
        engine.submit(request, sink(index))
    assert all(event.wait(60) for event in done)
    return found


def whole(deltas: Sequence[Delta]) -> Completion:
    assert [bool(delta.completion) for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    completion = deltas[-1].completion
    assert completion
    assert "".join(delta.text for delta in deltas) == completion.text
    assert "".join(delta.reasoning for delta in deltas) == (completion.reasoning or "")
    return completion


def save_adapter(model: Path, folder: Path, settings: PeftConfig, seed: int) -> Path:
    """A random adapter that changes answers."""
    torch.manual_seed(seed)
    laid = get_peft_model(AutoModelForCausalLM.from_pretrained(model), settings)
    with torch.no_grad():
        for name, weight in laid.named_parameters():
            if weight.requires_grad:
                weight.copy_(torch.randn_like(weight) * (0.5 if "lora" in name else 1.0))
    laid.save_pretrained(folder)
    return folder


KINDS: dict[str, PeftConfig] = {
    "lora": LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj", "down_proj"]),
    "other.lora": LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["k_proj"]),
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "ia3": IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "dora": LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], use_dora=True),
}


@pytest.fixture(scope="module")
def adapters(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("adapters")
    return {
        kind: save_adapter(tiny_model_dir, home / kind, settings, seed)
        for seed, (kind, settings) in enumerate(KINDS.items())
    }


@pytest.fixture(scope="module")
def engine(tiny_model_dir: Path) -> HfInProcess:
    return open_hf(tiny_model_dir)


def one_by_one(engine: HfInProcess, adapter: str = "") -> list[Completion]:
    return [whole(list(stream(engine, Request(ask(text), GREEDY, adapter)))) for text in ASKED]


# ---- one answer as if alone ----


def test_streams_at_once_are_what_generate_gives(family_dir: Path) -> None:
    engine = open_hf(family_dir)
    expected = [
        completion for _, completion in sorted(engine.generate([ask(text) for text in ASKED], GREEDY))
    ]
    found = answer_all(engine, [Request(ask(text), GREEDY) for text in ASKED])
    assert [whole(deltas) for deltas in found] == expected
    assert len({completion.text for completion in expected}) == len(ASKED)
    engine.close()


def test_rows_that_join_late_change_nothing(engine: HfInProcess) -> None:
    expected = one_by_one(engine)
    first = stream(engine, Request(ask(ASKED[0]), GREEDY))
    begun = [next(first)]
    late = answer_all(engine, [Request(ask(text), GREEDY) for text in ASKED[1:]])
    assert [whole([*begun, *first]), *map(whole, late)] == expected


def test_a_narrow_batch_answers_the_same(tiny_model_dir: Path, engine: HfInProcess) -> None:
    narrow = open_hf(tiny_model_dir, rows=2, tokens=150)
    found = answer_all(narrow, [Request(ask(text), GREEDY) for text in ASKED])
    assert [whole(deltas) for deltas in found] == one_by_one(engine)
    narrow.close()


def test_an_answer_longer_than_the_first_room_is_greedy_to_its_end(engine: HfInProcess) -> None:
    prompt, sampling = ask(ASKED[0]), Sampling(max_new_tokens=150)
    ids, said = engine.show(prompt).ids, list[int]()
    with torch.inference_mode():
        while len(said) < 150 and not (said and said[-1] in engine.stops):
            said.append(int(engine.model(input_ids=torch.tensor([ids + said])).logits[0, -1].argmax()))
    (deltas,) = answer_all(engine, [Request(prompt, sampling)])
    assert whole(deltas).completion_tokens == len(said) > 64
    assert (
        whole(deltas).text == engine.tokenizer.decode(said, skip_special_tokens=True).rstrip("\ufffd").strip()
    )


def test_a_model_that_forgets_what_is_far_back_answers_as_transformers_does(
    tiny_tokenizer_dir: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(Input(tiny_tokenizer_dir))
    torch.manual_seed(3)
    shape = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, sliding_window=16,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = MistralForCausalLM(shape).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(10 if weight.ndim > 1 else 1)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    engine = open_hf(tmp_path / "model")
    found = answer_all(engine, [Request(ask(text), GREEDY) for text in ASKED])
    for text, deltas in zip(ASKED, found, strict=True):
        ids = engine.show(ask(text)).ids
        out = model.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=24,
            do_sample=False,
            eos_token_id=engine.stops,
        )
        expected = tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True).rstrip("\ufffd").strip()
        assert whole(deltas).text == expected
    engine.close()


# ---- adapters ----


def test_base_and_adapters_answer_in_one_batch_as_if_each_were_alone(
    tiny_model_dir: Path, adapters: dict[str, Path], engine: HfInProcess
) -> None:
    names = ["other.lora", "prefix", "prompt"]
    shared = open_hf(
        tiny_model_dir, adapter=str(adapters["lora"]), adapters={name: str(adapters[name]) for name in names}
    )
    assert shared.info().names == ("base", *names)
    asked = [("", "lora"), *((name, name) for name in names)]
    requests = [Request(ask(text), GREEDY, name) for name, _ in [*asked, ("base", "")] for text in ASKED]
    found = [whole(deltas) for deltas in answer_all(shared, requests)]
    expected = [
        completion
        for _, kind in asked
        for completion in one_by_one(open_hf(tiny_model_dir, adapter=str(adapters[kind])))
    ] + one_by_one(engine)
    assert found == expected
    assert len({completion.text for completion in found}) >= len(found) - 2
    shared.close()


@pytest.mark.parametrize("kind", ["lora", "prefix", "prompt", "ia3", "dora"])
def test_an_adapter_of_any_kind_streams_what_it_generates_and_its_base_beside_it(
    tiny_model_dir: Path, adapters: dict[str, Path], engine: HfInProcess, kind: str
) -> None:
    tuned = open_hf(tiny_model_dir, adapter=str(adapters[kind]))
    prompts = [ask(text) for text in ASKED]
    expected = [completion for _, completion in sorted(tuned.generate(prompts, GREEDY))]
    with tuned.without_adapter():
        bare = [completion for _, completion in sorted(tuned.generate(prompts, GREEDY))]
    requests = [Request(ask(text), GREEDY, name) for text in ASKED for name in ("", "base")]
    found = [whole(deltas) for deltas in answer_all(tuned, requests)]
    assert found[::2] == expected != bare
    assert found[1::2] == bare == one_by_one(engine)
    tuned.close()


def test_likelihoods_are_the_models_own_while_named_adapters_stand_by(
    tiny_model_dir: Path, adapters: dict[str, Path], engine: HfInProcess
) -> None:
    shared = open_hf(tiny_model_dir, adapters={"lora": str(adapters["lora"])})
    assert dict(shared.read(ASKED)) == dict(engine.read(ASKED))


@pytest.mark.parametrize("kind", ["ia3", "dora"])
def test_a_named_adapter_that_shares_no_batch_is_refused(
    tiny_model_dir: Path, adapters: dict[str, Path], kind: str
) -> None:
    with pytest.raises(UserError, match=r"adapters\.mine: .* name it as engine.adapter by itself"):
        open_hf(tiny_model_dir, adapters={"mine": str(adapters[kind])})
    with pytest.raises(UserError, match=r"adapters\.mine: .* cannot stand beside"):
        open_hf(tiny_model_dir, adapter=str(adapters[kind]), adapters={"mine": str(adapters["lora"])})


# ---- drawing ----


def test_the_same_seed_draws_the_same_among_any_others(engine: HfInProcess) -> None:
    hot = Sampling(max_new_tokens=24, temperature=1.9, seed=7)
    same = Request(ask(ASKED[0]), hot)
    others = [Request(ask(text), hot.model_copy(update={"seed": seed})) for seed, text in enumerate(ASKED)]
    together = [whole(deltas) for deltas in answer_all(engine, [same] * 8 + others)]
    (alone,) = answer_all(engine, [same])
    assert together[:8] == [whole(alone)] * 8
    assert len({completion.text for completion in together[8:]}) == 4


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"), [(0, 1.0, 0.7), (5, 1.0, 1.0), (0, 0.8, 1.3), (6, 0.6, 1.0)]
)
def test_draws_follow_the_distribution_that_transformers_would_draw_from(
    top_k: int, top_p: float, temperature: float
) -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(5)) * 2
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    warpers += [TopKLogitsWarper(top_k)] if top_k else []
    warpers += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    expected = warpers(torch.zeros(1, 1, dtype=torch.long), logits[None]).softmax(-1)[0]
    generator = torch.Generator().manual_seed(1)
    counts = Counter(pick(logits, sampling, generator) for _ in range(4000))
    assert {token for token in counts} <= {token for token in range(12) if expected[token] > 0}
    for token in range(12):
        share = float(expected[token])
        assert abs(counts[token] / 4000 - share) <= 4.5 * math.sqrt(share * (1 - share) / 4000)


def test_penalties_are_those_of_transformers_and_of_openai() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5, 3.0], [2.0, -1.0, 0.5, 3.0]])
    repeat = Row([0, 1], Sampling(repetition_penalty=1.9), seed=0, num_logprobs=1, said=[3])
    theirs = RepetitionPenaltyLogitsProcessor(1.9)(torch.tensor([[0, 1, 3]]), logits[:1].clone())
    present = Row([0], Sampling(presence_penalty=0.6, frequency_penalty=0.5), seed=0, said=[3, 3])
    first, second = draw(logits, [repeat, present])
    assert first.token == int(theirs.argmax())
    assert second.token == 0  # 3.0 - 2 * 0.5 - 0.6 < 2.0
    assert first.logprob == pytest.approx(float(logits[0].log_softmax(-1)[first.token]))


# ---- text ----


def test_a_stop_string_ends_the_answer_before_it(engine: HfInProcess) -> None:
    full = next(
        whole(deltas) for deltas in answer_all(engine, [Request(ask(ASKED[1]), Sampling(max_new_tokens=60))])
    )
    stop = full.text[5:8]
    (deltas,) = answer_all(engine, [Request(ask(ASKED[1]), Sampling(max_new_tokens=60, stop=(stop,)))])
    cut = whole(deltas)
    assert cut.text == full.text[: full.text.index(stop)].rstrip()
    assert (cut.finish, cut.completion_tokens < full.completion_tokens) == ("stop", True)
    ((_, same),) = engine.generate([ask(ASKED[1])], Sampling(max_new_tokens=60, stop=(stop,)))
    assert same == cut


def test_likelihoods_are_those_of_a_plain_forward_pass(engine: HfInProcess) -> None:
    prompt = ask(ASKED[1])
    (deltas,) = answer_all(engine, [Request(prompt, GREEDY, num_logprobs=3)])
    tokens = [token for delta in deltas for token in delta.tokens]
    ids, said = engine.show(prompt).ids, list[int]()
    with torch.inference_mode():
        for token in tokens:
            logprobs = engine.model(input_ids=torch.tensor([ids + said])).logits[0, -1].log_softmax(-1)
            best = logprobs.topk(3)
            said.append(int(logprobs.argmax()))
            assert token.logprob == pytest.approx(float(best.values[0]), abs=1e-4)
            assert [one.logprob for one in token.likeliest] == pytest.approx(best.values.tolist(), abs=1e-4)
            assert token.bytes == bytes_of(engine.tokenizer, said[-1])
    text = b"".join(token.bytes for token in tokens).decode("utf-8", errors="replace")
    assert text.rstrip("\ufffd").strip() == whole(deltas).text


def test_the_bytes_of_tokens_are_those_of_the_text(engine: HfInProcess) -> None:
    text = "头痛 😀 a\n\n  <|im_end|>"
    ids = engine.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert b"".join(bytes_of(engine.tokenizer, token) for token in ids) == text.encode()


# ---- ends ----


def test_an_answer_that_nobody_waits_for_ends_and_leaves_room(tiny_model_dir: Path) -> None:
    engine = open_hf(tiny_model_dir, rows=1)
    long = Sampling(max_new_tokens=200, temperature=1.0)
    first = stream(engine, Request(ask(ASKED[0]), long))
    next(first)
    first.close()
    second = whole(list(stream(engine, Request(ask(ASKED[2]), Sampling(max_new_tokens=3)))))
    assert second.finish in ("stop", "length")
    engine.close()


def test_closing_ends_what_is_under_way_with_an_error_and_the_engine_can_go_on(engine: HfInProcess) -> None:
    begun = stream(engine, Request(ask(ASKED[0]), Sampling(max_new_tokens=200, temperature=1.5)))
    deltas = [next(begun)]
    engine.close()
    deltas += begun
    assert deltas[-1].completion
    if deltas[-1].completion.finish == "error":
        assert deltas[-1].completion.error == "the engine was closed"
    engine.close()
    assert whole(list(stream(engine, Request(ask(ASKED[2]), GREEDY)))).completion_tokens


def test_what_cannot_be_answered_is_refused_at_once(engine: HfInProcess) -> None:
    for request, code in (
        (Request(ask("长" * 300), GREEDY), "context_length_exceeded"),
        (Request(ask(ASKED[0]), Sampling(max_new_tokens=250)), "context_length_exceeded"),
        (Request(ask(ASKED[0]), GREEDY, "nobody"), "model_not_found"),
    ):
        with pytest.raises(Refused) as refusal:
            engine.submit(request, lambda delta: None)
        assert refusal.value.code == code


def test_thinking_can_be_asked_for_where_the_template_knows_it(
    tiny_model_dir: Path, engine: HfInProcess
) -> None:
    knowing = open_hf(tiny_model_dir, template="qwen3")
    texts = {
        thinking: knowing.show(ask(ASKED[0], thinking=thinking)).text for thinking in (None, True, False)
    }
    assert texts[None] == texts[True] != texts[False]
    assert texts[False].endswith("<think>\n\n</think>\n\n")
    for told in (knowing, engine):
        (deltas,) = answer_all(told, [Request(ask(ASKED[0], thinking=False), GREEDY)])
        assert whole(deltas).completion_tokens
    with pytest.raises(Refused, match="cannot be told to think") as refusal:
        engine.submit(Request(ask(ASKED[0], thinking=True), GREEDY), lambda delta: None)
    assert refusal.value.code == "invalid_request"


def test_the_tokenizer_serves_several_threads(engine: HfInProcess) -> None:
    """What encodes control tokens as text changes a setting of the tokenizer while others decode."""
    begun = [
        stream(engine, Request(ask(text), Sampling(max_new_tokens=100, temperature=1.0))) for text in ASKED
    ]
    ended = threading.Event()
    taken: list[list[Delta]] = []

    def read() -> None:
        taken.extend(list(deltas) for deltas in begun)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    while not ended.wait(0.001):
        assert engine.show(ask("有人写了 <|im_end|> 和 <|im_start|>" * 5)).ids
    assert all(whole(deltas) for deltas in taken)
