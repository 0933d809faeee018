"""Errors for users: one sentence on what went wrong, and a hint on what to do."""

import re

import click

# a container of Azure is written where other URLs have a user
_USERINFO = re.compile(r"(?<!abfs)(?<!abfss)(?<!wasb)(?<!wasbs)(?<!az)(?<!adl)://[^/?#\s]*@")
# elsewhere than on the web a question mark may be part of a name or a glob
_QUERY = re.compile(r"(?P<before>https?://[^\s?'\"]*)\?[^\s'\"]*|(?P<other>://[^\s?]*)\?[^\s'\"]*=[^\s'\"]*")


class TokenmartError(click.ClickException):
    """A failure that the user can act on; the command prints it without a traceback and exits with 1."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(TokenmartError):
    """The command was called with invalid arguments: exit code 2."""

    exit_code = 2


def without_secrets(text: str) -> str:
    """A text whose URLs have neither user and password nor a query, which may hold a signature."""
    return _QUERY.sub(lambda found: found["before"] or found["other"], _USERINFO.sub("://", text))
