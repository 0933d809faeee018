{# The first date that is kept with `days` (default: retention_days), as an ISO date; None if all dates are kept. #}
{% macro first_kept_date(days=var("retention_days")) %}
    {% do return(
        (run_started_at - modules.datetime.timedelta(days=days | int)).date().isoformat() if days else none
    ) %}
{% endmacro %}
