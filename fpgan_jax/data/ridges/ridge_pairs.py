"""Pairs of a print and the condition that is made from it, and the choice between them and pairs of noise."""

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import pairs, preprocessing
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges import minutiae_map, print_scale, ridge_condition, ridge_map
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher import nist_tools

# In the networks' range, the value of each plane but the noise beyond the finger.
NEUTRALS = {"ridges": ridge_condition.NEUTRAL, "minutiae": minutiae_map.NEUTRAL}


class MappedPairs(pairs.ReplicatedPrints):
    """Every print `num_replicas` times, each with a condition made from it when it is first asked for."""

    _has_noise: bool

    def __init__(self, prints: PrintSet, data_config: ConfigDict):
        """Keep the prints; of config.data their scale and frame are used, and what `pairs.ReplicatedPrints` needs.

        Raises:
          UserError: the images are too small for ridges.
        """
        super().__init__(prints, data_config)
        self._period = find_period(data_config)
        self._window = preprocessing.find_window(data_config)
        self._planes: dict[int, np.ndarray] = {}

    def create_condition(self, index: int, noise: np.ndarray) -> np.ndarray:
        """Create the condition of one pair with given noise, uint8 [height, width, 1], if the condition has noise."""
        print_index = int(index) // self._num_replicas
        # Threads may map a print twice, which only costs time.
        if print_index not in self._planes:
            self._planes[print_index] = self._map(self._prints.images[print_index][..., 0])
        planes = self._planes[print_index]
        return np.concatenate([planes, noise], axis=-1) if self._has_noise else planes

    def _create_condition(self, index: int) -> np.ndarray:
        return self.create_condition(index, self._create_noise(index, 1))

    def _map(self, image: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class RidgePairs(MappedPairs):
    """Pairs of a print and its ridge map, appearance and a noise plane."""

    _has_noise = True

    def __init__(self, prints: PrintSet, data_config: ConfigDict):
        """Keep the prints and the choice of filter, as `MappedPairs` does."""
        super().__init__(prints, data_config)
        self._ridge_filter = data_config.ridge_filter

    def _map(self, image: np.ndarray) -> np.ndarray:
        return ridge_condition.map_print(image, self._period, self._window, self._ridge_filter)


class MinutiaePairs(MappedPairs):
    """Pairs of a print and its minutiae; replicas differ only in what training draws at random."""

    _has_noise = False

    def __init__(self, prints: PrintSet, data_config: ConfigDict):
        """Find the tool, and keep the prints as `MappedPairs` does.

        Raises:
          UserError: no tool that finds minutiae is installed, or the images are too small for ridges.
        """
        super().__init__(prints, data_config)
        self._tool = find_minutiae_tool()
        self._stretch = print_scale.find_stretch(data_config)

    def _map(self, image: np.ndarray) -> np.ndarray:
        return minutiae_map.map_print(image, self._period, self._stretch, self._window, self._tool)


_PAIRS = {"ridges": RidgePairs, "minutiae": MinutiaePairs}


def find_period(data_config: ConfigDict) -> float:
    """Find the ridge period, in pixels, that prints are mapped with.

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
    """Find the tool that finds minutiae.

    Raises:
      UserError: it is not installed.
    """
    try:
        return nist_tools.find_matching_tool()
    except nist_tools.ToolError as error:
        raise UserError(f"config.data.condition='minutiae': {error}") from error


def map_print(image: np.ndarray, noise: np.ndarray, data_config: ConfigDict) -> np.ndarray:
    """Make the condition of one preprocessed print, with given noise; both uint8 [height, width, 1]."""
    single = PrintSet(image[None], np.zeros(1, np.int32), ("print",))
    return _PAIRS[data_config.condition](single, data_config).create_condition(0, noise)


def draw_condition(condition: np.ndarray, name: str) -> np.ndarray:
    """Draw conditions as pictures, uint8 [..., height, width, channels]; noise and minutiae stay as they are."""
    return ridge_condition.draw_condition(condition)[..., None] if name == "ridges" else condition


def create_pairs(prints: PrintSet, data_config: ConfigDict) -> pairs.ReplicatedPrints:
    """Create num_replicas training pairs of every preprocessed print, of the kind that `condition` names."""
    return _PAIRS.get(data_config.condition, pairs.ReplicatedPrints)(prints, data_config)
