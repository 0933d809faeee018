"""Checks the statements that users give to `tokenmart query`."""

from tokenmart.errors import UsageError

STARTS = ("select", "with", "from", "values", "(")


def select_statement(text: str, dialect: str) -> str:
    """The only statement of a text, without comments around it and without a semicolon.

    Raises UsageError for several statements, and for those that do not begin like a select statement. It knows how a
    dialect writes texts and comments, but does not parse: the warehouse does.
    """
    import sqlglot
    from sqlglot.errors import TokenError

    try:
        tokens = sqlglot.tokenize(text, read=dialect)
    except TokenError as error:
        raise UsageError("The query has a quotation or a comment that does not end.") from error
    while tokens and tokens[-1].token_type.name == "SEMICOLON":
        tokens.pop()
    if not tokens:
        raise UsageError("There is no query.", "For example: tokenmart query 'select * from daily_costs'")
    if any(token.token_type.name == "SEMICOLON" for token in tokens):
        raise UsageError("These are several statements.", "Give one at a time.")
    if (first := tokens[0].text).lower() not in STARTS:
        raise UsageError(f"A query cannot begin with {first}: only select statements are allowed.")
    return text[tokens[0].start : tokens[-1].end + 1]
