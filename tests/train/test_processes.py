"""What a process does that follows another one."""

from datetime import timedelta

import pytest
from torch.distributed import DistNetworkError, DistStoreError, TCPStore

from medtune.config import CommandConfig
from medtune.errors import UserError
from medtune.train.processes import GO, _follow


def test_an_error_is_told_once_though_the_first_process_has_gone(tmp_path, monkeypatch: pytest.MonkeyPatch):
    first = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    first.set("medtune/state", GO)
    store = TCPStore("127.0.0.1", first.port, is_master=False, timeout=timedelta(seconds=20))
    ends = [first]
    del first

    def run(config: CommandConfig) -> dict[str, object]:
        ends.clear()  # the first met the same fault, told it and ended, and the store with it
        raise UserError("the data is bad")

    with pytest.raises(SystemExit) as end:
        _follow(store, CommandConfig(out=tmp_path), run)
    assert end.value.code == 2


def test_the_errors_of_a_store_are_two_kinds():
    assert not issubclass(DistNetworkError, DistStoreError)
