"""Every table and figure by name."""

from mdl.experiments.artefacts.bit_ledgers import BitLedgers
from mdl.experiments.artefacts.figure1 import Figure1
from mdl.experiments.artefacts.figure3 import Figure3
from mdl.experiments.artefacts.figure5 import Figure5
from mdl.experiments.artefacts.filter_figures import (
    S_FC_BETA_LASSO,
    S_FC_SGD,
    S_LOCAL_SGD,
    Figure4,
    FilterFigure,
)
from mdl.experiments.artefacts.locality import Locality
from mdl.experiments.artefacts.mdl_view import MdlView
from mdl.experiments.artefacts.screened_rows import ScreenedRows
from mdl.experiments.artefacts.size_figures import SizeFigure
from mdl.experiments.artefacts.table1 import Table1
from mdl.experiments.artefacts.table2 import Table2
from mdl.experiments.artefacts.tables34 import ScalingTable
from mdl.experiments.artefacts.training_curves import TrainingCurves
from mdl.experiments.claims.verdict_tables import Claims
from mdl.experiments.reproduce.artefact import Artefact

_ARTEFACTS: tuple[Artefact, ...] = (
    Table1(),
    Table2(),
    ScalingTable(3, "d"),
    ScalingTable(4, "s"),
    Figure1(),
    SizeFigure(2),
    Figure3(),
    Figure4(),
    Figure5(),
    SizeFigure(6),
    FilterFigure(7, S_FC_SGD),
    FilterFigure(8, S_FC_BETA_LASSO),
    FilterFigure(9, S_LOCAL_SGD),
    MdlView(),
    BitLedgers(),
    Locality(),
    TrainingCurves(),
    ScreenedRows(),
    Claims(),
)
ARTEFACTS = {artefact.name: artefact for artefact in _ARTEFACTS}
