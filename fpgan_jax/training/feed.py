"""Owns what feeds a training's step in this process: batches from the host, or indices of examples on the devices."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np


class Feed:
    """The batches of a `feeding.Source`, as config.data.feeding (`kind`) asks for them.

    Attributes:
      data_hash: identifies the examples.
      examples: for "device", the whole training set as arrays [num_examples, ...]; otherwise None.
    """

    def __init__(self, source: Any, kind: str):
        """Load the examples if the devices keep them.

        Raises:
          UserError: the examples are too large for the devices.
        """
        self._source = source
        self.data_hash: str = source.data_hash
        self.examples: Mapping[str, np.ndarray] | None = source.load_examples() if kind == "device" else None

    def create_batches(
        self, start_step: int, num_steps: int
    ) -> Iterator[Mapping[str, np.ndarray] | np.ndarray]:
        """Iterate over this process's part of the batches from `start_step` (from 0) on: examples, or their indices.

        A batch depends on its step only.
        """
        source = self._source
        create = source.create_batches if self.examples is None else source.create_index_batches
        processes = {"process_index": jax.process_index(), "process_count": jax.process_count()}
        return create(start_step, num_steps, **processes)

    def name_examples(self, step: int) -> Sequence[str]:
        """Name the examples of a step's global batch; steps are counted from 0."""
        return self._source.name_examples(step)
