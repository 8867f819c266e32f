"""A recipe is read and judged as a whole, and every fault is told, before anything runs."""

from pathlib import Path

import pytest

from medtune.artifact import claim, make, write_text
from medtune.curate.config import MixConfig
from medtune.data.config import PrepareConfig
from medtune.errors import UserError
from medtune.recipe import Recipe, find_recipe, read_recipe

SAMPLE = "source: [{path: samples:exam.jsonl}]"


def read(folder: Path, text: str, *overrides: str) -> Recipe:
    """The recipe whose text has ROOT for the folder of results."""
    path = folder / "recipe.yaml"
    path.write_text(text.replace("ROOT", (folder / "runs").as_posix()), encoding="utf-8")
    return read_recipe(path, overrides)


def fault_of(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, text, *overrides)
    return str(caught.value)


THREE_SEEDS = f"""
root: ROOT
seeds: [1, 2, 3]
budget: 500
steps:
  pool: {{command: prepare, {SAMPLE}}}
  random:
    command: mix
    each: {{seed: "${{seeds}}"}}
    pool: ["${{root}}/pool/train.jsonl"]
    tokenizer: ${{root}}/pool
    budget_tokens: ${{budget}}
    seed: ${{seed}}
"""


def mixes(recipe: Recipe) -> dict[str, MixConfig]:
    return {step.name: step.config for step in recipe.steps if isinstance(step.config, MixConfig)}


# ---- unrolling ----


def test_each_makes_a_step_of_every_value(tmp_path: Path) -> None:
    found = mixes(read(tmp_path, THREE_SEEDS))
    assert {name: config.seed for name, config in found.items()} == {
        "random-1": 1,
        "random-2": 2,
        "random-3": 3,
    }
    assert [config.out.name for config in found.values()] == list(found)


def test_each_of_two_lists_makes_a_step_of_every_pair(tmp_path: Path) -> None:
    text = f"""
root: ROOT
steps:
  cut:
    command: prepare
    each: {{min: [3, 4], seed: [1, 2]}}
    {SAMPLE}
    clean:
      min_chars: ${{min}}
    seed: ${{seed}}
"""
    configs = [step.config for step in read(tmp_path, text).steps]
    assert [(c.clean.min_chars, c.seed) for c in configs if isinstance(c, PrepareConfig)] == [
        (3, 1),
        (3, 2),
        (4, 1),
        (4, 2),
    ]
    assert [config.out.name for config in configs] == ["cut-3-1", "cut-3-2", "cut-4-1", "cut-4-2"]


def test_override_of_a_step_reaches_every_copy(tmp_path: Path) -> None:
    found = mixes(read(tmp_path, THREE_SEEDS, "steps.random.budget_tokens=7"))
    assert [config.budget_tokens for config in found.values()] == [7, 7, 7]


def test_override_of_a_variable_reaches_every_step_that_names_it(tmp_path: Path) -> None:
    recipe = read(tmp_path, THREE_SEEDS, "budget=9", "seeds=[5]")
    assert {name: config.budget_tokens for name, config in mixes(recipe).items()} == {"random-5": 9}


def test_step_without_command_is_named_like_its_command(tmp_path: Path) -> None:
    (step,) = read(tmp_path, f"root: ROOT\nsteps:\n  prepare: {{{SAMPLE}}}").steps
    assert (step.name, step.command) == ("prepare", "prepare")


def test_results_lie_under_root_unless_out_is_given(tmp_path: Path) -> None:
    text = f"""
base: ROOT
root: ${{base}}/deep
steps:
  a: {{command: prepare, {SAMPLE}}}
  b: {{command: prepare, {SAMPLE}, out: "${{base}}/b"}}
"""
    outs = [step.config.out for step in read(tmp_path, text).steps]
    assert outs == [tmp_path / "runs" / "deep" / "a", tmp_path / "runs" / "b"]


def test_step_needs_the_steps_whose_results_it_reads(tmp_path: Path) -> None:
    recipe = read(tmp_path, THREE_SEEDS)
    assert {step.name: set(step.needs) for step in recipe.steps} == {
        "pool": set(), "random-1": {"pool"}, "random-2": {"pool"}, "random-3": {"pool"},
    }  # fmt: skip


def test_jobs_are_read_and_default_to_one(tmp_path: Path) -> None:
    assert read(tmp_path, THREE_SEEDS).jobs == 1
    assert read(tmp_path, THREE_SEEDS, "jobs=2").jobs == 2


# ---- faults ----


def test_faults_of_all_steps_are_told_at_once(tmp_path: Path) -> None:
    fault = fault_of(
        tmp_path,
        f"""
root: ROOT
steps:
  pool: {{command: prepare, {SAMPLE}, min_char: 3}}
  sft: {{train: ["ROOT/pool/train.jsonl"], model: samples:exam.jsonl, lora_rank: 8}}
  exam: {{command: prepare, source: [{{path: ROOT/../absent.jsonl}}]}}
  merge: {{model: samples:exam.jsonl, adapter: ROOT/sft}}
  last: {{command: prpare, {SAMPLE}}}
  text: 3
""",
    )
    lines = [line.removeprefix(f"{tmp_path / 'recipe.yaml'}: ") for line in fault.splitlines()]
    assert lines == [
        "steps.pool: min_char: unknown key; did you mean clean.min_chars?",
        "steps.sft: lora_rank: unknown key; did you mean method.rank?",
        "steps.last: unknown command prpare; did you mean prepare?",
        "steps.text: must be a section with a command",
        f"steps.exam.source.0.path: {(tmp_path / 'runs').as_posix()}/../absent.jsonl: "
        "no such file or directory, and no step makes it",
    ]


def test_input_that_a_later_step_makes_is_refused(tmp_path: Path) -> None:
    fault = fault_of(
        tmp_path,
        f"""
root: ROOT
steps:
  second: {{command: prepare, source: [{{path: "${{root}}/first/train.jsonl"}}]}}
  first: {{command: prepare, {SAMPLE}}}
""",
    )
    assert fault.endswith("/first/train.jsonl is made by the later step first; move that up")


@pytest.mark.parametrize("second", ["ROOT/a", "ROOT/a/b", "ROOT"])
def test_steps_whose_outs_share_a_place_are_refused(tmp_path: Path, second: str) -> None:
    fault = fault_of(
        tmp_path,
        f"""
root: ROOT
steps:
  a: {{command: prepare, {SAMPLE}}}
  b: {{command: prepare, {SAMPLE}, out: {second}}}
""",
    )
    assert fault.startswith("steps.b.out: ") and fault.endswith(" is in the out of a, or holds it")


def test_directory_that_medtune_did_not_make_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "runs" / "pool" / "thesis.txt", "years of work")
    fault = fault_of(tmp_path, THREE_SEEDS)
    assert fault.startswith("steps.pool.out: ") and "was not made by medtune; choose another root" in fault


def test_directory_of_an_earlier_run_is_no_fault(tmp_path: Path) -> None:
    step = read(tmp_path, THREE_SEEDS).steps[0]
    make(claim("prepare", 1, step.config), lambda config: {})
    assert read(tmp_path, THREE_SEEDS, "steps.pool.clean.min_chars=3")


def test_reference_to_nothing_is_told_with_its_step(tmp_path: Path) -> None:
    fault = fault_of(
        tmp_path, "root: ROOT\nsteps:\n  pool: {command: prepare, source: [{path: '${data}/x'}]}"
    )
    assert "steps.pool: Interpolation key 'data' not found" in fault


@pytest.mark.parametrize("each", ["[1, 2]", "{seed: 3}", "{seed: []}", "{seed: abc}"])
def test_each_that_is_no_list_of_values_is_refused(tmp_path: Path, each: str) -> None:
    fault = fault_of(tmp_path, f"root: ROOT\nsteps:\n  pool: {{command: prepare, each: {each}, {SAMPLE}}}")
    assert "steps.pool.each: wants lists of values" in fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("root: ROOT", "has no steps"),
        ("root: ROOT\nsteps: [a]", "has no steps"),
        (f"steps: {{prepare: {{{SAMPLE}}}}}", "root must be given"),
        (f"root: ROOT\njobs: 0\nsteps: {{prepare: {{{SAMPLE}}}}}", "jobs is 0"),
        (f"root: ROOT\njobs: all\nsteps: {{prepare: {{{SAMPLE}}}}}", "jobs is 'all'"),
        ("- a", "`key: value` lines are wanted"),
    ],
)
def test_unfit_recipe_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in fault_of(tmp_path, text)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("budgt=4", "budgt: unknown key; did you mean budget?"),
        ("steps.pol.seed=1", "steps.pol: unknown key; did you mean pool?"),
        ("steps.random-1.seed=1", "steps.random-1: unknown key; did you mean random?"),
        ("steps.pool.min_char=3", "steps.pool: min_char: unknown key; did you mean clean.min_chars?"),
    ],
)
def test_override_of_what_is_not_in_the_file_is_refused(tmp_path: Path, override: str, said: str) -> None:
    assert fault_of(tmp_path, THREE_SEEDS, override).endswith(said)


def test_root_and_jobs_may_be_given_on_the_command_line_alone(tmp_path: Path) -> None:
    recipe = read(tmp_path, f"steps: {{prepare: {{{SAMPLE}}}}}", f"root={tmp_path.as_posix()}/x", "jobs=3")
    assert (recipe.steps[0].config.out, recipe.jobs) == (tmp_path / "x" / "prepare", 3)


# ---- launching ----

LAUNCHED = """
root: ROOT
processes: 2
steps:
  sft:
    launch: [python, "--n=${processes}"]
    parallel: {num_processes: "${processes}"}
    train: [samples:consult_sharegpt.jsonl]
    model: owner/name@0123456
"""


def test_launcher_and_its_words_belong_to_the_step_and_not_to_its_config(tmp_path: Path) -> None:
    (step,) = read(tmp_path, LAUNCHED, "processes=3").steps
    assert step.launch == ("python", "--n=3")
    assert "launch" not in step.config.model_dump()
    (alone,) = read(tmp_path, LAUNCHED, "steps.sft.launch=[]", "steps.sft.parallel=null").steps
    assert alone.launch == ()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("steps.sft.launch=torchrun", "steps.sft.launch: wants a list of words, such as [torchrun"),
        ("steps.sft.launch=[no-such-launcher]", "steps.sft.launch: no-such-launcher: no such program"),
        ("steps.sft.launch=[]", "steps.sft.parallel: wants 2 processes, and the step starts one"),
        ("steps.sft.command=merge", "steps.sft.launch: merge runs in one process; pt and sft can be"),
    ],
)
def test_launch_that_could_not_start_the_step_is_refused_before_anything_runs(
    tmp_path: Path, override: str, said: str
) -> None:
    assert said in fault_of(tmp_path, LAUNCHED, override)


# ---- finding ----


def test_shipped_recipe_is_found_by_name_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe("quickstart").name == "quickstart.yaml"


def test_file_goes_before_a_shipped_recipe(tmp_path: Path) -> None:
    path = tmp_path / "quickstart.yaml"
    path.touch()
    assert find_recipe(str(path)) == path


def test_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(UserError, match=r"absent: no such recipe file; shipped recipes: .*quickstart"):
        find_recipe("absent")
