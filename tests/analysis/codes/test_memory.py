"""What is more than this machine has is refused."""

import pytest

from analysis.codes import memory
from analysis.codes.errors import CodecError
from analysis.codes.memory import check_memory


def test_refuses_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "physical_memory", lambda: 2_000_000_000)
    check_memory(2_000_000_000)
    with pytest.raises(CodecError, match=r"take 3\.5 GB of memory, and this machine has 2\.0 GB"):
        check_memory(3_500_000_000)
    with pytest.raises(ValueError, match="too large") as caught:
        check_memory(3_500_000_000, ValueError)
    assert not isinstance(caught.value, CodecError)


def test_refuses_nothing_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "physical_memory", lambda: None)
    check_memory(10**30)
