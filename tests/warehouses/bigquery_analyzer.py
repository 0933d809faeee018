# /// script
# requires-python = ">=3.11"
# dependencies = ["tzdata", "zetasql==0.1.5"]
# ///
"""Google's own SQL analyzer reports what BigQuery would refuse. `bigquery_analyzer.py CACHE < input > output`

The input is {"tables": {"project.dataset.table": {"column": "TYPE"}}, "statements": ["sql", ...]}: the existing
tables, and the statements of a client in their order; a statement may be a script. The output lists what BigQuery would
refuse, each as {"index", "statement", "error"}. Later statements see what earlier ones create, alter and drop.
What a client does without SQL must be added to the input: a table that it loads among the tables, a column that it adds
by ALTER TABLE.

Not checked: queries of INFORMATION_SCHEMA and __TABLES__, which do not exist here; blocks of a script (IF, LOOP,
BEGIN ... END); anything that depends on data. Refused although BigQuery has them: MAX_BY, MIN_BY, and functions, copies
and clones that a client created.

CACHE is a folder for the compiled analyzer: compiling takes 20 seconds, loading it from there less than one.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import wasmtime
import zetasql.types as ast
from google._upb import _message
from google.protobuf.empty_pb2 import Empty
from zetasql.core import wasm_client
from zetasql.core.exceptions import ServerError
from zetasql.core.local_service import ZetaSqlLocalService
from zetasql.types import ParameterMode, TypeKind
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto.options_pb2 import AnalyzerOptionsProto, LanguageOptionsProto
from zetasql.wasi._pb2.zetasql.proto.simple_catalog_pb2 import SimpleCatalogProto
from zetasql.wasi._pb2.zetasql.public.options_pb2 import LanguageFeature
from zetasql.wasi._pb2.zetasql.public.simple_table_pb2 import SimpleTableProto
from zetasql.wasi._pb2.zetasql.resolved_ast.resolved_node_kind_pb2 import ResolvedNodeKind

# the analyzer's answers are nested deeper than protobuf reads by default
_message.SetAllowOversizeProtos(True)

CreateMode = ast.ResolvedCreateStatementEnums.CreateMode

PROJECT = "test-project"  # of names without a project
VARIABLES = "variables of the script"  # a table with the variables as its columns, so that they can be assigned

NOT_IN_BIGQUERY = """
    AGGREGATE_FILTERING BARE_ARRAY_ACCESS DML_RETURNING ENABLE_MEASURES FOR_UPDATE
    IMPLICIT_COERCION_STRING_LITERAL_TO_BYTES INSERT_ON_CONFLICT_CLAUSE JSON_TYPE_COMPARISON LATERAL_JOIN
    LIMIT_OFFSET_EXPRESSIONS MULTILEVEL_AGGREGATION PROTO_MAPS TIMESTAMP_NANOS TIMESTAMP_PICOS UUID_TYPE
"""
NAMES_OF_INT64 = ("BIGINT", "BYTEINT", "INT", "INTEGER", "SMALLINT", "TINYINT")
CATALOGS_KEPT = 32
NUMBERS: dict[bytes, int] = {}  # of the catalogs that are kept, the last one used at the end
DEFINITIONS = ("resolved_create", "resolved_alter", "resolved_drop")
WINDOW_FUNCTIONS = ("percentile_cont", "percentile_disc")
PARTITION_FUNCTIONS = ("date", "date_trunc", "datetime_trunc", "range_bucket", "timestamp_trunc")
CLUSTERED_TYPES = {
    TypeKind.TYPE_BIGNUMERIC,
    TypeKind.TYPE_BOOL,
    TypeKind.TYPE_DATE,
    TypeKind.TYPE_DATETIME,
    TypeKind.TYPE_INT64,
    TypeKind.TYPE_NUMERIC,
    TypeKind.TYPE_STRING,
    TypeKind.TYPE_TIMESTAMP,
}


class RefusedError(Exception):
    """A statement that the analyzer accepts and BigQuery does not."""


@dataclass
class Session:
    """The state for the next statement: tables and views by their full names, and a script's variables."""

    tables: dict[str, SimpleTableProto] = field(default_factory=dict)
    variables: SimpleTableProto = field(default_factory=SimpleTableProto)

    def run(self, sql: str) -> None:
        """Applies a statement or script; raises ServerError or RefusedError if BigQuery would refuse it."""
        request = service.ParseRequest(sql_statement=sql, allow_script=True, options=language())
        script = call("Parse", request, service.ParseResponse).parsed_script
        self.variables = SimpleTableProto(name=VARIABLES)
        for statement in script.statement_list_node.statement_list:
            self.run_statement(statement, sql.encode())

    def run_statement(self, statement: Any, script: bytes) -> None:
        """Applies one parsed statement of a script."""

        def text(part: Any) -> str:
            place = inherited(chosen(part), "parse_location_range")
            return script[place.start : place.end].decode()

        node = chosen(statement)
        match node.DESCRIPTOR.name:
            case "ASTVariableDeclarationProto":
                value = f"cast(null as {text(node.type)})" if node.HasField("type") else text(node.default_value)
                query = typed(self.analyze(f"select {value}"))
                data_type = query.output_column_list[0].column.type.to_proto()
                for name in node.variable_list.identifier_list:
                    self.variables.column.add(name=name.id_string, type=data_type)
                    if node.HasField("default_value"):
                        self.analyze(f"insert into `{VARIABLES}` ({text(name)}) values ({text(node.default_value)})")
            case "ASTSingleAssignmentProto":
                self.analyze(f"insert into `{VARIABLES}` ({text(node.variable)}) values ({text(node.expression)})")
            case "ASTAssignmentFromStructProto":
                fields_of_value = f"select value.* from (select {text(node.struct_expression)} as value)"
                self.analyze(f"insert into `{VARIABLES}` ({text(node.variables)}) {fields_of_value}")
            case "ASTSystemVariableAssignmentProto":
                pass
            case kind if statement.WhichOneof("node") != "ast_script_statement_node":
                sql = text(statement)
                altered = [inherited(node, "path").names] if kind.startswith("ASTAlter") else []
                answer = self.analyze(sql, altered)
                resolved_kind = answer.resolved_statement.WhichOneof("node") or ""
                if resolved_kind.startswith(DEFINITIONS) or any(name in sql.lower() for name in WINDOW_FUNCTIONS):
                    resolved = typed(answer)
                    refuse(resolved)
                    self.remember(resolved)

    def analyze(self, sql: str, altered: Iterable[Any] = ()) -> Any:
        """The analyzer's answer, which is empty for a query of INFORMATION_SCHEMA."""
        request = service.ExtractTableNamesFromStatementRequest(sql_statement=sql, options=language())
        answer = call("ExtractTableNamesFromStatement", request, service.ExtractTableNamesFromStatementResponse)
        paths = {tuple(name.table_name_segment) for name in answer.table_name}
        if any(name in full_name(path).upper() for path in paths for name in ("INFORMATION_SCHEMA", "__TABLES__")):
            return service.AnalyzeResponse()
        paths |= {tuple(name.id_string for name in path) for path in altered}
        request = service.AnalyzeRequest(sql_statement=sql, options=options("?" in sql))
        request.registered_catalog_id = registered(self.catalog(sorted(paths)))
        return call("Analyze", request, service.AnalyzeResponse)

    def catalog(self, paths: Iterable[tuple[str, ...]]) -> SimpleCatalogProto:
        """A catalog with BigQuery's functions and types, the script's variables, and the tables of these paths."""
        root = SimpleCatalogProto()
        root.CopyFrom(empty_catalog())
        root.table.append(self.variables)
        for column in self.variables.column:
            root.constant.add(name_path=[column.name], type=column.type).value.SetInParent()
        places = {(): root}
        for path in paths:
            if full_name(path) in self.tables:
                for end, name in enumerate(path[:-1]):
                    if path[: end + 1] not in places:
                        places[path[: end + 1]] = places[path[:end]].catalog.add(name=name)
                places[path[:-1]].table.add(name=path[-1], column=self.tables[full_name(path)].column)
        return root

    def remember(self, statement: Any) -> None:
        """Adds or changes the tables that a resolved statement creates or alters, and removes those that it drops."""
        match statement:
            case ast.ResolvedCreateTableStmtBase():
                self.create(statement, [(column.name, column.type) for column in statement.column_definition_list])
            case ast.ResolvedCreateViewBase():
                self.create(statement, [(column.name, column.column.type) for column in statement.output_column_list])
            case ast.ResolvedDropStmt(object_type="SCHEMA"):
                dataset = full_name([*statement.name_path, ""])
                self.tables = {name: table for name, table in self.tables.items() if not name.startswith(dataset)}
            case ast.ResolvedDropStmt():
                self.tables.pop(full_name(statement.name_path), None)
            case ast.ResolvedAlterTableStmt() if full_name(statement.name_path) in self.tables:
                for action in statement.alter_action_list:
                    self.alter(full_name(statement.name_path), action)

    def create(self, statement: Any, columns: list[tuple[str, Any]]) -> None:
        """Adds a table or view with its columns; an existing one is kept if the statement has IF NOT EXISTS."""
        name = full_name(statement.name_path)
        if name in self.tables and statement.create_mode == CreateMode.CREATE_IF_NOT_EXISTS:
            return
        self.tables[name] = SimpleTableProto()
        for column, data_type in columns:
            self.tables[name].column.add(name=column, type=data_type.to_proto())

    def alter(self, name: str, action: Any) -> None:
        """Changes the name or the columns of a table."""
        columns = {column.name.lower(): column for column in self.tables[name].column}
        match action:
            case ast.ResolvedRenameToAction(new_path=path):
                self.tables[full_name([*name.split(".")[:-1], path[-1]])] = self.tables.pop(name)
            case ast.ResolvedAddColumnAction(column_definition=added) if added.name.lower() not in columns:
                self.tables[name].column.add(name=added.name, type=added.type.to_proto())
            case ast.ResolvedDropColumnAction(name=dropped) if dropped.lower() in columns:
                self.tables[name].column.remove(columns[dropped.lower()])
            case ast.ResolvedRenameColumnAction(name=former, new_name=new_name) if former.lower() in columns:
                columns[former.lower()].name = new_name
            case ast.ResolvedAlterColumnSetDataTypeAction(column=changed, updated_type=data_type):
                columns[changed.lower()].type.CopyFrom(data_type.to_proto())


def full_name(path: Iterable[str]) -> str:
    """The name project.dataset.table of a path, whose names may be quoted together and may lack the project."""
    parts = ".".join(path).split(".")
    return ".".join([PROJECT, *parts] if len(parts) == 2 else parts)


def refuse(statement: Any) -> None:
    """Raises RefusedError for what the language allows and BigQuery's engine does not."""
    for expression in getattr(statement, "partition_by_list", None) or []:
        is_column = isinstance(expression, ast.ResolvedColumnRef)
        is_date = is_column and expression.type.type_kind == TypeKind.TYPE_DATE
        if not is_date and function_name(expression) not in PARTITION_FUNCTIONS:
            raise RefusedError("PARTITION BY needs a DATE column, or a function that truncates a column")
    clusters = getattr(statement, "cluster_by_list", None) or []
    are_columns = all(isinstance(expression, ast.ResolvedColumnRef) for expression in clusters)
    if len(clusters) > 4 or not are_columns or {one.type.type_kind for one in clusters} - CLUSTERED_TYPES:
        raise RefusedError("CLUSTER BY needs at most 4 columns of types that can be ordered")
    for node in nodes(statement):
        if isinstance(node, ast.ResolvedAggregateFunctionCall) and function_name(node) in WINDOW_FUNCTIONS:
            raise RefusedError(f"{function_name(node)} is a window function: it needs OVER")


def function_name(node: Any) -> str:
    """The name of a function that is called; empty if the node is not a call."""
    function = getattr(node, "function", None)
    return function.name.split(":")[-1].lower() if function else ""


def nodes(node: Any) -> Iterator[Any]:
    """A resolved statement and everything in it."""
    yield node
    for attribute in fields(node):
        value = getattr(node, attribute.name)
        for child in value if isinstance(value, list) else [value]:
            if is_dataclass(child):
                yield from nodes(child)


@cache
def language() -> LanguageOptionsProto:
    """The options of BigQuery's SQL."""
    made = ast.LanguageOptions.maximum_features()
    made.product_mode = ast.ProductMode.PRODUCT_EXTERNAL
    made.name_resolution_mode = ast.NameResolutionMode.NAME_RESOLUTION_DEFAULT
    made.reserved_keywords = ["QUALIFY"]
    missing = {LanguageFeature.Value(f"FEATURE_{name}") for name in NOT_IN_BIGQUERY.split()}
    present = {int(feature) for feature in made.enabled_language_features} - missing
    made.enabled_language_features = sorted(present | {LanguageFeature.Value("FEATURE_ALTER_COLUMN_SET_DATA_TYPE")})
    made.supported_statement_kinds = [kind for name, kind in ResolvedNodeKind.items() if name.endswith("_STMT")]
    return made.to_proto()


@cache
def options(has_positions: bool) -> AnalyzerOptionsProto:
    """The options of the analyzer: parameters of any type, which are named or positional."""
    mode = ParameterMode.PARAMETER_POSITIONAL if has_positions else ParameterMode.PARAMETER_NAMED
    return AnalyzerOptionsProto(
        language_options=language(), parameter_mode=mode, allow_undeclared_parameters=True, default_timezone="UTC"
    )


@cache
def empty_catalog() -> SimpleCatalogProto:
    """A catalog with BigQuery's functions and types."""
    catalog = SimpleCatalogProto(name=PROJECT)
    catalog.builtin_function_options.language_options.CopyFrom(language())
    for name in NAMES_OF_INT64:
        catalog.named_type.add(name=name).type.type_kind = TypeKind.TYPE_INT64
    return catalog


def call(method: str, request: Any, response: type[Any]) -> Any:
    """Calls the analyzer."""
    client = ZetaSqlLocalService.get_instance().wasm_client
    return client.call_grpc_func(f"ZetaSqlLocalService_{method}", request, response)


def typed(answer: Any) -> Any:
    """The resolved statement of an answer as Python objects; converting it takes longer than getting it."""
    return ast.parse_proto(answer).as_type(ast.AnalyzeResponse).resolved_statement


def chosen(message: Any) -> Any:
    """The message in a choice of messages."""
    while "node" in message.DESCRIPTOR.oneofs_by_name:
        message = getattr(message, message.WhichOneof("node"))
    return message


def inherited(message: Any, name: str) -> Any:
    """A field of a message or of the ones that it extends."""
    while name not in message.DESCRIPTOR.fields_by_name:
        message = message.parent
    return getattr(message, name)


def registered(catalog: SimpleCatalogProto) -> int:
    """The analyzer's number for a catalog. Each has a copy of all functions, so only the last ones are kept."""
    key = catalog.SerializeToString(deterministic=True)
    number = NUMBERS.pop(key, None)
    if number is None:
        if len(NUMBERS) == CATALOGS_KEPT:
            last = NUMBERS.pop(next(iter(NUMBERS)))
            call("UnregisterCatalog", service.UnregisterRequest(registered_id=last), Empty)
        request = service.RegisterCatalogRequest(simple_catalog=catalog)
        number = call("RegisterCatalog", request, service.RegisterResponse).registered_id
    NUMBERS[key] = number
    return number


def keep_compiled(folder: Path) -> None:
    """Makes wasmtime cache what it compiles in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "wasmtime.toml"
    settings.write_text(f"[cache]\ndirectory = {json.dumps(str(folder))}\n")

    def config() -> wasmtime.Config:
        made = wasmtime.Config()
        made.cache = str(settings)
        return made

    wasm_client.Config = config


def main(folder: Path) -> None:
    """Reads the input and writes the output; the compiled analyzer is kept in the folder."""
    keep_compiled(folder)
    given = json.load(sys.stdin)
    session = Session()
    for name, columns in given["tables"].items():
        declared = ", ".join(f"`{column}` {data_type}" for column, data_type in columns.items())
        session.run(f"create table `{name}` ({declared})")
    refused = []
    for index, sql in enumerate(given["statements"]):
        try:
            session.run(sql)
        except (ServerError, RefusedError) as error:
            refused.append({"index": index, "statement": sql, "error": str(error)})
    json.dump(refused, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
