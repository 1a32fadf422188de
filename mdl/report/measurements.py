"""What the report measures of each run's network: its filters, its bits and what they prove."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from analysis.bounds.lengths import DescriptionLength
from analysis.codes.checkpoint_message import described_codeword
from analysis.codes.network_code import Codeword
from analysis.describe.bound_report import BoundReport, report_bound
from analysis.describe.description import Description
from analysis.filters.filters import FilterSample, sample_filters
from analysis.filters.locality import (
    Locality,
    LocalitySummary,
    measure_locality,
    summarize_locality,
)
from analysis.quantize.formats import NumberFormat
from analysis.quantize.nonzeros import count_tensors
from mdl.report.run_files import ReportedRun
from training.checkpoint.checkpoint import Checkpoint
from training.errors import CheckpointError, DataError
from training.run.evaluate import EvaluationData, evaluation_data

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class MeasuredFilters:
    """Filters of the first layer, at most 500, in random order, and how local they are."""

    sample: FilterSample
    locality: Locality
    summary: LocalitySummary


@dataclass(frozen=True, kw_only=True)
class MeasuredBits:
    """The network in bits.

    Attributes:
        codeword: The shortest of our codes.
        lengths: Of the paper's descriptions, by name.
        report: Errors and bounds; None if the errors were not counted.
        missing: Why they were not; "" if they were.
    """

    codeword: Codeword
    lengths: dict[str, DescriptionLength]
    report: BoundReport | None
    missing: str


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredRun:
    """A run with what was measured of its network.

    Attributes:
        run: Its files.
        filters: None if it has none to show.
        no_filters: Why not; "" if it has.
        bits: None if it has no network.
    """

    run: ReportedRun
    filters: MeasuredFilters | None
    no_filters: str
    bits: MeasuredBits | None


def measure_run(
    run: ReportedRun,
    number_format: NumberFormat,
    *,
    source: str | None,
    with_bound: bool,
    device: torch.device | str,
    tell: Tell,
) -> MeasuredRun:
    """Measure the network of a run; what cannot be measured is missing with a reason.

    Args:
        run: Its files.
        number_format: R_b of the description.
        source: Where its data set may lie now; looked at before the place that the run names.
        with_bound: Whether errors are counted, the slow part.
        device: Where they are counted.
        tell: Told of each part before it begins.
    """
    if run.checkpoint is None:
        reason = "The run has saved no network yet."
        return MeasuredRun(run=run, filters=None, no_filters=reason, bits=None)
    tell(f"{run.name}: measuring its first layer's filters")
    filters: MeasuredFilters | None = None
    no_filters = ""
    try:
        filters = _measure_filters(run.checkpoint)
    except ValueError as error:
        no_filters = f"There are none to show: {error}."
    bits = _measure_bits(
        run,
        run.checkpoint,
        number_format,
        source=source,
        with_bound=with_bound,
        device=device,
        tell=tell,
    )
    return MeasuredRun(run=run, filters=filters, no_filters=no_filters, bits=bits)


def _measure_filters(checkpoint: Checkpoint) -> MeasuredFilters:
    sample = sample_filters(checkpoint)
    locality = measure_locality(sample.images)
    return MeasuredFilters(sample=sample, locality=locality, summary=summarize_locality(locality))


def _measure_bits(
    run: ReportedRun,
    checkpoint: Checkpoint,
    number_format: NumberFormat,
    *,
    source: str | None,
    with_bound: bool,
    device: torch.device | str,
    tell: Tell,
) -> MeasuredBits | None:
    data, missing = None, "The errors were not counted (--no-bound)."
    if with_bound:
        try:
            data, missing = _find_data(checkpoint, source), ""
        except (DataError, CheckpointError, OSError) as error:
            missing = f"The errors were not counted: {error}."
            tell(f"{run.name}: no bound, for its errors cannot be counted: {error}")
    if data is not None:
        tell(
            f"{run.name}: writing the network in bits of {number_format.name} and counting its "
            f"errors on {len(data.train) + len(data.validation) + len(data.test):,} images"
        )
        try:
            report = report_bound(checkpoint, data, number_format, device=device)
        except (CheckpointError, ValueError) as error:
            missing = f"The errors were not counted: {error}."
        else:
            return MeasuredBits(
                codeword=report.codeword, lengths=report.lengths, report=report, missing=""
            )
    tell(f"{run.name}: writing the network in bits of {number_format.name}")
    try:
        codeword = described_codeword(checkpoint, number_format)
    except (CheckpointError, ValueError) as error:
        tell(f"{run.name}: no description: {error}")
        return None
    described = Description(
        spec=checkpoint.network,
        number_format=number_format,
        counts=count_tensors(codeword.message.state, number_format),
    )
    return MeasuredBits(codeword=codeword, lengths=described.lengths, report=None, missing=missing)


def _find_data(checkpoint: Checkpoint, source: str | None) -> EvaluationData:
    """The images of a checkpoint, at `source` or, if that is another run's, where they lay.

    Raises:
        DataError: They are at neither place; the reason is that of `source` if there is one.
    """
    if source is None:
        return evaluation_data(checkpoint)
    try:
        return evaluation_data(checkpoint, source=source)
    except DataError as error:
        try:
            return evaluation_data(checkpoint)
        except (DataError, OSError):
            raise error from None
