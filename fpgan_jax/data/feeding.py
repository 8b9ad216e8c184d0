"""Training examples as a loop asks for them: what there is, and the batches from any step on, as NumPy arrays.

tf.data makes the batches of prints that were read through TensorFlow; for all others nothing imports it, which takes
seconds. `fpgan_jax.parallel` puts batches on devices.
"""

import abc
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.data import order, pairs, print_loading, prints
from fpgan_jax.data.ridges import ridge_pairs
from fpgan_jax.errors import UserError
from fpgan_jax.host.cores import count_cores
from fpgan_jax.host.thread_pool import map_ahead

Batch = dict[str, np.ndarray]

# How much of every device's memory the examples may take with config.data.feeding "device".
MAX_DEVICE_BYTES = 2 * 2**30

# Where a source's batches are made: by whoever asks for one, or ahead in threads, Python's or those of tf.data.
ON_DEMAND, THREADS, TFDATA = "on_demand", "threads", "tfdata"
# Batches that are ready or being made in Python's threads: a dispatch may take several at once.
_NUM_AHEAD = 16


class Source(abc.ABC):
    """Training examples and their order.

    Attributes:
      num_examples: examples in an epoch.
      data_hash: identifies the examples, wherever they are stored.
    """

    _batch_size_field: str

    def __init__(
        self,
        examples: pairs.Pairs | prints.PrintSet,
        global_batch_size: int,
        shuffle_seed: int,
        made_by: str,
    ):
        self.num_examples = len(examples)
        self.data_hash = examples.data_hash
        self._global_batch_size = global_batch_size
        self._shuffle_seed = shuffle_seed
        assert made_by in (ON_DEMAND, THREADS, TFDATA)
        self._made_by = made_by

    def create_batches(
        self, start_step: int, num_steps: int, *, process_index: int = 0, process_count: int = 1
    ) -> Iterator[Batch]:
        """Iterate over this process's rows of the batches from one step on; a batch depends on its step only.

        Raises:
          UserError: the batch cannot be divided; later, a pair file has become unreadable.
        """
        batch_size = order.divide_batch(self._batch_size_field, self._global_batch_size, process_count)

        def create_batch(step: int) -> Batch:
            return self._take(order.slice_for_process(self._choose(step), process_index, process_count))

        steps = range(start_step, start_step + num_steps)
        if self._made_by == ON_DEMAND:
            return map(create_batch, steps)
        if self._made_by == THREADS:
            return _make_ahead(create_batch, steps)
        from fpgan_jax.data import input_pipeline

        example = {name: (leaf.shape[1:], leaf.dtype) for name, leaf in self._take([0]).items()}
        return input_pipeline.create_batches(create_batch, steps, batch_size, example)

    def create_index_batches(
        self, start_step: int, num_steps: int, *, process_index: int = 0, process_count: int = 1
    ) -> Iterator[np.ndarray]:
        """Iterate over the same batches as indices into `load_examples`, int32, for config.data.feeding "device".

        Raises:
          UserError: the batch cannot be divided.
        """
        order.divide_batch(self._batch_size_field, self._global_batch_size, process_count)
        return (
            order.slice_for_process(self._choose(step), process_index, process_count).astype(np.int32)
            for step in range(start_step, start_step + num_steps)
        )

    def name_examples(self, step: int) -> list[str]:
        """Name the examples of a step's global batch by their files."""
        return [self._name(int(index)) for index in self._choose(step)]

    def load_examples(self) -> Batch:
        """Load all examples, in the order of their indices.

        Raises:
          UserError: as `check_device_size`, or a pair file is unreadable.
        """
        self.check_device_size()
        return self._take(range(self.num_examples))

    def check_device_size(self) -> None:
        """Check that all examples fit on every device.

        Raises:
          UserError: they take more than `MAX_DEVICE_BYTES`.
        """
        example = self._take([0])
        num_bytes = self.num_examples * sum(leaf.nbytes for leaf in example.values() if leaf.ndim > 1)
        if num_bytes > MAX_DEVICE_BYTES:
            raise UserError(
                f"config.data.feeding='device': the training set takes {num_bytes / 2**30:.2f} GiB on every device, "
                f'more than {MAX_DEVICE_BYTES / 2**30:.0f}; use "tfdata"'
            )

    def _choose(self, step: int) -> np.ndarray:
        """Return the indices of a step's global batch, int64."""
        return order.batch_indices(
            step,
            global_batch_size=self._global_batch_size,
            num_examples=self.num_examples,
            seed=self._shuffle_seed,
        )

    @abc.abstractmethod
    def _take(self, indices: Sequence[int] | np.ndarray) -> Batch: ...

    @abc.abstractmethod
    def _name(self, index: int) -> str: ...


class GanSource(Source):
    """The training pairs of the GAN; a batch is that of `pairs.create_batch`.

    Attributes:
      pair_ids: (person, replica) of each pair.
      pair_names: the pairs' file names, if they come from files.
      description: what was found, in one line; may be empty.
    """

    _batch_size_field = "config.global_batch_size"

    def __init__(
        self,
        config: ConfigDict,
        training_pairs: pairs.Pairs,
        create_validation_pairs: Callable[[], pairs.Pairs | None] = lambda: None,
        *,
        made_by: str = ON_DEMAND,
    ):
        """Keep the pairs; batches are made `ON_DEMAND`, or ahead of the training by `THREADS` or `TFDATA`."""
        super().__init__(training_pairs, config.global_batch_size, config.data.shuffle_seed, made_by)
        self._pairs = training_pairs
        self._create_validation_pairs = create_validation_pairs
        self.description = training_pairs.description
        self.pair_names = training_pairs.names
        self.pair_ids = [training_pairs.identify(index) for index in range(self.num_examples)]

    def load_samples(self, num_samples: int) -> Batch:
        """Load the first pair of each person, or the first pairs if persons are unknown; at most `num_samples`."""
        firsts: dict[Hashable, int] = {}
        for index, (person, _) in enumerate(self.pair_ids):
            # Each unknown person gets a key that no id has.
            firsts.setdefault(("pair", index) if person == pairs.UNKNOWN else person, index)
        return pairs.create_batch(self._pairs, list(firsts.values())[:num_samples])

    def load_validation(self) -> Batch:
        """Load the validation pairs; an empty dict if there are none.

        Raises:
          UserError: a file is bad.
        """
        validation_pairs = self._create_validation_pairs()
        if validation_pairs is None:
            return {}
        if validation_pairs.description:
            self.description += f"; validation on {validation_pairs.description}"
        return pairs.create_batch(validation_pairs, range(len(validation_pairs)))

    def _take(self, indices: Sequence[int] | np.ndarray) -> Batch:
        return pairs.create_batch(self._pairs, indices)

    def _name(self, index: int) -> str:
        return self._pairs.describe(index)


class ClassifierSource(Source):
    """The training prints of the classifier.

    A batch is {"image": [b, height, width, channels] uint8, "label": [b] int32}; a label is an index in `persons`.

    Attributes:
      persons: their ids, sorted.
    """

    _batch_size_field = "config.classifier.global_batch_size"

    def __init__(self, config: ConfigDict, training_prints: prints.PrintSet, *, made_by: str = ON_DEMAND):
        """Keep the prints; `made_by` as in `GanSource`."""
        super().__init__(
            training_prints, config.classifier.global_batch_size, config.data.shuffle_seed, made_by
        )
        self._filenames = training_prints.filenames
        persons, labels = np.unique(training_prints.persons, return_inverse=True)
        self._examples = {"image": training_prints.images, "label": labels.astype(np.int32)}
        self.persons = tuple(persons.tolist())

    def load_examples(self) -> Batch:
        """Return all prints and labels, without copying them."""
        self.check_device_size()
        return self._examples

    def _take(self, indices: Sequence[int] | np.ndarray) -> Batch:
        return {name: leaf[indices] for name, leaf in self._examples.items()}

    def _name(self, index: int) -> str:
        return self._filenames[index]


class MixedClassifierSource(ClassifierSource):
    """Real and synthetic prints, half of every batch each, however many there are of either.

    Rows 0, 2, 4, ... of a batch are real (one more if the batch is odd), the others synthetic; each kind has its own
    order and epochs. So every device gets its share of both.
    """

    def __init__(self, real_prints: prints.PrintSet, synthetic_prints: prints.PrintSet, config: ConfigDict):
        """Join the two sets, which must be of the same persons."""
        if set(real_prints.persons.tolist()) != set(synthetic_prints.persons.tolist()):
            raise ValueError("the real and the synthetic prints are not of the same persons")
        both = prints.PrintSet(
            np.concatenate([real_prints.images, synthetic_prints.images]),
            np.concatenate([real_prints.persons, synthetic_prints.persons]),
            (*real_prints.filenames, *synthetic_prints.filenames),
        )
        super().__init__(config, both)
        self._nums = (len(real_prints), len(synthetic_prints))

    def _choose(self, step: int) -> np.ndarray:
        num_real, num_synthetic = self._nums
        indices = np.empty(self._global_batch_size, np.int64)
        for first, num_examples, offset in ((0, num_real, 0), (1, num_synthetic, num_real)):
            rows = indices[first::2]
            rows[:] = offset + order.batch_indices(
                step, global_batch_size=len(rows), num_examples=num_examples, seed=self._shuffle_seed
            )
        return indices


def create_gan_source(config: ConfigDict) -> GanSource:
    """Create the source of a config's own pairs, batched ahead of the training or gathered on the devices.

    Raises:
      UserError: as `print_loading.create_pairs`.
    """
    return GanSource(
        config,
        print_loading.create_pairs(config),
        lambda: print_loading.create_validation_pairs(config),
        made_by=_choose_maker(config),
    )


def create_gan_source_from_prints(config: ConfigDict, training_prints: prints.PrintSet) -> GanSource:
    """Create the source of preprocessed prints in memory, one per person, without TensorFlow.

    Its batches equal those of `create_gan_source` for the same prints.
    """
    prints.check_prints(training_prints, config.data, is_one_a_person=True)
    return GanSource(config, ridge_pairs.create_pairs(training_prints, config.data))


def create_gan_source_from_pairs(
    config: ConfigDict, training_pairs: pairs.Pairs, validation_pairs: pairs.Pairs | None = None
) -> GanSource:
    """Create the source of any pairs, for example `pairs.ArrayPairs`, without TensorFlow.

    Raises:
      UserError: the pairs have another shape than the config's images.
    """
    shapes = {"noise_image": condition_shape(config.data), "real_image": image_shape(config.data)}
    for own in (training_pairs, validation_pairs or training_pairs):
        for name, shape in shapes.items():
            if own[0][name].shape != shape:
                raise UserError(
                    f"{name}: {own[0][name].shape} (height, width, channels), but the config says {shape}; set "
                    "config.data.image_size, image_width and num_channels"
                )
    return GanSource(config, training_pairs, lambda: validation_pairs)


def create_classifier_source(config: ConfigDict) -> ClassifierSource:
    """Create the source of a config's own real prints, batched ahead of the training or gathered on the devices.

    Raises:
      UserError: as `print_loading.load_prints`.
    """
    return ClassifierSource(config, print_loading.load_prints(config), made_by=_choose_maker(config))


def create_classifier_source_from_prints(
    config: ConfigDict, training_prints: prints.PrintSet
) -> ClassifierSource:
    """Create the source of preprocessed prints in memory, without TensorFlow.

    Its batches equal those of `create_classifier_source` for the same prints.
    """
    prints.check_prints(training_prints, config.data)
    return ClassifierSource(config, training_prints)


def _choose_maker(config: ConfigDict) -> str:
    return TFDATA if print_loading.needs_tensorflow(config.data) else THREADS


def _make_ahead(create_batch: Callable[[int], Batch], steps: range) -> Iterator[Batch]:
    pool = ThreadPoolExecutor(count_cores(), thread_name_prefix="batches")
    try:
        yield from map_ahead(pool, create_batch, steps, max_ahead=_NUM_AHEAD)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
