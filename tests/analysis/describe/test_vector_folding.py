"""Folding on vectors of a file gives the very numbers that folding a state dict gives."""

import numpy as np
import pytest
import torch

from analysis.describe.vector_folding import AFFINE, STATISTICS, fold_vectors, round_to_type
from training.networks.models import BATCH_NORM_EPS, fold_state
from training.spec.architectures import NetworkSpec

SPEC = NetworkSpec(name="s-fc", image_size=8, num_classes=3, in_channels=1, base_channels=4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_bit_by_bit(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = {field: torch.randn(2000, generator=generator) for field in (*AFFINE, *STATISTICS)}
    vectors["running_var"] = vectors["running_var"].abs()
    state = {f"conv1_norm.{field}": vector.to(dtype) for field, vector in vectors.items()}
    folded = fold_state(SPEC, state)
    read = {field: state[f"conv1_norm.{field}"].double().numpy() for field in vectors}
    parts = fold_vectors(read, BATCH_NORM_EPS)
    for name, part in zip(("scale", "shift"), parts, strict=True):
        expected = folded[f"conv1_norm.{name}"].float().numpy()
        found = round_to_type(part, str(dtype).removeprefix("torch."))
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
