"""Owns what feeds a training's step in this process: batches from the host, or indices of examples on the devices.

Does not own the examples or their order (`data/feeding.py`), nor puts anything on devices (`parallel.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np


class Feed:
    """A source's batches, as config.data.feeding asks for them.

    Attributes:
      data_hash: identifies the examples.
      examples: the whole training set as arrays [num_examples, ...] for the devices; None where batches are sent.
    """

    def __init__(self, source: Any, kind: str):
        """Load the examples if they are kept on the devices.

        Args:
          source: a `feeding.Source`.
          kind: config.data.feeding.

        Raises:
          UserError: the examples are too large for the devices.
        """
        self._source = source
        self.data_hash: str = source.data_hash
        self.examples: Mapping[str, np.ndarray] | None = source.load_examples() if kind == "device" else None

    def create_batches(
        self, start_step: int, num_steps: int
    ) -> Iterator[Mapping[str, np.ndarray] | np.ndarray]:
        """Iterate over this process's part of the batches: examples, or their indices in `examples`.

        Args:
          start_step: of the first batch, from 0; a batch depends on its step only.
          num_steps: number of batches.
        """
        source = self._source
        create = source.create_batches if self.examples is None else source.create_index_batches
        processes = {"process_index": jax.process_index(), "process_count": jax.process_count()}
        return create(start_step, num_steps, **processes)

    def name_examples(self, step: int) -> Sequence[str]:
        """Name the examples of a step's global batch; steps are counted from 0."""
        return self._source.name_examples(step)
