{# Ids of the loads that llm_requests has not taken yet. #}
{% macro new_loads() %}
    {% do return(
        first_column(
            "select load_id from "
            ~ ref("tokenmart", "loads")
            ~ " group by load_id having max(batch_id) = 0 order by load_id"
        )
    ) %}
{% endmacro %}
