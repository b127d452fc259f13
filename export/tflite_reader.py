"""A .tflite file's tensors, as the runtime knows them: one-dimensional, int8, batch 1.

Tensors are numbered in the order in which layers touch them.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite
from tflite import ActivationFunctionType as Activation

from .layers import Tensor


class TfliteReader:
    """Walks one flatbuffer."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.Subgraphs(0)
        self.tensors: list[Tensor] = []
        self._number: dict[int, int] = {}  # .tflite tensor -> ours

    def shape_of(self, index: int) -> tuple[int, int]:
        """Return (width, channels) of a tensor; batch is 1, and so is height or width."""
        shape = [int(n) for n in self.graph.Tensors(index).ShapeAsNumpy()]
        outer, channels = shape[:-1], shape[-1] if shape else 1
        width = math.prod(outer)
        along_time = max(outer[1:], default=1)
        if len(shape) > 4 or width != along_time or (outer and outer[0] != 1):
            raise ValueError(f"activations must have batch 1 and height 1, got shape {shape}")
        return width, channels

    def tensor(self, index: int) -> int:
        """Return our number of an int8 tensor, adding it on first sight."""
        if index not in self._number:
            source = self.graph.Tensors(index)
            if source.Type() != tflite.TensorType.INT8:
                raise ValueError(f"activations must be int8, tensor {source.Name()!r} is not")
            width, channels = self.shape_of(index)
            is_constant = self.model.Buffers(source.Buffer()).DataLength() > 0
            values = self.constant(index, np.int8).reshape(width, channels) if is_constant else None
            zero_point = int(source.Quantization().ZeroPoint(0))
            self._number[index] = len(self.tensors)
            self.tensors.append(Tensor(width, channels, self.scale_of(index), zero_point, values))
        return self._number[index]

    def rename(self, index: int, number: int) -> None:
        """Let a .tflite tensor be another name of our tensor `number`."""
        self._number[index] = number

    def inputs(self, op: Any, count: int = 1) -> tuple[Tensor, ...]:
        """Return an operator's first `count` inputs, int8."""
        return tuple(self.tensors[self.tensor(op.Inputs(i))] for i in range(count))

    def output(self, op: Any) -> Tensor:
        """Return an operator's int8 output."""
        return self.tensors[self.tensor(op.Outputs(0))]

    def scale_of(self, index: int) -> float:
        """Return a tensor's one scale, a float32."""
        return float(self.graph.Tensors(index).Quantization().Scale(0))

    def constant(self, index: int, dtype: type[Any]) -> npt.NDArray[Any]:
        """Return a constant tensor's values."""
        tensor = self.graph.Tensors(index)
        data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        return np.frombuffer(data.tobytes(), dtype).reshape(tensor.ShapeAsNumpy())

    def options(self, op: Any, kind: Any) -> Any:
        """Return an operator's options, read as `kind`."""
        options = kind()
        options.Init(op.BuiltinOptions().Bytes, op.BuiltinOptions().Pos)
        return options

    def activation_range(self, op: Any, function: int) -> dict[str, int]:
        """Return the fused activation as `act_min` and `act_max` of an operator's output."""
        output = self.output(op)
        low, high = -128, 127
        if function in (Activation.RELU, Activation.RELU6):
            low = max(low, output.zero_point)
        elif function != Activation.NONE:
            raise ValueError(f"fused activations must be none, RELU or RELU6, got code {function}")
        if function == Activation.RELU6:
            high = min(high, six(output))
        return {"act_min": low, "act_max": high}


def six(tensor: Tensor) -> int:
    """Return the code of 6.0: in float32, half away from zero, as TFLite's `Quantize`."""
    return tensor.zero_point + math.floor(float(np.float32(6) / np.float32(tensor.scale)) + 0.5)
