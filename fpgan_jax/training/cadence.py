"""Owns the question "is it time?" in training loops.

Does not own what is done then.
"""


def is_time(step: int, every_steps: int, num_steps: int) -> bool:
    """Say whether something that happens every N steps, and at the end, happens now.

    Args:
      step: completed steps, from 1.
      every_steps: the interval; 0 means at the end only.
      num_steps: the last step.

    Returns:
      True at each multiple of `every_steps` and at `num_steps`, which need not be one.
    """
    return step == num_steps or (every_steps > 0 and step % every_steps == 0)


def last_step_of_epoch(epoch: int, num_examples: int, global_batch_size: int) -> int:
    """Compute the step that completes an epoch.

    A batch may straddle two epochs; the epoch is complete once its last example has been used.

    Args:
      epoch: completed epochs, from 1.
      num_examples: examples in the training set.
      global_batch_size: examples a step.

    Returns:
      Completed steps, from 1.
    """
    return -(-epoch * num_examples // global_batch_size)
