"""When a cron expression is due: by tables for what people ask about, by counting through the minutes for everything else."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.plan.cron import CronError, parse_cron


def unix(text: str, zone: str = "Etc/UTC") -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp())


@pytest.mark.parametrize(
    ("schedule", "zone", "since", "due"),
    [
        ("30 2 * * *", "Etc/UTC", "2026-03-28T02:30", ["2026-03-29T02:30+00:00", "2026-03-30T02:30+00:00"]),
        # 02:30 does not exist on 29 March
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00",
            ["2026-03-28T02:30+01:00", "2026-03-30T02:30+02:00"],
        ),
        ("30 2 29 3 *", "Europe/Berlin", "2026-01-01T00:00", ["2027-03-29T02:30+02:00"]),
        ("0 3 * * *", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29T03:00+02:00"]),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T01:00",
            ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"],
        ),
        # 02:30 comes twice on 25 October
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-26T02:30+01:00"],
        ),
        ("30 2 25 10 *", "Europe/Berlin", "2026-01-01T00:00", ["2026-10-25T02:30+02:00"]),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25T02:00+02:00",
            [
                "2026-10-25T02:30+02:00",
                "2026-10-25T02:00+01:00",
                "2026-10-25T02:30+01:00",
                "2026-10-25T03:00+01:00",
            ],
        ),
        ("30 2 * * *", "America/New_York", "2026-03-08T00:00", ["2026-03-09T02:30-04:00"]),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-11-01T00:00",
            ["2026-11-01T01:30-04:00", "2026-11-01T01:30-05:00", "2026-11-02T01:30-05:00"],
        ),
        ("0 0 * * *", "Asia/Kathmandu", "2026-01-01T12:00", ["2026-01-02T00:00+05:45"]),
        # half an hour only
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-05T00:00",
            ["2026-04-05T01:45+11:00", "2026-04-05T01:45+10:30"],
        ),
        ("0 0 29 2 *", "Etc/UTC", "2026-01-01T00:00", ["2028-02-29T00:00+00:00", "2032-02-29T00:00+00:00"]),
        ("0 0 29 2 *", "Etc/UTC", "2096-03-01T00:00", ["2104-02-29T00:00+00:00"]),
        # a day of the month or one of the week, as soon as neither is open
        (
            "0 0 13 * 5",
            "Etc/UTC",
            "2026-01-01T00:00",
            ["2026-01-02T00:00+00:00", "2026-01-09T00:00+00:00", "2026-01-13T00:00+00:00"],
        ),
        ("0 0 */31 * 5", "Etc/UTC", "2026-01-01T00:00", ["2026-01-02T00:00+00:00"]),
        ("0 0 * * fri", "Etc/UTC", "2026-01-03T00:00", ["2026-01-09T00:00+00:00"]),
        ("0 0 ? jan ?", "Etc/UTC", "2026-01-30T12:00", ["2026-01-31T00:00+00:00", "2027-01-01T00:00+00:00"]),
        ("0 0 * * 5/1", "Etc/UTC", "2026-01-01T00:00", ["2026-01-02T00:00+00:00", "2026-01-03T00:00+00:00"]),
        ("@weekly", "Etc/UTC", "2026-01-01T00:00", ["2026-01-04T00:00+00:00"]),
        ("@hourly", "Etc/UTC", "2026-01-01T00:00", ["2026-01-01T01:00+00:00"]),
    ],
)
def test_when_it_is_due(schedule: str, zone: str, since: str, due: list[str]) -> None:
    cron = parse_cron(schedule, zone)
    at: int | None = unix(since, zone)
    for expected in due:
        assert at is not None
        at = cron.next_after(at)
        assert at == unix(expected)


@pytest.mark.parametrize(
    ("schedule", "zone", "key", "message"),
    [
        ("60 * * * *", "Etc/UTC", "schedule", "no valid minute"),
        ("0 24 * * *", "Etc/UTC", "schedule", "no valid hour"),
        ("0 0 32 * *", "Etc/UTC", "schedule", "no valid day of month"),
        ("0 0 L * *", "Etc/UTC", "schedule", "no valid day of month"),
        ("0 0 * foo *", "Etc/UTC", "schedule", "no valid month"),
        ("0 0 * * 1#2", "Etc/UTC", "schedule", "no valid day of week"),
        ("*/0 * * * *", "Etc/UTC", "schedule", "no valid minute"),
        ("0 * * *", "Etc/UTC", "schedule", "4 fields"),
        ("0 0 * * * *", "Etc/UTC", "schedule", "6 fields"),
        ("0 0 31 2,4 *", "Etc/UTC", "schedule", "day of month"),
        ("@fortnightly", "Etc/UTC", "schedule", "unknown"),
        ("@daily", "Europe/Berlim", "timeZone", "no time zone"),
        ("@daily", "Europe", "timeZone", "no time zone"),
        ("@daily", "", "timeZone", "no time zone"),
        ("@daily", "../UTC", "timeZone", "no time zone"),
    ],
)
def test_what_is_none(schedule: str, zone: str, key: str, message: str) -> None:
    with pytest.raises(CronError, match=message) as found:
        parse_cron(schedule, zone)
    assert found.value.key == key


ZONES = st.sampled_from(["Etc/UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
CHANGES = st.sampled_from(
    ["2026-03-28", "2026-10-24", "2026-03-07", "2026-10-31", "2026-04-04", "2026-10-03", "2027-02-28"]
)
MINUTES, HOURS = st.integers(0, 59), st.integers(0, 3)


@given(zone=ZONES, day=CHANGES, minute=MINUTES, hour=HOURS, wide=st.booleans(), offset=st.integers(0, 90_000))
@settings(deadline=None, max_examples=60)
def test_it_is_due_whenever_the_wall_clock_shows_what_it_names(
    *, zone: str, day: str, minute: int, hour: int, wide: bool, offset: int
) -> None:
    fields = f"*/20 {hour} * * *" if wide else f"{minute} {hour} * * *"
    minutes = range(0, 60, 20) if wide else (minute,)
    cron, place = parse_cron(fields, zone), ZoneInfo(zone)
    begin = unix(day) + offset
    end = begin + 2 * 86_400
    clock = {at: datetime.fromtimestamp(at, place) for at in range(begin - begin % 60, end, 60)}
    expected = [
        at for at, wall in clock.items() if at > begin and wall.hour == hour and wall.minute in minutes
    ]
    found, at = [], cron.next_after(begin)
    while at is not None and at < end:
        found.append(at)
        at = cron.next_after(at)
    assert found == expected
    assert cron.last_between(begin, end - 1) == (expected[-1] if expected else None)


@given(
    since=st.integers(0, 2 * 10**9),
    length=st.floats(0, 10**8),
    schedule=st.sampled_from(["@yearly", "5 4 * * 1"]),
)
@settings(deadline=None, max_examples=60)
def test_the_last_time_of_a_long_stretch(since: int, length: float, schedule: str) -> None:
    cron, until = parse_cron(schedule, "Europe/Berlin"), since + length
    last = cron.last_between(since, until)
    following = cron.next_after(since if last is None else last)
    assert following is not None
    assert following > until
    assert last is None or since < last <= until


def test_a_year_of_minutes_is_not_counted_through() -> None:
    cron = parse_cron("* * * * *", "Etc/UTC")
    assert cron.last_between(0, 1_800_000_030.5) == 1_800_000_000
    assert datetime.fromtimestamp(1_800_000_000, UTC).second == 0
