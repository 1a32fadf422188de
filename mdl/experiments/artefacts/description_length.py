"""Description lengths of the compared networks: accuracy against bits, and where the bits go."""

import math

from matplotlib.figure import Figure

from analysis.codes.checkpoint_message import checkpoint_message
from analysis.codes.ledger import Entry
from analysis.codes.network_code import encode_network
from analysis.quantize.formats import find_format
from figures.bit_ledger import NetworkLedger, draw_ledgers, group_entries
from figures.description import DescribedNetwork, draw_description
from mdl.experiments.artefacts.method_runs import (
    FULLY_CONNECTED,
    ComparedNetwork,
    compared_networks,
    network_of,
)
from mdl.experiments.engines.measure import DESCRIPTION_BITS
from mdl.experiments.reproduce.artefact import DataSetArtefact, OneDataSet
from mdl.experiments.reproduce.footnotes import figure_note, scale_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.reproduce.tables import Cell, Column, Table, row_text, seed_mean
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import Description, RunResult
from mdl.terminal.console import epochs_text
from training.checkpoint.checkpoint import load_checkpoint
from training.run.run_folder import RunFolder

_LEDGER_BY_SGD = ("s-conv", "s-local", "d-conv")


class MdlView(DataSetArtefact[list[ComparedNetwork]]):
    """Bits of the shortest description, test accuracy, and the accuracy that the bits prove."""

    name = "mdl-view"
    about = "Test accuracy against description length in bits, by network and method."

    def gather(self, scale: Scale, runs: RunPlan) -> list[ComparedNetwork]:
        """The long runs of Tables 1 and 2."""
        return compared_networks(scale, runs)

    def table(self, one: OneDataSet[list[ComparedNetwork]]) -> Table:
        """A row a network and method, shortest description first."""
        columns = (
            Column(key="network", title="network"),
            Column(key="code", title="code"),
            Column(key="bits", title="bits", kind="bits"),
            Column(key="test", title="test (%)", kind="percent"),
            Column(key="bound", title="bound (%)", kind="bound"),
        )
        rows = [_cells(each) for each in sorted(one.shown, key=_mean_bits)]
        return one.table(
            "Description length and accuracy",
            columns,
            rows,
            notes=(
                f"Data: {one.data}, after {epochs_text(one.scale.long_epochs)}. Bits: the shortest "
                "of our codes at 16 bits a number, as the decoder consumed them. Bound: on the "
                "true error, at 95%.",
                scale_note(one.scale, FULLY_CONNECTED),
                one.seed_note(one.scale.long_seeds),
            ),
            answer=row_text("shortest: {network} with {bits} bits, test {test}%", columns, rows[0]),
        )

    def figure(self, one: OneDataSet[list[ComparedNetwork]], store: ResultStore) -> Figure | None:
        """A mark a described network."""
        described = [each for each in one.shown if _described(each)]
        if not described:
            return None
        reduced = figure_note(one.scale, one.runs, networks=FULLY_CONNECTED)
        return draw_description(
            list(map(_mark, described)),
            num_classes=network_of(described[0].results[0]).num_classes,
            note=f"Data: {one.data}. {reduced}",
        )


def _described(one: ComparedNetwork) -> list[tuple[RunResult, Description]]:
    """The runs whose description was measured: very large networks have none."""
    return [
        (result, result.description) for result in one.results if result.description is not None
    ]


def _mean_bits(one: ComparedNetwork) -> float:
    lengths = [found.num_bits for _, found in _described(one)]
    return sum(lengths) / len(lengths) if lengths else math.inf


def _cells(one: ComparedNetwork) -> dict[str, Cell]:
    descriptions = [found for _, found in _described(one)]
    return {
        "network": one.label,
        "code": ", ".join(dict.fromkeys(found.code for found in descriptions)) or None,
        "bits": seed_mean(found.num_bits for found in descriptions),
        "test": seed_mean(result.test.accuracy for result in one.results),
        "bound": seed_mean(found.bound for found in descriptions),
    }


def _mark(one: ComparedNetwork) -> DescribedNetwork:
    pairs = _described(one)
    return DescribedNetwork(
        network=one.network,
        label=one.label,
        num_bits=tuple(float(description.num_bits) for _, description in pairs),
        test=tuple(result.test.accuracy for result, _ in pairs),
        bounds=tuple(description.bound for _, description in pairs),
        method=one.method,
    )


class BitLedgers(DataSetArtefact[list[ComparedNetwork]]):
    """The ledger of the shortest code, first seed, where it was kept or the checkpoint is there."""

    name = "ledger"
    about = "Where the bits of the descriptions go: by part and by layer."

    def gather(self, scale: Scale, runs: RunPlan) -> list[ComparedNetwork]:
        """Long runs of Tables 1 and 2."""
        return compared_networks(scale, runs, by_sgd=_LEDGER_BY_SGD)

    def figure(self, one: OneDataSet[list[ComparedNetwork]], store: ResultStore) -> Figure | None:
        """A row a network."""
        entries = {each.label: _find_entries(each, store) for each in one.shown if each.results}
        ledgers = [
            NetworkLedger(label=label, rows=group_entries(found))
            for label, found in entries.items()
            if found is not None
        ]
        if not ledgers:
            return None
        lacking = [label for label, found in entries.items() if found is None]
        reduced = figure_note(one.scale, one.runs, networks=FULLY_CONNECTED)
        note = f"Data: {one.data}. First seed, {DESCRIPTION_BITS} bits a number. {reduced}"
        if lacking:
            note += f" Without checkpoint, so not shown: {'; '.join(lacking)}."
        return draw_ledgers(ledgers, note=note)


def _find_entries(one: ComparedNetwork, store: ResultStore) -> list[Entry] | None:
    """The ledger of the first run; None without its checkpoint, or where it was not described."""
    first = one.results[0]
    if first.description is None:
        return None
    kept = store.ledger(first.config)
    if kept is not None:
        return kept
    folder = store.run_folder(first.config)
    if not folder.checkpoint.exists():
        return None
    entries = _encode(folder)
    store.put_ledger(first.config, entries)
    return entries


def _encode(folder: RunFolder) -> list[Entry]:
    """Encode the network again, and keep what each part takes: it takes seconds."""
    message = checkpoint_message(load_checkpoint(folder.path), find_format(DESCRIPTION_BITS))
    return encode_network(message).ledger.entries
