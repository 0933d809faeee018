"""Checks the statements that users give to `tokenmart query`."""

from tokenmart.errors import UsageError

STARTS = ("select", "with", "from", "values", "(")


def select_statement(text: str, dialect: str) -> str:
    """Returns the only statement of a text, without leading and trailing comments and semicolons.

    Raises UsageError if there is no statement or more than one, or if it does not begin like a select statement. The
    text is only split into tokens of the dialect; the warehouse parses the statement.
    """
    import sqlglot
    from sqlglot.errors import TokenError

    try:
        tokens = sqlglot.tokenize(text, read=dialect)
    except TokenError as error:
        raise UsageError("The query has a quote or a comment that is not closed.") from error
    while tokens and tokens[-1].token_type.name == "SEMICOLON":
        tokens.pop()
    if not tokens:
        raise UsageError("There is no query.", "For example: tokenmart query 'select * from daily_costs'")
    if any(token.token_type.name == "SEMICOLON" for token in tokens):
        raise UsageError("The query has more than one statement.", "Run one statement at a time.")
    if (first := tokens[0].text).lower() not in STARTS:
        raise UsageError(f"A query cannot begin with {first}: only select statements are allowed.")
    return text[tokens[0].start : tokens[-1].end + 1]
