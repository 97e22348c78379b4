-- The terms that SQLite's index holds, beside v57's column: one analysis on every store.
ALTER TABLE memories ADD COLUMN search tsvector DEFAULT '' NOT NULL;
ALTER TABLE memories ADD COLUMN search_tokens INTEGER DEFAULT 0 NOT NULL;
-- Ranking looks at many rows' terms and at few rows' contents: the terms stay beside the row.
ALTER TABLE memories ALTER COLUMN search SET STORAGE MAIN;
-- So do vectors: comparing all of a namespace takes half the time when none is fetched from aside.
ALTER TABLE memories ALTER COLUMN embedding SET STORAGE PLAIN;

-- Which memories wait for a vector: asked whenever the embedder has time.
CREATE INDEX idx_memories_unembedded ON memories (created_at, id) WHERE embedding_dim IS NULL;
