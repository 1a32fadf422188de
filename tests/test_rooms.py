"""What a room's `__all__` says is what other rooms take of it, module by module."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("training", "analysis", "figures", "mdl")


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def names_in(tree: ast.AST) -> set[str]:
    """Dotted names of imports, and of texts that may be imported by name."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def exported(path: Path) -> set[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
            return set(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    raise AssertionError(f"{path} has no __all__")


def test_rooms_export_what_others_take() -> None:
    places = modules()
    rooms = {name for name, path in places.items() if path.name == "__init__.py"}
    taken = defaultdict(set)
    for name, path in places.items():
        home = name if name in rooms else name.rpartition(".")[0]
        for used in names_in(ast.parse(path.read_text(encoding="utf-8"))):
            room, _, module = used.rpartition(".")
            if used in places and used not in rooms and room != home:
                taken[room].add(module)
    for package in PACKAGES[:3]:
        inside = {name.rpartition(".")[2] for name in rooms if name.rpartition(".")[0] == package}
        taken[package] |= inside
    stated = {room: exported(places[room]) for room in rooms - {"mdl"}}
    assert stated == {room: taken[room] for room in rooms - {"mdl"}}
    assert len(rooms) > 30
