"""The site builds offline, and no page of it has a broken link."""

import logging
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install '.[test]'")

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_the_site_builds_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    monkeypatch.chdir(ROOT)
    settings = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"))
    settings.plugins.run_event("startup", command="build", dirty=False)
    with caplog.at_level(logging.WARNING, logger="mkdocs"):
        build(settings)
    assert not [record.getMessage() for record in caplog.records]
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "https://fonts" not in home
    assert (tmp_path / "site" / "python.html").read_text(encoding="utf-8").count("doc-heading") > 5
