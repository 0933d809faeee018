{#
Stops an incremental run of llm_requests if its settings differ from those that its rows were built with, because new rows
would not match old ones, or if loads were undone since the last full refresh. `batch_id` shows whether the rows were built
with the recorded settings at all: after an upgrade or an interrupted full refresh, some are older.
#}
{% macro refuse_changed_settings() %}
    {# a unit test has no stored rows to compare #}
    {% set is_stored = execute and model.resource_type != "unit_test" and not invocation_args_dict.get("empty") %}
    {% if not is_stored or flags.WHICH not in ["build", "run"] %} {% do return("") %} {% endif %}
    {% set again = "Rebuild everything: tokenmart build --full-refresh (with plain dbt: dbt build --full-refresh)." %}
    {% set settings, names = current_settings(), current_settings().keys() | list %}
    {% set recorded = load_relation(ref("tokenmart", "build_settings")) %}
    {% set found = run_query("select " ~ names | join(", ") ~ ", batch_id from " ~ recorded) if recorded else none %}
    {% set oldest = first_column("select min(batch_id) from " ~ this)[0] %}
    {% if not found or not found.rows | length or (oldest or found.rows[0][4]) | int < found.rows[0][4] | int %}
        {% do exceptions.raise_compiler_error(
            "The requests were built by an earlier version, or their last full refresh did not finish. "
            ~ again
        ) %}
    {% endif %}
    {% set source = graph.sources["source.tokenmart.tokenmart.undone_loads"] %}
    {% set undone = adapter.get_relation(source.database, source.schema, source.identifier) %}
    {% if undone and (first_column("select max(batch_id) from " ~ undone)[0] or 0) | int > found.rows[0][4] | int %}
        {% do exceptions.raise_compiler_error(
            "The requests still contain rows of loads that tokenmart undo has deleted. " ~ again
        ) %}
    {% endif %}
    {% if found_again_by_retention() %}
        {% do exceptions.raise_compiler_error(
            "Since the requests were built, retention_days has been raised or removed: the requests that it deleted"
            ~ " must be restored. "
            ~ again
        ) %}
    {% endif %}
    {% set changes = [] %}
    {% for name in names %}
        {% set before, now = found.rows[0][loop.index0] | string, settings[name] | string %}
        {% if before != now and name == "model_prices" %}
            {% do changes.append("the prices in seeds/model_prices.csv have changed") %}
        {% elif before != now %} {% do changes.append(name ~ " has changed from " ~ before ~ " to " ~ now) %}
        {% endif %}
    {% endfor %}
    {% if changes %}
        {% do exceptions.raise_compiler_error(
            "Since the requests were built, " ~ changes | join(", and ") ~ ". " ~ again
        ) %}
    {% endif %}
{% endmacro %}
