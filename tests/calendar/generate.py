#!/usr/bin/env python3
"""Writes oracle.csv: what another calendar says about 10,000 random schedules.

The expected instants come from python-dateutil (relativedelta, which clamps to the end of a month) and from the
standard library's zoneinfo, on the time zone files beside this script. Neither shares code with the program under
test. Run it once, from anywhere, after the zones in zoneinfo/ have been replaced:

    python3 tests/calendar/generate.py

Needs Python 3.9 or later and python-dateutil. The rows follow from the seed, so that a second run writes the same file.

A row is one schedule: anchor, zone, hour, unit, count; `samples`, six occurrences as `index=instant` in seconds since
1970, separated by spaces; and over all occurrences that start within ten years of the anchor `occurrences`, their
number, and `checksum`, the sum of (index + 1) x instant modulo 2^61 - 1, so that none can differ, nor two be swapped.
"""

import csv
import random
import sys
import zoneinfo
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path

from dateutil.relativedelta import relativedelta

HERE = Path(__file__).resolve().parent
ROWS = 10_000
SAMPLES = 6
SEED = 20261123
MODULUS = 2**61 - 1
FIRST_ANCHOR = date(1990, 1, 1)
LAST_ANCHOR = date(2045, 12, 31)
YEARS = 10
# The larger counts are rarer in the wild; one is as likely as all others together.
COUNTS = {"day": [1, 1, 1, 2, 3, 10, 30, 90], "week": [1, 1, 2, 4], "month": [1, 1, 1, 2, 3, 6, 18], "year": [1, 1, 2, 3]}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def step(unit, units):
    """The distance from the anchor, in one go, so that nothing drifts."""
    return relativedelta(**{unit + "s": units})


def instant_of(on, hour, zone):
    """Seconds since 1970 at which `on` reaches `hour` in `zone`.

    fold=0 takes the earlier of two instants; for a time that is skipped it takes the offset from before the gap,
    which moves the time later by the length of the gap.
    """
    local = datetime.combine(on, time(hour), tzinfo=zone)
    return (local.astimezone(timezone.utc) - EPOCH) // timedelta(seconds=1)


def anchor(chance, zone, transitions):
    """A random date; often one at the end of a month or shortly before a change of the clocks."""
    kind = chance.random()
    if kind < 0.25 and transitions:
        return chance.choice(transitions)
    on = FIRST_ANCHOR + timedelta(days=chance.randrange((LAST_ANCHOR - FIRST_ANCHOR).days + 1))
    if kind < 0.5:
        return (on.replace(day=1) + relativedelta(months=1)) - timedelta(days=chance.randrange(1, 4))
    return on


def days_of_change(zone):
    """The dates from FIRST_ANCHOR to LAST_ANCHOR on which the zone's offset changes, and those 1, 28, 31 and 365 days before."""
    days = []
    on = FIRST_ANCHOR
    while on <= LAST_ANCHOR:
        at = datetime.combine(on, time(), tzinfo=zone)
        if at.utcoffset() != (at + timedelta(days=1)).utcoffset():
            days += [on - timedelta(days=before) for before in (0, 1, 28, 31, 365)]
        on += timedelta(days=1)
    return days


def occurrences(anchor_on, zone, hour, unit, count):
    """All starts within ten years of the anchor."""
    end_on = anchor_on + relativedelta(years=YEARS)
    index, instants = 0, []
    while (on := anchor_on + step(unit, index * count)) < end_on:
        instants.append(instant_of(on, hour, zone))
        index += 1
    return instants


def main():
    zoneinfo.reset_tzpath(to=[str(HERE / "zoneinfo")])
    # An installed tzdata package must not answer for a file that is missing here.
    sys.modules["tzdata"] = None
    names = sorted(
        path.relative_to(HERE / "zoneinfo").as_posix()
        for path in (HERE / "zoneinfo").rglob("*")
        if path.is_file() and path.read_bytes()[:4] == b"TZif"
    )
    zones = {name: zoneinfo.ZoneInfo(name) for name in names}
    changes = {name: days_of_change(zone) for name, zone in zones.items()}
    chance = random.Random(SEED)
    with open(HERE / "oracle.csv", "w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["anchor_on", "zone", "hour", "unit", "count", "samples", "occurrences", "checksum"])
        for _ in range(ROWS):
            name = chance.choice(names)
            anchor_on = anchor(chance, zones[name], changes[name])
            # Clocks change in the first hours of a day: half of the hours are taken from there.
            hour = chance.randrange(24) if chance.random() < 0.5 else chance.randrange(4)
            unit = chance.choice(list(COUNTS))
            count = chance.choice(COUNTS[unit])
            instants = occurrences(anchor_on, zones[name], hour, unit, count)
            chosen = sorted(chance.sample(range(len(instants)), min(SAMPLES, len(instants))))
            samples = " ".join(f"{index}={instants[index]}" for index in chosen)
            checksum = sum((index + 1) * instant for index, instant in enumerate(instants)) % MODULUS
            writer.writerow([anchor_on, name, hour, unit, count, samples, len(instants), checksum])


if __name__ == "__main__":
    main()
