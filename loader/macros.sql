-- DuckDB macros that the event contract and the formats share; x is a JSON value as text: a number bare, a text quoted.
-- what is landed of a text: empty is unknown
create macro landed_text(x) as nullif(x, '');

create macro number(x) as try_cast(x as double);

-- 2^53 and less: what a JSON number carries exactly. As text, because 2^53 + 1 is 2^53 as a double
create macro is_token_count(x) as
    coalesce(
        number(x) >= 0 and number(x) = trunc(number(x)) and (number(x) < 9007199254740992 or x = '9007199254740992'),
        false
    );

create macro tokens(x) as case when is_token_count(x) then cast(number(x) as bigint) end;

-- what is wrong with a token count; NULL where nothing is
create macro token_fault(name, x) as
    case
        when x is null or is_token_count(x) then null
        when number(x) is null or isnan(number(x)) then name || ' is not a number'
        when number(x) < 0 then name || ' is negative'
        when number(x) >= 9007199254740992 then name || ' is above 2^53'
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

-- digits to money without a float; the narrow decimal first, because it is ten times as fast to parse
create macro money(x) as coalesce(cast(try_cast(x as decimal(18, 12)) as decimal(38, 12)), try_cast(x as decimal(38, 12)));

-- up to some four months: what is longer was not measured in milliseconds, and sums of it would not be exact any more
create macro milliseconds(x) as case when number(x) between 0 and 1e10 then number(x) end;

-- a running number of milliseconds or of millionths of a dollar, in the notation that the contract reads
create macro epoch_milliseconds(x) as
    coalesce(try(cast(make_timestamptz(try_cast(x as bigint) * 1000) as varchar)), cast(x as varchar));
create macro micros(x) as
    coalesce(cast(cast(try_cast(x as decimal(32, 6)) * 0.000001 as decimal(38, 12)) as varchar), cast(x as varchar));

-- an object, or a text that holds one
create macro json_object_in(x) as
    case
        when json_type(x) = 'OBJECT' then x
        when json_type(x) = 'VARCHAR' and json_valid(x ->> '$') then cast(x ->> '$' as json)
    end;

create macro named_json(name, x) as coalesce(json_object_in(x), json_object(name, x));

create macro merged_json(x, y) as
    case
        when y is null
        then coalesce(json_object_in(x), x)
        when x is null
        then coalesce(json_object_in(y), y)
        else json_merge_patch(named_json('metadata', x), named_json('metadata_extra', y))
    end
;

-- an object without its objects and arrays, which may hold what somebody wrote
create macro flat_json(x) as
    to_json(
        map(
            json_keys(x),
            list_transform(
                json_keys(x),
                lambda key: case
                    when json_type(x, '/' || replace(replace(key, '~', '~0'), '/', '~1')) in ('OBJECT', 'ARRAY')
                    then to_json('left out, as it may hold content')
                    else json_extract(x, '/' || replace(replace(key, '~', '~0'), '/', '~1'))
                end
            )
        )
    );
