"""What went wrong, said for people: one sentence, and what to do about it."""


class TokenmartError(Exception):
    """A failure that the user can act on; the command prints it without a traceback and exits with 1."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(TokenmartError):
    """The command was called with something that cannot be meant: exit code 2."""

    exit_code = 2
