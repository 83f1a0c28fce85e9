-- The traceparent of the call that created the job, a line end, and its tracestate; empty for none.

ALTER TABLE job ADD COLUMN trace TEXT NOT NULL DEFAULT '';
