-- A role that may read the finance views and nothing else. An administrator runs this once in the database of dues, as the owner of its tables
-- or a superuser, and again after a release has added a view:
--
--     psql -d dues -f postgres-finance-role.sql
--     psql -d dues -c "GRANT dues_finance TO somebody"
--     psql -d dues -c "ALTER ROLE somebody SET statement_timeout = '5min'"
--
-- The time-out keeps a forgotten report from holding back the clean-up of old rows. It is set on each login, because settings of a role are
-- not handed on to those who were granted it.
--
-- The views read the tables with their owner's rights, so the role needs none on the tables: personal data stays out of reach.
-- It cannot log in itself; each person has a login of their own, and what they run is told apart in the server's log.

DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'dues_finance') THEN CREATE ROLE dues_finance NOLOGIN; END IF;
END $$;

GRANT USAGE ON SCHEMA public TO dues_finance;

GRANT SELECT ON finance_subscriptions, finance_charges, finance_payments, finance_reviews, finance_exceptions TO dues_finance;
