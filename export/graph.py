"""A .tflite file read into the few layers the firmware runs.

Only one-dimensional int8 networks: batch 1, height 1. Everything the converter can express and the
runtime cannot is refused here, by name.
"""

import struct
from typing import Any

import tflite
from tflite import BuiltinOperator as Builtin

from .layers import Graph, Int32Array, Layer, Op, Tensor, in_canonical_order
from .operators import OPERATORS
from .tflite_reader import TfliteReader

__all__ = ["Graph", "Int32Array", "Layer", "Op", "Tensor", "read_graph"]


def read_graph(data: bytes) -> Graph:
    """Return the network in a .tflite file.

    Raises
    ------
    ValueError : not a .tflite, or it holds an operator, type or shape the runtime does not have.
    """
    if data[4:8] != b"TFL3":
        raise ValueError(
            "a .tflite file must carry the identifier TFL3 at byte 4, this one does not"
        )
    try:
        return _read(TfliteReader(tflite.Model.GetRootAs(data, 0)))
    except (struct.error, TypeError, AttributeError, IndexError, ArithmeticError) as error:
        raise ValueError(f"a .tflite file must be whole, this one is not: {error}") from error


def _read(reader: TfliteReader) -> Graph:
    graph = reader.graph
    if graph.InputsLength() != 1 or graph.OutputsLength() != 1:
        raise ValueError(
            f"a network must have one input and one output, got {graph.InputsLength()} "
            f"and {graph.OutputsLength()}"
        )
    network_input = reader.tensor(graph.Inputs(0))
    found = (_layer(reader, graph.Operators(i)) for i in range(graph.OperatorsLength()))
    layers = tuple(layer for layer in found if layer is not None)
    output = reader.tensor(graph.Outputs(0))
    return in_canonical_order(Graph(tuple(reader.tensors), layers, network_input, output))


def _layer(reader: TfliteReader, op: Any) -> Layer | None:
    code = reader.model.OperatorCodes(op.OpcodeIndex())
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if builtin not in OPERATORS:
        names = {value: name for name, value in vars(Builtin).items() if name.isupper()}
        known = ", ".join(names[value] for value in OPERATORS)
        raise ValueError(f"operators must be among {known}, got {names.get(builtin, builtin)}")
    return OPERATORS[builtin](reader, op)
