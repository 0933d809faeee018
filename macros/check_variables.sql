{#
Stops dbt before it builds anything if a variable has an unknown name or an invalid value. Projects that use Tokenmart as a
package have their own variables. For variables on their command line, only a name that is very similar to a variable of
Tokenmart is an error.
#}
{% macro check_variables() %}
    {% set least_days = {"late_data_days": 0, "retention_days": 1, "columnstore_after_days": 1} %}
    {% set switches = ["approximate_percentiles", "live_usage", "distributed"] %}
    {% set texts = ["reporting_time_zone", "cost_preference", "table_engine"] %}
    {% set shares = ["max_unpriced_share", "max_unmetered_share"] %}
    {% set seeds = ["budgets", "invoices", "price_overrides"] %}
    {% set others = ["invoice_tolerance_usd", "invoice_lag_days", "types"] %}
    {% set names = least_days | list + switches + texts + shares + seeds + others %}
    {% set problems = [] %}

    {% for name in var("tokenmart", {}) if name not in names %}
        {% do problems.append("Tokenmart has no variable " ~ name ~ did_you_mean(name | string, names) ~ ".") %}
    {% endfor %}
    {% for name in invocation_args_dict.get("vars", {}) if name not in names %}
        {% if project_name == "tokenmart" or did_you_mean(name | string, names, likeness=0.8) %}
            {% do problems.append("Tokenmart has no variable " ~ name ~ did_you_mean(name | string, names) ~ ".") %}
        {% endif %}
    {% endfor %}

    {% for name, least in least_days.items() %}
        {% set days = var(name) %}
        {% if days is not none and not (days is integer and least <= days <= 36500) %}
            {% do problems.append(
                name
                ~ " is "
                ~ tojson(days)
                ~ ": write a whole number of days from "
                ~ least
                ~ " to 36500, or null."
            ) %}
        {% endif %}
    {% endfor %}
    {% for name in shares %}
        {% set share = var(name) %}
        {% if share is not none and not (share is number and share is not boolean and 0 <= share <= 1) %}
            {% do problems.append(name ~ " is " ~ tojson(share) ~ ": write a number from 0 to 1, or null.") %}
        {% endif %}
    {% endfor %}
    {% for name in seeds if var(name) is not none and (var(name) is not string or not var(name)) %}
        {% do problems.append(
            name ~ " is " ~ tojson(var(name)) ~ ": write the name of a seed or model of your project, or null."
        ) %}
    {% endfor %}
    {% set tolerance, lag = var("invoice_tolerance_usd"), var("invoice_lag_days") %}
    {% if not (tolerance is number and tolerance is not boolean and tolerance >= 0) %}
        {% do problems.append("invoice_tolerance_usd is " ~ tojson(tolerance) ~ ": write an amount of 0 or more.") %}
    {% endif %}
    {% if not (lag is integer and lag is not boolean and 0 <= lag <= 36500) %}
        {% do problems.append(
            "invoice_lag_days is " ~ tojson(lag) ~ ": write a whole number of days from 0 to 36500."
        ) %}
    {% endif %}
    {% for name in switches if var(name) is not boolean %}
        {% do problems.append(name ~ " is " ~ tojson(var(name)) ~ ": write true or false.") %}
    {% endfor %}
    {% if var("cost_preference") not in ["reported", "computed"] %}
        {% do problems.append(
            "cost_preference is " ~ tojson(var("cost_preference")) ~ ": write reported or computed."
        ) %}
    {% endif %}
    {% set zones, zone = modules.pytz.all_timezones, var("reporting_time_zone") %}
    {% if zone not in zones %}
        {% do problems.append(
            "reporting_time_zone is "
            ~ tojson(zone)
            ~ ", which is not a time zone"
            ~ did_you_mean(zone | string, zones)
            ~ "; write a name such as Europe/Berlin."
        ) %}
    {% endif %}
    {% if var("table_engine") is not string %}
        {% do problems.append("table_engine is " ~ tojson(var("table_engine")) ~ ": write the name of an engine.") %}
    {% endif %}

    {% if problems %}
        {% do exceptions.raise_compiler_error(
            problems
            | join(" ")
            ~ " Settings are in dbt_project.yml (vars: tokenmart:), tokenmart.yml or environment variables (TOKENMART_...)."
        ) %}
    {% endif %}
{% endmacro %}
