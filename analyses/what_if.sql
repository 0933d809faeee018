-- The query of `tokenmart whatif`, which passes the arguments of the macro as JSON.
{% set asked = fromjson(env_var("TOKENMART_WHATIF", "{}")) if execute else {} %} {{ whatif_costs(**asked) }}
