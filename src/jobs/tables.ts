/** The tables of the queue, beside pg-boss's own: jobs, what they told, and what is counted over all of them. */

/** Two servers that start at once make the tables one after the other; the number is as good as any. */
const lock = 'SELECT pg_advisory_xact_lock(7241350917)'

/** Made anew at every start; what is there already stays as it is. */
export const tables = `
${lock};
CREATE SCHEMA IF NOT EXISTS dylora;
CREATE TABLE IF NOT EXISTS dylora.job (
  id uuid PRIMARY KEY,
  number bigserial UNIQUE,
  queue_id uuid NOT NULL,
  spec jsonb NOT NULL,
  state text NOT NULL,
  reason text,
  attempt integer NOT NULL DEFAULT 0,
  worker text,
  adapter_digest text,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz
);
ALTER TABLE dylora.job
  ADD COLUMN IF NOT EXISTS queued_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN IF NOT EXISTS run_seconds double precision NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS progress jsonb,
  ADD COLUMN IF NOT EXISTS files text NOT NULL DEFAULT 'kept';
CREATE INDEX IF NOT EXISTS job_state ON dylora.job (state);
CREATE TABLE IF NOT EXISTS dylora.job_event (
  id bigserial PRIMARY KEY,
  job_id uuid NOT NULL REFERENCES dylora.job (id) ON DELETE CASCADE,
  type text NOT NULL,
  data jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS job_event_of_job ON dylora.job_event (job_id, id);
CREATE TABLE IF NOT EXISTS dylora.tally (
  metric text,
  label text,
  value double precision NOT NULL,
  PRIMARY KEY (metric, label)
);
CREATE OR REPLACE FUNCTION dylora.admit(most integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7241350918);
  RETURN (SELECT count(*) FROM dylora.job WHERE state IN ('queued', 'running', 'publishing')) < most;
END $$;
CREATE OR REPLACE FUNCTION dylora.add(of_metric text, of_label text, amount double precision) RETURNS boolean LANGUAGE sql AS $$
  INSERT INTO dylora.tally VALUES (of_metric, of_label, amount)
  ON CONFLICT (metric, label) DO UPDATE SET value = dylora.tally.value + excluded.value;
  SELECT true
$$;
CREATE OR REPLACE FUNCTION dylora.observe(of_metric text, of_label text, amount double precision, bounds double precision[])
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  bound double precision;
BEGIN
  FOREACH bound IN ARRAY bounds LOOP
    IF amount <= bound THEN PERFORM dylora.add(of_metric || ' ' || bound, of_label, 1); END IF;
  END LOOP;
  PERFORM dylora.add(of_metric || ' count', of_label, 1);
  PERFORM dylora.add(of_metric || ' sum', of_label, amount);
  RETURN true;
END $$;
`

/** Upper bounds in seconds: a training takes from moments to a day. */
export const jobBuckets = [1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400] as const

/** For a query that fills a histogram. */
export const bucketArray = `ARRAY[${jobBuckets.join(', ')}]::double precision[]`
