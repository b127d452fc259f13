"""Writes small .tflite files for tests: any shape, scale and zero point, without a converter."""

import flatbuffers
import numpy as np
import tflite
from tflite import BuiltinOperator as Builtin
from tflite import BuiltinOptions as Options

TYPES = {"int8": tflite.TensorType.INT8, "int32": tflite.TensorType.INT32}


class TfliteWriter:
    """Collects tensors and operators; `finish` returns the file."""

    def __init__(self):
        self.builder = flatbuffers.Builder(1024)
        self.buffers = [self._buffer(b"")]
        self.tensors = []
        self.operators = []
        self.codes = []

    def _vector(self, start, offsets):
        start(self.builder, len(offsets))
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def _buffer(self, data):
        content = self.builder.CreateByteVector(data) if data else None
        tflite.BufferStart(self.builder)
        if content is not None:
            tflite.BufferAddData(self.builder, content)
        return tflite.BufferEnd(self.builder)

    def activation(self, shape, scale, zero_point):
        """Add an int8 activation and return its index."""
        return self._tensor(shape, "int8", [scale], [zero_point], 0)

    def constant(self, array, scales=(1.0,), axis=0):
        """Add a constant and return its index; one scale a channel along `axis`."""
        self.buffers.append(self._buffer(np.ascontiguousarray(array).tobytes()))
        return self._tensor(
            array.shape, array.dtype.name, scales, [0] * len(scales), len(self.buffers) - 1, axis
        )

    def _tensor(self, shape, dtype, scales, zero_points, buffer, axis=0):
        b = self.builder
        shape_at = b.CreateNumpyVector(np.asarray(shape, np.int32))
        scale_at = b.CreateNumpyVector(np.asarray(scales, np.float32))
        zero_at = b.CreateNumpyVector(np.asarray(zero_points, np.int64))
        name_at = b.CreateString(f"t{len(self.tensors)}")
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scale_at)
        tflite.QuantizationParametersAddZeroPoint(b, zero_at)
        tflite.QuantizationParametersAddQuantizedDimension(b, axis)
        quantization = tflite.QuantizationParametersEnd(b)
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, shape_at)
        tflite.TensorAddType(b, TYPES[dtype])
        tflite.TensorAddBuffer(b, buffer)
        tflite.TensorAddName(b, name_at)
        tflite.TensorAddQuantization(b, quantization)
        self.tensors.append(tflite.TensorEnd(b))
        return len(self.tensors) - 1

    def conv(self, source, weights, bias, output, *, stride, dilation, same, activation=0):
        """Add CONV_2D with height 1."""
        b = self.builder
        tflite.Conv2DOptionsStart(b)
        tflite.Conv2DOptionsAddPadding(b, 0 if same else 1)
        tflite.Conv2DOptionsAddStrideW(b, stride)
        tflite.Conv2DOptionsAddStrideH(b, 1)
        tflite.Conv2DOptionsAddDilationWFactor(b, dilation)
        tflite.Conv2DOptionsAddDilationHFactor(b, 1)
        tflite.Conv2DOptionsAddFusedActivationFunction(b, activation)
        options = tflite.Conv2DOptionsEnd(b)
        self._operator(
            Builtin.CONV_2D, [source, weights, bias], output, Options.Conv2DOptions, options
        )

    def fully_connected(self, source, weights, bias, output, *, activation=0):
        """Add FULLY_CONNECTED."""
        b = self.builder
        tflite.FullyConnectedOptionsStart(b)
        tflite.FullyConnectedOptionsAddFusedActivationFunction(b, activation)
        options = tflite.FullyConnectedOptionsEnd(b)
        kind = Options.FullyConnectedOptions
        self._operator(Builtin.FULLY_CONNECTED, [source, weights, bias], output, kind, options)

    def add(self, a, b, output, *, activation=0):
        """Add ADD."""
        tflite.AddOptionsStart(self.builder)
        tflite.AddOptionsAddFusedActivationFunction(self.builder, activation)
        options = tflite.AddOptionsEnd(self.builder)
        self._operator(Builtin.ADD, [a, b], output, Options.AddOptions, options)

    def mean(self, source, axes, output, *, keep_dims=False):
        """Add MEAN; `axes` is the index of an int32 constant."""
        tflite.ReducerOptionsStart(self.builder)
        tflite.ReducerOptionsAddKeepDims(self.builder, keep_dims)
        options = tflite.ReducerOptionsEnd(self.builder)
        self._operator(Builtin.MEAN, [source, axes], output, Options.ReducerOptions, options)

    def reshape(self, source, output):
        """Add RESHAPE to the shape of `output`."""
        self._operator(Builtin.RESHAPE, [source], output, 0, None)

    def tanh(self, source, output):
        """Add TANH, which the runtime does not have."""
        self._operator(Builtin.TANH, [source], output, 0, None)

    def _operator(self, builtin, inputs, output, options_type, options):
        b = self.builder
        tflite.OperatorCodeStart(b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(b, builtin)
        tflite.OperatorCodeAddBuiltinCode(b, builtin)
        tflite.OperatorCodeAddVersion(b, 1)
        self.codes.append(tflite.OperatorCodeEnd(b))
        inputs_at = b.CreateNumpyVector(np.asarray(inputs, np.int32))
        outputs_at = b.CreateNumpyVector(np.asarray([output], np.int32))
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, len(self.codes) - 1)
        tflite.OperatorAddInputs(b, inputs_at)
        tflite.OperatorAddOutputs(b, outputs_at)
        tflite.OperatorAddBuiltinOptionsType(b, options_type)
        if options is not None:
            tflite.OperatorAddBuiltinOptions(b, options)
        self.operators.append(tflite.OperatorEnd(b))

    def finish(self, inputs, output):
        """Return the file's bytes; `inputs` are tensor indices."""
        b = self.builder
        inputs_at = b.CreateNumpyVector(np.asarray(inputs, np.int32))
        outputs_at = b.CreateNumpyVector(np.asarray([output], np.int32))
        tensors_at = self._vector(tflite.SubGraphStartTensorsVector, self.tensors)
        operators_at = self._vector(tflite.SubGraphStartOperatorsVector, self.operators)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors_at)
        tflite.SubGraphAddInputs(b, inputs_at)
        tflite.SubGraphAddOutputs(b, outputs_at)
        tflite.SubGraphAddOperators(b, operators_at)
        subgraph = tflite.SubGraphEnd(b)
        subgraphs_at = self._vector(tflite.ModelStartSubgraphsVector, [subgraph])
        codes_at = self._vector(tflite.ModelStartOperatorCodesVector, self.codes)
        buffers_at = self._vector(tflite.ModelStartBuffersVector, self.buffers)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, codes_at)
        tflite.ModelAddSubgraphs(b, subgraphs_at)
        tflite.ModelAddBuffers(b, buffers_at)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())
