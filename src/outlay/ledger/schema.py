"""Tables of the ledger and their migrations: a list of small steps, applied in order, never edited."""

from __future__ import annotations

import sqlite3

from outlay.errors import LedgerError

_EVENTS = """
CREATE TABLE streams (            -- what is written by one owner at a time: a run or a session
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,           -- run | session
    epoch INTEGER NOT NULL,       -- grows with every owner; an append under an old epoch is fenced
    owner TEXT,
    lease_until_ms INTEGER NOT NULL,
    next_n INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,      -- position in the chain, without gaps
    at_ms INTEGER NOT NULL,
    run TEXT NOT NULL,
    stream TEXT NOT NULL,
    n INTEGER NOT NULL,           -- position in the stream, without gaps
    type TEXT NOT NULL,
    head TEXT NOT NULL,           -- canonical JSON, no free text
    payload INTEGER,              -- vault.id
    commitment BLOB,              -- HMAC-SHA256(salt, payload)
    prev BLOB NOT NULL,
    hash BLOB NOT NULL
);
CREATE UNIQUE INDEX events_stream ON events (stream, n);
CREATE INDEX events_run ON events (run, type);
CREATE TRIGGER events_fixed BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TABLE vault (
    id INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,        -- whose data it is: a run, a person; what a redaction removes
    salt BLOB NOT NULL,
    body BLOB NOT NULL            -- first byte: 0 plain, 1 zlib
);
CREATE INDEX vault_subject ON vault (subject);
"""

_RUNS = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    goal_path TEXT NOT NULL,
    workspace TEXT NOT NULL,
    status TEXT NOT NULL,         -- running | paused | ended
    outcome TEXT,                 -- succeeded | failed | stopped | cancelled | lost
    reason TEXT,                  -- which limit, which check; one line
    pid INTEGER,
    wanted TEXT,                  -- pause | cancel: what another process asks of the one that runs it
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    main TEXT                     -- sessions.id of the main agent
) WITHOUT ROWID;
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    run TEXT NOT NULL,
    parent TEXT,
    name TEXT NOT NULL,           -- plan/research
    role TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,         -- queued | running | waiting | done | failed | cancelled | timed_out | stopped | lost
    resumed INTEGER NOT NULL DEFAULT 0,
    turns INTEGER NOT NULL DEFAULT 0,
    context_tokens INTEGER NOT NULL DEFAULT 0,
    window_tokens INTEGER,
    last_action TEXT NOT NULL DEFAULT '',
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX sessions_run ON sessions (run);
"""

_CALLS = """
CREATE TABLE callers (            -- who made calls, and where: one row per conversation and what is known of it
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,         -- outlay | claude | codex | gemini | opencode
    machine TEXT NOT NULL,
    run TEXT,
    root TEXT NOT NULL,           -- the main agent's session (or our run) that this conversation belongs to
    session TEXT NOT NULL,
    parent TEXT,                  -- session that started this session; NULL for a main agent
    agent TEXT NOT NULL,
    role TEXT NOT NULL,
    project TEXT NOT NULL,
    file TEXT NOT NULL            -- where its calls were read; '' for our own
);
CREATE UNIQUE INDEX callers_facts ON callers
    (session, source, machine, coalesce(run, ''), root, coalesce(parent, ''), agent, role, project, file);
CREATE INDEX callers_run ON callers (run) WHERE run IS NOT NULL;
CREATE INDEX callers_root ON callers (root);
CREATE TABLE services (           -- what answered: everything but time and size that a price depends on
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL,          -- as asked for
    answered_model TEXT NOT NULL, -- as the answer named it, where different; '' otherwise
    provider TEXT NOT NULL,
    tier TEXT NOT NULL,           -- batch | flex | priority | '' for standard
    speed TEXT NOT NULL,          -- fast | ''
    UNIQUE (model, answered_model, provider, tier, speed)
);
CREATE TABLE toolsets (
    id INTEGER PRIMARY KEY,
    names TEXT NOT NULL UNIQUE    -- names of the tools asked for, comma separated, repeats kept; '' for none
);
CREATE TABLE call_facts (         -- one row per model call as a provider bills it (per attempt for our own)
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    key TEXT NOT NULL,            -- identity of the call within its source
    caller INTEGER NOT NULL,
    service INTEGER NOT NULL,
    toolset INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    fresh INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    web_searches INTEGER NOT NULL,
    quality INTEGER NOT NULL,     -- 0 exact | 1 lower_bound | 2 residual | 3 reported | 4 estimated | 5 unmeasured
    offset INTEGER,               -- byte of callers.file where the call's first line begins
    rank INTEGER NOT NULL DEFAULT 0, -- of several copies of a call the one of lowest rank says whose it is
    recorded_cost_pico INTEGER,   -- what the source itself reported, never computed by us
    started_ms INTEGER,
    status TEXT NOT NULL DEFAULT 'ok', -- ok | failed | cut | lost
    attempt INTEGER NOT NULL DEFAULT 1,
    possible_cost_pico INTEGER,   -- of a lost call: the most it may have cost
    origin TEXT,                  -- where it was read, for those without a file
    raw_usage TEXT                -- the provider's own usage object
);
CREATE UNIQUE INDEX call_facts_key ON call_facts (key, source);
CREATE INDEX call_facts_caller ON call_facts (caller);
CREATE TABLE calls_changed (      -- rows that changed after they were first written
    id INTEGER PRIMARY KEY        -- (an INSERT OR IGNORE in a trigger would take the conflict rule of its cause)
);
CREATE TABLE calls_state (changes INTEGER NOT NULL); -- how often rows changed after they were first written
INSERT INTO calls_state VALUES (0);
CREATE TRIGGER call_facts_changed AFTER UPDATE ON call_facts BEGIN
    INSERT INTO calls_changed SELECT old.id WHERE old.id NOT IN (SELECT id FROM calls_changed);
    UPDATE calls_state SET changes = changes + 1;
END;
CREATE TRIGGER call_facts_gone AFTER DELETE ON call_facts BEGIN
    INSERT INTO calls_changed SELECT old.id WHERE old.id NOT IN (SELECT id FROM calls_changed);
    UPDATE calls_state SET changes = changes + 1;
END;
CREATE VIEW calls AS              -- the two together, one column per fact
    SELECT f.source, f.key, c.machine, c.run, c.root, c.session, c.parent, c.agent,
        c.role, c.project, s.model, nullif(s.answered_model, '') AS answered_model, s.provider, s.tier, s.speed,
        f.started_ms, f.ended_ms, f.fresh, f.cache_read, f.cache_write_5m, f.cache_write_1h, f.output, f.reasoning,
        f.web_searches, t.names AS tools, CASE f.quality WHEN 0 THEN 'exact' WHEN 1 THEN 'lower_bound'
        WHEN 2 THEN 'residual' WHEN 3 THEN 'reported' WHEN 4 THEN 'estimated' ELSE 'unmeasured' END AS quality,
        f.status, f.attempt, f.recorded_cost_pico, f.possible_cost_pico,
        coalesce(f.origin, c.file || ifnull(':' || f.offset, '')) AS origin, f.raw_usage
    FROM call_facts f JOIN callers c ON c.id = f.caller JOIN services s ON s.id = f.service
    JOIN toolsets t ON t.id = f.toolset;
CREATE TABLE readings (           -- how far each file of another agent was read
    path TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    machine TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    offset INTEGER NOT NULL,      -- where the next reading begins
    seal INTEGER NOT NULL,        -- CRC-32 of the bytes before `offset`: a rewritten file is read anew
    carry BLOB,                   -- what the reader must know of the part before `offset`
    problems TEXT NOT NULL        -- JSON: [[place, what is wrong], ...]
) WITHOUT ROWID;
CREATE TABLE names (              -- what sessions are called by those who started them
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (source, session)
) WITHOUT ROWID;
"""

_AGENTS = """
CREATE TABLE agents (             -- runs that serve somebody outside as a named subagent
    run TEXT PRIMARY KEY,
    project TEXT NOT NULL,        -- folder within which its name is unique
    name TEXT NOT NULL,
    current INTEGER NOT NULL,     -- 1: the run that the name means now
    live INTEGER NOT NULL,        -- 1: queued, running or waiting
    ended TEXT,                   -- done | failed | cancelled | timed_out | stopped | lost
    role TEXT NOT NULL,
    model TEXT NOT NULL,          -- spec
    folder TEXT NOT NULL,
    begun_ms INTEGER,             -- since when it is being worked on; NULL: it is not
    worked_ms INTEGER NOT NULL DEFAULT 0,
    resumed INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0, -- beginnings since it last got on
    changed_files INTEGER,        -- files changed in its clone; NULL: it only reads, or has not ended
    delivered INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE UNIQUE INDEX agents_name ON agents (project, name) WHERE current;
CREATE INDEX agents_live ON agents (live) WHERE live;
"""

MIGRATIONS = [_EVENTS, _RUNS, _CALLS, _AGENTS]


def migrate(conn: sqlite3.Connection) -> None:
    """Bring the database to the newest version, each step in one transaction; several processes may try at once.

    Raises LedgerError when the file was written by a newer Outlay.
    """
    while (version := _version(conn)) < len(MIGRATIONS):
        try:
            step = f"BEGIN IMMEDIATE;\n{MIGRATIONS[version]}\nPRAGMA user_version = {version + 1};\nCOMMIT;"
            conn.executescript(step)
        except sqlite3.OperationalError:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            if _version(conn) == version:  # nobody else has done it meanwhile
                raise
    if version > len(MIGRATIONS):
        raise LedgerError(f"the ledger has version {version}, this outlay knows {len(MIGRATIONS)}: update outlay")


def _version(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA user_version").fetchone()[0])
