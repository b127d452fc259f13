"""Where each activation lies in the network's memory, known before anything is flashed."""

from dataclasses import dataclass

from .graph import Graph

ALIGNMENT = 4


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """Offsets of `Graph.tensors` in bytes, and the bytes of them all."""

    offsets: tuple[int, ...]
    n_bytes: int


def plan_arena(graph: Graph) -> ArenaPlan:
    """Place every tensor so that none that live at once overlap: largest first, lowest gap.

    References
    ----------
    Pisarchyk, Lee, *Efficient memory management for deep neural net inference*, 2020,
    arXiv:2001.03288 ("greedy by size").
    """
    lives = _lifetimes(graph)
    placed: dict[int, tuple[int, int]] = {}  # tensor -> (start, end)
    for tensor in sorted(lives, key=lambda i: (-graph.tensors[i].n_bytes, i)):
        first, last = lives[tensor]
        size = -(-graph.tensors[tensor].n_bytes // ALIGNMENT) * ALIGNMENT
        offset = 0
        rivals = (i for i in placed if lives[i][0] <= last and first <= lives[i][1])
        for start, end in sorted(placed[i] for i in rivals):
            if offset + size <= start:
                break
            offset = max(offset, end)
        placed[tensor] = (offset, offset + size)
    return ArenaPlan(
        offsets=tuple(placed[i][0] for i in range(len(graph.tensors))),
        n_bytes=max(end for _, end in placed.values()),
    )


def _lifetimes(graph: Graph) -> dict[int, tuple[int, int]]:
    """Return for every tensor the first and last layer that needs it."""
    lives = {graph.input: (-1, -1)}
    for index, layer in enumerate(graph.layers):
        for tensor in (*layer.inputs, layer.output):
            first, _ = lives.get(tensor, (index, index))
            lives[tensor] = (first, index)
    lives[graph.output] = (lives[graph.output][0], len(graph.layers))
    return lives
