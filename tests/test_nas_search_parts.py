"""The parts of a search: windows, costs, rungs, samplers, known points, fronts, drawings."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from datasets import SUPERCLASSES, leave_one_out
from nas.candidate import Candidate, default_candidate, suggest_candidate
from nas.damage import damaged_windows
from nas.detectors import DETECTORS
from nas.plan import TrainingPlan
from nas.search.architecture import steps_of
from nas.search.costs import REFERENCES, costs_of
from nas.search.driver import Budget
from nas.search.evaluate import Evaluation, auroc, fit, suggest
from nas.search.front import front_of, hypervolumes, non_dominated
from nas.search.known import enqueue_known
from nas.search.ledger import Outcome, outcome_of, tally
from nas.search.rungs import PEERS_MIN, RUNGS, Standing
from nas.search.samplers import POPULATION, make_sampler
from nas.search.settings import COSTS, Gate, SweepSettings
from nas.search.view import View
from nas.search.windows import WINDOW_S, describe, in_parts, open_windows, parts_of
from nas.training_data import describe_data, familiar_windows
from nas.windows import Augmentation
from tests.search_studies import SETTINGS, Pretended, PretendedWindows, StudyHere, pretended_study
from tests.test_nas_main import ToyDataset

ALL = replace(SETTINGS, gates=(Gate("filter", tuple(DETECTORS), ("MI", "noise")),), costs=COSTS)


@pytest.fixture(scope="module")
def protocol():
    return leave_one_out(ToyDataset(), "HYP", surrogate="MI")


@pytest.fixture(scope="module")
def settings(protocol):
    return replace(ALL, data=describe_data(protocol, None, ("I",), 100.0, 0.5, None))


@pytest.fixture(scope="module")
def windows(protocol, settings, tmp_path_factory):
    return open_windows(tmp_path_factory.mktemp("study"), settings, protocol)


def test_training_windows_are_the_protocols_in_another_order(protocol, settings, windows):
    batch = familiar_windows(protocol, describe(settings.data), "train")
    train = windows.training(WINDOW_S, 10_000, Augmentation())
    rows = {x.tobytes(): label for x, label in zip(batch.x, batch.labels, strict=True)}
    assert len(train) == len(batch) == len(rows)
    columns = [SUPERCLASSES.index(name) for name in train.classes]
    assert train.classes == ("NORM", "STTC", "CD")
    for x, labels in zip(train.codes, train.labels, strict=True):
        assert np.array_equal(rows[x.tobytes()][columns], labels)
    assert not np.array_equal(train.codes, batch.x)


@pytest.mark.parametrize("window_s", [2.5, 5.0, 10.0])
def test_shorter_windows_are_the_same_bytes_in_memory_once(windows, window_s):
    whole = windows.training(WINDOW_S, 7, Augmentation())
    train = windows.training(window_s, 7, Augmentation())
    n_parts = parts_of(window_s)
    assert train.shape == (round(window_s * 100), 1)
    assert len(train) == 7 * n_parts == len(train.labels)
    assert np.shares_memory(train.codes, whole.codes)
    assert isinstance(train.codes, np.memmap)
    assert not train.codes.flags.writeable
    assert np.array_equal(train.codes.reshape(whole.codes.shape), whole.codes)
    assert np.array_equal(train.labels[::n_parts], whole.labels)


def test_windows_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"window_s must divide 10 s, got 3"):
        parts_of(3.0)
    with pytest.raises(ValueError, match="1001 samples must divide into 2 windows"):
        in_parts(np.zeros((1, 1001, 1), np.int8), 2)


def test_faulty_twins_belong_to_their_windows(protocol, settings, windows):
    data = describe(settings.data)
    clean = familiar_windows(protocol, data, "train").x
    expected = damaged_windows(protocol, data, clean, 1)
    place = {x.tobytes(): row for row, x in enumerate(clean)}
    train = windows.training(WINDOW_S, 10_000, Augmentation())
    twins = train.damaged(1)
    for i, x in enumerate(train.codes):
        row = place[x.tobytes()]
        assert np.array_equal(twins.codes[i], expected.codes[row])
        assert np.array_equal(twins.faults[i], expected.faults[row])
    halves = windows.training(5.0, 10_000, Augmentation()).damaged(1)
    assert halves.faults.any(axis=1).sum() > 0
    assert not (halves.faults & ~np.repeat(twins.faults, 2, axis=0)).any()


def test_noise_is_on_validation_windows(windows):
    validation = windows.scored("validation", WINDOW_S).codes
    noisy = windows.scored("noise", WINDOW_S).codes
    assert noisy.shape == validation.shape
    assert (noisy != validation).any(axis=(1, 2)).all()


def test_windows_are_written_once_and_again_for_other_settings(protocol, settings, windows):
    train, study = windows.folder / "train.npy", windows.folder.parent
    before = train.stat().st_mtime_ns
    open_windows(study, settings, protocol)
    assert train.stat().st_mtime_ns == before
    open_windows(study, replace(settings, windows_max=5), protocol)
    assert len(np.load(train)) == 5
    open_windows(study, settings, protocol)


@pytest.mark.parametrize("window_s", [2.5, 5.0, 10.0])
@pytest.mark.parametrize("name", DETECTORS)
def test_every_family_has_a_cost_and_a_drawing(name, window_s):
    trial = optuna.trial.FixedTrial({})
    candidate = replace(default_candidate(name), window_s=window_s)
    shape = (round(window_s * 100), 1)
    try:
        counts = candidate.count(shape)
    except ValueError:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
        trial = study.ask({"window_s": optuna.distributions.CategoricalDistribution((window_s,))})
        candidate = suggest_candidate(trial, name, 100.0, 1)
        shape = (round(candidate.window_s * 100), 1)
        counts = candidate.count(shape)
    costs = costs_of([candidate], ALL)
    assert (costs.n_parameters, costs.macs) == (counts.n_parameters, counts.macs)
    assert set(costs.figures) == set(REFERENCES)
    assert all(0 < costs.figures[cost] <= REFERENCES[cost] for cost in COSTS)
    steps = steps_of(candidate, shape)
    assert sum(step.n_parameters for step in steps) == counts.n_parameters
    assert sum(step.macs for step in steps) == counts.macs


def test_gates_share_the_cap_on_parameters():
    candidate = default_candidate("deep_svdd")
    one = costs_of([candidate], ALL)
    two = costs_of([candidate, candidate], ALL)
    assert two.n_parameters == 2 * one.n_parameters
    assert two.figures["flash_bytes"] == 2 * one.figures["flash_bytes"]
    assert two.excess["parameters"] == 2 * one.n_parameters / 512_000 - 1


def test_above_a_bound_nothing_is_planned():
    costs = costs_of([default_candidate("deep_svdd")], replace(ALL, macs_max=1_000_000))
    assert costs.excess["macs"] > 0
    assert costs.figures == REFERENCES


def test_an_infeasible_trial_is_recorded_and_never_trained(tmp_path):
    class NeverTrained(Pretended):
        def _areas(self, candidates, n_windows):
            raise AssertionError("trained")

    few = replace(ALL, macs_max=1)
    here = StudyHere(tmp_path / "study", settings=few)
    assert here.run(Budget(3), lambda: NeverTrained(few, PretendedWindows())) == {
        Outcome.INFEASIBLE: 3
    }
    assert all(trial.constraints["macs"] > 0 for trial in here.study.trials)
    assert front_of(here.study, few).trials == ()


@pytest.mark.parametrize("n_leads", [1, 12])
@pytest.mark.parametrize("name", DETECTORS)
def test_a_study_can_begin_at_the_hand_picked_candidate(name, n_leads):
    data = replace(ALL.data, leads=tuple(f"lead {i}" for i in range(n_leads)))
    of_family = replace(ALL, data=data, gates=(Gate("filter", (name,), ("noise",)),))
    study = optuna.create_study()
    enqueue_known(study, of_family)
    drawn = suggest(study.ask(), of_family.gates[0], of_family)
    wanted = default_candidate(name)
    assert (drawn.plan, drawn.window_s) == (wanted.plan, wanted.window_s)
    shape = (1000, n_leads)
    n_parameters = wanted.count(shape).n_parameters
    # Exactly, but for three families whose search draws a bottleneck of other sizes.
    assert 0.5 < drawn.count(shape).n_parameters / n_parameters < 2


def test_a_trial_is_compared_with_peers_that_cost_no_more():
    cheap = [Standing(0.6, (10.0, 10.0))] * PEERS_MIN
    assert Standing(0.59, (10.0, 10.0)).is_hopeless(cheap)
    assert not Standing(0.6, (10.0, 10.0)).is_hopeless(cheap)
    assert not Standing(0.59, (9.0, 10.0)).is_hopeless(cheap)
    assert not Standing(0.59, (10.0, 10.0)).is_hopeless(cheap[1:])


@pytest.fixture(scope="module")
def pretended(tmp_path_factory):
    """A study of families whose costs are quickly known."""
    gates = (Gate("filter", ("autoencoder", "vae", "quality"), ("MI", "noise")),)
    drawn = replace(ALL, sampler="random", gates=gates)
    return pretended_study(tmp_path_factory.mktemp("pretended") / "study", drawn, Budget(40))


def test_stopped_trials_were_hopeless_and_no_other_was_stopped(pretended):
    here = pretended
    stopped = [t for t in here.study.trials if outcome_of(t) == Outcome.STOPPED]
    done = [t for t in here.study.trials if outcome_of(t) == Outcome.DONE]
    assert stopped
    assert {len(trial.user_attrs[RUNGS]) for trial in stopped} <= {1, 2}
    assert {len(trial.user_attrs[RUNGS]) for trial in done} == {3}


def quadratic(trial):
    """Return objectives of a conditional space: two families, one of which is better."""
    family = trial.suggest_categorical("detector", ("good", "bad"))
    xs = [trial.suggest_float(f"{family}.x{i}", 0, 1) for i in range(6)]
    off = sum((x - 0.7) ** 2 for x in xs) + (family == "bad")
    return 1 - off, 1 + off


@pytest.mark.parametrize("name", ["nsga2", "tpe"])
def test_a_sampler_beats_chance_in_a_conditional_space(name):
    def best(sampler_name):
        found = []
        for repeat in range(3):
            sampler = make_sampler(sampler_name, (repeat,))
            study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
            study.optimize(quadratic, 5 * POPULATION)
            found.append(max(trial.values[0] for trial in study.trials))
        return np.mean(found)

    assert best(name) > best("random") + 0.05


@pytest.mark.parametrize("name", ["nsga2", "tpe", "random"])
def test_the_same_seed_draws_the_same_points(name, tmp_path):
    few = replace(ALL, sampler=name, gates=(Gate("filter", ("autoencoder", "vae"), ("noise",)),))
    first, second = (
        pretended_study(tmp_path / str(i), few, Budget(28)).study.trials for i in range(2)
    )
    assert [t.params for t in first] == [t.params for t in second]
    assert len({str(t.params) for t in first}) == 28


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(rows):
    values = np.array(rows, np.float64)
    kept = non_dominated(values)
    assert kept.any()
    for i, row in enumerate(values):
        dominating = (values <= row).all(axis=1) & (values < row).any(axis=1)
        earlier_equal = (values[:i] == row).all(axis=1)
        assert kept[i] == (not dominating.any() and not earlier_equal.any())


def test_hypervolume_is_the_volume_that_is_dominated(pretended):
    here, costs = pretended, COSTS
    steps = hypervolumes(here.study, here.settings)
    volumes = [step.value for step in steps]
    assert volumes == sorted(volumes)
    done = [t for t in here.study.trials if outcome_of(t) == Outcome.DONE]
    auroc_gain = np.array([t.values[0] for t in done]) - 0.5
    saved = np.log10([[REFERENCES[c] / v for c, v in zip(costs, t.values[1:], strict=True)]
                      for t in done])  # fmt: skip
    box = np.array([auroc_gain.max(), *saved.max(axis=0)])
    points = np.random.default_rng(0).uniform(0, box, (100_000, 4))
    reached = np.zeros(len(points), np.bool_)
    for corner in np.column_stack([auroc_gain, saved]):
        reached |= (points <= corner).all(axis=1)
    assert volumes[-1] == pytest.approx(box.prod() * reached.mean(), rel=0.05)


def test_the_winner_is_the_smallest_of_the_best(pretended):
    front = front_of(pretended.study, pretended.settings)
    best = max(trial.values[0] for trial in front.trials)
    near = [trial for trial in front.trials if trial.values[0] >= best - 0.01]
    assert front.winner.values[1] == min(trial.values[1] for trial in near)
    n_parameters = [
        sum(
            Candidate.from_json(values).count((round(values["window_s"] * 100), 1)).n_parameters
            for values in trial.user_attrs["candidates"].values()
        )
        for trial in front.trials
    ]
    assert max(n_parameters) <= 512_000


def test_auroc_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    familiar, strange = rng.integers(0, 20, 300) * 1.0, rng.integers(5, 25, 200) * 1.0
    labels = np.repeat([0, 1], [300, 200])
    expected = roc_auc_score(labels, np.concatenate([familiar, strange]))
    assert auroc(familiar, strange) == pytest.approx(expected)


@pytest.mark.slow
def test_a_real_trial_is_fitted_and_scored(settings, windows, tmp_path):
    """Every rung is fitted, and the score's form is the one that its cost assumed."""
    short = TrainingPlan(epochs=1, batch_size=16, learning_rate=1e-3)
    train = windows.training(WINDOW_S, 24, Augmentation())
    for name in DETECTORS:
        fitted = fit(replace(default_candidate(name), plan=short), train, settings)
        scores = fitted.scores(windows.scored("validation", WINDOW_S))
        assert np.isfinite(scores).all()
    only = replace(settings, gates=(Gate("filter", ("deep_svdd",), ("MI", "noise")),))
    here = StudyHere(tmp_path / "study", settings=only)
    enqueue_known(here.study, only)
    assert here.run(Budget(1), lambda: Evaluation(only, windows)) == {Outcome.DONE: 1}
    (trial,) = here.study.trials
    last = trial.user_attrs["aurocs"][-1]
    assert set(last) == {"filter:MI", "filter:noise"}
    assert trial.values[0] == np.mean(list(last.values()))
    assert len(trial.user_attrs["seconds"]) == 3


def test_the_view_says_what_is_done_and_what_is_left(pretended):
    console = Console(record=True, width=140, force_terminal=True)
    with View(pretended.study, pretended.settings, Budget(100), 2, console) as view:
        view(tally(pretended.study))
    shown = console.export_text()
    assert "40/100 trials" in shown
    assert "flash_bytes" in shown


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rungs": (0.5, 0.2, 1.0)}, "rungs must ascend"),
        ({"rungs": (0.5,)}, "rungs must ascend"),
        ({"macs_max": 0}, "macs_max and windows_max must be at least 1"),
        ({"seed": -1}, "seed must be in"),
        ({"gates": (Gate("a", ("vae",), ("HYP",)),)}, "must not be the held-out HYP"),
    ],
)
def test_settings_out_of_range_are_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        replace(ALL, **changes)
    assert isinstance(ALL, SweepSettings)
