"""Owns the training of one recognizer: for every arm the same number of steps, on batches with equal shares."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax

from fpgan_jax.data import order
from fpgan_jax.evaluation.recognition import classical, network
from fpgan_jax.evaluation.recognition.print_sets import FingerPrints


@dataclasses.dataclass(frozen=True)
class Settings:
    """How every recognizer is built and trained."""

    num_steps: int = 400
    batch_size: int = 48  # prints per step
    learning_rate: float = 2e-3  # initial; it falls to 0 along a cosine
    weight_decay: float = 1e-3  # of AdamW
    scale: float = 16.0  # of the cosines in the loss
    margin: float = 0.2  # of the loss
    widths: tuple[int, ...] = (16, 24, 48, 64)
    embedding_size: int = 128


def choose_batch(step: int, sizes: Sequence[int], batch_size: int, seed: int) -> list[np.ndarray]:
    """Choose a step's prints: an equal share of every source, each shuffled by itself.

    The other sources only change how many real prints are chosen, not which.

    Args:
      step: from 0.
      sizes: prints of each source, the real ones first.
      batch_size: of all sources together, at least one of each.
      seed: of the orders.

    Returns:
      Indices of each source, int64; the first sources have one more if the batch cannot be divided.
    """
    shares = [len(part) for part in np.array_split(np.arange(batch_size), len(sizes))]
    return [
        order.batch_indices(step, global_batch_size=share, num_examples=size, seed=seed)
        for share, size in zip(shares, sizes, strict=True)
    ]


class Trainer:
    """Trains and applies recognizers of one form; every arm runs the same compiled programs."""

    def __init__(self, settings: Settings, max_classes: int):
        """Build the programs for arms of at most `max_classes` classes."""
        self._settings = settings
        self._max_classes = max_classes
        self._network = network.EmbeddingNetwork(settings.widths, settings.embedding_size)
        rate = optax.cosine_decay_schedule(settings.learning_rate, settings.num_steps)
        self._tx = optax.adamw(rate, weight_decay=settings.weight_decay)
        self._step = jax.jit(self._compute_step, donate_argnums=(0, 1))
        self._embed = jax.jit(lambda params, images: self._network.apply(params, classical.cut_view(images)))

    def create_params(self, seed: int) -> dict[str, Any]:
        """Draw the first weights: the same for every arm, also for the classes of the real fingers."""
        network_key, classes_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 0))
        view = np.zeros((1, classical.VIEW_SIDE, classical.VIEW_SIDE, 1), np.float32)
        weights = network.draw_class_weights(classes_key, self._max_classes, self._settings.embedding_size)
        return {"network": jax.jit(self._network.init)(network_key, view), "classes": weights}

    def train(
        self,
        sources: Sequence[FingerPrints],
        *,
        strength: float,
        seed: int,
        show: Callable[[float], None] = lambda loss: None,
    ) -> Any:
        """Train a recognizer.

        Args:
          sources: the real prints, then each synthetic set; a finger is a class.
          strength: of the classical augmentation.
          seed: of weights, augmentation and order.
          show: called after each step with its loss.

        Returns:
          The network's variables, on the device.
        """
        labels = label_fingers(sources)
        params = self.create_params(seed)
        opt_state = self._tx.init(params)
        key = jax.random.fold_in(jax.random.key(seed), 1)
        num_classes = 1 + max(int(part.max()) for part in labels)
        sizes = [len(source.images) for source in sources]
        for step in range(self._settings.num_steps):
            chosen = choose_batch(step, sizes, self._settings.batch_size, seed)
            images = np.concatenate([s.images[places] for s, places in zip(sources, chosen, strict=True)])
            classes = np.concatenate([part[places] for part, places in zip(labels, chosen, strict=True)])
            params, opt_state, loss = self._step(
                params, opt_state, jax.random.fold_in(key, step), images, classes, num_classes, strength
            )
            show(float(loss))
        return params["network"]

    def embed(self, variables: Any, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Embed prints: int8 [n, SIDE, SIDE] to float32 [n, embedding_size]."""
        padded = np.pad(images, ((0, -len(images) % batch_size), (0, 0), (0, 0)))
        parts = [
            self._embed(variables, padded[i : i + batch_size]) for i in range(0, len(padded), batch_size)
        ]
        return np.concatenate(parts)[: len(images)]

    def _compute_step(self, params, opt_state, key, images, labels, num_classes, strength):
        views = classical.augment(key, images, strength)
        loss, gradients = jax.value_and_grad(self._compute_loss)(params, views, labels, num_classes)
        updates, opt_state = self._tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    def _compute_loss(self, params, views, labels, num_classes):
        embeddings: Any = self._network.apply(params["network"], views)
        logits = network.compute_cosface_logits(
            embeddings,
            params["classes"],
            labels,
            num_classes,
            scale=self._settings.scale,
            margin=self._settings.margin,
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def label_fingers(sources: Sequence[FingerPrints]) -> list[np.ndarray]:
    """Number the fingers of all sources from 0, source by source: int32 [n] each."""
    numbers: dict[int, int] = {}
    labels = []
    for source in sources:
        for finger in np.unique(source.fingers).tolist():
            numbers.setdefault(finger, len(numbers))
        labels.append(np.array([numbers[finger] for finger in source.fingers.tolist()], np.int32))
    return labels
