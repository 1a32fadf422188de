import json
import math
from pathlib import Path

import pytest

from training.checkpoint.checkpoint import load_checkpoint


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("options", "bits", "name"),
    [
        (("--bits", "16"), 16, "bfloat16"),
        (("--bits", "16", "--format", "float16"), 16, "float16"),
        (("--bits", "8"), 8, "e4m3fn"),
        (("--bits", "32"), 32, "float32"),
    ],
)
def test_the_lengths_and_bounds_follow_from_the_counts(
    options: tuple[str, ...], bits: int, name: str, mdl, trained: Path
) -> None:
    done = mdl("bound", str(trained), *options, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    text = json.dumps(result)
    assert name in text
    record = load_checkpoint(trained).data
    assert record is not None
    assert (record.num_samples, record.num_validation) == (280, 20)
    n = 3 * 64 * 2 * 16 + 2 * 32 + 32 * 48 + 2 * 48 + 48 * 10 + 10
    assert result["num_weights"] == n
    plain, sparse = result["lengths"]["plain"], result["lengths"]["theorem-2"]
    assert plain["whole_bits"] == n * bits
    nonzeros, distinct = result["num_nonzeros"], result["num_distinct"]
    expected = distinct * bits + nonzeros * math.log2(distinct * n) + 3 * math.log2(n)
    assert sparse["bits"] == pytest.approx(expected)
    assert sparse["whole_bits"] >= sparse["bits"]
    error = result["train"]["num_errors"] / 280
    theorem_1 = result["bounds"]["plain"]["theorem_1"]
    assert theorem_1["value"] == pytest.approx(
        error + math.sqrt((n * bits + math.log(2 / 0.05)) / (2 * 280))
    )


def test_the_table_says_what_is_vacuous_and_what_comes_next(mdl, trained: Path) -> None:
    done = mdl("bound", str(trained / "checkpoint.pt"), "--delta", "0.01", "--full")
    assert done.returncode == 0, done.stderr
    for words in ("vacuous", "m = 280", "δ = 0.01", "‖w‖₀ log", "Theorem 2, as printed", "Next:"):
        assert words in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--bits", "12"), 2, "12"),
        (("--delta", "0"), 2, "δ must lie in (0, 1)"),
        (("--bits", "8", "--format", "float16"), 2, "float16"),
        (("--data", "no/such/data/here"), 1, "no/such/data/here"),
    ],
)
def test_mistakes_get_one_line(
    options: tuple[str, ...], code: int, words: str, mdl, trained: Path
) -> None:
    done = mdl("bound", str(trained), *options)
    assert done.returncode == code
    assert words in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_other_images_than_the_training_set_are_refused(mdl, trained: Path, tmp_path: Path) -> None:
    from tests.training.data.test_loading import write_images

    write_images(tmp_path / "pets")
    done = mdl("bound", str(trained), "--data", str(tmp_path / "pets"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_no_checkpoint_gets_one_line(mdl, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    for command in ("bound", "nonzeros", "filters", "evaluate"):
        done = mdl(command, str(path))
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {path}: a text file, not ")
        assert "; give a checkpoint" in done.stderr
        assert len(done.stderr.splitlines()) == 1
