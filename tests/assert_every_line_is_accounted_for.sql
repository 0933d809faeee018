-- For every file in a complete load, the lines landed, skipped and rejected add up to the lines read,
-- and the raw tables have the landed events and the rejected lines.
-- No model depends on this test, so a failure does not stop any model.
with

    files as (
        select
            _dlt_load_id,
            source_file,
            lines_read,
            lines_landed,
            lines_skipped,
            lines_rejected,
            -- older versions landed one event per line
            coalesce(events_landed, lines_landed) as events_landed
        from {{ without_dependency("loaded_files") }}
        where
            _dlt_load_id in (select load_id from {{ without_dependency("_dlt_loads") }} where status = 0)
            and {{ is_tested_load() }}
    ),

    landed as (
        select _dlt_load_id, source_file, count(*) as found
        from {{ without_dependency("events") }}
        where {{ is_tested_load() }}
        group by _dlt_load_id, source_file
    ),

    rejected as (
        select _dlt_load_id, source_file, count(*) as found
        from {{ without_dependency("rejected_lines") }}
        where {{ is_tested_load() }}
        group by _dlt_load_id, source_file
    )

select files._dlt_load_id, files.source_file
from files
left join landed on files._dlt_load_id = landed._dlt_load_id and files.source_file = landed.source_file
left join rejected on files._dlt_load_id = rejected._dlt_load_id and files.source_file = rejected.source_file
where
    files.lines_read <> files.lines_landed + files.lines_skipped + files.lines_rejected
    or files.lines_skipped < 0
    or files.events_landed <> coalesce(landed.found, 0)
    or files.lines_rejected <> coalesce(rejected.found, 0)
