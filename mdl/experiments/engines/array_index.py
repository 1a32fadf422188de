"""Trials by number, so that each task of a job array can take one. No torch."""

from collections.abc import Sequence

from mdl.terminal.errors import OptionError
from training.spec.config import TrainConfig


def trial_at(trials: Sequence[TrainConfig], number: int) -> TrainConfig:
    """The trial of a number, as `mdl sweep --list` prints it.

    Args:
        trials: All trials of the sweep, in order.
        number: From 1.

    Raises:
        OptionError: There is no such trial.
    """
    if not 1 <= number <= len(trials):
        raise OptionError(f"--index must be from 1 to {len(trials)}, not {number}")
    return trials[number - 1]


def job_script(command: str, num_trials: int) -> str:
    r"""A Slurm script that runs every trial as a task of one job array.

    SIGTERM comes two minutes before the time is up, so that each trial saves. Submitted again, the
    script continues with those and passes over what is finished.

    >>> print(job_script("mdl sweep s-fc", 50))
    #!/bin/bash
    #SBATCH --array=1-50
    #SBATCH --cpus-per-task=4
    #SBATCH --time=24:00:00 --signal=TERM@120 --requeue
    #SBATCH --output=sweep-%a.log
    exec srun mdl sweep s-fc --index $SLURM_ARRAY_TASK_ID --threads $SLURM_CPUS_PER_TASK
    """
    return "\n".join(
        (
            "#!/bin/bash",
            f"#SBATCH --array=1-{num_trials}",
            "#SBATCH --cpus-per-task=4",
            "#SBATCH --time=24:00:00 --signal=TERM@120 --requeue",
            "#SBATCH --output=sweep-%a.log",
            f"exec srun {command} --index $SLURM_ARRAY_TASK_ID --threads $SLURM_CPUS_PER_TASK",
        )
    )
