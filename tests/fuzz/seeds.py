"""Write small valid blobs for the fuzzer to start from: `python -m tests.fuzz.seeds FOLDER`.

Of every operator the smallest of a few classifiers, and gates that run along the stream.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from export.blob import write_blob
from export.graph import read_graph
from export.native import FirmwareError
from export.score_rules import SCORE_RULES
from export.signal_chain import SignalChain
from export.streaming import plan_stream
from tests.kernel_cases import CASES
from tests.streamable import gate_blob, random_network

N_DRAWS = 8
BYTES_MAX = 4096


def classifiers(name: str) -> Iterator[bytes]:
    """Yield blobs of networks around one operator; not every draw has a kernel in the firmware."""
    for seed in range(N_DRAWS):
        data = CASES[name](np.random.default_rng(seed))
        try:
            yield write_blob(read_graph(data), SignalChain(), 1, data, score=None)
        except (FirmwareError, ValueError):
            continue


def gates() -> Iterator[bytes]:
    """Yield blobs that fit the fuzzer's inputs, of both score rules, one in two for streaming."""
    for seed in range(4 * N_DRAWS):
        graph, hop_len = random_network(seed)
        stream = plan_stream(graph, hop_len) if seed % 2 else None
        rule = list(SCORE_RULES)[seed // 2 % len(SCORE_RULES)]
        blob = gate_blob(graph, hop_len, stream, rule=rule)
        if len(blob) <= BYTES_MAX:
            yield blob


def main(folder: Path) -> None:
    """Write the seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CASES:
        blob = min(classifiers(name), key=len)
        (folder / f"{name}.bgm").write_bytes(blob)
    for index, blob in enumerate(islice(gates(), N_DRAWS)):
        (folder / f"gate-{index}.bgm").write_bytes(blob)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
