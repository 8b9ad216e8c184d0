"""Owns pairs of a print and the condition that its ridge map makes, and the choice between them and pairs of noise.

Does not map ridges (`ridge_condition.py`).
"""

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import pairs, preprocessing
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges import print_scale, ridge_condition, ridge_map
from fpgan_jax.errors import UserError


class RidgePairs(pairs.ReplicatedPrints):
    """Every print `num_replicas` times, each with its ridge map and appearance and a noise plane of its own.

    A print is mapped when it is first asked for.
    """

    def __init__(self, prints: PrintSet, data_config: ConfigDict):
        """Map nothing yet.

        Args:
          prints: to replicate.
          data_config: config.data, as of `pairs.ReplicatedPrints`; the prints' scale and frame are used too.

        Raises:
          UserError: the images are too small for ridges.
        """
        super().__init__(prints, data_config)
        self._period = print_scale.find_sensor_period(data_config)
        if self._period < ridge_map.MIN_PERIOD:
            raise UserError(
                f"config.data.image_size={data_config.image_size}: ridges are {self._period:.2f} pixels apart, and are "
                f"mapped from {ridge_map.MIN_PERIOD}; make the images {ridge_map.MIN_PERIOD / self._period:.2f} times "
                "as large"
            )
        self._window = preprocessing.find_window(data_config)
        self._planes: dict[int, np.ndarray] = {}

    def load_planes(self, index: int) -> np.ndarray:
        """Return the condition of one pair but for its noise, as of `ridge_condition.create_planes`."""
        return self._load_planes(int(index) // self._num_replicas)

    def _create_condition(self, print_index: int, person: int, replica: int) -> np.ndarray:
        planes = self._load_planes(print_index)
        return ridge_condition.add_noise(planes, self._create_noise((*planes.shape[:2], 1), person, replica))

    def _load_planes(self, print_index: int) -> np.ndarray:
        # Threads of tf.data may map one print twice, which is slower and nothing else.
        if print_index not in self._planes:
            image = self._prints.images[print_index][..., 0]
            self._planes[print_index] = ridge_condition.map_print(image, self._period, self._window)
        return self._planes[print_index]


def create_pairs(prints: PrintSet, data_config: ConfigDict) -> pairs.ReplicatedPrints:
    """Create the training pairs of prints.

    Args:
      prints: preprocessed.
      data_config: config.data.

    Returns:
      num_replicas pairs of every print, of the kind that `condition` names.
    """
    return (RidgePairs if data_config.condition == "ridges" else pairs.ReplicatedPrints)(prints, data_config)
