"""SQL that Snowflake would refuse although the test server, which is DuckDB, accepts it."""

import re
from collections.abc import Iterator
from itertools import pairwise

import sqlglot
from sqlglot import Expr, Token, exp
from sqlglot.dialects import Snowflake
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

# the functions that loading and modeling may need, from https://docs.snowflake.com/en/sql-reference/functions-all
FUNCTIONS = {
    "aggregates": """any_value approx_count_distinct approx_percentile array_agg avg booland_agg boolor_agg corr count
        count_if grouping listagg max max_by median min min_by mode object_agg percentile_cont percentile_disc stddev
        stddev_pop stddev_samp sum var_pop var_samp variance""",
    "windows": """cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank
        ratio_to_report row_number""",
    "conditions": """coalesce decode div0 div0null equal_null greatest iff ifnull least nullif nullifzero nvl nvl2
        zeroifnull""",
    "numbers": """abs bitand bitor bitxor ceil exp floor hash ln log mod pow power random round sign sqrt trunc
        truncate width_bucket""",
    "text": """ascii base64_encode charindex chr collate concat concat_ws contains endswith hex_encode initcap left len
        length lower lpad ltrim md5 md5_hex octet_length position regexp_count regexp_instr regexp_like regexp_replace
        regexp_substr repeat replace reverse right rpad rtrim sha1 sha2 sha2_hex split split_part startswith strtok
        substr substring translate trim upper uuid_string""",
    "time": """add_months convert_timezone current_date current_time current_timestamp date date_from_parts date_part
        date_trunc dateadd datediff day dayname dayofmonth dayofweek dayofweekiso dayofyear extract getdate hour
        last_day localtime localtimestamp minute month monthname months_between next_day previous_day quarter second
        sysdate systimestamp time time_slice timeadd timediff timestamp_from_parts timestamp_ntz_from_parts
        timestampadd timestampdiff week weekiso weekofyear year yearofweek yearofweekiso""",
    "conversion": """cast to_binary to_boolean to_char to_date to_decimal to_double to_number to_numeric to_time
        to_timestamp to_timestamp_ltz to_timestamp_ntz to_timestamp_tz to_varchar try_cast try_to_boolean try_to_date
        try_to_decimal try_to_double try_to_number try_to_numeric try_to_timestamp try_to_timestamp_ntz
        try_to_timestamp_tz""",
    "semi-structured data": """array_cat array_compact array_construct array_contains array_distinct array_size
        array_sort array_to_string flatten get get_path is_array is_null_value is_object object_construct object_keys
        parse_json strip_null_value to_array to_json to_object to_variant try_parse_json typeof""",
    "tables": "generator result_scan seq1 seq2 seq4 seq8 split_to_table",
    "session": """current_account current_database current_role current_schema current_user current_version
        current_warehouse get_ddl identifier last_query_id""",
}
# the first words of the types in https://docs.snowflake.com/en/sql-reference/intro-summary-data-types
TYPES = """array bigint binary boolean byteint char character date datetime decfloat decimal double float float4 float8
    int integer number numeric object real smallint string text time timestamp timestamp_ltz timestamp_ntz timestamp_tz
    timestampltz timestampntz timestamptz tinyint varbinary varchar variant"""
# words that may precede a parenthesis but are not functions
KEYWORDS = "all any exclude exists group insert like ilike primary rename rlike some table"

TYPE_NAMES = set(TYPES.upper().split())
NAMES = TYPE_NAMES | set(" ".join([*FUNCTIONS.values(), KEYWORDS]).upper().split())
FOREIGN_TYPES = {"INT128", "UINT128", "UUID", "JSON", "JSONB", "BIGDECIMAL", "INTERVAL", "ENUM"}
FOREIGN_OPERATORS = {"==", "->>", "&", "|", "^"}
TERMINAL_CODES = re.compile(r"\x1b\[\d+m")
FOREIGN_SYNTAX: dict[type[Expr], str] = {
    exp.AtTimeZone: "at time zone",
    exp.Filter: "filter (where ...)",
    exp.IntDiv: "div",
    exp.Pragma: "pragma",
    exp.SimilarTo: "similar to",
}


def refused(sql: str) -> list[str]:
    """The reasons why Snowflake would refuse the statements; empty if it would accept them.

    Only names and syntax are checked: the server checks columns and the types of arguments.
    """
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="snowflake") if statement]
        tokens = sqlglot.tokenize(sql, read="snowflake")
    except SqlglotError as error:
        return [f"syntax: {TERMINAL_CODES.sub('', str(error))}"]
    lists_of_columns = {name.upper() for statement in statements for name in with_columns(statement)}
    found = [*unknown_names(tokens, lists_of_columns), *foreign_tokens(tokens), *divisions_by_slashes(sql, tokens)]
    found += [problem for statement in statements for node in statement.walk() for problem in foreign_syntax(node)]
    return list(dict.fromkeys(found))


def with_columns(statement: Expr) -> Iterator[str]:
    """The names of relations and aliases that precede a list of columns, as in `insert into events (event_id)`."""
    yield from (schema.this.name for schema in statement.find_all(exp.Schema) if schema.this)
    yield from (alias.name for alias in statement.find_all(exp.TableAlias) if alias.columns)


def unknown_names(tokens: list[Token], lists_of_columns: set[str]) -> Iterator[str]:
    """Functions, and types of casts, that Snowflake does not have."""
    calls: list[str] = []
    for token, following in pairwise(tokens):
        name = first_word(token)
        in_cast = token.token_type == TokenType.ALIAS and calls[-1:] in (["CAST"], ["TRY_CAST"])
        if (token.token_type == TokenType.DCOLON or in_cast) and first_word(following) not in TYPE_NAMES:
            yield f"type {following.text}"
        if token.token_type == TokenType.R_PAREN and calls:
            calls.pop()
        if following.token_type == TokenType.L_PAREN:
            calls.append(name)
            if token.token_type in Snowflake.parser_class.FUNC_TOKENS and name not in NAMES | lists_of_columns:
                yield f"function {token.text}"


def first_word(token: Token) -> str:
    """The first word of a token, as in the lists above; tokens such as DOUBLE PRECISION have several words."""
    return token.text.upper().partition(" ")[0]


def foreign_tokens(tokens: list[Token]) -> Iterator[str]:
    """Operators and combinations of tokens that Snowflake does not have."""
    for token, following in pairwise(tokens):
        if token.text in FOREIGN_OPERATORS and token.token_type not in (TokenType.STRING, TokenType.IDENTIFIER):
            yield f"operator {token.text}"
        if token.token_type == TokenType.STAR and following.token_type == TokenType.EXCEPT:
            yield "* except (...)"
        if token.token_type == TokenType.INTERVAL and following.token_type in (TokenType.NUMBER, TokenType.L_PAREN):
            yield "an interval that is not text"


def divisions_by_slashes(sql: str, tokens: list[Token]) -> Iterator[str]:
    """A `//`: to Snowflake, and to the parser, the rest of the line is a comment."""
    starts = [token.start for token in tokens] + [len(sql)]
    ends = [0] + [token.end + 1 for token in tokens]
    for end, start in zip(ends, starts, strict=True):
        if "//" in re.sub(r"/\*.*?\*/|--[^\n]*", "", sql[end:start], flags=re.DOTALL):
            yield "//"


def foreign_syntax(node: Expr) -> Iterator[str]:
    """Syntax of other dialects that the parser accepts."""
    if type(node) in FOREIGN_SYNTAX:
        yield FOREIGN_SYNTAX[type(node)]
    if isinstance(node, exp.DataType) and node.this.name in FOREIGN_TYPES:
        yield f"type {node.this.name}"
    if isinstance(node, exp.Distinct) and node.args.get("on"):
        yield "distinct on (...)"
    if isinstance(node, exp.Extract) and node.name.upper() == "EPOCH":
        yield "extract(epoch ...): it is whole seconds there, date_part(epoch_microsecond, ...) is exact"
    if isinstance(node, exp.Limit) and node.expressions:
        yield "limit ... by"
    if isinstance(node, exp.Mul | exp.Div) and (node.left.find(exp.Interval) or node.right.find(exp.Interval)):
        yield "a multiple of an interval"
