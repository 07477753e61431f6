-- What an import says will be charged is what the running daemons will charge: each says by which rules it catches up.
-- Twin of the other database's file of the same name.

-- The limits and rules of [catch_up] for what was handed over, as one text; null where the daemon has not said them.
ALTER TABLE nodes ADD COLUMN catch_up TEXT;
