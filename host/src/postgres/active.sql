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
-- ours to drop, and goes with the key: the topmost one, of which a partition's is a part. What
-- else stands on it, such as a view or a policy, would go, too.
SELECT format('%I on %s', k.conname, k.conrelid::regclass),
    CASE WHEN child.relowner = {leaver} THEN format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname)
        WHEN EXISTS (
            SELECT FROM pg_constraint part
            JOIN pg_depend d ON d.refclassid = 'pg_constraint'::regclass AND d.refobjid = part.oid AND d.deptype = 'n'
            WHERE part.contype IN ('p', 'u') AND d.classid <> 'pg_constraint'::regclass
                AND part.conindid IN (SELECT top.index UNION SELECT tree.relid FROM pg_partition_tree(top.index) tree)) THEN NULL
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
-- Of a range, ANALYZE asks a function how long it is: whose that is, decides. A domain is
-- analyzed as what it stands on. Before 14 there is no column for multiranges.
SELECT c.oid::regclass::text, NULL
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relowner = {leaver} AND c.relkind IN ('r', 'p', 'm', 'f') AND a.atttypid >= 16384 AND EXISTS (
    WITH RECURSIVE base AS (
        SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
        UNION
        SELECT t.oid, t.typtype, t.typbasetype FROM base b JOIN pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype)
    SELECT FROM base b
    JOIN pg_range r ON r.rngtypid = b.oid OR to_jsonb(r) ->> 'rngmultitypid' = b.oid::text
    JOIN pg_proc p ON p.oid = r.rngsubdiff
    JOIN pg_roles owner ON owner.oid = p.proowner
    WHERE NOT owner.rolsuper)

UNION ALL
-- An index that is made of somebody else's partitioned table computes, of each partition, as
-- who owns that.
SELECT c.oid::regclass::text, NULL
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class parent ON parent.oid = i.inhparent
WHERE c.relowner = {leaver} AND c.relkind IN ('r', 'p', 'm', 'f') AND parent.relowner <> {leaver}

UNION ALL
-- What it applies, it can apply as its owner.
SELECT format('subscription %s', s.objid), NULL
FROM pg_shdepend s
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {leaver} AND s.deptype = 'o'
    AND s.classid = 'pg_subscription'::regclass

UNION ALL
-- Since 17 a member of pg_maintain has it computed as its owner.
SELECT c.oid::regclass::text, format('DROP MATERIALIZED VIEW %s', c.oid::regclass)
FROM pg_class c
WHERE c.relowner = {leaver} AND c.relkind = 'm' AND current_setting('server_version_num')::int >= 170000
