{# The first day that is kept (var retention_days), as an ISO date; none if all are kept. #}
{% macro first_kept_day() %}
    {% set days = var("retention_days") %}
    {% do return((run_started_at - modules.datetime.timedelta(days=days)).date().isoformat() if days else none) %}
{% endmacro %}
