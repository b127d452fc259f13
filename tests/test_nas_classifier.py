"""The diagnostic classifier: its size, its operators, and its figures."""

import keras
import numpy as np
import pytest

from export.graph import Op
from export.quantize import quantize
from nas import classifier
from nas.metrics import auroc_per_class


@pytest.fixture(scope="module")
def default_model():
    return classifier.build(classifier.Params(), (1000, 1), 4)


def test_the_default_costs_what_the_docs_say(default_model, tmp_path):
    default_model.save(tmp_path / "classifier.keras")
    codes = np.random.default_rng(0).normal(0, 30, (8, 1000, 1)).astype(np.int8)
    graph = quantize(tmp_path / "classifier.keras", codes, 1 / 64, codes).graph
    assert default_model.count_params() == 50_644
    assert graph.macs == 3_560_256
    assert {layer.op for layer in graph.layers} == {Op.CONV, Op.ADD, Op.MEAN, Op.FULLY_CONNECTED}


def test_the_outputs_are_logits(default_model):
    assert default_model.layers[-1].activation.__name__ == "linear"
    assert default_model.output_shape == (None, 4)


@pytest.mark.parametrize(("n_leads", "n_classes"), [(1, 5), (12, 4)])
def test_it_takes_any_number_of_leads_and_classes(n_leads, n_classes):
    model = classifier.build(classifier.Params(), (1000, n_leads), n_classes)
    assert model.predict(np.zeros((2, 1000, n_leads)), verbose=0).shape == (2, n_classes)


def test_a_block_that_changes_nothing_has_no_convolution_in_its_shortcut():
    plain = classifier.Params(widths=(16,), kernels=(5,), strides=(1,))
    model = classifier.build(plain, (100, 1), 4)
    assert sum(isinstance(layer, keras.layers.Conv1D) for layer in model.layers) == 3


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"widths": (8,)}, "one entry a block, got 1, 3 and 3"),
        ({"stem_stride": 0}, "at least 1"),
    ],
)
def test_impossible_params_are_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        classifier.Params(**fields)


def test_auroc_of_each_class_against_the_windows_without_it():
    logits = np.array([[3, 0, 1], [2, 1, 1], [1, 2, 1], [0, 3, 1]], np.float32)
    labels = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 1], [0, 0, 1]], bool)
    assert auroc_per_class(logits, labels) == [1.0, 0.0, None]


def test_auroc_refuses_other_shapes():
    with pytest.raises(ValueError, match="labels must have the logits' shape"):
        auroc_per_class(np.zeros((2, 3), np.float32), np.zeros((2, 4), bool))
