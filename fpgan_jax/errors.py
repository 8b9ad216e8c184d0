"""Owns the exceptions that are no bugs: what the user can mend, and a stop that was asked for.

Does not own how they are printed: `launch.cli` turns each into one line and an exit code.
"""


class UserError(ValueError):
    """A mistake in a config, a flag or a file that its user can correct.

    The message is one line that names the field or file and says what to do. What cannot be printed, as a
    file name may hold, is escaped in it.
    """

    def __init__(self, message: str):
        super().__init__(
            "".join(
                character if character.isprintable() else character.encode("unicode_escape").decode()
                for character in message
            )
        )


class Interrupted(Exception):
    """A run was asked to stop and did, with what it had done saved; the message says how to go on."""
