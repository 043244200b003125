"""Every way to pay once more, one call at a time in exact fractions: the model that the fast one must equal."""

from __future__ import annotations

import calendar
import datetime as dt
from fractions import Fraction

UTC = dt.UTC
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)


def when(ms):
    return EPOCH + dt.timedelta(milliseconds=ms)


def ms_of(moment):
    return (moment - EPOCH) // dt.timedelta(milliseconds=1)


def plus_months(start, count, tz=UTC):
    """Month by month with the original day, clamped to each month's length."""
    local = when(start).astimezone(tz)
    year, month = local.year, local.month
    for _ in range(abs(count)):
        month += 1 if count > 0 else -1
        if month == 13:
            year, month = year + 1, 1
        if month == 0:
            year, month = year - 1, 12
    day = min(local.day, calendar.monthrange(year, month)[1])
    return ms_of(local.replace(year=year, month=month, day=day, fold=0))


def month_around(start, at, tz=UTC):
    n = 0
    while plus_months(start, n, tz) > at:
        n -= 1
    while plus_months(start, n + 1, tz) <= at:
        n += 1
    return plus_months(start, n, tz), plus_months(start, n + 1, tz)


def months_touched(start, first, last, tz=UTC):
    found = [month_around(start, first, tz)]
    while found[-1][1] <= last:
        found.append(month_around(start, found[-1][1], tz))
    return found


def local_midnight(day, tz):
    return ms_of(dt.datetime.combine(day, dt.time(), tz).astimezone(UTC))


def calendar_around(kind, at, tz):
    day = when(at).astimezone(tz).date()
    if kind == "calendar_day":
        return local_midnight(day, tz), local_midnight(day + dt.timedelta(days=1), tz)
    if kind in ("calendar_week", "week_utc_monday"):
        monday = day - dt.timedelta(days=day.weekday())
        return local_midnight(monday, tz), local_midnight(monday + dt.timedelta(days=7), tz)
    first = day.replace(day=1)
    following = (first + dt.timedelta(days=32)).replace(day=1)
    return local_midnight(first, tz), local_midnight(following, tz)


class SlowWindow:
    def __init__(self, anchor, length, limit, tz=UTC, start=0):
        self.anchor, self.length, self.limit, self.tz, self.start = anchor, length, limit, tz, start
        self.used, self.end = Fraction(0), None
        self.log = []

    def move(self, now):
        if self.anchor == "sliding":
            self.log = [(t, w) for t, w in self.log if t > now - self.length]
            self.used = sum((w for _, w in self.log), Fraction(0))
            return
        if self.end is not None and now >= self.end:
            self.used, self.end = Fraction(0), None
        if self.end is None:
            if self.anchor == "subscription_anniversary":
                self.end = month_around(self.start, now, self.tz)[1]
            elif self.anchor == "account":
                self.end = self.start + ((now - self.start) // self.length + 1) * self.length
            elif self.anchor not in ("first_call", "floor_hour"):
                self.end = calendar_around(self.anchor, now, self.tz)[1]

    @property
    def full(self):
        return self.used >= self.limit

    def frees(self):
        if self.anchor != "sliding":
            return self.end
        for t, _ in self.log:
            rest = sum((w for u, w in self.log if u > t), Fraction(0))
            if rest < self.limit:
                return t + self.length
        raise AssertionError

    def charge(self, now, weight):
        if self.anchor == "first_call" and self.end is None:
            self.end = now + self.length + 1
        if self.anchor == "floor_hour" and self.end is None:
            self.end = now - now % 3_600_000 + self.length + 1
        self.used += weight
        self.log.append((now, weight))


def subscription(calls, windows, counts, *, wait):
    """(served, delay) per call; a call is (time, weights per window)."""
    clock, out = 0, []
    for i, (at, weights) in enumerate(calls):
        now = max(at, clock) if wait else at
        while True:
            for window in windows:
                window.move(now)
            full = [w for n, w in enumerate(windows) if counts[n][i] and w.full]
            if not (full and wait):
                break
            now = clock = max(w.frees() for w in full)
        if full:
            out.append((False, 0))
            continue
        for n, window in enumerate(windows):
            if counts[n][i]:
                window.charge(now, weights[n])
        out.append((True, now - at))
    return out


def credit_packs(uses, months, included, pack, expiry_months, credit):
    """Cash for packs: a pack is bought when a credit is needed and none is left; what expires is lost."""
    cash, left, expires = Fraction(0), Fraction(0), None
    for begin, end in months:
        free = Fraction(included)
        for at, amount in uses:
            if not begin <= at < end:
                continue
            taken = min(free, amount)
            free -= taken
            need = amount - taken
            while need:
                if expires is not None and at >= expires:
                    left = Fraction(0)
                if not left:
                    left, cash = Fraction(pack), cash + pack * credit
                    expires = None if expiry_months is None else plus_months(at, expiry_months)
                part = min(left, need)
                left -= part
                need -= part
    return cash


def scale_to_zero(calls, cold, idle, step, cold_billed):
    """(billed, starts, delayed, delay) in microseconds; a call is (time, service)."""
    billed = starts = delayed = delay = 0
    up = False
    begun = ready = done = 0
    for at, service in calls:
        if up and at > done + idle:
            billed += -(-(done + idle - begun) // step) * step
            up = False
        if not up:
            up, starts = True, starts + 1
            ready = at + cold
            begun = at if cold_billed else ready
            done = ready
        if at < ready:
            delayed += 1
            delay += ready - at
        done = max(done, at, ready) + service
    if up:
        billed += -(-(done + idle - begun) // step) * step
    return billed, starts, delayed, delay


def commitment(volumes, minimum, price, beyond, rollover):
    """Cash per period, dollar by dollar of what is left in each earlier period's minimum."""
    banks, cash = [], []
    for n, volume in enumerate(volumes):
        banks.append([n, Fraction(minimum)])
        need = volume * price
        for bank in banks:
            if bank[0] + rollover >= n:
                taken = min(bank[1], need)
                bank[1] -= taken
                need -= taken
        cash.append(minimum + need / price * beyond)
    return cash
