"""The dbt project follows its own rules: everything is described and tested, and no model names an engine."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.cli.main import dbtRunner

PROJECT = Path(__file__).parent.parent
ENGINES = re.compile("duckdb|postgres|timescale|clickhouse|bigquery|snowflake", re.IGNORECASE)
NOT_PORTABLE = re.compile(r"::|\bqualify\b|\btarget\s*\.\s*type\b", re.IGNORECASE)
# the only folder, in addition to the file dbt_project.yml, in which engines may be named
DIALECT = PROJECT / "macros" / "dialect"

Node = dict[str, Any]


@pytest.fixture(scope="module")
def manifest(profiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """dbt's manifest of the project, which needs no warehouse."""
    target = tmp_path_factory.mktemp("target")
    arguments = [
        "parse",
        "--project-dir",
        PROJECT,
        "--profiles-dir",
        profiles,
        "--target-path",
        target,
        "--log-path",
        target,
    ]
    outcome = dbtRunner().invoke([*map(str, arguments), "--log-level", "none", "--no-partial-parse", "--write-json"])
    assert outcome.success, outcome.exception
    parsed: Node = json.loads((target / "manifest.json").read_text())
    return parsed


def nodes(manifest: Node, resource_type: str) -> list[Node]:
    found = [node for node in manifest["nodes"].values() if node["resource_type"] == resource_type]
    assert found
    return found


def macros(manifest: Node) -> list[Node]:
    """The project's public macros, without their implementations for single engines."""
    own = [macro for macro in manifest["macros"].values() if macro["package_name"] == "tokenmart"]
    public = [macro for macro in own if "__" not in macro["name"]]
    assert public
    return public


def files(*globs: str) -> list[Path]:
    found = [path for glob in globs for path in sorted(PROJECT.glob(glob))]
    assert found
    return found


def places(pattern: re.Pattern[str], paths: list[Path]) -> Iterator[str]:
    """Every line that matches the pattern, with its path and number."""
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if pattern.search(line):
                yield f"{path.relative_to(PROJECT)}:{number}: {line.strip()}"


def test_every_model_seed_and_source_is_described(manifest: Node) -> None:
    tables = [*nodes(manifest, "model"), *nodes(manifest, "seed"), *manifest["sources"].values()]
    assert [table["name"] for table in tables if not table["description"].strip()] == []
    assert {source["source_description"] for source in manifest["sources"].values()}.isdisjoint({""})


def test_a_description_begins_with_the_grain(manifest: Node) -> None:
    tables = [*nodes(manifest, "model"), *nodes(manifest, "seed"), *manifest["sources"].values()]
    assert [table["name"] for table in tables if not table["description"].startswith("One row per ")] == []


def test_every_column_is_described(manifest: Node) -> None:
    tables = [*nodes(manifest, "model"), *nodes(manifest, "seed"), *manifest["sources"].values()]
    undescribed = [
        f"{table['name']}.{column['name']}"
        for table in tables
        for column in table["columns"].values()
        if not column["description"].strip()
    ]
    assert undescribed == []


def test_a_column_has_the_same_description_in_every_model(manifest: Node) -> None:
    """The description is the doc block with the column's name, and nothing else."""
    others = [
        f"{model['name']}.{column['name']}"
        for model in nodes(manifest, "model")
        for column in model["columns"].values()
        if column["doc_blocks"] != [f"doc.tokenmart.{column['name']}"]
        or column["description"] != manifest["docs"][f"doc.tokenmart.{column['name']}"]["block_contents"]
    ]
    assert others == []


def test_every_doc_block_is_used(manifest: Node) -> None:
    used = {
        block
        for model in nodes(manifest, "model")
        for column in model["columns"].values()
        for block in column["doc_blocks"]
    }
    own = {block for block in manifest["docs"] if block.startswith("doc.tokenmart.")}
    assert own - used == {"doc.tokenmart.__tokenmart__"}


def test_every_macro_is_described_with_its_arguments(manifest: Node) -> None:
    problems = []
    for macro in macros(manifest):
        signature = re.search(r"{%-?\s*(?:macro|test)\s+\w+\(([^)]*)\)", macro["macro_sql"])
        assert signature, macro["name"]
        parameters = [argument.split("=")[0].strip() for argument in signature[1].split(",") if argument.strip()]
        if not macro["description"].strip():
            problems.append(f"{macro['name']} is not described")
        if [argument["name"] for argument in macro["arguments"]] != parameters:
            problems.append(f"{macro['name']} takes {parameters}")
        problems += [
            f"{macro['name']}: {argument['name']}" for argument in macro["arguments"] if not argument["description"]
        ]
    assert problems == []


def test_only_existing_macros_are_described(manifest: Node) -> None:
    described = yaml.safe_load((PROJECT / "macros" / "macros.yml").read_text())["macros"]
    names = [macro["name"] for macro in described]
    assert sorted(names) == sorted(macro["name"] for macro in macros(manifest))


def test_the_contract_of_every_model_is_enforced(manifest: Node) -> None:
    assert [model["name"] for model in nodes(manifest, "model") if not model["config"]["contract"]["enforced"]] == []


def test_every_model_has_unit_tests_named_after_it(manifest: Node) -> None:
    tests = list(manifest["unit_tests"].values())
    assert {model["name"] for model in nodes(manifest, "model")} == {test["model"] for test in tests}
    misnamed = [test["name"] for test in tests if not re.fullmatch(rf"test_{test['model']}_\w+", test["name"])]
    assert misnamed == []
    # dbt names a table after the test, and PostgreSQL's names have at most 63 characters
    assert [test["name"] for test in tests if len(test["name"]) > 63] == []
    misplaced = [
        test["name"] for test in tests if Path(test["original_file_path"]).name != f"{test['model']}_unit_tests.yml"
    ]
    assert misplaced == []


def test_every_model_has_one_properties_file_with_its_name() -> None:
    models = {path.with_suffix("") for path in files("models/**/*.sql")}
    described = {
        path.with_suffix(""): [model["name"] for model in yaml.safe_load(path.read_text()).get("models", [])]
        for path in files("models/**/*.yml")
    }
    assert {path: names for path, names in described.items() if names} == {path: [path.name] for path in models}


def test_models_and_tests_are_portable() -> None:
    assert list(places(NOT_PORTABLE, files("models/**/*.sql", "tests/**/*.sql"))) == []


def test_engines_are_named_only_in_dialect_macros() -> None:
    paths = files("models/**/*", "macros/**/*", "seeds/*.yml", "tests/**/*.sql")
    elsewhere = [path for path in paths if path.is_file() and DIALECT not in path.parents]
    assert elsewhere
    assert list(places(ENGINES, elsewhere)) == []


def test_the_project_file_names_engines_only_for_types() -> None:
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    types = project["vars"]["tokenmart"].pop("types")
    assert not ENGINES.search(json.dumps(project))
    engines = {name: sorted(called) for name, called in types.items()}
    assert len(set(map(tuple, engines.values()))) == 1, f"a type is missing for an engine: {engines}"


def test_singular_tests_begin_with_a_comment_that_states_their_rule() -> None:
    for path in files("tests/*.sql"):
        assert path.name.startswith("assert_"), path.name
        comment = re.match(r"(?:-- .+\n)+", path.read_text())
        assert comment, f"{path.name} has no comment at its top"
        assert comment[0].rstrip().endswith("."), comment[0]
