"""Errors that are shown to users: a message that describes the problem, and a hint that helps to fix it."""

import re

import click

# Azure URLs have the container in the place of the user
_USERINFO = re.compile(r"(?<!abfs)(?<!abfss)(?<!wasb)(?<!wasbs)(?<!az)(?<!adl)://[^/?#\s]*@")
# except in http URLs, a question mark can also be part of a name or a glob
_QUERY = re.compile(r"(?P<before>https?://[^\s?'\"]*)\?[^\s'\"]*|(?P<other>://[^\s?]*)\?[^\s'\"]*=[^\s'\"]*")


class TokenmartError(click.ClickException):
    """An error that the user can fix. The command prints it without a traceback. Exit code 1."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(TokenmartError):
    """The command was called with invalid arguments. Exit code 2."""

    exit_code = 2


def without_secrets(text: str) -> str:
    """Removes user, password and query from the URLs in a text. A query can contain a signature."""
    return _QUERY.sub(lambda found: found["before"] or found["other"], _USERINFO.sub("://", text))
