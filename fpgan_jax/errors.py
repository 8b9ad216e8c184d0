"""Owns the exceptions that are not bugs; `launch.cli` prints each as one line with an exit code."""


class UserError(ValueError):
    """A mistake in a config, a flag or a file that its user can correct.

    The message is one line that names the field or file and the remedy. Unprintable characters, as in file names, are
    escaped.
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
