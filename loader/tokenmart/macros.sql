-- DuckDB macros for the event contract and the formats. x is a JSON value as text, so only texts have quotes.
--
-- a text to load; NULL if it is empty
create macro landed_text(x) as nullif(x, '');

create macro number(x) as try_cast(x as double);

-- The limit of 10^10 prevents bigint overflow: the six token counts of a line add up to at most 6 x 10^10, and 153
-- million such lines are needed to reach 9.2 x 10^18. No model accepts more than about 10^7 tokens per request.
create macro is_token_count(x) as
    coalesce(number(x) between 0 and 10000000000 and number(x) = trunc(number(x)), false);

create macro tokens(x) as case when is_token_count(x) then cast(number(x) as bigint) end;

-- why a token count is invalid; NULL if it is valid
create macro token_count_error(name, x) as
    case
        when x is null or is_token_count(x) then null
        when number(x) is null or isnan(number(x)) then name || ' is not a number'
        when number(x) < 0 then name || ' is negative'
        when number(x) > 10000000000 then name || ' is above 10^10'
        else name || ' is not a whole number'
    end;

create macro token_sum(x, y) as
    case
        when y is null then x
        when x is null then y
        when is_token_count(x) and is_token_count(y) then cast(tokens(x) + tokens(y) as varchar)
        when is_token_count(x) then y
        else x
    end;

-- an amount as a decimal, parsed without a float; decimal(18, 12) is tried first because it parses ten times faster
create macro money(x) as coalesce(cast(try_cast(x as decimal(18, 12)) as decimal(38, 12)), try_cast(x as decimal(38, 12)));

-- Why an amount is invalid; NULL if it is valid. The limit of 10^12 prevents overflow of decimal(38, 12), which ends at
-- 10^26: sums of 3.3 x 10^12 such lines can still be multiplied by the 30 days of a projection.
create macro money_error(name, x) as
    case
        when x is null or money(x) > -1000000000000 and money(x) < 1000000000000 then null
        when isfinite(number(x)) and abs(number(x)) >= 1e12 then name || ' is 10^12 or more'
        else name || ' is not a finite number'
    end;

-- at most 10^10 ms, about four months: longer durations were not measured in milliseconds, and sums would not be exact
create macro milliseconds(x) as case when number(x) between 0 and 1e10 then number(x) end;

-- milliseconds since 1970 as a timestamp, as text
create macro epoch_milliseconds(x) as
    coalesce(try(cast(make_timestamptz(try_cast(x as bigint) * 1000) as varchar)), cast(x as varchar));

-- seconds since 1970 as a timestamp, as text; other values unchanged
create macro epoch_seconds(x) as
    coalesce(
        try(cast(make_timestamptz(cast(try_cast(x as decimal(20, 6)) * 1000000 as bigint)) as varchar)),
        cast(x as varchar)
    );

-- a timestamp in UTC, also if it does not name a time zone
create macro utc_timestamp(x) as
    case when regexp_matches(x, '\d([Zz]|[+-]\d{2}(:?\d{2})?)$') then x else x || 'Z' end;

-- millionths of a dollar as dollars, as text
create macro micros(x) as
    coalesce(cast(cast(try_cast(x as decimal(32, 6)) * 0.000001 as decimal(38, 12)) as varchar), cast(x as varchar));

-- the object x, or the object in the text x; NULL if there is none
create macro json_object_in(x) as
    case
        when json_type(x) = 'OBJECT' then x
        when json_type(x) = 'VARCHAR' and json_valid(x ->> '$') then cast(x ->> '$' as json)
    end;

-- the members of an object, without its braces; a value that is not an object becomes a member with this name
create macro members_of(name, x) as
    nullif(trim(trim(cast(coalesce(json_object_in(x), json_object(name, x)) as varchar), e' \t\r\n')[2:-2], e' \t\r\n'), '');

-- Joins two objects, or texts that contain objects. If both have the same key, the value of the second is used.
-- json_merge_patch is not used because it searches the first object for each key of the second, which is quadratic.
create macro joined_json(x_name, x, y_name, y) as
    case
        when y is null
        then x ->> '$'
        when x is null
        then y ->> '$'
        else '{' || concat_ws(',', members_of(x_name, x), members_of(y_name, y)) || '}'
    end
;

-- Removes lone surrogates. JavaScript writes them if it cuts a text in the middle of an emoji. The line is then not
-- valid JSON, but it is still a request.
create macro without_lone_surrogates(line) as
    case
        when try(json_valid(line)) or not regexp_matches(line, '\\u[dD]')
        then line
        else
            regexp_replace(
                line,
                '(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}',
                '\1',
                'g'
            )
    end
;
