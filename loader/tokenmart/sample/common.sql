-- The people, applications, models and hours of all sample formats. Runs once.
--
-- Variables: seed (text), events, days, starts_on (date), and for each chunk first_session and next_session.
-- Every random number is a whole number from a hash of the seed, the thing and the purpose. So the result does not
-- depend on the order of rows, on threads or on the floating-point library of a machine.
create macro sample_key(thing, purpose) as concat_ws('/', getvariable('seed'), thing, purpose);

-- a random whole number from 0 to sides - 1
create macro draw(thing, purpose, sides) as
    cast(md5_number(sample_key(thing, purpose)) >> 65 as bigint) % sides;

create macro drawn_uuid(thing, purpose) as cast(cast(md5(sample_key(thing, purpose)) as uuid) as varchar);

-- A random whole number around the typical value, at most eight times as large. A product of uniform numbers is
-- close to lognormal. exp() is not used, because its last digit differs between machines.
create macro skewed(typical, thing, purpose) as
    divide(
        typical
        * (30 + draw(thing, purpose || ' 1', 171))
        * (30 + draw(thing, purpose || ' 2', 171))
        * (30 + draw(thing, purpose || ' 3', 171)),
        1000000
    );

-- list prices in USD per million tokens; the typical number of reply tokens, and typical times in ms
create table models as
select
    provider,
    model,
    endpoint,
    cast(input_price as decimal(9, 3)) as input_price,
    cast(cached_price as decimal(9, 3)) as cached_price,
    cast(write_price as decimal(9, 3)) as write_price,
    cast(output_price as decimal(9, 3)) as output_price,
    reply_tokens,
    first_token_ms,
    ms_per_token,
from
    (
        values
            ('openai', 'gpt-4o-mini-2024-07-18', '/v1/chat/completions', 0.15, 0.075, null, 0.6, 180, 350, 9),
            ('openai', 'gpt-4o-2024-08-06', '/v1/chat/completions', 2.5, 1.25, null, 10, 260, 450, 13),
            ('openai', 'gpt-5-2025-08-07', '/v1/responses', 1.25, 0.125, null, 10, 900, 1800, 11),
            ('openai', 'text-embedding-3-small', '/v1/embeddings', 0.02, null, null, 0, 0, 90, 0),
            ('anthropic', 'claude-haiku-4-5-20251001', '/v1/messages', 1, 0.1, 1.25, 5, 240, 500, 7),
            ('anthropic', 'claude-sonnet-4-5-20250929', '/v1/messages', 3, 0.3, 3.75, 15, 420, 900, 15),
            ('anthropic', 'claude-opus-4-5-20251101', '/v1/messages', 5, 0.5, 6.25, 25, 520, 1300, 19),
            ('google', 'gemini-2.5-flash', '/v1/generateContent', 0.3, 0.03, null, 2.5, 300, 400, 5),
            ('google', 'gemini-2.5-pro', '/v1/generateContent', 1.25, 0.125, null, 10, 800, 1500, 10),
            ('mistral', 'mistral-large-latest', '/v1/chat/completions', 2, null, null, 6, 280, 600, 16),
            ('acme', 'acme-llm-1', '/generate', null, null, null, null, 200, 700, 20)
    ) as listed(
        provider,
        model,
        endpoint,
        input_price,
        cached_price,
        write_price,
        output_price,
        reply_tokens,
        first_token_ms,
        ms_per_token
    );

-- the purposes of sessions: one slot per percent of the sessions
create table workloads as
with
    workload_shares as (
        from
            (
                values
                    ('support-bot', 'care', 'answer', '/tickets', 'chat', 'gpt-4o-mini-2024-07-18', 1400, 18),
                    ('support-bot', 'care', 'answer', '/tickets', 'chat', 'claude-haiku-4-5-20251001', 1800, 10),
                    ('support-bot', 'care', 'summarise', '/tickets', 'sidebar', 'gemini-2.5-flash', 3500, 9),
                    ('docs-search', 'care', 'index', null, null, 'text-embedding-3-small', 600, 10),
                    ('docs-search', 'care', 'answer', '/search', 'search-box', 'gpt-4o-2024-08-06', 2600, 7),
                    ('code-review', 'forge', 'review', null, 'ci', 'claude-sonnet-4-5-20250929', 9000, 13),
                    ('code-review', 'forge', 'plan', null, 'ci', 'claude-opus-4-5-20251101', 12000, 4),
                    ('report-writer', 'atlas', 'draft', '/reports', 'editor', 'gpt-5-2025-08-07', 3000, 8),
                    ('report-writer', 'atlas', 'draft', '/reports', 'editor', 'gemini-2.5-pro', 5000, 6),
                    ('report-writer', 'atlas', 'translate', '/reports', null, 'mistral-large-latest', 1500, 5),
                    ('batch-tagger', 'atlas', null, null, null, 'gpt-4o-mini-2024-07-18', 500, 5),
                    ('playground', null, null, '/playground', 'prompt-box', 'gpt-4o-2024-08-06', 300, 2),
                    ('playground', null, null, '/playground', 'prompt-box', 'acme-llm-1', 300, 3)
            ) as listed(app_name, project, feature, page, component, model, prompt_tokens, percent)
    ),
    percents as (select *, unnest(range(percent)) as nth from workload_shares)
select * exclude (percent, nth), row_number() over (order by app_name, feature, model, nth) - 1 as slot
from percents;

-- the last five do not belong to a team, so their cost is unattributed
create table people as
select
    person,
    format('user-{:02d}', person + 1) as user_id,
    ['northwind', 'globex', 'initech'][1 + person % 3] as organization_id,
    case when person < 35 then ['support', 'platform', 'search', 'data', 'growth'][1 + person % 5] end as team,
    case when person < 35 then ['cc-4100', 'cc-4200', 'cc-4200', 'cc-4300', 'cc-5100'][1 + person % 5] end
        as cost_center,
from range(40) as numbers(person);

-- The events that start in each hour (UTC). Working hours, weekdays and later days have more events. The last hour has
-- none, so that every session ends within the days.
create table hours as
with
    hours_of_days as (
        select
            day, hour, getvariable('starts_on') + to_days(day) + to_hours(hour) as starts_at,
        from range(getvariable('days')) as days(day), range(24) as day_hours(hour)
        where day < getvariable('days') - 1 or hour < 23
    ),
    weighted as (
        select
            starts_at,
            [2, 1, 1, 1, 1, 3, 7, 15, 31, 44, 48, 45, 39, 44, 48, 46, 41, 30, 19, 12, 9, 7, 5, 3][1 + hour]
            * case when isodow(starts_at) <= 5 then 100 else 22 end
            * (100 + divide(40 * day, getvariable('days'))) as weight,
        from hours_of_days
    ),
    cumulative_weights as (
        select starts_at, weight, sum(weight) over (order by starts_at) as cumulative_weight, sum(weight) over () as total,
        from weighted
    ),
    event_ranges as (
        select
            starts_at,
            cast(divide(getvariable('events') * (cumulative_weight - weight), total) as bigint) as first_event,
            cast(divide(getvariable('events') * cumulative_weight, total) as bigint) as next_event,
        from cumulative_weights
    )
from event_ranges
where first_event < next_event;

-- One row per session. Every twelve events are two sessions, so that a chunk can be created without the others.
create view sessions as
with
    halves as (
        select
            session,
            session % 2 = 0 as is_first,
            12 * divide(session, 2) as block,
            12 * divide(session, 2) + 1 + draw(divide(session, 2), 'cut', 11) as boundary,
        from range(getvariable('first_session'), getvariable('next_session')) as numbers(session)
    ),
    session_events as (
        select
            session,
            if(is_first, block, boundary) as first_event,
            least(if(is_first, boundary, block + 12), getvariable('events')) as next_event,
            -- a few people have most of the sessions
            divide(draw(session, 'person', 40) * draw(session, 'other person', 40), 40) as person,
            draw(session, 'workload', 100) as slot,
            10000000 + draw(session, 'pace', 140000000) as microseconds_apart,
        from halves
    ),
    session_hours as (
        select
            session_events.*,
            hours.starts_at as hour_starts_at,
            session_events.first_event - hours.first_event as position_in_hour,
            divide(3600000000, hours.next_event - hours.first_event) as microseconds_each,
        from session_events
        asof join hours on session_events.first_event >= hours.first_event
        where session_events.first_event < getvariable('events')
    )
select
    *,
    hour_starts_at
    + to_microseconds(position_in_hour * microseconds_each + draw(session, 'start', microseconds_each)) as starts_at,
from session_hours;

-- One row per event: its session and person, its position in the session (from 0), and the time of the request (UTC).
create view requests as
with numbered as (select *, unnest(range(first_event, next_event)) as event from sessions)
select
    event,
    session,
    event - first_event as position,
    event = next_event - 1 as is_last,
    person,
    slot,
    starts_at
    + to_microseconds((event - first_event) * microseconds_apart + draw(event, 'pause', microseconds_apart))
        as requested_at,
from numbered;

-- All sessions after this chunk begin at this time (UTC) or later.
create view horizon as
select if(6 * getvariable('next_session') < getvariable('events'), max(starts_at), timestamp 'infinity') as next_session_at,
from hours
where first_event <= 6 * getvariable('next_session');
