"""Fixtures that every test may use, the profiles of Hypothesis, and the rules of a whole run.

Two rules: tests of the whole folder share out to all cores, and real data may not be skipped in CI.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import pytest
import torch
from hypothesis import settings

from training.system.files import default_cache_dir

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

# `tests.examples.examples` gives a test more or fewer than these. Choose by --hypothesis-profile.
settings.register_profile("quick", max_examples=10, deadline=None)
settings.register_profile("full", max_examples=100, deadline=None)
settings.load_profile("quick")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the option
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Whole folders are tested by a process for each core; `-n 0` asks for one.

    A module's tests stay together, as they share what they have trained. The tests of a file are
    sooner done in one process, and so are those whose output is wanted (`-s`).
    """
    option = config.option
    is_open = getattr(option, "numprocesses", 0) is None and option.dist == "no"
    is_told = hasattr(config, "workerinput") or option.capture == "no" or option.collectonly
    if is_open and not is_told and all(Path(each).is_dir() for each in config.args):
        option.numprocesses, option.dist = "auto", "loadfile"


def pytest_configure() -> None:
    """Processes of `pytest -n` share the cores: each of them takes its part."""
    num_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if num_workers > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // num_workers))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images are kept for this run and process alone; compiled kernels as always.

    Kernels lie in the cache under a hash of their sources. Compiling them all takes a minute.
    """
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        with suppress(OSError, RuntimeError):  # no home folder, or one that is not to be written
            kernels = default_cache_dir() / "kernels"
            kernels.mkdir(parents=True, exist_ok=True)
            (cache / "kernels").symlink_to(kernels)
        patch.setenv("MDL_CACHE", str(cache))
        yield


@pytest.fixture
def shared_data() -> Path:
    """Folder of the real data sets; the test skips where it is not there."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data: {SHARED_DATA} is not there")
    return SHARED_DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    last_sampled = ""
    for item in items:
        sample = item.get_closest_marker("sample")
        if sample is not None:  # the first case, and others by chance but always the same ones
            test = item.nodeid.partition("[")[0]
            if test == last_sampled and crc32(item.nodeid.encode()) % sample.args[0]:
                item.add_marker("slow")
            last_sampled = test
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
