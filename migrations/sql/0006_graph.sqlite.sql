-- Used on PostgreSQL only; one list of tables serves both.

CREATE TABLE graph_cursors (
    origin_no INTEGER NOT NULL,
    graph INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (origin_no)
);

CREATE TABLE graph_waiting (
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (origin, seq)
);
