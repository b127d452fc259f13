"""What the converter makes of layers as one describes them.

Rules of the TFLite converter (TensorFlow 2.21) that decide which layers there are, found by
comparing descriptions with what it makes of the same networks, which a test repeats.
"""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace

from .layers import Layer, Op

FUSING = frozenset(
    {
        *(Op.CONV, Op.DEPTHWISE_CONV, Op.FULLY_CONNECTED),
        *(Op.ADD, Op.SUB, Op.MUL, Op.AVERAGE_POOL, Op.MAX_POOL),
    }
)
"""Operators that clamp their outputs: a ReLU behind is part of them."""


def convert(layers: Sequence[Layer], relus: Set[int], output: int) -> tuple[Layer, ...]:
    """Return the layers of a network as the converter leaves them.

    A ReLU becomes part of the layer it reads, or of the one in front of a reshape; two reshapes in
    a row become one. Both only where nobody else reads what lies between.

    Parameters
    ----------
    layers : as described; relus : the tensors that ReLUs write; output : the tensor they end in.
    """
    readers = Counter([output])
    kept: dict[int, Layer] = {}
    for layer in reversed(layers):  # later ones read what earlier ones write
        if readers[layer.output]:
            kept[layer.output] = layer
            readers.update(layer.inputs)

    def is_reshape_for_one(tensor: int) -> bool:
        return readers[tensor] == 1 and tensor in kept and kept[tensor].op == Op.RESHAPE

    for y in sorted(relus & kept.keys()):
        x = source = kept[y].inputs[0]
        while is_reshape_for_one(source):
            source = kept[source].inputs[0]
        if readers[source] == 1 and source in kept and kept[source].op in FUSING:
            kept[y] = replace(kept.pop(x), output=y)
    for y, layer in list(kept.items()):
        if layer.op == Op.RESHAPE and is_reshape_for_one(layer.inputs[0]):
            kept[y] = replace(layer, inputs=kept.pop(layer.inputs[0]).inputs)
    return tuple(kept.values())
