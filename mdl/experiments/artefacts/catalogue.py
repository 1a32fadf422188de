"""Every table and figure by name."""

from mdl.experiments.artefacts.accuracy_figures import Figure5, SizeFigure
from mdl.experiments.artefacts.accuracy_tables import Table1, Table2
from mdl.experiments.artefacts.carry_over import CarryOver
from mdl.experiments.artefacts.description_length import BitLedgers, MdlView
from mdl.experiments.artefacts.filters import (
    S_FC_BETA_LASSO,
    S_FC_SGD,
    S_LOCAL_SGD,
    Figure4,
    FilterFigure,
    Locality,
)
from mdl.experiments.artefacts.gain_map import GainMap
from mdl.experiments.artefacts.nonzeros import Figure3, TrainingCurves
from mdl.experiments.artefacts.scaling import Figure1, ScalingTable
from mdl.experiments.artefacts.screened_rows import ScreenedRows
from mdl.experiments.claims.verdicts import Claims
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
    GainMap(),
    CarryOver(),
    Claims(),
)
ARTEFACTS = {artefact.name: artefact for artefact in _ARTEFACTS}
