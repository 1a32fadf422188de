"""Every table and figure on made-up results: all there, some missing, none there."""

import csv
import json
from dataclasses import replace

import pytest

from mdl.cli.commands.reproduce import NAMES, chosen_names
from mdl.experiments.artefacts.catalogue import ARTEFACTS
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import SCALES, scale_on
from mdl.experiments.store.result_store import Results
from mdl.experiments.store.run_result import run_key
from mdl.experiments.sweep.selection import best_by_validation

LAPTOP = SCALES["laptop"]
WITHOUT_RUNS = ("table3", "table4", "figure1")
DRAWN = sorted(set(ARTEFACTS) - {"ledger"})  # a ledger needs a checkpoint
SLOW = ("figure1", "figure4", "figure5", "figure6", "figure7", "figure9")  # much as the others


class Nothing:
    """A store without results and filters."""

    def find(self, config):
        return None

    def filters(self, config):
        return None


def rows_of(table, key):
    return {row[key]: row for row in table.rows}


def test_the_catalogue_has_every_name() -> None:
    assert tuple(ARTEFACTS) == NAMES
    assert all(name == artefact.name and artefact.about for name, artefact in ARTEFACTS.items())
    assert chosen_names(["all", "table1"]) == list(NAMES)
    with pytest.raises(ValueError, match=r"NAME must be one of table1, .* not 'table7'"):
        chosen_names(["table7"])


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in DRAWN]
)
def test_with_all_results_everything_is_drawn(name, made_up_store, tmp_path) -> None:
    store = made_up_store()
    found = Results(store)
    drawing = ARTEFACTS[name].draw(LAPTOP, found, store, tmp_path)
    assert drawing.files
    assert all(path.stat().st_size > 100 for path in drawing.files)
    stems = {path.name.partition(".")[0] for path in drawing.files}
    assert stems <= {name, f"{name}-numbers", f"{name}-bits"}
    suffixes = {path.suffix for path in drawing.files}
    assert suffixes & {".md", ".png"}
    if ".png" in suffixes:
        assert ".pdf" in suffixes
    for table in drawing.tables:
        written = json.loads((tmp_path / f"{table.name}.json").read_text())
        assert len(written["rows"]) == len(table.rows)
        lines = list(csv.reader((tmp_path / f"{table.name}.csv").read_text().splitlines()))
        assert len(lines) == 1 + len(table.rows)
        assert "Missing" not in (tmp_path / f"{table.name}.md").read_text()


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", sorted(ARTEFACTS))
@pytest.mark.slow
def test_without_results_tables_have_dashes_and_figures_wait(name, tmp_path) -> None:
    store = Nothing()
    drawing = ARTEFACTS[name].draw(LAPTOP, Results(store), store, tmp_path)
    if name in WITHOUT_RUNS:
        assert drawing.files
        return
    assert not [path for path in drawing.files if path.suffix in (".png", ".pdf")]
    for table in drawing.tables[:1]:
        text = (tmp_path / f"{table.name}.md").read_text()
        assert "Missing:" in text or "not run" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(ARTEFACTS) - set(WITHOUT_RUNS)))
def test_all_that_is_drawn_was_planned(name, made_up_store, tmp_path) -> None:
    """Whatever a drawing asks the store for, training was told of."""
    store = made_up_store()
    planned = {run_key(each) for each in ARTEFACTS[name].plan(LAPTOP, Results(store))}
    store.asked.clear()
    ARTEFACTS[name].draw(LAPTOP, Results(store), store, tmp_path)
    assert {run_key(each) for each in store.asked} == planned


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *((name, "laptop") for name in ARTEFACTS),
        pytest.param("table1", "paper", marks=pytest.mark.slow),
        pytest.param("figure5", "paper", marks=pytest.mark.slow),
    ],
)
def test_a_plan_in_stages_ends_near_its_preview(name, scale, made_up_store) -> None:
    """A placeholder may be a run that is needed anyway; then the preview is a little shorter."""
    artefact, chosen = ARTEFACTS[name], SCALES[scale]
    done: set[str] = set()
    store = made_up_store(lacks=lambda config: run_key(config) not in done)
    for _ in range(3):
        found = Results(store)
        plan = artefact.plan(chosen, found)
        if not found.missing(plan):
            break
        done |= {run_key(config) for config in plan}
    else:
        pytest.fail("more than 2 stages")
    assert 0 <= len(plan) - len(artefact.preview(chosen)) <= len(chosen.long_seeds)
    assert {run_key(config) for config in artefact.preview(chosen, found)} == done


def test_table_1_stands_beside_the_paper(made_up_store) -> None:
    (table,) = ARTEFACTS["table1"].tables(LAPTOP, Results(made_up_store()))
    row = rows_of(table, "network")["s-fc"]
    assert (row["short_paper"], row["long_paper"]) == (0.7277, 0.7863)
    assert row["short"].num_seeds == len(LAPTOP.short_seeds)
    assert row["long"].num_seeds == len(LAPTOP.long_seeds)
    assert row["short_difference"].mean == pytest.approx(row["short"].mean - 0.7277)
    assert (
        row["weights"] == row["fc_embedding"] == 34 * (3 * 16**4 // 4 + 24 * 10) + 6 * 16**2 * 34**2
    )
    assert rows_of(table, "network")["s-conv"]["fc_embedding"] == row["fc_embedding"]
    notes = " ".join(table.notes)
    for said in (
        "CIFAR-10 (JPEG)",
        "laptop, reduced",
        "s-fc α = 34 (paper: 150)",
        "20,000 training and all test images, 16 x 16 pixels",
        "60 for its 4000",
    ):
        assert said in notes


def test_table_1_names_what_is_missing(made_up_store) -> None:
    store = made_up_store(lacks=lambda config: config.network == "d-fc" or config.seed == 2)
    (table,) = ARTEFACTS["table1"].tables(LAPTOP, Results(store))
    rows = rows_of(table, "network")
    seeds = len(LAPTOP.short_seeds)
    assert seeds == len(LAPTOP.long_seeds)
    assert rows["d-fc"]["short"] is None and rows["d-conv"]["short"].num_seeds == seeds - 1
    assert table.texts()[2][5] == "–"
    others = 6  # networks with a seed less, of each length
    assert f"Missing: {2 * others + 2} of " in table.notes[-1]  # of d-fc two trials alone are known
    assert any(note.startswith(f"Means over at most {seeds} seeds;") for note in table.notes)


def test_other_data_has_no_column_of_the_paper(made_up_store) -> None:
    scale = scale_on("smoke", ("glyphs",))
    for name in ("table1", "table2"):
        (table,) = ARTEFACTS[name].tables(scale, Results(made_up_store()))
        assert not [column for column in table.columns if "paper" in column.title]
        assert "nothing to compare with" in " ".join(table.notes)
        assert not any("et al." in str(row["network"]) for row in table.rows)


def test_table_2_takes_the_chosen_settings(made_up_store) -> None:
    """Made-up results get worse with λ, so validation chooses the smallest."""
    (table,) = ARTEFACTS["table2"].tables(LAPTOP, Results(made_up_store()))
    rows = rows_of(table, "training")
    assert rows["β-lasso (β = 50)"]["settings"] == "β = 50, λ = 2.5e-05, 1e-05, η = 1"
    assert rows["β-lasso (β = 50)"]["paper"] == 0.8519
    assert rows["unsupervised pretraining with ZAE"]["test"] is None
    assert "no part in it" in " ".join(table.notes)


def test_nothing_of_table_2_is_trained_before_the_choice(made_up_store) -> None:
    store = made_up_store(lacks=lambda config: config.data.validation > 0)
    plan = ARTEFACTS["table2"].plan(LAPTOP, Results(store))
    assert plan and all(config.data.validation > 0 for config in plan)
    assert {config.network for config in plan} == {"s-fc", "s-conv", "s-local", "3-fc"}


def test_figure_3_has_the_sizes_of_the_twins(made_up_store) -> None:
    (table,) = ARTEFACTS["figure3"].tables(LAPTOP, Results(made_up_store()))
    rows = rows_of(table, "layer")
    assert (rows["conv1"]["s_conv"], rows["conv1"]["s_local"]) == (81 * 3 * 34, 81 * 3 * 64 * 34)
    assert rows["fc1"]["s_conv"] == rows["fc1"]["s_fc"]


@pytest.mark.slow
def test_several_data_sets_have_a_table_each(made_up_store, tmp_path) -> None:
    scale = scale_on("smoke", ("cifar10", "cifar100", "svhn"))
    store = made_up_store()
    drawing = ARTEFACTS["table2"].draw(scale, Results(store), store, tmp_path)
    assert [table.name for table in drawing.tables] == ["table2", "table2-2", "table2-3"]
    papers = [rows_of(table, "training")["β-lasso (β = 50)"]["paper"] for table in drawing.tables]
    assert papers == [0.8519, 0.5956, 0.9407]
    figures = ARTEFACTS["figure3"].figures(scale, Results(store), store)
    assert list(figures) == ["figure3", "figure3-2"]  # 100 classes: another size of fc2


def test_figures_7_to_9_name_the_data_sets_that_were_not_given(made_up_store) -> None:
    store = made_up_store()
    (figure,) = ARTEFACTS["figure8"].figures(LAPTOP, Results(store), store).values()
    texts = " ".join(" ".join(text.get_text().split()) for text in figure.texts)
    assert "not given: CIFAR-100, SVHN" in texts


def test_the_note_of_figure_5_says_how_settings_were_chosen(made_up_store) -> None:
    (table,) = ARTEFACTS["figure5"].tables(LAPTOP, Results(made_up_store()))
    chosen = "Settings chosen by validation once, after 60 epochs, for every kernel size."
    assert chosen in table.notes
    (table,) = ARTEFACTS["figure5"].tables(SCALES["smoke"], Results(made_up_store()))
    assert "Settings of SGD not chosen by validation." in table.notes


def test_resnet18_has_settings_of_its_own_chosen_with_a_larger_kernel(made_up_store) -> None:
    plan = ARTEFACTS["figure5"].plan(LAPTOP, Results(made_up_store()))
    trials = [config for config in plan if config.data.validation]
    assert {(config.kernel_size, config.epochs) for config in trials} == {(5, 60)}
    assert [config.method for config in trials].count("sgd") == 2
    assert len({(config.lr, config.l1_conv) for config in trials}) == 2 + 3 * 2
    finals = [config for config in plan if not config.data.validation]
    assert {config.kernel_size for config in finals} == set(LAPTOP.kernel_sizes)
    sizes = ARTEFACTS["figure2"].plan(LAPTOP, Results(made_up_store()))
    resnets = [each for each in sizes if each.network == "resnet18" and not each.data.validation]
    assert {config.kernel_size for config in resnets} == {3}


def test_screened_rows_vary_one_factor_at_a_time(made_up_store) -> None:
    (table,) = ARTEFACTS["screening"].tables(LAPTOP, Results(made_up_store()))
    rows = [(row["setting"], row["value"]) for row in table.rows if row["layer"] == "conv1"]
    values = {name: [value for each, value in rows if each == name] for name, _ in rows}
    assert values == {
        "λ": ["5e-6", "1e-5", "2e-5", "5e-5", "1e-4"],
        "α": ["24", "34", "48", "64"],
        "learning rate": ["0.03", "0.1", "0.3", "1"],
    }
    plan = ARTEFACTS["screening"].plan(LAPTOP, Results(made_up_store()))
    assert len(plan) == 5 + 4 + 4 - 2  # the usual settings are one run
    assert {(each.epochs, each.seed, each.data.validation) for each in plan} == {(3, 0, 0)}
    usual = next(row for row in table.rows if row["value"] == "2e-5")
    assert (usual["first"], usual["last"]) == pytest.approx((0.4, 0.8))
    assert usual["mean"] == pytest.approx(0.6)
    layers = {
        width: [row["layer"] for row in table.rows if row["value"] == width]
        for width in ("24", "48")
    }
    assert layers == {"24": ["conv1"], "48": ["conv1", "fc1"]}  # a layer of 2^20 weights or more
    assert "for the paper's" not in " ".join(table.notes)


def test_a_value_without_a_run_leaves_a_gap(made_up_store, tmp_path) -> None:
    store = made_up_store(lacks=lambda config: config.lr == 1.0)
    (table,) = ARTEFACTS["screening"].tables(LAPTOP, Results(store))
    assert table.texts()[-1] == ["learning rate", "1", *["–"] * 7]
    assert "Missing: 1 of 11 runs" in table.notes[-1]
    (figure,) = ARTEFACTS["screening"].figures(LAPTOP, Results(store), store).values()
    assert [axes.get_xlabel() for axes in figure.axes] == ["λ", "α", "learning rate"]
    assert figure.axes[0].get_title("left") == "α = 34, lr 0.1"


def test_a_ledger_is_encoded_once_and_kept(made_up_store, tmp_path, monkeypatch) -> None:
    from analysis.codes.ledger import Entry
    from mdl.experiments.artefacts import description_length

    encoded = []

    def encode(folder):
        encoded.append(folder)
        return [Entry("conv1.weight", "values, patterns", 10.5), Entry("end", "end", 1.5)]

    monkeypatch.setattr(description_length, "_encode", encode)
    store = made_up_store(tmp_path)
    ledger = ARTEFACTS["ledger"]
    assert ledger.figures(LAPTOP, Results(store), store) == {}
    plan = ledger.plan(LAPTOP, Results(store))
    final = [each for each in plan if each.data.validation == 0 and each.seed == 0]
    for config in final:
        folder = store.run_folder(config)
        folder.path.mkdir()
        folder.checkpoint.write_bytes(b"there")
    for _ in range(2):
        assert list(ledger.figures(LAPTOP, Results(store), store)) == ["ledger"]
    assert len(encoded) == len(final) == 7
    for config in final:  # a store that is handed on without its runs still has them
        store.run_folder(config).checkpoint.unlink()
    assert list(ledger.figures(LAPTOP, Results(store), store)) == ["ledger"]


def test_results_of_other_images_are_refused(made_up, made_up_store, tmp_path) -> None:
    class Mixed(made_up_store):
        def find(self, config):
            return made_up(config, fingerprint=f"seed {config.seed}")

    store = Mixed()
    with pytest.raises(ValueError, match="different images under the same name"):
        ARTEFACTS["table1"].draw(LAPTOP, Results(store), store, tmp_path)


def test_the_gain_map_compares_what_validation_chose(made_up_store) -> None:
    design = LAPTOP.gain
    store = made_up_store(lacks=lambda config: config.seed > 0)
    (table,) = ARTEFACTS["gain-map"].tables(LAPTOP, Results(store))
    assert len(table.rows) == len(design.cells)
    of = (design.usual, LAPTOP.data, LAPTOP.gain_precision)
    trials = design.beta_lasso(*of)
    best = best_by_validation([store.find(trial) for trial in trials])
    sgd = best_by_validation([store.find(each) for each in design.by_sgd("s-fc", *of)])
    row = table.rows[0]
    assert row["beta_lasso"].mean == best.test.accuracy
    assert row["sgd"].mean == sgd.test.accuracy
    assert row["weights"] == sgd.total_weights == best.total_weights
    gain = 100 * (best.test.accuracy - sgd.test.accuracy)
    assert row["gain"].startswith(f"{gain:+.2f} (".replace("-", "−"))
    assert row["closed"] == pytest.approx(
        (row["beta_lasso"].mean - row["sgd"].mean) / (row["local"].mean - row["sgd"].mean)
    )
    assert best.config.data.num_train == design.usual.num_images + design.num_held_out
    lacking = made_up_store(lacks=lambda config: config.network == "s-local")
    (table,) = ARTEFACTS["gain-map"].tables(LAPTOP, Results(lacking))
    assert table.rows[0]["gain"] and table.rows[0]["closed"] is None
    assert any("Missing" in note for note in table.notes)


def test_the_gain_map_has_more_seeds_where_the_gain_is_largest(made_up_store) -> None:
    def gains(table) -> list[float]:
        return [row["beta_lasso"].mean - row["sgd"].mean for row in table.rows]

    one_seed = made_up_store(lacks=lambda config: config.seed > 0)
    (first,) = ARTEFACTS["gain-map"].tables(LAPTOP, Results(one_seed))
    largest = max(range(len(first.rows)), key=lambda at: gains(first)[at])
    store = made_up_store()
    (table,) = ARTEFACTS["gain-map"].tables(LAPTOP, Results(store))
    assert [row["sgd"].num_seeds for row in table.rows] == [
        3 if at == largest else 1 for at in range(len(table.rows))
    ]
    regime = LAPTOP.gain.cells[largest]
    trials = LAPTOP.gain.by_sgd("s-fc", regime, LAPTOP.data, LAPTOP.gain_precision)
    chosen = best_by_validation([store.find(trial) for trial in trials]).config
    seeds = [store.find(replace(chosen, seed=seed)).test.accuracy for seed in (0, 1, 2)]
    assert table.rows[largest]["sgd"].mean == pytest.approx(sum(seeds) / 3)
    assert table.rows[largest]["gain"].startswith(
        f"{100 * gains(table)[largest]:+.2f} (".replace("-", "−")
    )
    assert any("3 where the gain was largest" in note for note in table.notes)
    some = made_up_store(lacks=lambda config: config.seed > 1)
    (table,) = ARTEFACTS["gain-map"].tables(LAPTOP, Results(some))
    assert table.rows == first.rows
    missing = RunPlan(Results(one_seed))
    ARTEFACTS["gain-map"].gather(LAPTOP, missing)
    assert sorted((run.network, run.method, run.seed) for run in missing.missing) == [
        (network, method, seed)
        for network, method in (("s-fc", "beta-lasso"), ("s-fc", "sgd"), ("s-local", "sgd"))
        for seed in (1, 2)
    ]


def test_carry_over_names_the_best_shrinkage_of_every_whole_line(made_up_store) -> None:
    design = LAPTOP.carry_over
    usual = (design.usual.epochs, design.usual.width, design.rate)
    store = made_up_store(lacks=lambda config: config.lr != 1 and config.shrinkage[0] == 10)
    (table,) = ARTEFACTS["carry-over"].tables(LAPTOP, Results(store))
    told = {(row["factor"], row["value"]): row for row in table.rows}
    assert set(told) >= {("epochs", f"{usual[0]}"), ("width α", f"{usual[1]}")}
    lines = list(design.lines(LAPTOP.gain, LAPTOP.data, LAPTOP.precision))
    assert len(lines) == len(told)
    for (factor, value, configs), row in zip(lines, table.rows, strict=True):
        if factor == "rate" and value != 1:
            assert row.get("shrinkage") is None  # one of its runs is missing
            continue
        best = best_by_validation([store.find(config) for config in configs])
        assert float(row["shrinkage"]) == best.config.shrinkage[0]
        assert best.config.shrinkage[1] == best.config.shrinkage[0] * design.fc_share
        assert float(row["l1"]) == pytest.approx(best.config.l1_conv, rel=0.05)
    assert "differ by a factor of" in table.answer
