"""What every engine does alike, whatever answers behind it."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
import torch
from contract_script import LONG, SCRIPT, SLOW_SECONDS, say
from fake_chat import serve
from waiting import LONG_SECONDS

from medtune.config import Input
from medtune.engines.base import Delta, Engine, Prompt, Refused, Request, open_engine, stream
from medtune.engines.config import (
    BASE,
    EngineRuntime,
    FakeEngine,
    HfEngine,
    HttpEngine,
    LaunchEngine,
    Sampling,
)
from medtune.engines.hf import HfInProcess
from medtune.engines.loading import save_model
from medtune.engines.tokenizing import load_tokenizer
from medtune.records import Completion, Message
from medtune.train.config import NewModel
from medtune.train.model import build_model

PROGRAM = (sys.executable, str(Path(__file__).parents[1] / "fake_program.py"))
NUM_ASKED = 12
ECHOED = (*(f"第{number}问" for number in range(NUM_ASKED)), "第一问", "第二问", "不必", "还在", "好")
"""All that is asked in these tests besides the script and the plain text, and repeated."""
PLAIN = "病史："


class Kind(NamedTuple):
    """An engine to be tried, and what it can."""

    engine: Engine
    """Open for all tests."""
    open: Callable[..., Engine]
    """open(is_slow=…): another one, which is closed at the end."""
    adapter: str
    """A name that it answers to besides."""


# Of the module, so that pytest tries one kind after the other, each opened once.
@pytest.fixture(scope="module", params=["fake", "http", "launch", "hf"])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    """Each engine. They repeat what they are asked, think at 想, and say much at 长."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("contract")
        match request.param:
            case "fake":
                make, adapter = partial(make_fake, folder), "tuned"
            case "http":
                urls = {is_slow: stack.enter_context(serving(is_slow=is_slow)) for is_slow in (False, True)}
                make, adapter = partial(make_http, urls), "tuned"
            case "launch":
                make, adapter = partial(make_launch, folder), "tuned"
            case _:
                teach(request.getfixturevalue("tiny_tokenizer_dir"), folder)
                make, adapter = partial(make_hf, folder), BASE

        def open_one(*, is_slow: bool = False) -> Engine:
            engine = make(is_slow)
            stack.callback(engine.close)
            return engine

        yield Kind(open_one(), open_one, adapter)


def make_fake(folder: Path, is_slow: bool) -> Engine:
    (folder / "script.jsonl").write_bytes(b"\n".join(map(orjson.dumps, SCRIPT)))
    told = {
        "script": str(folder / "script.jsonl"),
        "adapters": {"tuned": ""},
        "tokens_per_second": 1 / SLOW_SECONDS if is_slow else 0,
    }
    return open_engine(FakeEngine.model_validate(told), EngineRuntime())


@contextmanager
def serving(*, is_slow: bool) -> Iterator[str]:
    """The address of a server."""
    with serve(partial(say, wait_seconds=SLOW_SECONDS if is_slow else 0)) as server:
        server.models.append({"id": "tuned"})
        yield server.url


def make_http(urls: dict[bool, str], is_slow: bool) -> Engine:
    return open_engine(HttpEngine(base_url=urls[is_slow], model="doctor"), EngineRuntime())


def make_launch(folder: Path, is_slow: bool) -> Engine:
    model = folder / ("slow" if is_slow else "scripted")
    model.mkdir(exist_ok=True)
    told = {"server": "vllm", "model": str(model), "command": PROGRAM}
    return open_engine(LaunchEngine.model_validate(told), EngineRuntime())


def make_hf(folder: Path, is_slow: bool) -> Engine:
    engine = open_engine(HfEngine(model=Input(folder)), EngineRuntime(device="cpu", num_threads=1))
    if is_slow:
        assert isinstance(engine, HfInProcess)
        engine._sharing._turn = Slowly()
    return engine


class Slowly:
    """A turn at the model that one waits for."""

    def __enter__(self) -> None:
        time.sleep(SLOW_SECONDS)

    def __exit__(self, *_: object) -> None:
        pass


def teach(tokenizer_dir: Path, folder: Path) -> None:
    """Nothing; the folder holds a model that has learnt by heart what all engines say here."""
    tokenizer = load_tokenizer(Input(tokenizer_dir))
    shape = {
        "tokenizer": str(tokenizer_dir), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    }  # fmt: skip
    model = build_model(NewModel.model_validate(shape), tokenizer, seed=1)
    save_model(model, tokenizer, folder)  # so that an engine says what a prompt becomes
    engine = HfInProcess(HfEngine(model=Input(folder)), EngineRuntime(device="cpu", num_threads=1))
    lines = [
        *((ask(text), text) for text in ECHOED),
        (ask(PLAIN, is_text=True), PLAIN),
        (ask("想"), "<think>\n先想\n\n再答\n</think>\n\n多饮水，\n少盐。"),
        (ask("长"), LONG),
    ]
    rows = [
        (engine.show(prompt).ids, [*engine.tokenizer.encode(text, add_special_tokens=False), engine.stops[0]])
        for prompt, text in lines
    ]
    longest = max(len(begin) + len(end) for begin, end in rows)
    ids = torch.tensor([[*begin, *end, *[0] * (longest - len(begin) - len(end))] for begin, end in rows])
    labels = torch.full_like(ids, -100)
    for number, (begin, end) in enumerate(rows):
        labels[number, len(begin) : len(begin) + len(end)] = torch.tensor(end)
    teacher = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0)
    for _ in range(1000):
        loss = model(input_ids=ids, labels=labels).loss
        if loss.item() < 0.01:
            break
        loss.backward()
        teacher.step()
        teacher.zero_grad()
    else:
        pytest.fail("it did not learn them")
    save_model(model, tokenizer, folder)


def ask(text: str, *, is_text: bool = False) -> Prompt:
    return Prompt((Message(role="user", content=text),), is_text=is_text)


def whole(deltas: list[Delta]) -> Completion:
    """The completion of a stream that keeps the contract."""
    assert [delta.completion is not None for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    completion = deltas[-1].completion
    assert completion
    assert "".join(delta.text for delta in deltas) == completion.text
    assert "".join(delta.reasoning for delta in deltas) == (completion.reasoning or "")
    return completion


def answer_all(engine: Engine, prompts: list[Prompt], **sampling: object) -> list[Completion]:
    answers = dict(engine.generate(prompts, Sampling.model_validate(sampling)))
    assert sorted(answers) == list(range(len(prompts))), "each prompt once"
    return [answers[index] for index in range(len(prompts))]


def test_each_prompt_has_its_own_answer(kind: Kind) -> None:
    texts = [f"第{number}问" for number in range(NUM_ASKED)]
    answers = answer_all(kind.engine, [ask(text) for text in texts])
    assert [answer.text for answer in answers] == texts
    assert {answer.finish for answer in answers} == {"stop"}
    assert all(answer.prompt_tokens and answer.completion_tokens for answer in answers)
    assert answer_all(kind.engine, []) == []


def test_thinking_stands_apart(kind: Kind) -> None:
    engine = kind.engine
    (whole_at_once,) = answer_all(engine, [ask("想")])
    assert (whole_at_once.text, whole_at_once.reasoning) == ("多饮水，\n少盐。", "先想\n\n再答")
    assert answer_all(engine, [ask("不必")])[0].reasoning is None


@pytest.mark.parametrize("text", ["想", "长", "第一问"])
def test_the_stretches_of_a_stream_make_up_the_answer(kind: Kind, text: str) -> None:
    engine = kind.engine
    streamed = whole(list(stream(engine, Request(ask(text), Sampling()))))
    (at_once,) = answer_all(engine, [ask(text)])
    assert (streamed.text, streamed.reasoning, streamed.finish) == (at_once.text, at_once.reasoning, "stop")
    assert (streamed.prompt_tokens, streamed.completion_tokens) != (0, 0)


def test_an_answer_ends_before_a_stop_string_and_at_its_longest(kind: Kind) -> None:
    engine = kind.engine
    stopped = {"stop": ["，\n少"]}
    for completion in (
        answer_all(engine, [ask("想")], **stopped)[0],
        whole(list(stream(engine, Request(ask("想"), Sampling.model_validate(stopped))))),
    ):
        assert (completion.text, completion.reasoning, completion.finish) == (
            "多饮水",
            "先想\n\n再答",
            "stop",
        )
    for completion in (
        answer_all(engine, [ask("长")], max_new_tokens=5)[0],
        whole(list(stream(engine, Request(ask("长"), Sampling(max_new_tokens=5))))),
    ):
        assert (completion.finish, completion.completion_tokens) == ("length", 5)
        assert LONG.startswith(completion.text) and 0 < len(completion.text) < len(LONG)


def test_a_plain_text_is_gone_on_with(kind: Kind) -> None:
    engine = kind.engine
    prompt = ask(PLAIN, is_text=True)
    assert engine.show(prompt).text == PLAIN
    assert answer_all(engine, [prompt])[0].text == PLAIN
    assert whole(list(stream(engine, Request(prompt, Sampling())))).text == PLAIN


def test_streams_go_side_by_side_and_one_that_is_ended_ends_soon(kind: Kind) -> None:
    engine = kind.open(is_slow=True)
    heard: dict[str, list[Delta]] = {"长": [], "第二问": []}
    done = {name: threading.Event() for name in heard}

    def listen(name: str) -> Callable[[Delta], None]:
        def hear(delta: Delta) -> None:
            heard[name].append(delta)
            if delta.completion:
                done[name].set()

        return hear

    cancel = engine.submit(Request(ask("长"), Sampling()), listen("长"))
    engine.submit(Request(ask("第二问"), Sampling(), adapter=kind.adapter), listen("第二问"))
    assert done["第二问"].wait(LONG_SECONDS) and not done["长"].is_set()
    cancel()
    assert done["长"].wait(LONG_SECONDS)
    cancel()  # once more does nothing
    ended = whole(heard["长"])
    assert ended.finish == "stop" and ended.error is None
    assert LONG.startswith(ended.text) and 0 < len(ended.text) < len(LONG)
    assert whole(heard["第二问"]).text == "第二问"


def test_leaving_a_stream_ends_the_answer(kind: Kind) -> None:
    engine = kind.open(is_slow=True)
    deltas = stream(engine, Request(ask("长"), Sampling()))
    assert next(deltas).completion is None
    deltas.close()  # type: ignore[attr-defined]
    assert answer_all(engine, [ask("还在")])[0].text == "还在"


def test_an_unknown_adapter_is_refused_at_once_and_known_ones_are_told(kind: Kind) -> None:
    engine = kind.engine
    assert kind.adapter in engine.info().names and engine.info().model
    with pytest.raises(Refused) as caught:
        engine.submit(Request(ask("好"), Sampling(), adapter="nobody"), lambda _: None)
    assert caught.value.code == "model_not_found"


def test_an_engine_may_be_closed_twice(kind: Kind) -> None:
    engine = kind.open()
    assert answer_all(engine, [ask("好")])[0].text == "好"
    engine.close()
    engine.close()
