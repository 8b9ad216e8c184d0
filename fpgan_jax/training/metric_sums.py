"""Owns a training's metrics between the steps that compute them and the rows and checkpoints that they go into."""

from collections.abc import Mapping, Sequence
from typing import Any

from fpgan_jax import parallel
from fpgan_jax.metrics import Mean, compute_averages, merge_metrics

# Names of trees in a checkpoint. The second exists only if a signal caused the checkpoint.
_PENDING = "pending_metrics"
_SINCE_CHECKPOINT = "metrics_since_checkpoint"


class MetricSums:
    """Sums of the named metrics since the last row of metrics and since the last checkpoint that was due.

    Metrics stay on the devices until they are fetched, so that steps are dispatched ahead.
    """

    def __init__(self, names: Sequence[str]):
        self._names = tuple(names)
        self._unfetched: list = []
        self._pending = self._no_metrics()
        self._since_checkpoint = merge_metrics([])

    def add(self, metrics: Any) -> None:
        """Add what a dispatch returned."""
        self._unfetched.append(metrics)

    def fetch(self) -> list[Mapping]:
        """Fetch what was added since the last time: one mapping per step, in order."""
        unfetched, self._unfetched = self._unfetched, []
        return [metrics for dispatch in unfetched for metrics in parallel.fetch_metrics(dispatch)]

    def merge(self, fetched: Sequence[Mapping]) -> None:
        """Add steps' metrics to the sums."""
        fetched = [{name: metrics[name] for name in self._names} for metrics in fetched]
        self._pending = merge_metrics([self._pending, *fetched])
        self._since_checkpoint = merge_metrics([self._since_checkpoint, *fetched])

    def take_row(self) -> dict[str, float]:
        """Return the averages since the last row, and start the next."""
        averages, self._pending = compute_averages(self._pending), self._no_metrics()
        return averages

    def take_checkpoint(self) -> dict[str, float]:
        """Return the averages since the last checkpoint that was due, and start again."""
        averages, self._since_checkpoint = compute_averages(self._since_checkpoint), merge_metrics([])
        return averages

    def to_trees(self, *, is_due: bool) -> dict[str, Any]:
        """Return the part of a checkpoint that holds the sums; `is_due` if the schedule asks for the checkpoint."""
        trees = {_PENDING: self._pending}
        if self._since_checkpoint and not is_due:  # it is empty at step 0, and Orbax saves no empty tree
            trees[_SINCE_CHECKPOINT] = self._since_checkpoint
        return trees

    def create_templates(self, store: Any) -> dict[str, Any]:
        """Return templates of the sums in the last checkpoint of a `CheckpointStore`."""
        names = [_PENDING, *([_SINCE_CHECKPOINT] if store.has_tree(_SINCE_CHECKPOINT) else [])]
        return dict.fromkeys(names, self._no_metrics())

    def take_trees(self, trees: dict[str, Any]) -> None:
        """Take the sums out of the trees of a checkpoint."""
        self._pending = trees.pop(_PENDING)
        self._since_checkpoint = trees.pop(_SINCE_CHECKPOINT, merge_metrics([]))

    def _no_metrics(self) -> dict[str, Mean]:
        return merge_metrics([{name: Mean(0.0, 0.0) for name in self._names}])
