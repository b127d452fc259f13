"""What the tests of the rebuilding families share: windows, a training, what it has to reach."""

import keras
import numpy as np
import optuna

from nas.blocks import Block
from nas.detectors.detector import build_detector
from nas.detectors.reconstruction import Coder
from nas.windows import TrainingWindows
from tests.anomalies import auroc, flipped, scattered, scores_of, turned, untrained

SMALL = Coder((Block(8, 5, stride=2), Block(8, 5, stride=5)), embedding=4)
LSB_MV = 1 / 64


def beats(n_windows, seed=0, window_len=200, n_leads=1):
    """Return windows of waves that rise at once and fall slowly, alike in all leads."""
    rng = np.random.default_rng(seed)
    wave = np.exp(-np.arange(20) / 6)
    x = rng.normal(0, 2, (n_windows, window_len, n_leads))
    for window in x:
        spikes = np.zeros(window_len + 60)
        spikes[rng.integers(30) :: rng.integers(30, 60)] += rng.uniform(30, 90)
        window += np.convolve(spikes, wave)[20 : 20 + window_len, np.newaxis]
    codes = np.clip(x, -128, 127).astype(np.int8)
    return TrainingWindows(codes, LSB_MV, np.zeros((n_windows, 1), bool), ("NORM",))


class Steps:
    """A `Train` of a few epochs that keeps nothing."""

    def __init__(self, windows, epochs=30, learning_rate=1e-2):
        self.windows, self.epochs, self.learning_rate = windows, epochs, learning_rate
        self.losses = {}

    def __call__(self, objective, stage="main", epochs=None):
        rng = np.random.default_rng(0)
        network = objective.network
        network.compile(keras.optimizers.Adam(self.learning_rate), loss=lambda _, loss: loss)
        losses = self.losses[stage] = []
        for _ in range(epochs or self.epochs):
            for index in rng.permutation(len(self.windows)).reshape(-1, 32):
                inputs = objective.inputs(index, rng)
                x = list(inputs) if len(inputs) > 1 else inputs[0]
                losses.append(float(network.train_on_batch(x, np.zeros(len(index), np.float32))))
                network.reset_metrics()


def fitted(detector, params, windows):
    """Return network, scoring and losses after a short training."""
    keras.utils.set_random_seed(0)
    model = build_detector(detector, params, windows.shape)
    train = Steps(windows)
    scoring = detector.fit(params, model, windows, train)
    return model, scoring, train.losses["main"]


def assert_learns(detector, params):
    """Assert that training is what ranks strange windows above unseen ones of the same size."""
    windows, others = beats(128), beats(128, seed=1)
    before = untrained(detector, params, windows)
    model, scoring, losses = fitted(detector, params, windows)
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    for strange in (flipped, turned, scattered):
        reached = auroc((model, scoring), others, strange(others))
        assert reached > max(0.8, auroc(before, others, strange(others)) + 0.1), strange
    return model, scoring, scores_of(model, scoring, others)


def draw(suggest, seed, shape):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return suggest(study.ask(), shape)
