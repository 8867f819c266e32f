"""Jobs that are shared out come back once each, whoever does them, and faults arrive as they were."""

import operator
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

from medtune.engines.config import LocalWorkers, RayWorkers, SpreadRuntime
from medtune.engines.workers import spread
from medtune.errors import Interrupted, UserError

LOCAL = LocalWorkers()
TWO = RayWorkers(num=2)


def hold_number(number: int) -> int:
    return number


def hold_path(path: Path) -> Path:
    return path


def hold_nothing() -> int:
    raise UserError("model: no such directory; name another")


def work_until(_: object, job: int) -> int:
    if job == 3:
        raise UserError("job 3: too long; shorten it")
    return job


def divide(held: int, job: int) -> float:
    return held / job


def end_once(mark: Path, job: int) -> int:
    """The job itself; the first one of all ends its worker."""
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return job


def end(_: object, job: int) -> None:
    os._exit(1)


class Place(NamedTuple):
    pid: int
    cwd: str
    threads: str
    is_reached_on_loopback: bool
    is_reached_besides: bool


def tell_place(_: object, job: int) -> Place:
    """Where a job is done, and whether the cluster's main port is open on one address and on another."""
    import ray

    port = int(ray.get_runtime_context().gcs_address.rpartition(":")[2])
    is_open = [reaches(host, port) for host in ("127.0.0.1", "127.0.0.2")]
    return Place(os.getpid(), os.getcwd(), os.environ["OMP_NUM_THREADS"], *is_open)


def reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


# ---- in this process ----


def test_jobs_are_numbered_and_what_is_held_is_made_once() -> None:
    made: list[int] = []

    def hold() -> int:
        made.append(100)
        return 100

    assert list(spread([1, 2, 3], LOCAL, hold=hold, work=operator.add)) == [(0, 101), (1, 102), (2, 103)]
    assert made == [100]


@pytest.mark.parametrize("workers", [LOCAL, TWO], ids=["local", "ray"])
def test_nothing_is_held_for_no_jobs(workers: LocalWorkers | RayWorkers) -> None:
    assert list(spread([], workers, hold=hold_nothing, work=operator.add)) == []


def test_jobs_are_taken_one_at_a_time() -> None:
    taken: list[int] = []
    jobs = (taken.append(number) or number for number in range(5))
    results = spread(jobs, LOCAL, hold=partial(hold_number, 1), work=operator.add)
    assert (next(results), taken) == ((0, 1), [0])


# ---- what may be told ----


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"workers": {"type": "ray", "num": 2}, "device": "cuda:1"}, "say device: cuda, not cuda:1"),
        ({"workers": {"type": "ray", "num": 2, "num_gpus": 1}, "device": "cpu"}, "leave that out"),
        ({"workers": {"type": "ray", "num": 2, "num_gpus": 0}, "device": "cuda"}, "wants device: cpu"),
        ({"workers": {"type": "ray", "num": 2, "num_gpus": 0}}, "wants device: cpu"),
        ({"workers": {"type": "ray", "num": 0}}, "greater than or equal to 1"),
        ({"workers": "ray"}, "num\n  Field required"),
        ({"workers": {"type": "ray", "num": 2, "address": "ray://first:1"}}, "on a machine of the cluster"),
        ({"workers": {"num": 2}}, "workers.local.num"),
    ],
)
def test_what_could_not_act_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SpreadRuntime.model_validate(values)


def test_without_ray_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medtune.errors.find_spec", lambda _: None)
    with pytest.raises(UserError, match=re.escape("pip install 'medtune[ray]'")):
        list(spread([1], TWO, hold=partial(hold_number, 1), work=operator.add))


# ---- a cluster ----


def in_ray(test: Callable[..., None]) -> Callable[..., None]:
    """The test, to be run where there is Ray."""
    for mark in (
        pytest.mark.slow,
        pytest.mark.usefixtures("by_value"),
        pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
    ):
        test = mark(test)
    return test


@pytest.fixture
def by_value() -> Iterator[None]:
    """The functions above travel with the jobs, for workers cannot import a test."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@in_ray
def test_workers_are_other_processes_that_nothing_outside_reaches() -> None:
    places = dict(spread(range(6), TWO, hold=partial(hold_number, 1), work=tell_place, num_threads=1))
    assert sorted(places) == list(range(6))
    assert os.getpid() not in {place.pid for place in places.values()}
    assert {place[1:] for place in places.values()} == {(os.getcwd(), "1", True, False)}


@in_ray
def test_a_cluster_that_is_there_does_the_jobs(cluster: RayWorkers) -> None:
    results = dict(spread(range(50), cluster, hold=partial(hold_number, 7), work=operator.add))
    assert results == {number: number + 7 for number in range(50)}
    taken: list[int] = []
    jobs = (taken.append(number) or number for number in range(50))
    stream = spread(jobs, cluster, hold=partial(hold_number, 7), work=operator.add)
    next(stream)
    assert len(taken) <= 4, "a job for each worker and each result that was waited for"


@in_ray
def test_faults_arrive_as_they_were(cluster: RayWorkers) -> None:
    with pytest.raises(UserError, match=r"^job 3: too long; shorten it$"):
        list(spread(range(5), cluster, hold=partial(hold_number, 1), work=work_until))
    with pytest.raises(UserError, match=r"^model: no such directory; name another$"):
        list(spread(range(5), cluster, hold=hold_nothing, work=operator.add))
    with pytest.raises(ZeroDivisionError):
        list(spread(range(5), cluster, hold=partial(hold_number, 1), work=divide))


@in_ray
def test_a_worker_that_dies_is_started_again_once(cluster: RayWorkers, tmp_path: Path) -> None:
    hold = partial(hold_path, tmp_path / "mark")
    assert dict(spread(range(4), cluster, hold=hold, work=end_once)) == {job: job for job in range(4)}
    with pytest.raises(Interrupted, match="a Ray worker died twice"):
        list(spread(range(4), cluster, hold=hold, work=end))


@in_ray
def test_workers_that_would_never_fit_are_refused(cluster: RayWorkers) -> None:
    many = cluster.model_copy(update={"num_cpus": 3.0})
    with pytest.raises(UserError, match=r"2 workers want 6 CPUs and the Ray cluster has 2; lower .*num_cpus"):
        list(spread(range(4), many, hold=partial(hold_number, 1), work=operator.add))
    with pytest.raises(UserError, match="2 workers want 2 GPUs and the Ray cluster has 0"):
        list(spread(range(4), cluster, hold=partial(hold_number, 1), work=operator.add, device="cuda"))


@in_ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:http"])
def test_an_address_where_no_cluster_is_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = RayWorkers(num=2, address=address)
    monkeypatch.delenv("RAY_AUTH_MODE")
    with pytest.raises(UserError, match=f"^runtime.workers.address: {address}: ") as caught:
        list(spread(range(4), nowhere, hold=partial(hold_number, 1), work=operator.add))
    assert ("set RAY_AUTH_MODE=token" in str(caught.value)) == (":" in address)


@in_ray
def test_a_directory_that_workers_do_not_see_is_named(
    cluster: RayWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: "/no/such/place")
    with pytest.raises(UserError, match="does not see /no/such/place"):
        list(spread(range(4), cluster, hold=partial(hold_number, 1), work=operator.add))
