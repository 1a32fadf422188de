"""docs/codelength.md has what `mdl codelength --compare` says of results/codelengths."""

import json
import re
from pathlib import Path

from figures.accuracy import METHOD_TITLES

ROOT = Path(__file__).resolve().parents[4]
FOLDERS = sorted((ROOT / "results" / "codelengths").iterdir())


def test_the_docs_have_the_stored_codelengths(mdl) -> None:
    given = [argument for folder in FOLDERS for argument in ("--compare", folder)]
    says = json.loads(mdl("codelength", *given, "--json").stdout)
    rows = [
        f"| {one['data']} | {one['network']}, {METHOD_TITLES[one['method']]} "
        f"| {one['total_bits']:,} | {one['total_bits'] / one['num_labels']:.4f} "
        f"| {one['total_bits'] / one['uniform_bits']:.1%} "
        f"| {one['test_errors'] / one['num_test']:.2%} |"
        for one in says["compared"]
    ]
    page = (ROOT / "docs" / "codelength.md").read_text(encoding="utf-8")
    table = page.partition("<!-- table: codelengths -->")[2].partition("<!-- end -->")[0]
    assert re.findall(r"^\| .*\d%? \|$", table, re.MULTILINE) == rows
    for order in says["orders"]:
        assert f"{order['agree']} of {order['pairs']} pairs on {order['data']}" in page
