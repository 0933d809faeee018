{% set money, count, text = data_type("money"), data_type("count"), data_type("text") %}
with

    daily_costs_by_model as (select * from {{ ref("tokenmart", "daily_costs_by_model") }}),

    -- a seed or model of the user may have other types
    invoices as (
        select
            cast(invoice_line_id as {{ text }}) as invoice_line_id,
            lower(cast(provider as {{ text }})) as provider_name,
            nullif(cast(model as {{ text }}), '') as billed_model,
            cast(billed_from as {{ data_type("date") }}) as billed_from,
            cast(billed_to as {{ data_type("date") }}) as billed_to,
            cast(amount_usd as {{ money }}) as amount_usd
        from {{ user_seed("invoices") }}
    ),

    -- a name without an alias must give NULL in the joins below
    provider_aliases as (
        select alias, cast(provider as {{ text }}) as known_provider from {{ ref("tokenmart", "provider_aliases") }}
    ),

    today as (select cast({{ local_period("day", utc_now()) }} as {{ data_type("date") }}) as today),

    lines as (
        select
            invoices.invoice_line_id,
            coalesce(provider_aliases.known_provider, invoices.provider_name) as provider_key,
            lower(invoices.billed_model) as model_key,
            invoices.billed_model,
            invoices.billed_from,
            invoices.billed_to,
            invoices.amount_usd
        from invoices
        left join provider_aliases on invoices.provider_name = provider_aliases.alias
    ),

    used as (
        select
            daily_costs_by_model.usage_date,
            daily_costs_by_model.provider,
            daily_costs_by_model.model,
            daily_costs_by_model.requests,
            daily_costs_by_model.unpriced_requests,
            daily_costs_by_model.cost_usd,
            coalesce(provider_aliases.known_provider, lower(daily_costs_by_model.provider)) as provider_key,
            lower(daily_costs_by_model.model) as model_key
        from daily_costs_by_model
        left join provider_aliases on lower(daily_costs_by_model.provider) = provider_aliases.alias
    ),

    -- the lines that cover the usage of a model on a day: a line of the model comes before a line of the provider
    covering as (
        select
            used.usage_date as covered_date,
            used.provider as covered_provider,
            used.model as covered_model,
            lines.invoice_line_id,
            row_number() over (
                partition by used.usage_date, used.provider, used.model
                order by
                    case when lines.model_key is null then 1 else 0 end,
                    lines.billed_from desc,
                    lines.billed_to,
                    lines.invoice_line_id
            ) as line_rank
        from used
        inner join lines on used.provider_key = lines.provider_key
        where
            (lines.model_key is null or lines.model_key = used.model_key)
            and used.usage_date >= lines.billed_from
            and used.usage_date < lines.billed_to
    ),

    chosen as (select * from covering where line_rank = 1),

    assigned as (
        select used.*, chosen.invoice_line_id as line_id
        from used
        left join
            chosen
            on used.usage_date = chosen.covered_date
            and used.provider = chosen.covered_provider
            and used.model = chosen.covered_model
    ),

    covered as (
        select
            line_id,
            sum(requests) as covered_requests,
            sum(unpriced_requests) as covered_unpriced_requests,
            sum(cost_usd) as covered_cost_usd
        from assigned
        where line_id is not null
        group by line_id
    ),

    -- without requests, our cost is 0; if all requests are unpriced, it is unknown
    invoiced as (
        select
            lines.*,
            coalesce(covered.covered_requests, 0) as our_requests,
            coalesce(covered.covered_unpriced_requests, 0) as our_unpriced_requests,
            cast(
                case
                    when coalesce(covered.covered_requests, 0) = 0 then 0 else covered.covered_cost_usd
                end as {{ money }}
            ) as our_cost_usd
        from lines
        left join covered on lines.invoice_line_id = covered.line_id
    ),

    compared as (select invoiced.*, cast(amount_usd - our_cost_usd as {{ money }}) as difference from invoiced),

    uncovered as (
        select
            assigned.provider_key,
            {{ subtract_days("assigned.usage_date", "extract(day from assigned.usage_date) - 1") }} as first_of_month,
            assigned.usage_date > {{ subtract_days("today.today", var("invoice_lag_days")) }} as is_pending,
            assigned.usage_date as used_on,
            assigned.requests as used_requests,
            assigned.unpriced_requests as used_unpriced_requests,
            assigned.cost_usd as used_cost_usd
        from assigned
        cross join today
        where assigned.line_id is null
    ),

    uncovered_months as (
        select
            provider_key,
            is_pending,
            min(used_on) as first_used_on,
            max(used_on) as last_used_on,
            sum(used_requests) as our_requests,
            sum(used_unpriced_requests) as our_unpriced_requests,
            sum(used_cost_usd) as our_cost_usd
        from uncovered
        group by provider_key, is_pending, first_of_month
    )

select
    invoice_line_id,
    cast(provider_key as {{ data_type("dimension") }}) as provider,
    billed_model as model,
    billed_from,
    billed_to,
    amount_usd as invoiced_usd,
    our_cost_usd as cost_usd,
    cast(our_requests as {{ count }}) as requests,
    cast(our_unpriced_requests as {{ count }}) as unpriced_requests,
    difference as difference_usd,
    cast(
        case
            when our_requests = 0
            then 'theirs_only'
            when abs(difference) <= cast('{{ "%.12f" | format(var("invoice_tolerance_usd")) }}' as {{ money }})
            then 'matched'
            else 'differing'
        end as {{ data_type("dimension") }}
    ) as invoice_status
from compared
union all
select
    cast(null as {{ text }}) as invoice_line_id,
    cast(provider_key as {{ data_type("dimension") }}) as provider,
    cast(null as {{ text }}) as model,
    first_used_on as billed_from,
    {{ subtract_days("last_used_on", "-1") }} as billed_to,
    cast(null as {{ money }}) as invoiced_usd,
    cast(our_cost_usd as {{ money }}) as cost_usd,
    cast(our_requests as {{ count }}) as requests,
    cast(our_unpriced_requests as {{ count }}) as unpriced_requests,
    cast(null as {{ money }}) as difference_usd,
    cast(case when is_pending then 'pending' else 'ours_only' end as {{ data_type("dimension") }}) as invoice_status
from uncovered_months
