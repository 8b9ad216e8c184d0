"""Owns what a signal to stop does to a training: it is noted, and the loop saves and leaves when it next looks."""

import os
import signal
import sys
import threading

# Kubernetes, Slurm and a shell's `kill` send the first, Ctrl-C the second. The third is common for Slurm's `--signal`,
# which warns of a time limit.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


_ends_process = False


def end_process_at_second_signal() -> None:
    """Have the second signal end the process at once: for a program that does nothing but train."""
    global _ends_process
    _ends_process = True


class StopRequest:
    """Notes the first of `SIGNALS` within a `with` block; the second does what it would do without this.

    In a notebook a second Ctrl-C then is a KeyboardInterrupt, which leaves its process alive. Only a program's main
    thread gets signals; in another thread nothing is noted.

    Attributes:
      signal_name: of the signal that came, as "SIGTERM", or None.
    """

    def __init__(self) -> None:
        """Note nothing yet."""
        self.signal_name: str | None = None
        self._before: dict = {}

    def __enter__(self):
        """Begin to note signals."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *exception):
        """Let signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        del frame
        if self.signal_name is not None:
            if _ends_process:
                # Everything on disk is whole at any moment, so there is nothing to clean up.
                os._exit(128 + number)
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
            return
        self.signal_name = signal.Signals(number).name
        print(
            f"\n{self.signal_name}: saving and stopping after this step; a second signal stops at once",
            file=sys.stderr,
            flush=True,
        )
