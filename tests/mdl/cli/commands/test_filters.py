"""`mdl filters` on small checkpoints: the picture, the tables, the JSON object, the errors."""

import json
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

from analysis.filters.filters import sample_filters
from analysis.filters.locality import measure_locality, summarize_locality
from mdl.cli.commands.filters import filters
from tests.mdl.calls import Command
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.checkpoint.record import DataRecord
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec


def save_run(folder: Path, name: str, *, method: str = "sgd", permute: int | None = None) -> Path:
    """A run folder with an untrained network; those by β-lasso are cut to a window of 5 pixels."""
    spec = NetworkSpec(name=name, image_size=16, num_classes=3, base_channels=2)
    torch.manual_seed(1)
    state = build_network(spec).state_dict()
    if method == "beta-lasso":
        weight = state["conv1.weight"].view(-1, 3, 16, 16)
        kept = torch.zeros_like(weight)
        kept[:, :, 4:9, 7:12] = weight[:, :, 4:9, 7:12]
        kept[::2] = 0
        state["conv1.weight"] = kept.view(spec.layers[0].weight_shape)
    data = DataRecord(
        config={"source": "glyphs", "permute_pixels": permute},
        name="glyphs",
        fingerprint="00",
        num_samples=10,
        num_validation=0,
        num_test=5,
        image_size=16,
        in_channels=3,
        num_classes=3,
        class_names=("a", "b", "c"),
    )
    folder.mkdir()
    save_checkpoint(
        Checkpoint(network=spec, state=state, data=data, config={"method": method}),
        folder / "checkpoint.pt",
    )
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {
        "sparse": save_run(root / "sparse", "s-fc", method="beta-lasso"),
        "local": save_run(root / "local", "s-local"),
        "conv": save_run(root / "conv", "s-conv"),
        "permuted": save_run(root / "permuted", "s-fc", method="beta-lasso", permute=4),
    }


def test_one_checkpoint_makes_a_picture_and_tables(mdl: Command, runs: dict[str, Path]) -> None:
    done = mdl("filters", runs["sparse"] / "checkpoint.pt", "--num", "4", "--full")
    assert (done.returncode, done.stderr) == (0, "")
    picture = runs["sparse"] / "filters.png"
    assert f"Picture: {picture}\n" in done.stdout
    assert imread(picture).shape[0] > 300
    assert "s-fc, β-lasso, glyphs" in done.stdout
    assert ">= 20 nonzeros" in done.stdout
    assert f"mdl bound {runs['sparse'] / 'checkpoint.pt'}" in done.stdout


@pytest.mark.slow
def test_compare_puts_checkpoints_side_by_side(
    mdl: Command, runs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "all.pdf"
    folders = [runs["sparse"], runs["local"], runs["conv"]]
    done = mdl("filters", "--compare", *folders, "--num", "5", "--out", out, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["figures"] == [str(out)]
    assert out.read_bytes().startswith(b"%PDF")
    assert [one["network"] for one in report["checkpoints"]] == ["s-fc", "s-local", "s-conv"]
    for folder, one in zip(folders, report["checkpoints"], strict=True):
        assert one["checkpoint"] == str(folder)
        sample = sample_filters(load_checkpoint(folder))
        locality = measure_locality(sample.images)
        assert one["summary"]["ratio"] == summarize_locality(locality).ratio
        assert [row["filter"] for row in one["filters"]] == sample.indices.tolist()
        assert [row["num_nonzeros"] for row in one["filters"]] == sample.nonzeros.tolist()
        assert [row["radius"] for row in one["filters"]] == locality.radius.tolist()
        assert sum(row["drawn"] for row in one["filters"]) == min(5, len(sample.indices))
    sparse, local, conv = report["checkpoints"]
    assert (sparse["num_filters"], sparse["num_eligible"]) == (128, 64)
    assert sparse["summary"]["ratio"] < 0.5
    assert sparse["summary"]["local_share"] == 1
    assert (local["num_filters"], conv["num_filters"]) == (128, 2)


@pytest.mark.parametrize("name", ["local", "sparse", "conv"])
def test_a_state_dict_of_ours_has_the_filters_of_its_run(
    name: str, mdl: Command, runs: dict[str, Path], tmp_path: Path
) -> None:
    state = load_checkpoint(runs[name]).state
    torch.save(state, tmp_path / "state.pt")
    rest = ("--json", "--num", "1", "--out", tmp_path / "x.png")
    ours = json.loads(mdl("filters", runs[name], *rest).stdout)["checkpoints"][0]
    done = mdl("filters", tmp_path / "state.pt", "--image-size", "16", *rest)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)["checkpoints"][0]
    assert theirs["layer"] == f"{ours['layer']}.weight"
    assert theirs["summary"] == ours["summary"]
    assert theirs["num_eligible"] == ours["num_eligible"]


def test_an_error_is_one_line_that_names_the_file(mdl: Command, runs: dict[str, Path]) -> None:
    done = mdl("filters", runs["sparse"], "--min-nonzeros", "76")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {runs['sparse']}: no filter of conv1 has 76 nonzeros, the fullest has 75; give a "
        "smaller --min-nonzeros\n"
    )


def test_several_without_compare_make_a_picture_each(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    filters([runs["local"], runs["conv"]], num=3)
    printed = capsys.readouterr().out
    for name in ("local", "conv"):
        assert f"Picture: {runs[name] / 'filters.png'}\n" in printed
        assert (runs[name] / "filters.png").stat().st_size > 0
    assert f"mdl filters {runs['local']} {runs['conv']} --compare" in printed
    with pytest.raises(ValueError, match="--out names one picture, but there are 2 checkpoints"):
        filters([runs["local"], runs["conv"]], out=runs["conv"] / "two.png")


def test_fewer_filters_than_asked_for_are_all_drawn(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    filters([runs["conv"]], num=36)
    assert f"{runs['conv']} has only 2 filters; all are drawn." in " ".join(
        capsys.readouterr().out.split()
    )
    filters([runs["sparse"]], num=65)
    printed = " ".join(capsys.readouterr().out.split())
    assert "Only 64 of the 128 filters" in printed
    assert "have 20 nonzeros or more; all of them are drawn." in printed


@pytest.mark.slow
def test_the_same_seed_draws_the_same_picture(runs: dict[str, Path], tmp_path: Path) -> None:
    pictures = []
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        filters([runs["local"]], num=4, seed=seed, out=tmp_path / f"{name}.png", json=True)
        pictures.append((tmp_path / f"{name}.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_permuted_pixels_are_put_back_on_request(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    ratios = {}
    for unpermute in (True, False):
        filters([runs["permuted"]], num=4, unpermute=unpermute, json=True)
        (one,) = json.loads(capsys.readouterr().out)["checkpoints"]
        assert one["permutation_undone"] == (4 if unpermute else None)
        ratios[unpermute] = one["summary"]["ratio"]
    # This network's window is one of permuted pixels: put back, it lies all over the image.
    assert ratios[False] < 0.5
    assert ratios[True] > 0.8


def test_a_picture_beside_a_checkpoint_of_another_name(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    twin = runs["local"] / "twin.pt"
    twin.write_bytes((runs["local"] / "checkpoint.pt").read_bytes())
    filters([twin], num=2)
    filters([twin, runs["conv"]], compare=True, num=2)
    printed = capsys.readouterr().out
    assert f"Picture: {runs['local'] / 'twin-filters.png'}\n" in printed
    assert f"Picture: {runs['local'] / 'filters-compare.png'}\n" in printed


def test_a_picture_of_another_kind_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.png or \.pdf, not 'filters\.jpg'"):
        filters([tmp_path / "nothing.pt"], out=tmp_path / "filters.jpg")
    with pytest.raises(ValueError, match="there is no folder"):
        filters([tmp_path / "nothing.pt"], out=tmp_path / "nowhere" / "filters.png")
