"""Owns what a trainer asks of its data: what there is, and the batches from any step on, as NumPy.

Does not import TensorFlow unless the data come from it: a host without TensorFlow trains from arrays
of its own. Does not put batches on devices; `fpgan_jax.parallel` does.
"""

from collections.abc import Callable, Iterator

import numpy as np

from fpgan_jax.data import order, pairs, prints
from fpgan_jax.errors import UserError

Batch = dict[str, np.ndarray]
# (start_step, num_steps, process_index, process_count) -> the batches of these steps.
BatchMaker = Callable[[int, int, int, int], Iterator[Batch]]


class Source:
    """Training examples as a loop asks for them.

    Attributes:
      num_examples: examples in an epoch.
      data_hash: tells the data from any other, wherever they lie.
    """

    def __init__(self, num_examples: int, data_hash: str, make_batches: BatchMaker):
        """Args: the size of an epoch, its hash, and how batches are made; see the functions below."""
        self.num_examples = num_examples
        self.data_hash = data_hash
        self._make_batches = make_batches

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


class GanSource(Source):
    """The training pairs of the GAN.

    Attributes:
      pair_ids: (person, replica) of each pair, in the order of the set.
      pair_names: the pairs' file names, where they come from files.
    """

    def __init__(self, training_pairs: pairs.Pairs, make_batches: BatchMaker):
        """Args: the set, and how its batches are made."""
        super().__init__(len(training_pairs), training_pairs.data_hash, make_batches)
        self._pairs = training_pairs
        self.pair_names = training_pairs.names
        self.pair_ids = [training_pairs.identify(index) for index in range(self.num_examples)]

    def load_samples(self, num_samples: int) -> Batch:
        """Load the first pairs of different persons, or of the set where persons are unknown.

        Args:
          num_samples: how many; fewer where the set holds fewer.

        Returns:
          As `pairs.create_batch`.
        """
        firsts = {}
        for index, (person, _) in enumerate(self.pair_ids):
            # Unknown persons are told apart by a key that no id has.
            firsts.setdefault(("pair", index) if person == pairs.UNKNOWN else person, index)
        return pairs.create_batch(self._pairs, list(firsts.values())[:num_samples])


class ClassifierSource(Source):
    """The training prints of the classifier.

    Attributes:
      persons: their ids, in the order of the classes.
    """

    def __init__(self, training_prints: prints.PrintSet, make_batches: BatchMaker):
        """Args: the set, and how its batches are made."""
        super().__init__(len(training_prints), training_prints.data_hash, make_batches)
        self.persons = tuple(int(person) for person in np.unique(training_prints.persons))


def create_gan_source(config) -> GanSource:
    """Create the source of the pairs that a config names, batched by tf.data.

    Args:
      config: as in configs/pix2pix_socofing.py.

    Returns:
      The source.

    Raises:
      UserError: as `input_pipeline.create_pairs`.
    """
    from fpgan_jax.data import input_pipeline

    training_pairs = input_pipeline.create_pairs(config)

    def make_batches(start_step, num_steps, process_index, process_count):
        dataset = input_pipeline.make_gan_dataset(
            config,
            start_step=start_step,
            num_steps=num_steps,
            process_index=process_index,
            process_count=process_count,
            training_pairs=training_pairs,
        )
        return _iterate(dataset)

    return GanSource(training_pairs, make_batches)


def create_gan_source_from_prints(config, training_prints: prints.PrintSet) -> GanSource:
    """Create the same source from prints in memory, without TensorFlow.

    Args:
      config: as in configs/pix2pix_socofing.py.
      training_prints: preprocessed prints, one a person.

    Returns:
      The source; its batches equal those of `create_gan_source` for the same prints.
    """
    training_pairs = pairs.ReplicatedPrints(training_prints, config.data)

    def make_batches(start_step, num_steps, process_index, process_count):
        order.divide_batch("config.global_batch_size", config.global_batch_size, process_count)
        return (
            pairs.create_batch_of_step(
                step, training_pairs, config, process_index=process_index, process_count=process_count
            )
            for step in range(start_step, start_step + num_steps)
        )

    return GanSource(training_pairs, make_batches)


def create_classifier_source(config) -> ClassifierSource:
    """Create the source of the real prints that a config names, batched by tf.data.

    Args:
      config: as in configs/pix2pix_socofing.py.

    Returns:
      The source.

    Raises:
      UserError: as `input_pipeline.load_prints`.
    """
    from fpgan_jax.data import input_pipeline

    training_prints = input_pipeline.load_prints(config)

    def make_batches(start_step, num_steps, process_index, process_count):
        dataset = input_pipeline.make_classifier_dataset(
            config,
            start_step=start_step,
            num_steps=num_steps,
            process_index=process_index,
            process_count=process_count,
            training_prints=training_prints,
        )
        return _iterate(dataset)

    return ClassifierSource(training_prints, make_batches)


def create_classifier_source_from_prints(config, training_prints: prints.PrintSet) -> ClassifierSource:
    """Create the same source from prints in memory, without TensorFlow.

    Args:
      config: as in configs/pix2pix_socofing.py.
      training_prints: preprocessed prints.

    Returns:
      The source; its batches equal those of `create_classifier_source` for the same prints.
    """

    def make_batches(start_step, num_steps, process_index, process_count):
        batch_size = config.classifier.global_batch_size
        order.divide_batch("config.classifier.global_batch_size", batch_size, process_count)
        return (
            prints.create_labelled_batch(
                step, training_prints, config, process_index=process_index, process_count=process_count
            )
            for step in range(start_step, start_step + num_steps)
        )

    return ClassifierSource(training_prints, make_batches)


def _iterate(dataset) -> Iterator[Batch]:
    import tensorflow as tf

    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:
        # TensorFlow passes on only the text of what a mapped Python function raises.
        _, is_user_error, text = error.message.partition(f"{UserError.__name__}: ")
        if not is_user_error:
            raise
        raise UserError(text.splitlines()[0]) from error
