//! What a hostile case must leave as it was.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use crate::fixture::World;

/// Looks at the database, again and again.
pub(super) struct Watch {
    admin: Client,
}

/// Everything about who may do what, by names: users that come and go have
/// another OID each time.
pub(super) struct State {
    lines: BTreeSet<String>,
    pub(super) open_runs: i64,
}

const LINES: &str = "
    SELECT 'role ' || (to_jsonb(r) - 'oid')::text || coalesce(shobj_description(r.oid, 'pg_authid'), '')
        FROM pg_authid r
    UNION ALL SELECT 'member ' || jsonb_build_array(roleid::regrole, member::regrole, grantor::regrole)::text
        || (to_jsonb(m) - 'oid' - 'roleid' - 'member' - 'grantor')::text FROM pg_auth_members m
    UNION ALL SELECT 'relation ' || relname || ' ' || relowner::regrole || coalesce(relacl::text, '') FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, 'sym'::regnamespace)
    UNION ALL SELECT 'function ' || p.oid::regprocedure::text || ' ' || proowner::regrole || coalesce(proacl::text, '')
        FROM pg_proc p WHERE pronamespace <> 'pg_catalog'::regnamespace AND pronamespace <> 'information_schema'::regnamespace
    UNION ALL SELECT 'schema ' || nspname || nspowner::regrole || coalesce(nspacl::text, '') FROM pg_namespace
        WHERE nspname !~ '^pg_(toast_)?temp_'
    UNION ALL SELECT 'database ' || datname || datdba::regrole || coalesce(datacl::text, '') FROM pg_database
    UNION ALL SELECT 'default privileges ' || (to_jsonb(d) - 'oid')::text FROM pg_default_acl d
    UNION ALL SELECT 'setting ' || (to_jsonb(s) - 'setrole')::text || setrole::regrole FROM pg_db_role_setting s
    UNION ALL SELECT 'label ' || label FROM pg_shseclabel
    UNION ALL SELECT 'extension ' || extname FROM pg_extension
    UNION ALL SELECT 'large object ' || oid FROM pg_largeobject_metadata
    UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts
    UNION ALL SELECT 'depends ' || jsonb_build_array(classid::regclass, refclassid::regclass, deptype, count(*))::text
        FROM pg_shdepend GROUP BY classid, refclassid, deptype
    UNION ALL SELECT 'orders ' || count(*) FROM orders";

impl Watch {
    pub(super) async fn new(world: &World) -> anyhow::Result<Watch> {
        let admin = world.postgres.admin_in("app").await?;
        Ok(Watch { admin })
    }

    pub(super) async fn state(&self, world: &World) -> anyhow::Result<State> {
        let rows = self.admin.query(LINES, &[]).await?;
        let mut lines: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        lines.extend(world.secrets().await?);
        let open = "SELECT count(*) FROM sym.grants WHERE state <> 'ended'";
        let open_runs = self.admin.query_one(open, &[]).await?.get(0);
        Ok(State { lines, open_runs })
    }
}

impl State {
    pub(super) fn changes(&self, after: &State) -> Vec<String> {
        self.lines
            .symmetric_difference(&after.lines)
            .cloned()
            .collect()
    }
}
