"""Owns the answers to "is it time?" in a training."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What is due after which step. Steps are counted from 1, when they are complete.

    Attributes:
      num_steps: the last step; a row of metrics and a checkpoint are always due after it.
      log_every_steps: interval of the rows of metrics; 0 is at the end only.
      checkpoint_every_steps: interval of the checkpoints; 0 is at the end only.
      steps_per_dispatch: steps that one call to the devices runs, unless something is due before the last of them.
      keep_steps: steps with a checkpoint that is never deleted.
      sample_epochs: step -> the epoch that it completes, for epochs after which samples are drawn.
    """

    num_steps: int
    log_every_steps: int
    checkpoint_every_steps: int
    steps_per_dispatch: int = 1
    keep_steps: frozenset[int] = frozenset()
    sample_epochs: Mapping[int, int] = dataclasses.field(default_factory=dict)

    def is_log(self, step: int) -> bool:
        """Say whether a row of metrics is due."""
        return is_time(step, self.log_every_steps, self.num_steps)

    def is_checkpoint(self, step: int) -> bool:
        """Say whether a checkpoint is due."""
        return step in self.keep_steps or is_time(step, self.checkpoint_every_steps, self.num_steps)

    def is_sample(self, step: int) -> bool:
        """Say whether samples are due."""
        return step in self.sample_epochs

    def count_next_steps(self, step: int) -> int:
        """Count the steps to dispatch together after `step`, so that nothing is due before the last of them.

        A resumed run therefore runs the same programs as one that never stopped; programs of one and of several steps
        may round differently.
        """
        count = self.steps_per_dispatch
        passed = range(step + 1, step + count)
        is_due = any(self.is_log(at) or self.is_checkpoint(at) or self.is_sample(at) for at in passed)
        return 1 if is_due else count

    @property
    def shortest_interval(self) -> int:
        """Steps between rows of metrics or checkpoints, whichever are more frequent."""
        intervals = (self.log_every_steps, self.checkpoint_every_steps)
        return min((steps for steps in intervals if steps), default=self.num_steps)


def is_time(step: int, every_steps: int, num_steps: int) -> bool:
    """Say whether it is time, at every multiple of `every_steps` (0: none) and at the last step, `num_steps`."""
    return step == num_steps or (every_steps > 0 and step % every_steps == 0)


def last_step_of_epoch(epoch: int, num_examples: int, global_batch_size: int) -> int:
    """Compute the step that completes an epoch, both counted from 1.

    A batch may contain the end of one epoch and the start of the next; the epoch is complete once its last example has
    been used.
    """
    return -(-epoch * num_examples // global_batch_size)
