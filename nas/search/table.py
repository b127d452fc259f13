"""A front as a table on the terminal."""

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table

from .evaluate import AUROCS, CANDIDATES
from .front import NEAR_BEST, Front
from .ledger import SETTLED, tally


def print_front(front: Front, console: Console | None = None) -> None:
    """Print the tally of a study and its Pareto front on stdout, the best AUROC first."""
    console = console or Console()
    counts = tally(front.study)
    parts = ", ".join(f"{counts[outcome]} {outcome}" for outcome in SETTLED)
    console.print(f"study {front.study.study_name}: {parts}", highlight=False)
    if front.winner is None:
        console.print("no trial has been fitted on all windows yet: there is no front")
        return
    table = Table(title=f"Pareto front of {len(front.trials)} trials", title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("family")
    judges = areas_of(front.trials[0])
    names = [objective.name.replace("_", " ") for objective in front.settings.objectives]
    for name in (names[0], *judges, *names[1:]):
        table.add_column(name, justify="right")
    for trial in front.trials:
        auroc, *costs = trial.values
        table.add_row(
            f"{trial.number}{' *' if trial is front.winner else ''}",
            families_of(trial.user_attrs[CANDIDATES]),
            f"{auroc:.4f}",
            *(f"{area:.3f}" for area in areas_of(trial).values()),
            *(f"{cost:,.0f}" for cost in costs),
        )
    console.print(table)
    note = f"* the winner: the smallest within {NEAR_BEST} of the best AUROC"
    console.print(note, highlight=False)


def areas_of(trial: FrozenTrial) -> dict[str, float]:
    """Return the AUROC against each surrogate; of a pair, each with the gate it judges."""
    areas: dict[str, float] = trial.user_attrs[AUROCS][-1]
    is_pair = len(trial.user_attrs[CANDIDATES]) > 1
    return {name if is_pair else name.partition(":")[2]: area for name, area in areas.items()}


def families_of(candidates: dict[str, dict[str, str]]) -> str:
    """Return the families of a trial's gates.

    Examples
    --------
    >>> families_of({"quality": {"detector": "vae"}, "familiarity": {"detector": "masked"}})
    'vae + masked'
    """
    return " + ".join(candidate["detector"] for candidate in candidates.values())
