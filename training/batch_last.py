"""Moving between images and the layout that local layers work in: the batch last in memory.

In torch a transposed matrix is copied fast, and so are rows of the batch; a general permutation
takes 20 times as long. So these go through the former.
"""

from torch import Tensor


def put_batch_last(images: Tensor) -> Tensor:
    """Images (N, C, s, s) as (s, s, C, N), contiguous; a view where memory has that order.

    >>> import torch
    >>> put_batch_last(torch.arange(4.0).view(1, 4, 1, 1)).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    last = images.permute(2, 3, 1, 0)
    if images.is_contiguous() and not last.is_contiguous():
        units = images.flatten(1).t().contiguous()
        last = units.view(*images.shape[1:], -1).permute(1, 2, 0, 3)
    return last.contiguous()


def flatten_units(images: Tensor) -> Tensor:
    """Images (N, C, s, s) as a matrix (N, C·s·s), like `flatten(1)`.

    Where the batch lies last in memory it does so in the matrix too, which products take as it is.

    >>> import torch
    >>> images = torch.zeros(2, 2, 3, 5).permute(3, 2, 0, 1)
    >>> flatten_units(images).stride(), images.flatten(1).stride()
    ((1, 5), (12, 1))
    """
    if images.dim() == 4 and images.permute(2, 3, 1, 0).is_contiguous():
        return images.permute(1, 2, 3, 0).contiguous().flatten(0, 2).t()
    return images.flatten(1)
