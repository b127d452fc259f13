"""Which parameters a study's AUROC hung on."""

import warnings

import optuna

from .front import Front
from .ledger import Outcome, outcome_of

TRIALS_MIN = 20
"""Done trials below which importances would be noise."""
SHOWN_MAX = 12


def importances_of(front: Front) -> dict[str, float]:
    """Return the share of each parameter in the AUROC's variance, the largest first.

    PED-ANOVA (Watanabe, Bansal, Hutter, IJCAI 2023), which knows conditional parameters. Empty
    where too few trials are done.
    """
    trials = front.study.get_trials(deepcopy=False)
    done = [trial for trial in trials if outcome_of(trial) == Outcome.DONE]
    if len(done) < TRIALS_MIN:
        return {}
    feasible = optuna.create_study(direction="maximize")
    feasible.add_trials([_of_auroc(trial) for trial in done])
    with warnings.catch_warnings():
        # Of families with few trials yet: the page says how many there are.
        warnings.filterwarnings("ignore", "Some regimes", UserWarning)
        found = optuna.importance.get_param_importances(feasible)
    return dict(sorted(found.items(), key=lambda item: -item[1])[:SHOWN_MAX])


def _of_auroc(trial: optuna.trial.FrozenTrial) -> optuna.trial.FrozenTrial:
    """Return the trial with its AUROC alone."""
    return optuna.create_trial(
        params=trial.params, distributions=trial.distributions, value=trial.values[0]
    )
