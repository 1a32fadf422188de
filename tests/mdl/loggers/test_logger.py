"""The numbers of an epoch by name."""

from dataclasses import replace


def test_every_number_of_an_epoch_has_a_name(make_run, epochs):
    assert make_run().values(epochs[0]) == {
        "loss/train": 2.5,
        "accuracy/train": 0.25,
        "accuracy/test": 0.5,
        "lr": 0.1,
        "images_per_second": 1000.0,
        "seconds": 30.0,
        "nonzeros/conv1": 50,
        "nonzeros/fc1": 5,
        "nonzero_share/conv1": 0.5,
        "nonzero_share/fc1": 1.0,
        "screened_share/conv1": 0.75,
    }
    validated = replace(epochs[0], validation_accuracy=0.4, test_accuracy=None)
    values = make_run().values(validated)
    assert values["accuracy/validation"] == 0.4
    assert "accuracy/test" not in values
