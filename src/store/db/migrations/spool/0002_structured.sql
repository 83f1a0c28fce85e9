-- Answers that had to have a form (JSON, a value of an enum), and those of them that are whole; tokens that
-- the form left no choice about; answers that were refused for want of it, and what they cost.

ALTER TABLE row ADD COLUMN shape INTEGER NOT NULL DEFAULT 0; -- 1: has to have a form, 2: and is complete

ALTER TABLE books ADD COLUMN structured INTEGER NOT NULL DEFAULT 0;
ALTER TABLE books ADD COLUMN complete INTEGER NOT NULL DEFAULT 0;
ALTER TABLE books ADD COLUMN forced_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE books ADD COLUMN rejected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE books ADD COLUMN rejected_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE books ADD COLUMN rejected_cost_nano INTEGER NOT NULL DEFAULT 0;
