"""The ways to draw the next point, and a NSGA-II that knows parameters which not every point has.

Optuna's NSGA-II crosses only the parameters that all trials have in common and draws the others at
random. In a space of several families, whose networks have blocks that others lack, that is next to
none: it would be a random search by another name. Here a child takes every parameter from a parent
that has it.
"""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from .storage import calm

STARTUP_TRIALS = 20
POPULATION = 24
SWAP = 0.5
"""Part of a child's parameters that come from the second parent."""
MUTATIONS = 2.0
"""Parameters of a child that are drawn anew, on average."""


def make_sampler(name: str, key: tuple[int, ...]) -> BaseSampler:
    """Return a sampler.

    Parameters
    ----------
    name : one of `nas.search.settings.SAMPLERS`.
    key : numbers that its draws depend on, and no others.
    """
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    if name == "random":
        return RandomSampler(seed)
    with calm():
        if name == "nsga2":
            return ConditionalNSGAII(seed)
        return TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed, multivariate=True, group=True)


class ConditionalNSGAII(NSGAIISampler):
    """NSGA-II (Deb et al., IEEE Trans. Evol. Comput. 6, 2002) over conditional parameters.

    Selection is Optuna's, with its constrained domination; parents are chosen by chance among the
    elite, and children made as this module says.
    """

    def __init__(self, seed: int) -> None:
        self._draws = np.random.default_rng((seed, 1))
        super().__init__(
            population_size=POPULATION, seed=seed, child_generation_strategy=self._child
        )

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return every parameter that any finished trial has."""
        space: dict[str, BaseDistribution] = {}
        for known in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
            space.update(known.distributions)
        return space

    def _child(
        self,
        study: optuna.Study,
        search_space: dict[str, BaseDistribution],
        parents: list[FrozenTrial],
    ) -> dict[str, Any]:
        """Return parameters of a child; those left out are drawn at random."""
        first, second = (parents[i] for i in self._draws.choice(len(parents), 2))
        child = {**second.params, **first.params}
        kept = 1 - MUTATIONS / max(len(child), MUTATIONS)
        for name in list(child):
            if name in second.params and self._draws.random() < SWAP:
                child[name] = second.params[name]
            if self._draws.random() > kept:
                del child[name]
        return {name: value for name, value in child.items() if name in search_space}
