-- What runs, or could be made to run, with the rights of who owns it, of all that the leaver
-- owns here: what it is, and the statement that has it run no more, or NULL where there is
-- none. While there is something, nothing goes to `sym_graveyard`.

-- By its kind, and with the modes of its arguments: ROUTINE can be ambiguous.
SELECT p.oid::regprocedure::text AS what,
    format('ALTER %s %I.%I(%s) SECURITY INVOKER', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
        n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS statement
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proowner = {leaver} AND p.prosecdef

UNION ALL
-- A view reads as its owner; by a rule or a trigger a table does what a routine says; a key
-- that somebody else refers to is looked up as the owner, with the casts of whoever refers
-- to it; and ANALYZE and REFRESH, since 17, run as the owner for who has MAINTAIN.
SELECT c.oid::regclass::text,
    format('REVOKE %s ON %s FROM %s CASCADE',
        CASE WHEN c.relkind = 'v' OR c.relhasrules OR c.relhastriggers THEN 'ALL' ELSE acl.privilege_type END,
        c.oid::regclass, CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END)
FROM pg_class c,
LATERAL (
    SELECT c.relacl
    UNION ALL
    SELECT a.attacl FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped) AS every (one),
LATERAL aclexplode(every.one) acl
WHERE c.relowner = {leaver} AND acl.grantee <> {leaver}
    AND (acl.grantee = 0 OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = acl.grantee))
    AND (c.relkind = 'v' OR c.relhasrules OR c.relhastriggers OR acl.privilege_type IN ('REFERENCES', 'MAINTAIN'))

UNION ALL
-- What a foreign key looks up, or does to the rows that refer, it does as the owner of that
-- table, and asks for no privilege. Somebody else's, that refers to a key of the leaver's, isn't
-- ours to drop, and goes with the key: the topmost one, of which a partition's is a part. A
-- view that stands on the key would go, too.
SELECT format('%I on %s', k.conname, k.conrelid::regclass),
    CASE WHEN child.relowner = {leaver} THEN format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname)
        WHEN EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_constraint'::regclass AND d.refobjid = key.oid
                     AND d.classid = 'pg_rewrite'::regclass) THEN NULL
        WHEN key.oid IS NOT NULL THEN format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', key.conrelid::regclass, key.conname)
        ELSE format('DROP INDEX %s CASCADE', top.index) END
FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid
JOIN pg_class parent ON parent.oid = k.confrelid
CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(k.conindid), k.conindid)::regclass AS index) top
LEFT JOIN pg_constraint key ON key.conindid = top.index AND key.contype IN ('p', 'u')
WHERE k.contype = 'f' AND k.conparentid = 0 AND {leaver} IN (child.relowner, parent.relowner)

UNION ALL
-- ANALYZE computes them, autovacuum's too. What a partition has of its parent's goes with that.
SELECT i.indexrelid::regclass::text,
    CASE WHEN x.relispartition THEN NULL
        WHEN k.oid IS NOT NULL THEN format('ALTER TABLE %s DROP CONSTRAINT %I', i.indrelid::regclass, k.conname)
        ELSE format('DROP INDEX %s', i.indexrelid::regclass) END
FROM pg_index i
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_class x ON x.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype = 'x'
WHERE t.relowner = {leaver} AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)

UNION ALL
-- Before 14 there is no such column.
SELECT format('%I.%I', n.nspname, e.stxname), format('DROP STATISTICS %I.%I', n.nspname, e.stxname)
FROM pg_statistic_ext e
JOIN pg_class t ON t.oid = e.stxrelid
JOIN pg_namespace n ON n.oid = e.stxnamespace
WHERE t.relowner = {leaver} AND to_jsonb(e) ->> 'stxexprs' IS NOT NULL

UNION ALL
-- Of a range, ANALYZE asks a function of its type how long it is.
SELECT c.oid::regclass::text, NULL
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_roles owner ON owner.oid = t.typowner
WHERE c.relowner = {leaver} AND c.relkind IN ('r', 'p', 'm') AND t.oid >= 16384 AND NOT owner.rolsuper
    AND (t.typtype = 'm' OR t.typtype = 'd' AND t.typbasetype >= 16384
        OR t.typtype = 'r' AND EXISTS (SELECT FROM pg_range r WHERE r.rngtypid = t.oid AND r.rngsubdiff <> 0))

UNION ALL
-- Since 17 a member of pg_maintain has it computed as its owner.
SELECT c.oid::regclass::text, format('DROP MATERIALIZED VIEW %s', c.oid::regclass)
FROM pg_class c
WHERE c.relowner = {leaver} AND c.relkind = 'm' AND current_setting('server_version_num')::int >= 170000
