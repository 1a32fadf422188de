"""Where the bits of each network's description go: in all, by part and by layer."""

from matplotlib.figure import Figure

from analysis.codes.checkpoint_message import checkpoint_message
from analysis.codes.ledger import Entry
from analysis.codes.network_code import encode_network
from analysis.quantize.formats import find_format
from figures.ledger import group_entries
from figures.ledgers import NetworkLedger, draw_ledgers
from mdl.experiments.artefacts.method_runs import (
    FULLY_CONNECTED,
    ComparedNetwork,
    compared_networks,
)
from mdl.experiments.engines.measure import DESCRIPTION_BITS
from mdl.experiments.reproduce.artefact import Artefact, Store, stems
from mdl.experiments.reproduce.footnotes import figure_note
from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scales import Scale
from mdl.experiments.store.result_store import Results
from training.checkpoint.checkpoint import load_checkpoint
from training.run.run_folder import RunFolder

_BY_SGD = ("s-conv", "s-local", "d-conv")


class BitLedgers(Artefact):
    """The ledger of the shortest code, first seed, where it was kept or the checkpoint is there."""

    name = "ledger"
    about = "Where the bits of the descriptions go: by part and by layer."

    def collect(self, scale: Scale, runs: RunPlan) -> None:
        """Ask for long runs of Tables 1 and 2."""
        for one in scale.by_data_set():
            compared_networks(one, runs, by_sgd=_BY_SGD)

    def figures(self, scale: Scale, found: Results, store: Store) -> dict[str, Figure]:
        """A picture a data set, a row a network."""
        drawn = {}
        for stem, one in stems(self.name, scale):
            runs = RunPlan(found)
            ledgers, lacking = [], []
            networks = compared_networks(one, runs, by_sgd=_BY_SGD)
            for each in networks:
                entries = _find_entries(each, store)
                if entries is None:
                    lacking += [each.label] if each.results else []
                else:
                    ledgers.append(NetworkLedger(label=each.label, rows=group_entries(entries)))
            if ledgers:
                data = next(each.results[0].data_name for each in networks if each.results)
                reduced = figure_note(one, runs, FULLY_CONNECTED)
                note = f"Data: {data}. First seed, {DESCRIPTION_BITS} bits a number. {reduced}"
                if lacking:
                    note += f" Without checkpoint, so not shown: {'; '.join(lacking)}."
                drawn[stem] = draw_ledgers(ledgers, note=note)
        return drawn


def _find_entries(one: ComparedNetwork, store: Store) -> list[Entry] | None:
    """The ledger of the first run; None without its checkpoint, or where it was not described."""
    if not one.results or one.results[0].description is None:
        return None
    config = one.results[0].config
    kept = store.ledger(config)
    if kept is not None:
        return kept
    folder = store.run_folder(config)
    if not folder.checkpoint.exists():
        return None
    entries = _encode(folder)
    store.put_ledger(config, entries)
    return entries


def _encode(folder: RunFolder) -> list[Entry]:
    """Encode the network again, and keep what each part takes: it takes seconds."""
    message = checkpoint_message(load_checkpoint(folder.path), find_format(DESCRIPTION_BITS))
    return encode_network(message).ledger.entries
