"""Owns what a trainer asks of its data: what there is, and the batches from any step on, as NumPy.

Does not import TensorFlow unless tf.data makes the batches or the prints are read through it: a host without
TensorFlow trains from an archive or from arrays of its own. Does not put anything on devices;
`fpgan_jax.parallel` does.
"""

import contextlib
import importlib.util
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.data import order, pairs, print_loading, prints
from fpgan_jax.data.ridges import ridge_pairs
from fpgan_jax.errors import UserError

Batch = dict[str, np.ndarray]
# (start_step, num_steps, process_index, process_count) -> the batches of these steps.
BatchMaker = Callable[[int, int, int, int], Iterator[Batch]]


# What config.data.feeding "device" may take of every device's memory.
MAX_DEVICE_BYTES = 2 * 2**30


class Source:
    """Training examples as a loop asks for them.

    Attributes:
      num_examples: examples in an epoch.
      data_hash: tells the data from any other, wherever they lie.
    """

    def __init__(
        self,
        num_examples: int,
        data_hash: str,
        make_batches: BatchMaker,
        *,
        batch_size_field: str,
        global_batch_size: int,
        shuffle_seed: int,
    ):
        """Args: an epoch's size, its hash, how batches are made, and what decides their order."""
        self.num_examples = num_examples
        self.data_hash = data_hash
        self._make_batches = make_batches
        self._batch_size_field = batch_size_field
        self._global_batch_size = global_batch_size
        self._shuffle_seed = shuffle_seed

    def create_batches(
        self, start_step: int, num_steps: int, *, process_index: int = 0, process_count: int = 1
    ) -> Iterator[Batch]:
        """Iterate over the batches from one step on; a batch depends on its step only.

        Args:
          start_step: the first batch's step, from 0.
          num_steps: number of batches.
          process_index: of this process.
          process_count: number of processes; each gets its rows of every global batch.

        Returns:
          num_steps dicts, as of `pairs.create_batch` or `prints.create_labelled_batch`.

        Raises:
          UserError: the batch cannot be divided; later, a pair file has become unreadable.
        """
        return self._make_batches(start_step, num_steps, process_index, process_count)

    def create_index_batches(
        self, start_step: int, num_steps: int, *, process_index: int = 0, process_count: int = 1
    ) -> Iterator[np.ndarray]:
        """Iterate over the same batches as places in `load_examples`, for config.data.feeding "device".

        Args:
          start_step: as of `create_batches`, like the other arguments.
          num_steps: number of batches.
          process_index: of this process.
          process_count: number of processes.

        Returns:
          num_steps arrays [global_batch_size / process_count], int32.

        Raises:
          UserError: the batch cannot be divided.
        """
        order.divide_batch(self._batch_size_field, self._global_batch_size, process_count)
        return (
            order.slice_for_process(self._choose_examples(step), process_index, process_count).astype(
                np.int32
            )
            for step in range(start_step, start_step + num_steps)
        )

    def name_examples(self, step: int) -> list[str]:
        """Name the examples of a step's batch, over all processes, so that they can be looked at.

        Args:
          step: from 0.

        Returns:
          A text an example, with the name of its file.
        """
        return [self._name_example(int(index)) for index in self._choose_examples(step)]

    def load_examples(self) -> Batch:
        """Load the whole set, for config.data.feeding "device".

        Returns:
          One batch of all examples, in the order of the set.

        Raises:
          UserError: as `check_device_size`, or a pair file is unreadable.
        """
        self.check_device_size()
        return self._load_all()

    def check_device_size(self) -> None:
        """Check that the whole set may lie on every device.

        Raises:
          UserError: it takes more than `MAX_DEVICE_BYTES`.
        """
        num_bytes = self._count_bytes()
        if num_bytes > MAX_DEVICE_BYTES:
            raise UserError(
                f"config.data.feeding='device': the training set takes {num_bytes / 2**30:.2f} GiB on every device, "
                f'more than {MAX_DEVICE_BYTES / 2**30:.0f}; use "tfdata"'
            )

    def _choose_examples(self, step: int) -> np.ndarray:
        """Return the places of a step's global batch, int64."""
        return order.batch_indices(
            step,
            global_batch_size=self._global_batch_size,
            num_examples=self.num_examples,
            seed=self._shuffle_seed,
        )

    def _count_bytes(self) -> int:
        raise NotImplementedError

    def _load_all(self) -> Batch:
        raise NotImplementedError

    def _name_example(self, index: int) -> str:
        raise NotImplementedError


class GanSource(Source):
    """The training pairs of the GAN.

    Attributes:
      pair_ids: (person, replica) of each pair, in the order of the set.
      pair_names: the pairs' file names, where they come from files.
      description: what was found, a line for people; empty where there is nothing to say.
    """

    def __init__(
        self,
        training_pairs: pairs.Pairs,
        make_batches: BatchMaker,
        config: ConfigDict,
        create_validation_pairs: Callable[[], pairs.Pairs | None] = lambda: None,
    ):
        """Bind the set.

        Args:
          training_pairs: the set.
          make_batches: how its batches are made.
          config: batch size and order are used.
          create_validation_pairs: makes the pairs that the training is watched on, if there are any.
        """
        super().__init__(
            len(training_pairs),
            training_pairs.data_hash,
            make_batches,
            batch_size_field="config.global_batch_size",
            global_batch_size=config.global_batch_size,
            shuffle_seed=config.data.shuffle_seed,
        )
        self._pairs = training_pairs
        self._create_validation_pairs = create_validation_pairs
        self.description = getattr(training_pairs, "description", "")
        self.pair_names = training_pairs.names
        self.pair_ids = [training_pairs.identify(index) for index in range(self.num_examples)]

    def load_samples(self, num_samples: int) -> Batch:
        """Load the first pairs of different persons, or of the set where persons are unknown.

        Args:
          num_samples: how many; fewer where the set holds fewer.

        Returns:
          As `pairs.create_batch`.
        """
        firsts: dict[Hashable, int] = {}
        for index, (person, _) in enumerate(self.pair_ids):
            # Unknown persons are told apart by a key that no id has.
            firsts.setdefault(("pair", index) if person == pairs.UNKNOWN else person, index)
        return pairs.create_batch(self._pairs, list(firsts.values())[:num_samples])

    def load_validation(self) -> Batch:
        """Load the validation pairs.

        Returns:
          As of `pairs.create_batch`; empty where there are none.

        Raises:
          UserError: a file is bad.
        """
        validation_pairs = self._create_validation_pairs()
        if validation_pairs is None:
            return {}
        if description := getattr(validation_pairs, "description", ""):
            self.description += f"; validation on {description}"
        return pairs.create_batch(validation_pairs, range(len(validation_pairs)))

    def _count_bytes(self) -> int:
        pair = self._pairs[0]
        return self.num_examples * (pair["noise_image"].nbytes + pair["real_image"].nbytes)

    def _load_all(self) -> Batch:
        return pairs.create_batch(self._pairs, range(self.num_examples))

    def _name_example(self, index: int) -> str:
        return self._pairs.describe(index)


class ClassifierSource(Source):
    """The training prints of the classifier.

    Attributes:
      persons: their ids, in the order of the classes.
    """

    def __init__(self, training_prints: prints.PrintSet, make_batches: BatchMaker, config: ConfigDict):
        """Args: the set, how its batches are made, and the config (batch size and order are used)."""
        super().__init__(
            len(training_prints),
            training_prints.data_hash,
            make_batches,
            batch_size_field="config.classifier.global_batch_size",
            global_batch_size=config.classifier.global_batch_size,
            shuffle_seed=config.data.shuffle_seed,
        )
        self._prints = training_prints
        self.persons = tuple(int(person) for person in np.unique(training_prints.persons))

    def _count_bytes(self) -> int:
        return self._prints.images.nbytes

    def _load_all(self) -> Batch:
        return {"image": self._prints.images, "label": prints.label_prints(self._prints)}

    def _name_example(self, index: int) -> str:
        return self._prints.filenames[index]


class MixedClassifierSource(ClassifierSource):
    """Real prints and synthetic ones, of which every batch holds half each, however many there are of either.

    In rows 0, 2, 4, ... of a batch are real prints (one more where the batch is odd), in the others synthetic ones;
    each kind comes in an order of its own, in epochs of its own. So every device gets its share of both.
    """

    def __init__(self, real_prints: prints.PrintSet, synthetic_prints: prints.PrintSet, config: ConfigDict):
        """Args: the two sets, of the same persons, and the config (batch size and order are used)."""
        if set(real_prints.persons.tolist()) != set(synthetic_prints.persons.tolist()):
            raise ValueError("the real and the synthetic prints are not of the same persons")
        both = prints.PrintSet(
            np.concatenate([real_prints.images, synthetic_prints.images]),
            np.concatenate([real_prints.persons, synthetic_prints.persons]),
            (*real_prints.filenames, *synthetic_prints.filenames),
        )
        super().__init__(both, self._gather_batches, config)
        self._nums = (len(real_prints), len(synthetic_prints))

    def _choose_examples(self, step: int) -> np.ndarray:
        num_real, num_synthetic = self._nums
        indices = np.empty(self._global_batch_size, np.int64)
        for first, num_examples, offset in ((0, num_real, 0), (1, num_synthetic, num_real)):
            rows = indices[first::2]
            rows[:] = offset + order.batch_indices(
                step, global_batch_size=len(rows), num_examples=num_examples, seed=self._shuffle_seed
            )
        return indices

    def _gather_batches(
        self, start_step: int, num_steps: int, process_index: int, process_count: int
    ) -> Iterator[Batch]:
        examples = self._load_all()
        return (
            {name: values[indices] for name, values in examples.items()}
            for indices in self.create_index_batches(
                start_step, num_steps, process_index=process_index, process_count=process_count
            )
        )


def create_gan_source(config: ConfigDict) -> GanSource:
    """Create the source of the pairs that a config names, batched by tf.data or gathered on the devices.

    Args:
      config: as in configs/pix2pix_socofing.py.

    Returns:
      The source.

    Raises:
      UserError: as `print_loading.create_pairs`, or config.data.feeding wants TensorFlow where there is none.
    """
    _check_feeding(config)
    training_pairs = print_loading.create_pairs(config)

    def make_batches(
        start_step: int, num_steps: int, process_index: int, process_count: int
    ) -> Iterator[Batch]:
        from fpgan_jax.data import input_pipeline

        dataset = input_pipeline.make_gan_dataset(
            config,
            start_step=start_step,
            num_steps=num_steps,
            process_index=process_index,
            process_count=process_count,
            training_pairs=training_pairs,
        )
        return _iterate(dataset)

    return GanSource(
        training_pairs, make_batches, config, lambda: print_loading.create_validation_pairs(config)
    )


def create_gan_source_from_prints(config: ConfigDict, training_prints: prints.PrintSet) -> GanSource:
    """Create the same source from prints in memory, without TensorFlow.

    Args:
      config: as in configs/pix2pix_socofing.py.
      training_prints: preprocessed prints, one a person.

    Returns:
      The source; its batches equal those of `create_gan_source` for the same prints.

    Raises:
      UserError: as `prints.check_prints`.
    """
    prints.check_prints(training_prints, config.data, is_one_a_person=True)
    return _create_source_in_memory(config, ridge_pairs.create_pairs(training_prints, config.data))


def create_gan_source_from_pairs(
    config: ConfigDict, training_pairs: pairs.Pairs, validation_pairs: pairs.Pairs | None = None
) -> GanSource:
    """Create the source of any pairs, as `pairs.ArrayPairs` of NumPy arrays, without TensorFlow.

    Args:
      config: as in configs/pix2pix_socofing.py; its data's size and num_channels are those of the pairs.
      training_pairs: what is trained on.
      validation_pairs: what the training is watched on, if anything.

    Returns:
      The source.

    Raises:
      UserError: the pairs are of another shape than the config's images.
    """
    for own in (training_pairs, validation_pairs):
        shapes = {} if own is None else {name: own[0][name].shape for name in ("noise_image", "real_image")}
        wanted = {
            "noise_image": condition_shape(config.data),
            "real_image": image_shape(config.data),
        }
        for name, shape in shapes.items():
            if shape != wanted[name]:
                raise UserError(
                    f"{name}: {shape} (height, width, channels), where the config's are {wanted[name]}; set "
                    "config.data.image_size, image_width and num_channels"
                )
    return _create_source_in_memory(config, training_pairs, lambda: validation_pairs)


def _create_source_in_memory(
    config: ConfigDict,
    training_pairs: pairs.Pairs,
    create_validation_pairs: Callable[[], pairs.Pairs | None] = lambda: None,
) -> GanSource:
    def make_batches(
        start_step: int, num_steps: int, process_index: int, process_count: int
    ) -> Iterator[Batch]:
        order.divide_batch("config.global_batch_size", config.global_batch_size, process_count)
        return (
            pairs.create_batch_of_step(
                step, training_pairs, config, process_index=process_index, process_count=process_count
            )
            for step in range(start_step, start_step + num_steps)
        )

    return GanSource(training_pairs, make_batches, config, create_validation_pairs)


def create_classifier_source(config: ConfigDict) -> ClassifierSource:
    """Create the source of the real prints that a config names, batched by tf.data or gathered on the devices.

    Args:
      config: as in configs/pix2pix_socofing.py.

    Returns:
      The source.

    Raises:
      UserError: as `print_loading.load_prints`, or config.data.feeding wants TensorFlow where there is none.
    """
    _check_feeding(config)
    training_prints = print_loading.load_prints(config)

    def make_batches(
        start_step: int, num_steps: int, process_index: int, process_count: int
    ) -> Iterator[Batch]:
        from fpgan_jax.data import input_pipeline

        dataset = input_pipeline.make_classifier_dataset(
            config,
            start_step=start_step,
            num_steps=num_steps,
            process_index=process_index,
            process_count=process_count,
            training_prints=training_prints,
        )
        return _iterate(dataset)

    return ClassifierSource(training_prints, make_batches, config)


def create_classifier_source_from_prints(
    config: ConfigDict, training_prints: prints.PrintSet
) -> ClassifierSource:
    """Create the same source from prints in memory, without TensorFlow.

    Args:
      config: as in configs/pix2pix_socofing.py.
      training_prints: preprocessed prints.

    Returns:
      The source; its batches equal those of `create_classifier_source` for the same prints.

    Raises:
      UserError: as `prints.check_prints`.
    """
    prints.check_prints(training_prints, config.data)

    def make_batches(
        start_step: int, num_steps: int, process_index: int, process_count: int
    ) -> Iterator[Batch]:
        batch_size = config.classifier.global_batch_size
        order.divide_batch("config.classifier.global_batch_size", batch_size, process_count)
        return (
            prints.create_labelled_batch(
                step, training_prints, config, process_index=process_index, process_count=process_count
            )
            for step in range(start_step, start_step + num_steps)
        )

    return ClassifierSource(training_prints, make_batches, config)


def _check_feeding(config: ConfigDict) -> None:
    """Find out now, not after hours of another stage, that tf.data is not to be had."""
    if config.data.feeding != "tfdata":
        return
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            "config.data.feeding='tfdata': TensorFlow cannot be imported here (it is not installed); use \"device\""
        )
    # Takes two seconds, in which networks are compiled; whoever needs it sooner waits for it.
    threading.Thread(target=_import_tensorflow).start()


def _import_tensorflow() -> None:
    # An error is raised again where TensorFlow is used.
    with contextlib.suppress(Exception):
        import tensorflow  # noqa: F401


def _iterate(dataset: Any) -> Iterator[Batch]:
    import tensorflow as tf

    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:
        # TensorFlow passes on only the text of what a mapped Python function raises.
        _, is_user_error, text = error.message.partition(f"{UserError.__name__}: ")
        if not is_user_error:
            raise
        raise UserError(text.splitlines()[0]) from error
