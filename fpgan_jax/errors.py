"""Owns the one exception type that means "the user can mend this".

Does not own how it is printed: `launch.cli` turns it into one line and exit code 1.
"""


class UserError(ValueError):
    """A mistake in a config, a flag or a file that its user can correct.

    The message is one line that names the field or file and says what to do.
    """


class Interrupted(Exception):
    """A run was asked to stop and did, with what it had done saved; the message says how to go on."""
