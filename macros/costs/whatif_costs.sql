{#
A query with one row: what the chosen requests of llm_requests have cost, and what the same tokens would cost with another model,
provider, service tier or date, or without caching. Prices are found by the same rules as for stored costs. With another model, the
price is that of the request's own provider. If that has none, it is that of the model's vendor.
#}
{% macro whatif_costs(
    to_model=none,
    to_provider=none,
    to_tier=none,
    at=none,
    is_cached=true,
    since=none,
    until=none,
    where={}
) %}
    {%- set label, bigint = data_type("label"), data_type("bigint") -%}
    {%- set kept = ["usage_date", "source_format", "team", "project", "is_billed"] -%}
    {%- set changeable = ["occurred_at", "provider", "model", "service_tier"] -%}
    {%- set tokens = token_columns() + ["cache_write_1h_tokens", "web_search_requests"] -%}
    {%- set costs = cost_columns() + ["cost_without_cache_usd"] -%}
    {%- set actual = ["event_id", "provider", "canonical_model", "model_family", "cost_basis"] + tokens + costs -%}
    {%- set conditions = request_conditions(since, until, where) -%}

    {%- set asked = {"provider": to_provider, "model": to_model, "service_tier": to_tier} -%}
    {%- for column, value in asked.items() -%}
        {%- set literal = "cast(" ~ text_literal(value) ~ " as " ~ label ~ ")" if value -%}
        {%- do asked.update({column: literal or "chosen." ~ column}) -%}
    {%- endfor -%}
    {%- set providers = [asked.provider] -%}
    {%- if to_model and not to_provider -%} {%- do providers.append("cast(null as " ~ label ~ ")") -%} {%- endif -%}

    with
        chosen as (
            select
                {{ (kept + changeable) | join(", ") }},
                {% for column in actual %} {{ column }} as actual_{{ column }}{{ "," if not loop.last }} {% endfor %}
            from {{ ref("tokenmart", "llm_requests") }}
            {% if conditions %} where {{ conditions }} {% endif %}
        ),

        -- each request once for each provider whose price it can have
        requests as (
            {% for provider in providers %}
                select
                    {% for column in kept %} chosen.{{ column }}, {% endfor %}
                    {% for column in actual %} chosen.actual_{{ column }}, {% endfor %}
                    {% for column in tokens %}
                        {% if "cache" in column and not is_cached %} cast(0 as {{ bigint }}) as {{ column }},
                        {% else %} chosen.actual_{{ column }} as {{ column }},
                        {% endif %}
                    {% endfor %}
                    {{ move_to_date("chosen.occurred_at", at) if at else "chosen.occurred_at" }} as occurred_at,
                    {{ provider }} as provider,
                    {{ asked.model }} as model,
                    {{ asked.service_tier }} as service_tier,
                    -- a reported cost is that of the actual prices
                    cast(null as {{ data_type("money") }}) as reported_cost_usd,
                    -- prices are found for each event_id
                    {{ dbt.concat(["chosen.actual_event_id", "'/" ~ loop.index ~ "'"]) }} as event_id,
                    {{ loop.index }} as provider_order
                from chosen {{ "union all" if not loop.last }}
            {% endfor %}
        ),

        {{ model_ctes("requests") }},
        {{ price_ctes("keyed", "listed_models", "model_regions") }},
        {{ override_ctes("list_priced") }},
        {{ cost_ctes("priced") }},

        ranked as (
            select
                costs.*,
                row_number() over (
                    partition by costs.actual_event_id
                    order by case when costs.priced_service_tier is null then 1 else 0 end, costs.provider_order
                ) as provider_rank
            from costs
        ),

        answers as (
            select
                ranked.*,
                coalesce(ranked.price_id, ranked.price_override_id) as price_name,
                case
                    when ranked.price_id in (select price_name from prices where above_input_tokens is not null)
                    then 1
                    else 0
                end as is_long_prompt,
                case
                    when ranked.cost_basis in ('unmetered', 'unpriced')
                    then ranked.cost_basis
                    when ranked.actual_cost_usd is null
                    then 'uncosted'
                    else 'compared'
                end as outcome
            from ranked
            where ranked.provider_rank = 1
        )

    select {{ whatif_measures() }}
    from answers
{% endmacro %}
