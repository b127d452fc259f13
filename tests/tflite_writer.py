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

    def constant(self, array, scales=(1.0,), axis=0, zero_point=0):
        """Add a constant and return its index; one scale a channel along `axis`."""
        self.buffers.append(self._buffer(np.ascontiguousarray(array).tobytes()))
        zero_points = [zero_point] * len(scales)
        buffer = len(self.buffers) - 1
        return self._tensor(array.shape, array.dtype.name, scales, zero_points, buffer, axis)

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

    def depthwise(
        self, source, weights, bias, output, *, stride, dilation, same, multiplier, activation=0
    ):
        """Add DEPTHWISE_CONV_2D with height 1; the weights' scales lie along axis 3."""
        b = self.builder
        tflite.DepthwiseConv2DOptionsStart(b)
        tflite.DepthwiseConv2DOptionsAddPadding(b, 0 if same else 1)
        tflite.DepthwiseConv2DOptionsAddStrideW(b, stride)
        tflite.DepthwiseConv2DOptionsAddStrideH(b, stride)  # TFLite Micro wants both alike
        tflite.DepthwiseConv2DOptionsAddDepthMultiplier(b, multiplier)
        tflite.DepthwiseConv2DOptionsAddDilationWFactor(b, dilation)
        tflite.DepthwiseConv2DOptionsAddDilationHFactor(b, 1)
        tflite.DepthwiseConv2DOptionsAddFusedActivationFunction(b, activation)
        options = tflite.DepthwiseConv2DOptionsEnd(b)
        kind = Options.DepthwiseConv2DOptions
        self._operator(Builtin.DEPTHWISE_CONV_2D, [source, weights, bias], output, kind, options)

    def elementwise(self, name, a, b, output, *, activation=0):
        """Add ADD, SUB or MUL."""
        kind = name.capitalize() + "Options"
        getattr(tflite, f"{kind}Start")(self.builder)
        getattr(tflite, f"{kind}AddFusedActivationFunction")(self.builder, activation)
        options = getattr(tflite, f"{kind}End")(self.builder)
        self._operator(getattr(Builtin, name), [a, b], output, getattr(Options, kind), options)

    def add(self, a, b, output, *, activation=0):
        """Add ADD."""
        self.elementwise("ADD", a, b, output, activation=activation)

    def pool(self, name, source, output, *, kernel, stride, same, activation=0):
        """Add AVERAGE_POOL_2D or MAX_POOL_2D with height 1."""
        b = self.builder
        tflite.Pool2DOptionsStart(b)
        tflite.Pool2DOptionsAddPadding(b, 0 if same else 1)
        tflite.Pool2DOptionsAddStrideW(b, stride)
        tflite.Pool2DOptionsAddStrideH(b, 1)
        tflite.Pool2DOptionsAddFilterWidth(b, kernel)
        tflite.Pool2DOptionsAddFilterHeight(b, 1)
        tflite.Pool2DOptionsAddFusedActivationFunction(b, activation)
        options = tflite.Pool2DOptionsEnd(b)
        self._operator(getattr(Builtin, name), [source], output, Options.Pool2DOptions, options)

    def concatenation(self, sources, output, *, axis):
        """Add CONCATENATION."""
        tflite.ConcatenationOptionsStart(self.builder)
        tflite.ConcatenationOptionsAddAxis(self.builder, axis)
        options = tflite.ConcatenationOptionsEnd(self.builder)
        kind = Options.ConcatenationOptions
        self._operator(Builtin.CONCATENATION, sources, output, kind, options)

    def strided_slice(self, source, begin, end, strides, output, *, begin_mask=0):
        """Add STRIDED_SLICE; `begin`, `end` and `strides` have one entry an axis."""
        tflite.StridedSliceOptionsStart(self.builder)
        tflite.StridedSliceOptionsAddBeginMask(self.builder, begin_mask)
        options = tflite.StridedSliceOptionsEnd(self.builder)
        kind = Options.StridedSliceOptions
        bounds = [self.constant(np.array(v, np.int32)) for v in (begin, end, strides)]
        self._operator(Builtin.STRIDED_SLICE, [source, *bounds], output, kind, options)

    def pad(self, source, paddings, output):
        """Add PAD; `paddings` has (front, behind) for each axis."""
        constant = self.constant(np.array(paddings, np.int32))
        self._operator(Builtin.PAD, [source, constant], output, 0, None)

    def unary(self, name, source, output):
        """Add an operator of one input and no options, such as TANH."""
        self._operator(getattr(Builtin, name), [source], output, 0, None)

    def leaky_relu(self, source, output, *, alpha):
        """Add LEAKY_RELU."""
        tflite.LeakyReluOptionsStart(self.builder)
        tflite.LeakyReluOptionsAddAlpha(self.builder, alpha)
        options = tflite.LeakyReluOptionsEnd(self.builder)
        self._operator(Builtin.LEAKY_RELU, [source], output, Options.LeakyReluOptions, options)

    def mean(self, source, axes, output, *, keep_dims=False):
        """Add MEAN; `axes` is the index of an int32 constant."""
        tflite.ReducerOptionsStart(self.builder)
        tflite.ReducerOptionsAddKeepDims(self.builder, keep_dims)
        options = tflite.ReducerOptionsEnd(self.builder)
        self._operator(Builtin.MEAN, [source, axes], output, Options.ReducerOptions, options)

    def reshape(self, source, output):
        """Add RESHAPE to the shape of `output`."""
        self._operator(Builtin.RESHAPE, [source], output, 0, None)

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
