"""Owns pairs of a print and the condition that its own map makes, and the choice between them and pairs of noise.

Does not map prints (`ridge_condition.py`, `minutiae_map.py`).
"""

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import pairs, preprocessing
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges import minutiae_map, print_scale, ridge_condition, ridge_map
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher import nist_tools

# In the networks' range, what each plane but the noise is where there is nothing of the finger.
NEUTRALS = {"ridges": ridge_condition.NEUTRAL, "minutiae": minutiae_map.NEUTRAL}


class MappedPairs(pairs.ReplicatedPrints):
    """Every print `num_replicas` times, each with a condition made from it.

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
        self._period = find_period(data_config)
        self._window = preprocessing.find_window(data_config)
        self._planes: dict[int, np.ndarray] = {}

    def create_condition(self, index: int, noise: np.ndarray) -> np.ndarray:
        """Create the condition of one pair with noise of the caller's, uint8 [height, width, 1], where it has any."""
        return self._add_noise(self._load_planes(int(index) // self._num_replicas), noise)

    def _create_condition(self, print_index: int, person: int, replica: int) -> np.ndarray:
        planes = self._load_planes(print_index)
        return self._add_noise(planes, self._create_noise((*planes.shape[:2], 1), person, replica))

    def _load_planes(self, print_index: int) -> np.ndarray:
        # Threads of tf.data may map one print twice, which is slower and nothing else.
        if print_index not in self._planes:
            self._planes[print_index] = self._map(self._prints.images[print_index][..., 0])
        return self._planes[print_index]

    def _map(self, image: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _add_noise(self, planes: np.ndarray, noise: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class RidgePairs(MappedPairs):
    """Pairs of a print and its ridge map, appearance and a noise plane of its own."""

    def _map(self, image: np.ndarray) -> np.ndarray:
        return ridge_condition.map_print(image, self._period, self._window)

    def _add_noise(self, planes: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return ridge_condition.add_noise(planes, noise)


class MinutiaePairs(MappedPairs):
    """Pairs of a print and its minutiae; its replicas differ in nothing but what training draws at random."""

    def __init__(self, prints: PrintSet, data_config: ConfigDict):
        """Find the tool, and map nothing yet; as of `RidgePairs`.

        Raises:
          UserError: nothing is installed that finds minutiae, or the images are too small for ridges.
        """
        super().__init__(prints, data_config)
        self._tool = find_minutiae_tool()
        self._stretch = print_scale.find_stretch(data_config)

    def _map(self, image: np.ndarray) -> np.ndarray:
        return minutiae_map.map_print(image, self._period, self._stretch, self._window, self._tool)

    def _add_noise(self, planes: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return planes


def find_period(data_config: ConfigDict) -> float:
    """Find the ridge period that prints are mapped with.

    Args:
      data_config: config.data.

    Returns:
      Pixels.

    Raises:
      UserError: the images are too small for ridges.
    """
    period = print_scale.find_sensor_period(data_config)
    if period < ridge_map.MIN_PERIOD:
        raise UserError(
            f"config.data.image_size={data_config.image_size}: ridges are {period:.2f} pixels apart, and are "
            f"mapped from {ridge_map.MIN_PERIOD}; make the images {ridge_map.MIN_PERIOD / period:.2f} times as large"
        )
    return period


def find_minutiae_tool() -> nist_tools.MatchingTool:
    """Find what finds minutiae.

    Raises:
      UserError: it is not installed.
    """
    try:
        return nist_tools.find_matching_tool()
    except nist_tools.ToolError as error:
        raise UserError(f"config.data.condition='minutiae': {error}") from error


def map_print(image: np.ndarray, noise: np.ndarray, data_config: ConfigDict) -> np.ndarray:
    """Make the condition of one print.

    Args:
      image: uint8 [height, width, 1], preprocessed.
      noise: uint8 [height, width, 1], which only a condition "ridges" has.
      data_config: config.data, of which `condition` is not "noise".

    Returns:
      uint8 of `config.derived.condition_shape`.

    Raises:
      UserError: as of the pairs.
    """
    single = PrintSet(image[None], np.zeros(1, np.int32), ("print",))
    return _PAIRS[data_config.condition](single, data_config).create_condition(0, noise)


def draw_condition(condition: np.ndarray, name: str) -> np.ndarray:
    """Draw conditions as pictures.

    Args:
      condition: uint8 [..., height, width, condition channels].
      name: config.data.condition.

    Returns:
      uint8 [..., height, width, channels]; noise as it is.
    """
    if name == "ridges":
        return ridge_condition.draw_condition(condition)[..., None]
    return condition


def create_pairs(prints: PrintSet, data_config: ConfigDict) -> pairs.ReplicatedPrints:
    """Create the training pairs of prints.

    Args:
      prints: preprocessed.
      data_config: config.data.

    Returns:
      num_replicas pairs of every print, of the kind that `condition` names.

    Raises:
      UserError: as of the pairs.
    """
    return _PAIRS.get(data_config.condition, pairs.ReplicatedPrints)(prints, data_config)


_PAIRS = {"ridges": RidgePairs, "minutiae": MinutiaePairs}
