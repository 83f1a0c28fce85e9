-- A job may use the kept answers of its project again; see spool/0003_reused.sql.

ALTER TABLE job ADD COLUMN reuse INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN reused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN reused_tokens INTEGER NOT NULL DEFAULT 0;
