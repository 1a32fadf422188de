import json
from pathlib import Path

from training.checkpoint.checkpoint import load_checkpoint


def test_counts_are_those_of_the_tensors(mdl, trained: Path) -> None:
    done = mdl("nonzeros", str(trained), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    state = load_checkpoint(trained).state
    rows = {row["name"]: row for row in result["counts"]["tensors"]}
    for name in ("conv1.weight", "fc1.weight", "fc2.weight", "conv1_norm.running_var"):
        values = state[name].flatten().tolist()
        assert rows[name]["num_weights"] == len(values)
        assert rows[name]["num_nonzeros"] == sum(value != 0 for value in values)
        assert rows[name]["num_distinct"] == len({value + 0.0 for value in values})
    assert result["twins"]["conv"]["conv1"] == 243 * 2
    assert result["twins"]["local"]["conv1"] == 243 * 2 * 16


def test_the_table_has_the_twins_beside_it(mdl, trained: Path) -> None:
    done = mdl("nonzeros", str(trained), "--full")
    assert done.returncode == 0
    assert "s-conv weights" in done.stdout
    assert "s-local weights" in done.stdout
    assert "mdl bound" in done.stdout
