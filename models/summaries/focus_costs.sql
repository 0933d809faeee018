{% set dimension, text, money = data_type("dimension"), data_type("text"), data_type("money") %}
{% set timestamp = data_type("timestamp") %}
{% set kinds = focus_charge_kinds() %}
{% set attribution = ["organization_id", "team", "project", "cost_center", "app_name", "environment", "feature"] %}
{% set logged = [
    "usage_date",
    "model",
    "region",
    "canonical_model",
    "price_id",
    "price_override_id",
    "priced_service_tier",
] + attribution %}
{% set dimensions = (["utc_date", "provider_key"] + logged) | join(", ") %}
{% set constants = {
    "billing_currency": "USD",
    "charge_frequency": "Usage-Based",
    "service_category": "AI and Machine Learning",
    "service_name": "LLM API",
    "service_subcategory": "Generative AI",
} %}
{% set never_known = ["billing_account_name", "charge_class", "invoice_id", "sku_price_details"] %}
{% set never_known = never_known + ["sub_account_id", "sub_account_name"] %}
{% set never_known = never_known + ["resource_id", "resource_name", "resource_type"] %}
{% for part in ["category", "id", "name", "status", "type", "unit"] %}
    {% do never_known.append("commitment_discount_" ~ part) %}
{% endfor %}

with

    llm_requests as (select * from {{ ref("tokenmart", "llm_requests") }}),

    requests as (
        select
            {{ logged | join(", ") }},
            cast(occurred_at as {{ data_type("date") }}) as utc_date,
            coalesce(provider, 'unattributed') as provider_key,
            {% for kind, charge in kinds.items() %}
                case when {{ charge.has_charge }} then {{ charge.cost }} end as {{ kind }}_cost,
                case when {{ charge.has_charge }} then {{ charge.quantity }} end as {{ kind }}_quantity,
            {% endfor %}
            case when computed_cost_usd is null then input_tokens end as reported_input,
            case when computed_cost_usd is null then output_tokens end as reported_output
        from llm_requests
        where cost_usd is not null
    ),

    totals as (
        select
            {{ dimensions }},
            {% for kind in kinds %}
                {{ sums_of("requests", [kind ~ "_cost"], "money") }},
                {{ sums_of("requests", [kind ~ "_quantity"], "bigint") }},
            {% endfor %}
            {{ sums_of("requests", ["reported_input", "reported_output"], "bigint") }}
        from requests
        group by {{ dimensions }}
    ),

    kinds as (
        {% for kind, charge in kinds.items() %}
            select
                '{{ kind }}' as charge_kind,
                cast({{ "'" ~ charge.meter ~ "'" if charge.meter else "null" }} as {{ text }}) as meter,
                cast({{ "'" ~ charge.unit ~ "'" if charge.unit else "null" }} as {{ text }}) as unit
                {{ "union all" if not loop.last }}
        {% endfor %}
    ),

    -- each total becomes one row per kind; a union of queries would read the requests several times in some warehouses
    charges as (
        select
            totals.*,
            kinds.charge_kind,
            kinds.meter,
            kinds.unit,
            {% for measure in ["cost", "quantity"] %}
                case
                    {% for kind in kinds %}
                        when kinds.charge_kind = '{{ kind }}' then {{ kind }}_{{ measure }}
                    {% endfor %}
                end as {{ measure }},
            {% endfor %}
            {{ subtract_days("totals.utc_date", "-1") }} as next_date,
            {{ subtract_days("totals.utc_date", "extract(day from totals.utc_date) - 1") }} as first_of_month,
            -- the 33rd day from the first of a month is in the next month
            {{ subtract_days("totals.utc_date", "extract(day from totals.utc_date) - 33") }} as in_next_month
        from totals
        cross join kinds
    ),

    measured as (
        select
            charges.*,
            {{ subtract_days("in_next_month", "extract(day from in_next_month) - 1") }} as next_month,
            {{ dbt.concat(["coalesce(canonical_model, model, 'unattributed')", "' '", "lower(meter)"]) }} as sku,
            case
                when unit = 'Tokens'
                then {{ average_money("cost * 1000000", "quantity") }}
                when charge_kind <> 'reported'
                then {{ average_money("cost", "quantity") }}
            end as unit_price,
            case
                when unit = 'Tokens'
                -- the cost at a price of 1 per million is the number in millions, without rounding
                then {{ token_cost("quantity", "1") }}
                when unit is not null
                then cast(quantity as {{ money }})
            end as priced_quantity,
            case
                when unit = 'Tokens'
                then quantity
                when charge_kind = 'reported'
                then coalesce(reported_input + reported_output, reported_input, reported_output)
            end as tokens
        from charges
        where cost <> 0 or quantity > 0
    )

select
    {% for name in ["billed_cost", "contracted_cost", "effective_cost", "list_cost"] %}
        cast(cost as {{ money }}) as {{ name }},
    {% endfor %}
    {% for name in ["contracted_unit_price", "list_unit_price"] %}
        cast(unit_price as {{ money }}) as {{ name }},
    {% endfor %}
    {% for name in ["provider_name", "publisher_name", "invoice_issuer_name", "billing_account_id"] %}
        cast(provider_key as {{ dimension }}) as {{ name }},
    {% endfor %}
    {% for name, value in constants.items() %} cast('{{ value }}' as {{ dimension }}) as {{ name }}, {% endfor %}
    {% for name in never_known %} cast(null as {{ text }}) as {{ name }}, {% endfor %}
    cast(null as {{ money }}) as commitment_discount_quantity,
    {% for name, day in {
        "billing_period_start": "first_of_month",
        "billing_period_end": "next_month",
        "charge_period_start": "utc_date",
        "charge_period_end": "next_date",
    }.items() %}
        cast({{ day }} as {{ timestamp }}) as {{ name }},
    {% endfor %}
    cast(case when charge_kind = 'difference' then 'Adjustment' else 'Usage' end as {{ dimension }}) as charge_category,
    cast(
        {{ dbt.concat(["coalesce(model, 'unattributed')", "': '", "coalesce(lower(meter), 'difference')"]) }}
        as {{ dimension }}
    ) as charge_description,
    cast(case when unit is not null then quantity end as {{ money }}) as consumed_quantity,
    unit as consumed_unit,
    cast(case when unit is not null then 'Standard' end as {{ text }}) as pricing_category,
    cast(priced_quantity as {{ money }}) as pricing_quantity,
    cast(case when unit = 'Tokens' then '1000000 Tokens' else unit end as {{ text }}) as pricing_unit,
    cast(region as {{ text }}) as region_id,
    cast(region as {{ text }}) as region_name,
    cast(case when unit is not null then sku end as {{ text }}) as sku_id,
    meter as sku_meter,
    -- FOCUS requires a price of every usage; that of a reported cost is unknown, so it has the id of what is sold
    cast(
        case
            when charge_kind = 'reported'
            then sku
            when unit is not null
            then {{ dbt.concat(["coalesce(price_override_id, price_id)", "' '", "lower(meter)"]) }}
        end as {{ text }}
    ) as sku_price_id,
    usage_date as x_usage_date,
    cast(charge_kind as {{ dimension }}) as x_charge_kind,
    model as x_model,
    priced_service_tier as x_service_tier,
    cast(tokens as {{ data_type("bigint") }}) as x_tokens,
    {% for name in attribution %} {{ name }} as x_{{ name }}{{ "," if not loop.last }} {% endfor %}
from measured
