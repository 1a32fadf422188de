"""The figures of the paper against what its text says of them; differences are written down."""

import pytest

from mdl.experiments.reproduce.paper_numbers import DATA_SETS, TABLE_1, TABLE_2, paper_data_set

ALL = [(data, epochs) for data in DATA_SETS for epochs in ("short", "long")]


def accuracy(network, data, epochs):
    return getattr(TABLE_1[network][data], epochs)


def own_row(method, beta=None):
    (row,) = [
        row
        for row in TABLE_2
        if (row.network, row.method, row.beta) == ("s-fc", method, beta) and not row.cited
    ]
    return row.accuracy


def test_all_cells_are_there_and_are_percents() -> None:
    assert len(TABLE_1) == 7
    assert all(set(row) == set(DATA_SETS) for row in TABLE_1.values())
    cells = [accuracy(network, data, epochs) for network in TABLE_1 for data, epochs in ALL]
    cells += [value for row in TABLE_2 for value in row.accuracy.values()]
    assert all(30 < cell < 100 for cell in cells)
    assert len(cells) == 42 + 28


def test_checksums() -> None:
    """Sums over the columns of the printed table, added up from its text."""
    sums = {
        (data, epochs): round(sum(accuracy(network, data, epochs) for network in TABLE_1), 2)
        for data, epochs in ALL
    }
    assert sums == {
        ("CIFAR-10", "short"): 547.37,
        ("CIFAR-10", "long"): 566.14,
        ("CIFAR-100", "short"): 367.71,
        ("CIFAR-100", "long"): 380.20,
        ("SVHN", "short"): 643.35,
        ("SVHN", "long"): 647.86,
    }


def test_the_abstract() -> None:
    """β-lasso: 85.19% on CIFAR-10, 59.56% on CIFAR-100, 94.07% on SVHN."""
    best = own_row("beta-lasso", 50.0)
    assert best == {"CIFAR-10": 85.19, "CIFAR-100": 59.56, "SVHN": 94.07}
    assert TABLE_2[-1].proceedings == {"CIFAR-10": 84.50, "CIFAR-100": 57.76, "SVHN": 93.84}
    for row in TABLE_2:
        if row.network in ("mlp", "s-fc", "3-fc") and row.beta != 50.0:
            assert all(best[data] > value for data, value in row.accuracy.items())


def test_table_2_repeats_table_1_at_4000_epochs() -> None:
    """So s-fc of Table 1 is trained by SGD."""
    rows = [row for row in TABLE_2 if row.method == "sgd"]
    assert [row.network for row in rows] == ["s-conv", "s-local", "3-fc", "s-fc"]
    for row in rows:
        assert row.accuracy == {data: TABLE_1[row.network][data].long for data in DATA_SETS}


@pytest.mark.parametrize(("data", "epochs"), ALL)
@pytest.mark.parametrize("family", ["d", "s"])
def test_locality_matters_more_than_sharing(family, data, epochs) -> None:
    """Section 2.2, 1: the gap from local to fc is larger than that from conv to local."""
    conv, local, fc = (
        accuracy(f"{family}-{kind}", data, epochs) for kind in ("conv", "local", "fc")
    )
    assert local - fc > abs(conv - local)


def test_training_longer_helps_shallow_networks() -> None:
    """Section 2.2, 2."""
    for network in ("s-conv", "s-local", "s-fc", "3-fc"):
        assert all(row.long > row.short for row in TABLE_1[network].values())
    for kind in ("conv", "local", "fc"):
        for data in DATA_SETS:
            deep, shallow = (TABLE_1[f"{family}-{kind}"][data] for family in ("d", "s"))
            assert shallow.long - shallow.short > deep.long - deep.short


def test_s_fc_beats_the_others_but_for_one_cell() -> None:
    """Section 2.2, 4 says "in all experiments"; on SVHN after 400 epochs d-fc is better."""
    assert all(accuracy("s-fc", *one) > accuracy("3-fc", *one) for one in ALL)
    exceptions = [one for one in ALL if accuracy("s-fc", *one) <= accuracy("d-fc", *one)]
    assert exceptions == [("SVHN", "short")]


def test_order_of_beta_has_an_exception_on_svhn() -> None:
    """β = 1 over β = 0 over SGD, but on SVHN β = 1 is below β = 0."""
    sgd, zero, one = own_row("sgd"), own_row("beta-lasso", 0.0), own_row("beta-lasso", 1.0)
    assert all(zero[data] > sgd[data] for data in DATA_SETS)
    assert [data for data in DATA_SETS if one[data] <= zero[data]] == ["SVHN"]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("CIFAR-10", "CIFAR-10"),
        ("CIFAR-10 (JPEG)", "CIFAR-10"),
        ("uoft-cs/cifar100", "CIFAR-100"),
        ("../shared/data/cifar10/", "CIFAR-10"),
        ("svhn", "SVHN"),
        ("MNIST", None),
        ("glyphs", None),
    ],
)
def test_data_sets_by_name(name, column) -> None:
    assert paper_data_set(name) == column
