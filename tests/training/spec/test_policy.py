import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.spec.policy import LEVEL_RANGES, check_policy_table, read_policy_table, table_policy

SHARED = Path(__file__).parents[4] / "shared" / "data" / "policies"

tables = st.lists(
    st.lists(
        st.tuples(st.sampled_from(sorted(LEVEL_RANGES)), st.floats(0, 1), st.floats(0, 1)),
        min_size=1,
        max_size=3,
    ).map(tuple),
    min_size=1,
    max_size=4,
).map(tuple)


@given(tables)
def test_tables_survive_json(table):
    assert check_policy_table(json.loads(json.dumps(table))) == table


@given(tables)
def test_magnitudes_lie_in_their_ranges(table):
    policy = table_policy("test", table)
    for subpolicy, entries in zip(policy.subpolicies, table, strict=True):
        for step, (name, probability, _) in zip(subpolicy, entries, strict=True):
            low, high = LEVEL_RANGES[name]
            assert (step.operation, step.probability) == (name, probability)
            assert low - 1e-12 <= step.magnitude <= high + 1e-12


@pytest.mark.parametrize("form", [lambda table: table, lambda table: {"subpolicies": table}])
def test_both_forms_of_a_file_are_read(form, tmp_path):
    table = [[["Rotate", 0.5, 0.25], ["Posterize", 1, 0.6]]]
    path = tmp_path / "table.json"
    path.write_text(json.dumps(form(table)))
    assert read_policy_table(path) == ((("Rotate", 0.5, 0.25), ("Posterize", 1.0, 0.6)),)
    (steps,) = table_policy("test", read_policy_table(path)).subpolicies
    assert [step.magnitude for step in steps] == [-15.0, 6]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "num"), [("cifar10", 493), ("svhn", 497)])
def test_the_published_tables_are_read(name, num):
    path = SHARED / f"fast_autoaugment_{name}.json"
    if not path.exists():
        pytest.skip("../shared/data is not there")
    table = read_policy_table(path)
    assert len(table) == num
    assert {len(subpolicy) for subpolicy in table} == {2}
    assert {entry[0] for subpolicy in table for entry in subpolicy} == set(LEVEL_RANGES)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ("", "is not JSON"),
        ("[[", "is not JSON"),
        ("{}", 'an object must have "subpolicies", a list of sub-policies, each'),
        ("[]", "a policy table must be a list of sub-policies, .* not an empty list"),
        ('"Rotate"', "a policy table must be a list of sub-policies, .* not 'Rotate'"),
        ("[[]]", "sub-policy 1 must be a list of one operation or more"),
        ("[3]", "sub-policy 1 must be a list of one operation or more, not 3"),
        ('[["Rotate", 0.5, 1]]', r"sub-policy 1, operation 1 must be \[name, probability, level\]"),
        ('[[["Rotate", 0.5]]]', r"sub-policy 1, operation 1 must be \[name, probability, level\]"),
        (
            '[[["Invert", 1, 1]], [["Invert", 1, 1], ["Spin", 0.5, 1]]]',
            "sub-policy 2, operation 2: name must be one of ShearX, .* not 'Spin'",
        ),
        ('[[[["Rotate"], 1, 1]]]', "operation 1: name must be one of"),
        ('[[["Rotate", -0.1, 1]]]', r"probability must lie in \[0, 1\], not -0.1"),
        ('[[["Rotate", "1", 1]]]', r"probability must lie in \[0, 1\], not '1'"),
        ('[[["Rotate", 1, 1.01]]]', r"level must lie in \[0, 1\], not 1.01"),
        ('[[["Rotate", 1, NaN]]]', r"level must lie in \[0, 1\], not nan"),
        ('[[["Rotate", 1, true]]]', r"level must lie in \[0, 1\], not True"),
        ('[[["Rotate", 1, null]]]', r"level must lie in \[0, 1\], not None"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_bad_files_get_one_line(contents, words, tmp_path):
    path = tmp_path / "table.json"
    path.write_text(contents)
    with pytest.raises(ValueError, match=words) as caught:
        read_policy_table(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 500


def test_the_example_in_the_message_is_a_table(tmp_path):
    path = tmp_path / "table.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match="such as") as caught:
        read_policy_table(path)
    text = str(caught.value)
    example = text[text.index("such as ") + len("such as ") : text.rindex("]") + 1]
    path.write_text(example)
    assert read_policy_table(path) == ((("Rotate", 0.7, 0.2), ("Invert", 0.1, 0.5)),)


def test_a_file_that_is_not_text_gets_one_line(tmp_path):
    path = tmp_path / "table.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not JSON"):
        read_policy_table(path)
