-- Invoice lines have different ids, end after they begin, and do not overlap another line of the same provider and
-- model.
with

    invoices as (
        select
            invoice_line_id,
            lower(cast(provider as {{ data_type("text") }})) as provider_key,
            coalesce(lower(cast(model as {{ data_type("text") }})), '') as model_key,
            billed_from,
            billed_to,
            amount_usd
        from {{ user_seed("invoices") }}
    ),

    numbered as (
        select
            invoices.*,
            count(*) over (partition by invoice_line_id) as lines_with_id,
            max(billed_to) over (
                partition by provider_key, model_key
                order by billed_from, billed_to, invoice_line_id
                rows between unbounded preceding and 1 preceding
            ) as earlier_billed_to,
            row_number() over (
                partition by provider_key, model_key order by billed_from, billed_to, invoice_line_id
            ) as line_number
        from invoices
    )

select invoice_line_id, provider_key, model_key, billed_from, billed_to
from numbered
where
    lines_with_id > 1
    or invoice_line_id is null
    or amount_usd is null
    or not coalesce(billed_to > billed_from, false)
    or (line_number > 1 and billed_from < earlier_billed_to)
