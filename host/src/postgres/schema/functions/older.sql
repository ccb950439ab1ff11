-- The first: what older versions had, and CREATE OR REPLACE would leave or can't change.
-- CASCADE: a view that somebody else has made on one keeps nothing from being replaced.

-- Of versions before 7.
DROP FUNCTION IF EXISTS sym.lock_run(text), sym.keeping_sessions(oid) CASCADE;
-- Of versions before 8: what they return can't be replaced.
DROP FUNCTION IF EXISTS sym.facts_of(oid), sym.end_kept_sessions(text, boolean), sym.bar_user(oid) CASCADE;
-- Of versions before 9.
DROP FUNCTION IF EXISTS sym.take_membership(oid, oid, boolean), sym.check_no_prepared(oid) CASCADE;
-- Of versions before 11.
DROP FUNCTION IF EXISTS sym.databases_of_user(text) CASCADE;
-- Of versions before 14.
DROP FUNCTION IF EXISTS sym.confirm_user(text, boolean), sym.owns_something(oid), sym.owners_of_granted(oid),
    sym.belongings(text), sym.admit_user(text, text), sym.databases_of_policies(oid), sym.owners_of_run(sym.grants) CASCADE;
