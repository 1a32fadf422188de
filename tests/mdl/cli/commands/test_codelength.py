"""`mdl codelength`: two parts, their file, and bad input."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def measured(mdl, trained, tmp_path_factory) -> tuple[Path, dict]:
    """The labels' bits of the trained run at 8 bits a number, and what was printed as JSON."""
    file = tmp_path_factory.mktemp("labels") / "labels.bits"
    done = mdl("codelength", trained, "--bits", "8", "-o", file, "--json")
    assert done.returncode == 0, done.stderr
    return file, json.loads(done.stdout)


def test_the_parts_add_up_and_the_network_is_that_of_encode(mdl, trained, measured, tmp_path):
    file, report = measured
    done = mdl("encode", trained, "--bits", "8", "-o", tmp_path / "net.mdl", "--json")
    assert report["network_bits"] == json.loads(done.stdout)["description_bits"]
    assert report["total_bits"] == report["network_bits"] + report["label_bits"]
    assert report["num_labels"] == 280  # 20 of 300 are held out
    assert report["uniform_bits"] == 932  # 280 log2 10 = 930.1, and at most two
    assert report["uniform_bits"] / report["total_bits"] == report["compression_ratio"]
    assert file.stat().st_size == 24 + -(-report["label_bits"] // 8)


def test_the_file_decodes_to_the_labels(mdl, trained, measured):
    file, report = measured
    done = mdl("codelength", trained, "--bits", "8", "--check", file, "--json")
    assert done.returncode == 0, done.stderr
    expected = report | {"checked": str(file), "file": None}
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize("options", [("--bits", "16"), ("--bits", "8", "--split", "test")])
def test_another_network_or_other_images_do_not_pass(mdl, trained, measured, options):
    done = mdl("codelength", trained, *options, "--check", measured[0])
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {measured[0]}: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_answer_for_people(mdl, trained, tmp_path):
    file = tmp_path / "labels.bits"
    done = mdl("codelength", trained, "--split", "test", "-o", file)
    assert done.returncode == 0, done.stderr
    assert "the 100 test labels take" in " ".join(done.stdout.split())
    assert f"Labels: {file}" in done.stdout
    assert f"mdl codelength {trained} --check {file} --split test" in done.stdout
    full = mdl("codelength", trained, "--split", "test", "--full")
    assert "conv1.weight" in full.stdout
    assert "class frequencies" in full.stdout


def test_a_file_of_bits(mdl, tmp_path):
    run, net = tmp_path / "run", tmp_path / "net.mdl"
    for arguments in (
        ("train", "s-conv", "--data", "glyphs", "--epochs", "1", "--base-channels", "1"),
        ("encode", run, "-o", net),
    ):
        extra = ("--image-size", "8", "--num-train", "60", "--batch-size", "20", "--out", run)
        done = mdl(*arguments, *(extra if arguments[0] == "train" else ()))
        assert done.returncode == 0, done.stderr
    missing = mdl("codelength", net)
    assert missing.returncode == 1
    assert "pass --data" in missing.stderr
    refused = mdl("codelength", net, "--data", "glyphs", "--bits", "8")
    assert refused.returncode == 2
    assert "is a file of bits already" in refused.stderr
    done = mdl("codelength", net, "--data", "glyphs", "--split", "test", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_labels"] == 5000
    seen = mdl("codelength", net, "--data", "glyphs", "--num-train", "60", "--json")
    assert json.loads(seen.stdout)["num_labels"] == 60, seen.stderr


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--bits", "7"), 2, "--bits"),
        (("--label-column", "fine"), 2, "is not a file of bits"),
        (("--num-train", "9"), 2, "is not a file of bits"),
        (("--check", "nowhere.bits"), 1, "no such file; give a file that mdl codelength wrote"),
        (("--check", "."), 1, "error: "),
        (("--split", "validations"), 2, "--split"),
        (("-o", "no/where/labels.bits"), 1, "no/where is not a folder"),
        (("--prequential", "s-conv"), 2, "does not go with --prequential"),
        (("--epochs", "3"), 2, "--epochs"),
        (("--first", "3"), 2, "goes with --prequential"),
    ],
)
def test_mistakes(mdl, trained, options, code, said):
    done = mdl("codelength", trained, *options)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_prequentially(mdl, tmp_path):
    few = ("--image-size", "8", "--num-train", "70", "--epochs", "1", "--base-channels", "1")
    folder, picture = tmp_path / "blocks", tmp_path / "curve.png"
    command = ("codelength", "--prequential", "s-conv", *few, "--precision", "fp32", "-o", folder)
    done = mdl(*command, "--first", "40", "--plot", picture, "--test", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert 0 <= report["test_errors"] <= report["num_test"] == 5000
    assert report["total_bits"] == sum(block["num_bits"] for block in report["blocks"])
    assert [block["end"] for block in report["blocks"]] == [40, 70]
    assert "block 2/2: trains on 40 images, then codes the next 30" in done.stderr
    assert picture.exists()
    again = mdl(*command, "--first", "40")
    assert again.returncode == 0, again.stderr
    assert "block 2" not in again.stderr  # it was kept
    assert "s-conv on glyphs: the 70 training labels take" in again.stdout
    assert len(again.stdout.splitlines()) < 24
    assert again.stdout.endswith(" --test\n")
    compared = mdl("codelength", "--compare", folder, "--json")
    assert compared.returncode == 1
    assert "without test errors; give its command again with --test" in compared.stderr
    tested = mdl(*command, "--first", "40", "--test")
    assert tested.returncode == 0
    assert tested.stdout.endswith(f"mdl codelength --compare {folder}\n")
    compared = mdl("codelength", "--compare", folder, "--compare", folder, "--plot", picture)
    assert compared.returncode == 0, compared.stderr
    total = f"{report['total_bits']:,}"
    assert f"s-conv, SGD makes the 70 labels of glyphs shortest: {total} bits." in compared.stdout
    assert "in 0 of 1 pairs" in compared.stdout  # neither is shorter
    other = mdl(*command, "--first", "30")
    assert other.returncode in (1, 2)
    assert "holds blocks of other settings or images" in other.stderr


def result(folder: Path, bits: int, errors: int, *, data: str = "a") -> Path:
    values = {"network": "s-fc", "method": "sgd", "data": data, "fingerprint": data}
    counts = {"num_labels": 100, "uniform_bits": 333, "num_test": 50}
    folder.mkdir()
    text = json.dumps(values | counts | {"total_bits": bits, "test_errors": errors})
    (folder / "result.json").write_text(text)
    return folder


def test_codelengths_are_compared_within_a_data_set(mdl, tmp_path):
    numbers = [(30, 5), (20, 3), (40, 4)]
    folders = [result(tmp_path / f"{bits}", bits, errors) for bits, errors in numbers]
    folders.append(result(tmp_path / "other", 1, 50, data="b"))
    given = [word for folder in folders for word in ("--compare", folder)]
    done = mdl("codelength", *given, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["orders"] == [
        {"data": "a", "agree": 2, "pairs": 3},
        {"data": "b", "agree": 0, "pairs": 0},
    ]
    assert [one["total_bits"] for one in found["compared"]] == [20, 30, 40, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no finished code; mdl codelength --prequential NETWORK --test"),
        ("{", "not JSON"),
        ("[]", "not the result of a prequential code"),
        ('{"test_errors": null}', "without test errors"),
        ('{"test_errors": 3, "num_test": 2}', "not the result of a prequential code"),
    ],
)
def test_what_cannot_be_compared_is_refused(mdl, tmp_path, text, said):
    if text is not None:
        (tmp_path / "result.json").write_text(text)
    done = mdl("codelength", "--compare", tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "needs a folder"),
        (("-o", "x", "--compare", "x"), "does not go with --compare"),
        (("-o", "x", "--shrinkage", "a"), "--shrinkage"),
        (("-o", "x", "--bits", "8"), "--bits"),
        (("-o", "x", "--first", "0"), "--first"),
        (("-o", "x", "--plot", "x.txt"), ".png or .pdf"),
        (("-o", "x", "--epochs", "0"), "--epochs"),
    ],
)
def test_mistakes_of_a_prequential_code(mdl, options, said):
    done = mdl("codelength", "--prequential", "s-conv", *options)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert said in done.stderr
