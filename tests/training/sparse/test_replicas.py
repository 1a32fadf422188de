"""Runs whose layers become sparse and dense again, against dense runs and uninterrupted ones."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.run.test_loop import CPU, Watch, make_config, make_dataset, without_times
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.data.input_map import InputMap
from training.distributed.run_options import RunOptions
from training.errors import CheckpointError
from training.run.loop import TrainResult, run_training
from training.run.run_folder import RunFolder
from training.run.state import TrainingState
from training.sparse import costs, replicas
from training.sparse.costs import LayerCosts
from training.sparse.replicas import SparseReplicas
from training.sparse.weight import SparseLinear
from training.spec.config import Sparsity
from training.spec.normalization import fixed_normalization

ALWAYS = LayerCosts(dense=1.0, fixed=0.0, open_rows=0.0, entry=0.0)
NEVER = LayerCosts(dense=1.0, fixed=2.0, open_rows=0.0, entry=0.0)
DISTURBED = LayerCosts(dense=9.0, fixed=2.0, open_rows=0.0, entry=0.0)
"""As `NEVER`, but another program took the processor while the dense step was timed."""
STEPS_PER_EPOCH = 4
DENSE_AGAIN = range(24, 32)


@pytest.fixture(autouse=True)
def small_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of a few hundred weights count, whatever their density, and sparse ones cost 0."""
    monkeypatch.setattr(costs, "SMALLEST_LAYER", 1)
    monkeypatch.setattr(replicas, "LARGEST_DENSITY", 1.0)
    monkeypatch.setattr(replicas, "measure_costs", lambda *args, **settings: ALWAYS)


def make_state(sparsity: Sparsity, device: torch.device = CPU, **settings: object) -> TrainingState:
    config = make_config(**settings)
    return TrainingState(
        config=config,
        spec=config.network_spec(image_size=8, num_classes=3, in_channels=3),
        train_set=make_dataset().train.to(device),
        inputs=InputMap(fixed_normalization(3)),
        options=RunOptions(device=device, sparsity=sparsity),
    )


def run(
    folder: Path,
    *,
    sparsity: Sparsity = "auto",
    stop_after: int | None = None,
    resume: bool = False,
    **settings: object,
) -> tuple[TrainResult, Watch]:
    folder.mkdir(exist_ok=True)
    watch = Watch(stop_after)
    result = run_training(
        config=make_config(**settings),
        dataset=make_dataset(),
        folder=RunFolder(folder),
        options=RunOptions(sparsity=sparsity),
        progress=watch,
        stop=watch,
        resume_from=load_checkpoint(folder) if resume else None,
    )
    return result, watch


def sparse_weights(state: TrainingState) -> SparseReplicas:
    assert isinstance(state.weights, SparseReplicas)
    return state.weights


def dense_state(weights: SparseReplicas) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in weights.exact_network().state_dict().items()}


def test_a_sparse_layer_goes_into_the_file_that_its_dense_weight_makes(tmp_path: Path) -> None:
    """Straight from its support, without a dense copy; equal networks make equal files."""
    state = make_state("auto")
    weights = sparse_weights(state)
    weight = state.network.get_parameter("conv1.weight")
    kept = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.1
    weight.data *= kept
    weights.hand_over("conv1")
    stored, dense = weights.whole_state(), dense_state(weights)
    assert stored["conv1.weight"].layout == torch.sparse_csr
    assert dense["conv1.weight"].layout == torch.strided
    for name, tensors in (("stored", stored), ("dense", dense)):
        checkpoint = Checkpoint(network=state.network.spec, state=tensors)
        save_checkpoint(checkpoint, tmp_path / name)
    assert (tmp_path / "stored").read_bytes() == (tmp_path / "dense").read_bytes()
    loaded = load_checkpoint(tmp_path / "stored").state["conv1.weight"]
    assert torch.equal(loaded, dense["conv1.weight"])
    assert torch.equal(loaded != 0, kept)


def test_layers_are_watched_before_they_are_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of a dense layer's first step is that of the sparse layer from the same state."""
    shares = []
    for each in (NEVER, ALWAYS):
        monkeypatch.setattr(replicas, "measure_costs", lambda *args, each=each, **more: each)
        state = make_state("auto", precision="fp64", l1_conv=2e-3, beta=12.0)
        state.begin_epoch()
        state.take_step()
        shares.append((state.weights.screened, state.weights.sparse_layers))
    (watched, none), (screened, both) = shares
    assert (none, both) == ([], ["conv1", "fc1"])
    assert watched == screened
    assert 0 < watched["conv1"] <= 1


def test_memory_is_twelve_bytes_an_entry_at_most() -> None:
    """float32 value, bfloat16 copy, column, and row and offset for the way back."""
    state = make_state("auto", precision="bf16", base_channels=8, l1_conv=4e-3)
    weights = sparse_weights(state)
    dense = weights.weight_bytes
    state.begin_epoch()
    state.take_step()
    counts = [
        (layer.sparse.sparse_weight.support.num_entries, layer.sparse.sparse_weight.num_bytes)
        for layer in weights._sparse.values()
    ]
    (first, first_bytes), (second, second_bytes) = counts
    rows, columns = state.network.get_submodule("fc1").sparse_weight.support.shape
    assert second_bytes == 12 * second + 8 * (rows + 1 + columns + 1)
    assert first_bytes == 8 * first + 8 * (8 * 16 + 1)
    assert weights.weight_bytes < dense + first_bytes + second_bytes


def test_hand_overs_there_and_back_change_no_weight_but_by_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {
        "precision": "fp64",
        "epochs": 12,
        "l1_conv": 2e-3,
        "beta": 8.0,
        "lr": 0.3,
        "dropout": 0.0,  # both would draw from torch's one generator
    }
    dense, mixed = make_state("never", **settings), make_state("auto", **settings)
    weights = sparse_weights(mixed)
    num_sparse = []
    while dense.step < dense.num_steps:
        for state in (dense, mixed):
            if state.step % STEPS_PER_EPOCH == 0:
                costs = NEVER if state.step in DENSE_AGAIN else ALWAYS
                monkeypatch.setattr(
                    replicas, "measure_costs", lambda *args, costs=costs, **more: costs
                )
                weights._costs = dict.fromkeys(("conv1", "fc1"), costs)
                state.begin_epoch()
            state.take_step()
        num_sparse.append(len(weights.sparse_layers))
        exact, found = dense.weights.whole_state(), dense_state(weights)
        assert list(exact) == list(found)
        for name, value in exact.items():
            assert torch.equal(value != 0, found[name] != 0), (name, dense.step)
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-9)
        assert dense.num_nonzeros() == mixed.num_nonzeros()
    assert num_sparse == [0 if step in DENSE_AGAIN else 2 for step in range(48)]
    assert all(count > 0 for count in dense.num_nonzeros().values())
    assert dense.num_nonzeros()["conv1"] < 0.7 * exact["conv1.weight"].numel()


@pytest.mark.sample(3)
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("stop_after", [3, 4, 6, 11])
@pytest.mark.slow
def test_a_stopped_sparse_run_goes_on_to_bit_identical_weights(
    precision: str, stop_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the costs, measured anew while others run, would decide otherwise."""
    settings = {"precision": precision, "l1_conv": 2e-3, "beta": 12.0}
    whole, watch = run(tmp_path / "whole", **settings)
    assert all(set(epoch.screened) == {"conv1", "fc1"} for epoch in watch.epochs)
    assert all(0 <= share <= 1 for epoch in watch.epochs for share in epoch.screened.values())
    run(tmp_path / "cut", stop_after=stop_after, **settings)
    monkeypatch.setattr(replicas, "measure_costs", lambda *args, **settings: NEVER)
    resumed, _ = run(tmp_path / "cut", resume=True, **settings)
    for name, value in whole.checkpoint.state.items():
        assert torch.equal(value.to_dense(), resumed.checkpoint.state[name].to_dense()), name
    first, second = (RunFolder(tmp_path / name).read_metrics() for name in ("whole", "cut"))
    assert without_times(first) == without_times(second)
    stored = load_checkpoint(tmp_path / "whole")
    assert stored.num_nonzeros == watch.epochs[-1].num_nonzeros
    assert not any(value.layout == torch.sparse_csr for value in stored.state.values())


@pytest.mark.parametrize("first", ["auto", "never"])
def test_a_run_goes_on_the_other_way(first: Sparsity, tmp_path: Path) -> None:
    """In float64, where the two ways agree but for rounding."""
    settings = {"precision": "fp64", "l1_conv": 2e-3, "beta": 12.0}
    whole, _ = run(tmp_path / "whole", sparsity="never", **settings)
    run(tmp_path / "cut", sparsity=first, stop_after=6, **settings)
    other: Sparsity = "never" if first == "auto" else "auto"
    resumed, watch = run(tmp_path / "cut", sparsity=other, resume=True, **settings)
    assert bool(watch.epochs[-1].screened) == (other == "auto")
    for name, value in whole.checkpoint.state.items():
        found = resumed.checkpoint.state[name].to_dense()
        torch.testing.assert_close(found, value, rtol=0, atol=1e-9)


def test_saved_layers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    run(tmp_path, stop_after=2)
    for change in ({"fc2": {}}, {"conv1": {"zeros": torch.tensor([-1])}}, ["conv1"]):
        checkpoint = load_checkpoint(tmp_path)
        assert checkpoint.training is not None
        checkpoint.training["optimizer"]["sparse"]["layers"] = change
        with pytest.raises(CheckpointError, match="the saved training state does not fit"):
            make_state("auto").restore(checkpoint)


def tensors_of(shape: torch.Size) -> list[object]:
    """Whatever tensors of a shape there are in this process."""
    kinds = (torch.Tensor, torch.nn.Parameter)
    return [each for each in gc.get_objects() if type(each) in kinds and each.shape == shape]


def test_nothing_dense_is_left_after_a_hand_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "measure_costs", lambda *args, **settings: NEVER)
    state = make_state("auto", precision="bf16", base_channels=8, l1_conv=4e-3)
    weights = sparse_weights(state)
    state.begin_epoch()
    for _ in range(2):
        state.take_step()
    weight = state.network.get_parameter("conv1.weight")
    shape, working_copy = weight.shape, weakref.ref(state.optimizer.working_copies[weight])
    del weight
    assert len(tensors_of(shape)) >= 2
    weights.hand_over("conv1")
    weights._costs["conv1"] = ALWAYS
    gc.collect()
    assert working_copy() is None
    assert tensors_of(shape) == []
    assert isinstance(state.network.get_submodule("conv1"), SparseLinear)
    state.take_step()
    assert tensors_of(shape) == []
    weights.hand_back("conv1")
    assert state.network.get_parameter("conv1.weight").shape == shape
    assert len(state.optimizer.working_copies) == 3


def test_a_layer_that_fills_up_goes_back_at_once() -> None:
    """Not only at the next epoch, once its entries alone cost more."""
    state = make_state("auto", l1_conv=1e-6, l1_fc=1e-6)
    weights = sparse_weights(state)
    state.begin_epoch()
    state.take_step()
    assert set(weights.screened) == {"conv1", "fc1"}
    num_weights = state.network.spec.layers[0].num_weights
    weights._costs["conv1"] = LayerCosts(
        dense=1.0, fixed=0.0, open_rows=0.0, entry=1.5 / num_weights
    )
    state.take_step()
    assert set(weights.screened) == {"fc1"}
    assert state.network.get_parameter("conv1.weight").numel() == num_weights


def sparse_by_epoch(measured: list[LayerCosts], monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether conv1, the one candidate, is sparse in each of nine epochs. The last costs stay."""
    rest = iter(measured[:-1])
    monkeypatch.setattr(
        replicas, "measure_costs", lambda *args, **settings: next(rest, measured[-1])
    )
    state = make_state("auto", l1_fc=0.0, epochs=9)
    weights = sparse_weights(state)
    assert list(weights._candidates) == ["conv1"]
    seen = []
    for _ in range(9):
        state.begin_epoch()
        seen.append("conv1" in weights.sparse_layers)
        for _ in range(STEPS_PER_EPOCH):
            state.take_step()
    return seen


def test_one_disturbed_measurement_hands_no_layer_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sparse_by_epoch([DISTURBED, NEVER], monkeypatch) == [False] * 9
    assert sparse_by_epoch([NEVER, DISTURBED], monkeypatch) == [False] * 9


def test_a_layer_handed_over_while_others_ran_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the epochs 1, 2, 4 and 8 its costs are measured anew."""
    found = sparse_by_epoch([*[DISTURBED] * 2, NEVER], monkeypatch)
    assert found == [True] + [False] * 8
    found = sparse_by_epoch([*[DISTURBED] * 4, NEVER], monkeypatch)
    assert found == [True] * 7 + [False] * 2


def test_a_layer_kept_dense_by_mistake_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = LayerCosts(dense=1.0, fixed=9.0, open_rows=0.0, entry=0.0)
    assert sparse_by_epoch([slow, slow, ALWAYS], monkeypatch) == [False] * 3 + [True] * 6


@pytest.mark.parametrize("moved", [False, True])
def test_costs_of_another_processor_do_not_count(
    moved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same one they do, though what is measured after the stop is slower."""
    run(tmp_path, stop_after=STEPS_PER_EPOCH)
    if moved:
        monkeypatch.setattr(SparseReplicas, "_processor", lambda self: "another one")
    monkeypatch.setattr(replicas, "measure_costs", lambda *args, **settings: NEVER)
    state = make_state("auto")
    state.restore(load_checkpoint(tmp_path))
    state.begin_epoch()
    assert sparse_weights(state)._costs == dict.fromkeys(
        ("conv1", "fc1"), NEVER if moved else ALWAYS
    )


def test_the_quietest_measurement_has_all_of_its_parts_quiet() -> None:
    quiet = LayerCosts(dense=4.0, fixed=1.0, open_rows=1.0, entry=0.01)
    for part in ("dense", "fixed", "open_rows", "entry"):
        disturbed = replace(quiet, **{part: 3 * getattr(quiet, part)})
        assert quiet.total(1000) < disturbed.total(1000)


def test_only_layers_with_a_threshold_may_be_sparse() -> None:
    assert list(sparse_weights(make_state("auto"))._candidates) == ["conv1", "fc1"]
    assert list(sparse_weights(make_state("auto", l1_conv=0.0))._candidates) == ["fc1"]
    assert list(sparse_weights(make_state("auto", beta=0.0))._candidates) == []


def test_only_beta_lasso_on_one_rank_chooses_sparse() -> None:
    sgd = {"method": "sgd", "l1_conv": 0.0, "l1_fc": 0.0}
    for expected, choice_made, device, settings in (
        (True, "auto", "cpu", {}),
        (True, "always", "cpu", {}),
        (True, "auto", "cuda", {}),
        (False, "never", "cpu", {}),
        (False, "auto", "mps", {}),
        (False, "auto", "cpu", sgd),
        (False, "always", "cpu", {"precision": "fp16"}),
    ):
        config = make_config(**settings)
        options = RunOptions(device=torch.device(device), sparsity=choice_made)
        assert options.chooses_sparse(config) == expected


def test_memory_decides_where_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer goes over below half of its weights, and nothing is timed."""
    monkeypatch.setattr(replicas, "measure_costs", None)
    monkeypatch.setattr(replicas, "LARGEST_DENSITY", 0.5)
    state = make_state("always")
    weights = sparse_weights(state)
    for name, density in (("conv1", 0.6), ("fc1", 0.4)):
        weight = state.network.get_parameter(f"{name}.weight")
        weight.data *= torch.rand(weight.shape) < density
    dense = weights.weight_bytes
    state.begin_epoch()
    assert weights.sparse_layers == ["fc1"]
    assert weights.weight_bytes < dense


@pytest.mark.slow
def test_by_typical_times_no_clock_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers go over, nothing is timed, and the run repeats to the bit, also in two pieces."""
    monkeypatch.setattr(replicas, "measure_costs", None)
    monkeypatch.setattr(costs, "_TYPICAL_LINE", 0.0)  # These layers are small.
    settings = {"precision": "bf16", "l1_conv": 2e-3, "l1_fc": 2e-3, "beta": 50.0, "epochs": 8}
    whole, watch = run(tmp_path / "whole", sparsity="typical", **settings)
    assert watch.epochs[-1].sparse_layers
    again, _ = run(tmp_path / "again", sparsity="typical", **settings)
    run(tmp_path / "cut", sparsity="typical", stop_after=26, **settings)
    resumed, _ = run(tmp_path / "cut", sparsity="typical", resume=True, **settings)
    for name, value in whole.checkpoint.state.items():
        for other in (again, resumed):
            assert torch.equal(value.to_dense(), other.checkpoint.state[name].to_dense())


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp64", "bf16"])
def test_on_cuda_sparse_steps_are_those_of_dense_layers(precision: str) -> None:
    device = torch.device("cuda")
    settings = {"precision": precision, "l1_conv": 2e-3, "beta": 8.0, "lr": 0.3, "dropout": 0.0}
    dense, mixed = (make_state(each, device, **settings) for each in ("never", "always"))
    for _ in range(8 if precision == "fp64" else 1):
        for state in (dense, mixed):
            if state.step % STEPS_PER_EPOCH == 0:
                state.begin_epoch()
            state.take_step()
    assert mixed.weights.sparse_layers == ["conv1", "fc1"]
    tolerance = 1e-9 if precision == "fp64" else 1e-2
    for name, value in dense_state(sparse_weights(mixed)).items():
        expected = dense.network.state_dict()[name].to(value.device)
        torch.testing.assert_close(value, expected, rtol=0, atol=tolerance)
