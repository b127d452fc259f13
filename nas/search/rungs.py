"""When a trial is not worth a longer training.

The rule is ours, since Optuna has none for several objectives.
A trial is fitted on a ninth of the windows, then on a third, then on all (successive halving:
Jamieson and Talwalkar, AISTATS 2016, with a factor of 3). Between two of these rungs it is compared
with its *peers*: trials that reached the rung and cost no more in any objective. It is stopped
where its AUROC is below the median of theirs (the median rule of Golovin et al., Google Vizier, KDD
2017). So a network that is small for its AUROC has few peers and goes on, and one that costs more
than others has to be better than they are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial

PEERS_MIN = 5
RUNGS, FIGURES = "rungs", "costs"
"""User attributes: AUROC at every rung so far; figures by name."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a trial does at a rung.

    Parameters
    ----------
    auroc : at that rung; costs : of the objectives, in their order.
    """

    auroc: float
    costs: tuple[float, ...]

    def is_hopeless(self, others: Iterable["Standing"]) -> bool:
        """Return whether there are peers among `others`, and at least half of them are better.

        Examples
        --------
        >>> cheap = [Standing(0.6, (10.0,))] * 5
        >>> Standing(0.5, (20.0,)).is_hopeless(cheap), Standing(0.5, (5.0,)).is_hopeless(cheap)
        (True, False)
        """
        peers = [
            other.auroc
            for other in others
            if all(theirs <= ours for theirs, ours in zip(other.costs, self.costs, strict=True))
        ]
        return len(peers) >= PEERS_MIN and self.auroc < float(np.median(peers))


def standings(
    trials: Iterable[FrozenTrial], rung: int, costs: Sequence[str], but: int
) -> list[Standing]:
    """Return how the trials did that reached `rung`.

    Parameters
    ----------
    costs : names of the objectives' figures; but : number of the trial that is left out.
    """
    return [
        Standing(
            trial.user_attrs[RUNGS][rung],
            tuple(trial.user_attrs[FIGURES][name] for name in costs),
        )
        for trial in trials
        if trial.number != but and len(trial.user_attrs.get(RUNGS, ())) > rung
    ]
