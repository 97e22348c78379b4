-- v57's stored column, which v0.7.0 matches and ranks against; tags are not in it.
ALTER TABLE memories ADD COLUMN tsv tsvector GENERATED ALWAYS AS (
    to_tsvector('english', COALESCE(title, '') || ' ' || COALESCE(content, ''))
) STORED;
CREATE INDEX memories_tsv_gin ON memories USING gin (tsv);
