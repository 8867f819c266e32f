"""A model that was trained on an exam is told from one that was not, and the words stay those of signals."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from medtune.artifact import claim, make, read_jsonl, write_json, write_jsonl
from medtune.commands import run_command
from medtune.config import SAMPLES, Input
from medtune.engines.config import HfEngine
from medtune.errors import UserError
from medtune.evals import signals
from medtune.evals.audit import text_of
from medtune.evals.config import AuditConfig, SignalsConfig
from medtune.evals.signals import draw_orders, refuse_shared, run, warn_of_lineage
from medtune.evals.signals_report import Side, Sign, compare_sets, report_on
from medtune.records import Question, Report, question_id
from medtune.reports.report import render_markdown

Configure = Callable[..., SignalsConfig]
NUM_EXAM, NUM_REFERENCE = 40, 30


def make_items(num: int, *, seed: int) -> list[Question]:
    """Items in the wording of exams whose nouns are pieces of the sample texts."""
    chance = random.Random(seed)
    texts = [orjson.loads(line)["text"] for line in (SAMPLES / "documents.jsonl").read_bytes().splitlines()]

    def noun(size: int) -> str:
        text = "".join(sign for sign in chance.choice(texts) if sign.isalpha())
        start = chance.randrange(len(text) - size)
        return text[start : start + size]

    items: list[Question] = []
    for _ in range(num):
        options = {letter: noun(3) for letter in "ABCD"}
        stem = f"{noun(4)}合并{noun(4)}时首选"
        items.append(
            Question(
                id=question_id(stem, None, options), stem=stem, options=options, answer=chance.choice("ABCD"),
                subject="内科学", split="test",
            )
        )  # fmt: skip
    return items


EXAM, REFERENCE = make_items(NUM_EXAM, seed=1), make_items(NUM_REFERENCE, seed=2)


@pytest.fixture(scope="session")
def exposed_model_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model after thirty times reading the exam's text."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from medtune.engines.loading import load_model, save_model
    from medtune.engines.rendering.control import encode_plain
    from medtune.engines.tokenizing import load_tokenizer

    tokenizer = load_tokenizer(Input(tiny_model_dir))
    model = load_model(Input(tiny_model_dir), "float32")
    rows = [torch.tensor(encode_plain(tokenizer, text_of(item))) for item in EXAM]
    with torch.no_grad():  # it was made with large weights, which learn badly
        for weight in model.parameters():
            weight.div_(10 if weight.ndim > 1 else 1)
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(120):
        start = 10 * step % len(rows)
        ids = pad_sequence(rows[start : start + 10], batch_first=True, padding_value=-100)
        loss = model(input_ids=ids.clamp(min=0), labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("exposed")
    save_model(model, tokenizer, folder)
    return folder


@pytest.fixture
def configure(tiny_model_dir: Path, tmp_path: Path) -> Configure:
    """configure(name, key=value, …): exam and reference are written, the answer goes to tmp_path/name."""

    def configure(name: str = "signals", **values: Any) -> SignalsConfig:
        for side, items in (("exam", EXAM), ("reference", REFERENCE)):
            write_jsonl(tmp_path / f"{side}.jsonl", values.pop(side, items))
        base = {
            "out": tmp_path / name,
            "engine": {"model": str(tiny_model_dir)},
            "exam": str(tmp_path / "exam.jsonl"),
            "reference": str(tmp_path / "reference.jsonl"),
            "num_orders": 5,
            "num_permutations": 2000,
            "runtime": {"device": "cpu", "num_threads": 1},
        }
        return SignalsConfig.model_validate({**base, **values})

    return configure


def words_of(config: SignalsConfig) -> tuple[str, str]:
    """The report in English and Chinese."""
    english, chinese = (config.out / name for name in ("report.en.md", "report.md"))
    return english.read_text(encoding="utf-8"), chinese.read_text(encoding="utf-8")


def refuse_verdicts(config: SignalsConfig) -> None:
    """The report never says that an exam was leaked, only what a signal is consistent with."""
    english, chinese = words_of(config)
    assert not any(word in english.lower() for word in ("contaminat", "leak", "cheat", "memoris"))
    assert not any(word in chinese for word in ("污染", "泄", "作弊", "背过"))


def report_of(config: SignalsConfig) -> Report:
    return Report.model_validate_json((config.out / "report.json").read_bytes())


# ---- what is found ----


@pytest.mark.slow
def test_a_model_that_learnt_the_exam_is_consistent_with_exposure(
    configure: Configure, exposed_model_dir: Path
):
    config = configure(engine={"model": str(exposed_model_dir)})
    run_command("signals", config)
    signs = list(read_jsonl(config.out / "signals.jsonl", Sign))
    assert len(signs) == 3 * (len(EXAM) + len(REFERENCE))
    assert [sign.signal for sign in signs[:3]] == ["min_k", "completion", "order"]
    results = compare_sets(signs, ["min_k", "completion", "order"], num_permutations=10_000, seed=42)
    assert [result.finding for result in results] == ["exposure"] * 3
    assert all(result.adjusted < 0.01 and result.auc.low > 0.6 for result in results)
    assert results[0].auc.low > 0.9  # Min-K%
    english, chinese = words_of(config)
    assert "3 of 3 signals are consistent with exposure to this exam" in english and "no proof" in english
    assert "与“见过这些考题”相符" in chinese and "不是证据" in chinese
    refuse_verdicts(config)


def test_a_model_that_did_not_shows_no_sign(configure: Configure):
    config = configure()
    counts = run_command("signals", config).counts
    assert (counts["exam"], counts["reference"]) == (40, 30)
    assert all(0.3 < counts[f"{signal}.auc"] < 0.7 for signal in ("min_k", "completion", "order"))
    english, chinese = words_of(config)
    assert "No sign of exposure at n=40, with 30 items for reference" in english
    assert "没有看到接触过这些考题的迹象" in chinese and "不等于没有见过" in chinese
    assert report_of(config).warnings == ()
    refuse_verdicts(config)


@pytest.mark.slow
def test_a_reference_that_was_learnt_itself_is_told(configure: Configure, exposed_model_dir: Path):
    config = configure(exam=REFERENCE, reference=EXAM, engine={"model": str(exposed_model_dir)})
    run(config)
    english, _ = words_of(config)
    assert "No sign of exposure" in english
    assert {warning.key for warning in report_of(config).warnings} == {"warn_signals_reversed"}


def test_what_tuning_changed_is_a_signal_of_its_own(
    configure: Configure, tiny_model_dir: Path, tmp_path: Path
):
    import torch
    from peft import LoraConfig, get_peft_model

    from medtune.engines.loading import load_model

    torch.manual_seed(1)
    settings = LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(load_model(Input(tiny_model_dir), "float32"), settings).save_pretrained(tmp_path / "lora")
    config = configure(engine={"model": str(tiny_model_dir), "adapter": str(tmp_path / "lora")})
    run(config)
    drops = [one.value for one in read_jsonl(config.out / "signals.jsonl", Sign) if one.signal == "loss_drop"]
    assert len(drops) == len(EXAM) + len(REFERENCE) and len(set(drops)) > 60
    assert "Loss taken away by tuning" in words_of(config)[0]
    assert report_of(config).provenance["model"].endswith(" + lora")


def test_an_interrupted_run_ends_as_an_unbroken_one(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(signals, "BLOCK_ITEMS", 25)
    whole, broken = configure("whole"), configure("broken")
    run_command("signals", whole)
    read, calls = signals.read_signs, []

    def read_until_killed(*given: Any) -> list[Sign]:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return list(read(*given))

    monkeypatch.setattr(signals, "read_signs", read_until_killed)
    with pytest.raises(KeyboardInterrupt):
        run_command("signals", broken)
    run_command("signals", broken)
    assert len(calls) == 1 + 1 + 2  # the first block was kept
    for name in ("signals.jsonl", "report.json", "report.html"):
        assert (whole.out / name).read_bytes() == (broken.out / name).read_bytes()


# ---- orders ----


def test_orders_differ_from_each_other_and_from_the_published_one():
    item = EXAM[0]
    orders = [tuple(other.options.values()) for other in draw_orders(item, num_orders=8, seed=1)]
    assert len(set(orders)) == 8 and tuple(item.options.values()) not in orders
    assert all(sorted(texts) == sorted(item.options.values()) for texts in orders)
    assert orders == [tuple(one.options.values()) for one in draw_orders(item, num_orders=8, seed=1)]
    assert orders != [tuple(one.options.values()) for one in draw_orders(item, num_orders=8, seed=2)]
    assert len(draw_orders(item, num_orders=100, seed=1)) == 23


def test_two_options_have_one_other_order():
    item = EXAM[0].model_copy(update={"options": {"A": "有", "B": "无"}})
    (other,) = draw_orders(item, num_orders=8, seed=1)
    assert other.options == {"A": "无", "B": "有"}


# ---- what is refused ----


def test_a_reference_that_holds_exam_items_is_refused(configure: Configure):
    letters, texts = list(EXAM[3].options), list(EXAM[3].options.values())
    moved = EXAM[3].model_copy(
        update={"id": "moved", "options": dict(zip(letters, texts[::-1], strict=True))}
    )
    with pytest.raises(UserError, match=r"1 of its questions are in .*exam.jsonl too, first moved; .*audit"):
        run(configure(reference=[*REFERENCE, moved]))


def test_a_short_question_about_another_case_is_not_shared(configure: Configure):
    stem, options = "最可能的诊断是什么病", {"A": "肺炎链球菌肺炎", "B": "急性心肌梗死"}
    cases = ("男，60岁，胸痛2小时伴大汗", "女，30岁，发热咳嗽3天，咳铁锈色痰")
    ours, theirs = (
        EXAM[0].model_copy(
            update={"id": question_id(stem, case, options), "stem": stem, "case": case, "options": options}
        )
        for case in cases
    )
    config = configure()
    refuse_shared([ours], [theirs], config)
    same_words = theirs.model_copy(update={"stem": cases[0] + stem, "case": None})
    with pytest.raises(UserError, match="1 of its questions are in"):
        refuse_shared([ours], [same_words], config)


def test_a_case_in_both_sets_is_refused(configure: Configure):
    case = "男，60岁，胸痛2小时"
    exam = [EXAM[0].model_copy(update={"case": case}), *EXAM[1:]]
    reference = [REFERENCE[0].model_copy(update={"case": case}), *REFERENCE[1:]]
    with pytest.raises(UserError, match="1 of its questions are in"):
        run(configure(exam=exam, reference=reference))


def test_too_few_items_are_refused(configure: Configure):
    with pytest.raises(UserError, match=r"reference.jsonl: 19 questions, .*fewer than 20 tell nothing"):
        run(configure(reference=REFERENCE[:19]))
    one_case = [item.model_copy(update={"case": "男，60岁"}) for item in REFERENCE]
    with pytest.raises(UserError, match="1 questions"):
        run(configure(reference=one_case))


def test_settings_of_talks_are_refused(configure: Configure, tiny_model_dir: Path):
    with pytest.raises(ValidationError, match=r"read as plain text; leave engine.template out"):
        configure(engine={"model": str(tiny_model_dir), "template": "chatml"})
    with pytest.raises(ValidationError, match=r"read as plain text; leave engine.thinking out"):
        configure(engine={"model": str(tiny_model_dir), "thinking": False})


def test_items_too_short_for_the_setting_are_refused(configure: Configure):
    with pytest.raises(UserError, match="hold no run of completion_tokens=200; lower that"):
        run(configure(completion_tokens=200))
    single = EXAM[0].model_copy(update={"options": {"A": "有"}, "answer": "A"})
    with pytest.raises(UserError, match="has one option only"):
        run(configure(exam=[single, *EXAM[1:]]))


# ---- the report from signs alone ----


def make_signs(
    num: int, *, side: Side, shift: float = 0.0, tokens: int = 50, per_case: int = 1
) -> list[Sign]:
    rng = np.random.default_rng([num, tokens, side == "exam"])
    return [
        Sign(
            id=f"{side}{place}",
            side=side,
            cluster=f"{side}{place // per_case}",
            signal="min_k",
            value=float(rng.normal(shift)),
            num_tokens=tokens + place % 7,
        )
        for place in range(num)
    ]


def make_report(signs: list[Sign]) -> Report:
    return report_on(signs, name="m", num_permutations=2000, seed=1)


def test_items_of_a_case_count_as_one():
    report = make_report([*make_signs(90, side="exam", per_case=3), *make_signs(40, side="reference")])
    assert report.n == report.metrics["min_k.auc"].n == 30


def test_a_signal_that_is_the_same_for_all_items_says_nothing():
    signs = [*make_signs(30, side="exam"), *make_signs(30, side="reference")]
    page = render_markdown(make_report([sign.model_copy(update={"value": 0.0}) for sign in signs]), "en")
    assert "Least likely tokens (Min-K%): the same for every item, so it says nothing. AUC 0.500" in page


def test_sets_of_other_lengths_are_told():
    report = make_report([*make_signs(50, side="exam", tokens=80), *make_signs(40, side="reference")])
    assert [warning.key for warning in report.warnings] == ["warn_signals_lengths"]
    assert "median 83 and 53 tokens" in render_markdown(report, "en")


def test_a_reference_that_made_the_model_is_told(configure: Configure, tmp_path: Path):
    config = configure()

    def make_step(name: str, source: Path, file: str, content: object) -> Path:
        step = AuditConfig(out=tmp_path / name, train=(Input(source),), exams=(Input(source),))

        def write(config: AuditConfig) -> dict[str, int]:
            write_json(config.out / file, content)
            return {}

        make(claim("step", 1, step), write)
        return tmp_path / name

    chosen = make_step("mix", tmp_path / "exam.jsonl", "exam_items.json", [REFERENCE[0].id])
    model = make_step("sft", chosen, "model.json", 1)
    named = config.model_copy(update={"engine": HfEngine(model=Input(model))})
    (warning,) = warn_of_lineage(REFERENCE, named)
    assert (warning.key, warning.values["count"]) == ("warn_reference_seen", 1)
    assert warn_of_lineage(EXAM, named) == warn_of_lineage(REFERENCE, config) == []
