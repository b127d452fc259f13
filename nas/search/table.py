"""A front as a table on the terminal."""

from rich.console import Console
from rich.table import Table

from .evaluate import CANDIDATES
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
    for objective in front.settings.objectives:
        table.add_column(objective.name.replace("_", " "), justify="right")
    for trial in front.trials:
        auroc, *costs = trial.values
        table.add_row(
            f"{trial.number}{' *' if trial is front.winner else ''}",
            families_of(trial.user_attrs[CANDIDATES]),
            f"{auroc:.4f}",
            *(f"{cost:,.0f}" for cost in costs),
        )
    console.print(table)
    note = f"* the winner: the smallest within {NEAR_BEST} of the best AUROC"
    console.print(note, highlight=False)


def families_of(candidates: dict[str, dict[str, str]]) -> str:
    """Return the families of a trial's gates.

    Examples
    --------
    >>> families_of({"quality": {"detector": "vae"}, "familiarity": {"detector": "masked"}})
    'vae + masked'
    """
    return " + ".join(candidate["detector"] for candidate in candidates.values())
