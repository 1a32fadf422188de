"""Brings into the site what pages link to outside `docs/`; the same links work on a forge."""

from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "../ARCHITECTURE.md": "architecture.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changelog.md",
    "../SECURITY.md": "reporting.md",
    "../results/README.md": "results.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the root, examples, and what pages may show or link to of results/."""
    for source, page in PAGES.items():
        text = (ROOT / "docs" / source).resolve().read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for path in sorted((ROOT / "results").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and path.suffix in {".png", ".json", ".md"} and "README" not in name:
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in sorted((ROOT / "examples").iterdir()):
        if path.suffix in {".ipynb", ".py"}:
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links that leave `docs/`, or enter it, lead to what `on_files` added."""
    for source, page in PAGES.items():
        markdown = markdown.replace(f"]({source}", f"]({page}")
    for folder in ("results", "examples"):
        markdown = markdown.replace(f"](../{folder}/", f"]({folder}/")
    return markdown.replace("](../docs/", "](").replace("](docs/", "](")


class Doctests(griffe.Extension):
    """Shows the examples of docstrings as code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence every block of lines that begins with a prompt."""
        if obj.docstring is None:
            return
        lines, inside = [], False
        for line in [*obj.docstring.value.splitlines(), ""]:
            begins, ends = line.lstrip().startswith(">>>") and not inside, inside and not line
            lines += ["```pycon", line] if begins else ["```", line] if ends else [line]
            inside = (inside or begins) and not ends
        obj.docstring.value = "\n".join(lines)
