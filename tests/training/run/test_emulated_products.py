"""Products of bfloat16 matrices through float32 are those that torch takes itself, but for sums."""

import pytest
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from training.run.emulated_products import EmulatedProducts, emulated_products
from training.run.train import train
from training.spec.config import DataConfig

CPU = torch.device("cpu")


def integers(*shape: int, seed: int) -> torch.Tensor:
    """Small integers, whose sums of products bfloat16 and float32 hold exactly in any order."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, shape, generator=generator).to(torch.bfloat16)


PRODUCTS = {
    "linear": (F.linear, (5, 7), (3, 7)),
    "conv2d": (F.conv2d, (2, 3, 6, 6), (4, 3, 3, 3)),
    "bmm": (torch.bmm, (4, 5, 6), (4, 6, 3)),
    "mm": (torch.mm, (5, 7), (7, 3)),
    "@": (torch.Tensor.__matmul__, (5, 7), (7, 3)),
    "matmul": (torch.matmul, (2, 5, 7), (7, 3)),
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("by_autocast", [False, True])
def test_products_and_gradients_are_those_of_torch(name, by_autocast):
    func, one, other = PRODUCTS[name]
    found = []
    for mode in (None, EmulatedProducts()):
        kind = torch.float32 if by_autocast else torch.bfloat16
        leaves = [integers(*one, seed=0).to(kind), integers(*other, seed=1).to(kind)]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        with torch.autocast("cpu", torch.bfloat16, enabled=by_autocast):
            if mode is None:
                product = func(*leaves)
            else:
                with mode, mode:
                    product = func(*leaves)
        product.backward(integers(*product.shape, seed=2))
        found.append([product, *(leaf.grad for leaf in leaves)])
    for expected, got in zip(*found, strict=True):
        assert got.dtype == expected.dtype
        assert torch.equal(got, expected)


def test_operands_are_rounded_and_sums_are_not():
    one = torch.full((1, 512), 1 + 2**-10)  # 1 in bfloat16
    with torch.autocast("cpu", torch.bfloat16), EmulatedProducts():
        product = one @ one.t()
    assert product.dtype == torch.bfloat16
    assert product.item() == 512
    thirds = torch.full((1, 3000), 1 / 3, dtype=torch.bfloat16)
    exact = (thirds.double() @ thirds.double().t()).to(torch.bfloat16)
    with EmulatedProducts():
        assert torch.equal(thirds @ thirds.t(), exact)


def test_other_types_and_other_functions_are_left_alone():
    single, double = torch.full((1, 1), 1 + 2**-10), torch.full((1, 1), 1 / 3, dtype=torch.float64)
    with EmulatedProducts():
        assert torch.equal(single @ single, single * single)
        assert (single + single).dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(double @ double, double * double)


def test_they_are_on_only_where_bfloat16_is_emulated(monkeypatch):
    path = "training.run.precision.bf16_instructions"
    for instructions, precision, expected in (("", "bf16", True), ("AMX", "bf16", False)):
        monkeypatch.setattr(path, lambda found=instructions: found)
        assert isinstance(emulated_products(precision, CPU), EmulatedProducts) == expected
    monkeypatch.setattr(path, lambda: "")
    assert not isinstance(emulated_products("fp32", CPU), EmulatedProducts)


class Watch(TorchFunctionMode):
    """Notes the types of what is multiplied; outside of the products, it sees what they hand on."""

    def __init__(self):
        super().__init__()
        self.kinds = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in {F.linear, F.conv2d, torch.bmm}:
            self.kinds.update(each.dtype for each in args if isinstance(each, torch.Tensor))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("instructions", ["", "AVX512_BF16"])
@pytest.mark.parametrize("name", ["s-fc", "s-local", "d-conv", "resnet18"])
def test_a_run_multiplies_bfloat16_only_where_there_are_instructions(
    name, instructions, monkeypatch
):
    monkeypatch.setattr("training.run.precision.bf16_instructions", lambda: instructions)
    images = DataConfig(image_size=8, num_train=64, num_test=16)
    with Watch() as watch:
        train(name, data=images, base_channels=1, epochs=1, batch_size=32, precision="bf16")
    assert (torch.bfloat16 in watch.kinds) == bool(instructions)
    assert torch.float32 in watch.kinds
