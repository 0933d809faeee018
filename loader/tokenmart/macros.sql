-- DuckDB macros for the event contract and the formats; x is a JSON value as text: numbers bare, texts quoted.
-- text to load: an empty text is unknown
create macro landed_text(x) as nullif(x, '');

create macro number(x) as try_cast(x as double);

-- At most 10^10, so that sums of bigint hold: input, output and their parts of a line are 6 x 10^10 at most, and
-- 9.2 x 10^18 is the sum of 153 million such lines. No model takes more than about 10^7 tokens in a request.
create macro is_token_count(x) as
    coalesce(number(x) between 0 and 10000000000 and number(x) = trunc(number(x)), false);

create macro tokens(x) as case when is_token_count(x) then cast(number(x) as bigint) end;

-- what is wrong with a token count; NULL if nothing is
create macro token_fault(name, x) as
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

-- digits to money without a float; the narrow decimal comes first because it parses ten times as fast
create macro money(x) as coalesce(cast(try_cast(x as decimal(18, 12)) as decimal(38, 12)), try_cast(x as decimal(38, 12)));

-- Less than 10^12, so that sums of decimal(38,12) hold: it ends at 10^26, which is 3.3 x 10^12 such lines times the 30
-- days of a projection.
create macro money_fault(name, x) as
    case
        when x is null or money(x) > -1000000000000 and money(x) < 1000000000000 then null
        when isfinite(number(x)) and abs(number(x)) >= 1e12 then name || ' is 10^12 or more'
        else name || ' is not a finite number'
    end;

-- up to about four months: longer values were not measured in milliseconds, and their sums would not be exact
create macro milliseconds(x) as case when number(x) between 0 and 1e10 then number(x) end;

-- milliseconds since 1970, or millionths of a dollar, in the notation that the contract reads
create macro epoch_milliseconds(x) as
    coalesce(try(cast(make_timestamptz(try_cast(x as bigint) * 1000) as varchar)), cast(x as varchar));
create macro micros(x) as
    coalesce(cast(cast(try_cast(x as decimal(32, 6)) * 0.000001 as decimal(38, 12)) as varchar), cast(x as varchar));

-- an object, or a text that contains one
create macro json_object_in(x) as
    case
        when json_type(x) = 'OBJECT' then x
        when json_type(x) = 'VARCHAR' and json_valid(x ->> '$') then cast(x ->> '$' as json)
    end;

create macro members_of(name, x) as
    nullif(trim(trim(cast(coalesce(json_object_in(x), json_object(name, x)) as varchar), e' \t\r\n')[2:-2], e' \t\r\n'), '');

-- Two objects, or texts that hold one, as one object. A key of both has the value of the second. json_merge_patch would
-- look each key of the second up in the first, which takes time for keys of one times keys of the other.
create macro joined_json(x_name, x, y_name, y) as
    case
        when y is null
        then x ->> '$'
        when x is null
        then y ->> '$'
        else '{' || concat_ws(',', members_of(x_name, x), members_of(y_name, y)) || '}'
    end
;

-- JavaScript writes half of a surrogate pair where it cuts a text inside an emoji: that is not Unicode, but still a
-- request
create macro without_half_pairs(line) as
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
