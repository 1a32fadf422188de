"""The checkpoint: the contract between training and all else.

Others take `checkpoint` (whole, checked field by field), `lazy` (its tensors stay in the file),
`ranges` (what may be resumed from) and `record` (which images it was trained on); `writer` saves
beside the training.
"""

__all__ = ["checkpoint", "lazy", "ranges", "record", "sparse_storage", "writer"]
