-- How far Apache AGE's graph follows the log, and which passed entries have yet to take effect.

CREATE TABLE graph_cursors (
    origin_no INTEGER NOT NULL,
    graph BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (origin_no)
);

CREATE TABLE graph_waiting (
    origin TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (origin, seq)
);
