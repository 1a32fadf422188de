"""Fixtures that every test may use, and the rule that real data may not be skipped in CI."""

import os
from pathlib import Path

import pytest
import torch

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def pytest_configure() -> None:
    """Processes of `pytest -n` share the cores: each of them takes its part."""
    num_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if num_workers > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // num_workers))


@pytest.fixture
def shared_data() -> Path:
    """Folder of the real data sets; the test skips where it is not there."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data: {SHARED_DATA} is not there")
    return SHARED_DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker("real_data")
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    must_run = os.environ.get("CI") == "true" and SHARED_DATA.is_dir()
    if must_run and report.skipped and item.get_closest_marker("real_data"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped although {SHARED_DATA} is there"
    return report
