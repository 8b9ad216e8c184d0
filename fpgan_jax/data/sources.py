"""Owns what a trainer asks of its data: how many examples, whose, and the batches from a step on.

Does not import TensorFlow unless the batches come from it. Does not put batches on devices.
"""

import jax

from fpgan_jax.data import feeding, pairs


class GanSource:
    def __init__(self, config):
        from fpgan_jax.data import input_pipeline

        self._config = config
        self._pairs = input_pipeline.create_pairs(config)
        self.num_examples = len(self._pairs)
        self.pairs = [self._pairs.identify(index) for index in range(len(self._pairs))]

    def create_batches(self, start_step, num_steps):
        return feeding.create_gan_batches(
            self._config, start_step, num_steps, process_index=jax.process_index(), process_count=jax.process_count()
        )

    def load_samples(self, num_samples):
        n = len(self._pairs)
        stride = max(1, n // num_samples)
        return pairs.create_batch(self._pairs, range(0, n, stride)[:num_samples])


class ClassifierSource:
    def __init__(self, config):
        from fpgan_jax.data import input_pipeline

        self._config = config
        self.persons = input_pipeline.select_persons(config)

    def create_batches(self, start_step, num_steps):
        return feeding.create_classifier_batches(
            self._config, start_step, num_steps, process_index=jax.process_index(), process_count=jax.process_count()
        )
create_gan_source=GanSource
create_classifier_source=ClassifierSource
