//! From a directory to a release, and what is wrong on the way.

use std::io::Write as _;

use super::guest::Guest;
use super::*;
use crate::plan::Statement;

const MANIFEST: &str = "[resolver]\ncomponent = \"x.wasm\"\n";

fn component() -> Vec<u8> {
    Guest::user("ada").build()
}

#[test]
fn the_variable_is_parsed() {
    let expected = Source::Directory("/var/task/plugins".into());
    assert_eq!(
        Source::parse("dir:///var/task/plugins", None, "f"),
        Ok(expected)
    );
    for text in [
        "",
        "/var",
        "dir://var",
        "dir:/var",
        "ftp://x",
        "dir:///a\0b",
    ] {
        let error = Source::parse(text, None, "f").expect_err("is refused");
        assert!(error.contains("or `dir:///path/of/a/directory`"), "{error}");
    }
    let error = Source::parse("s3://bucket/prefix", None, "f").expect_err("is refused");
    assert!(error.contains("needs `PLUGIN_TRUST`"), "{error}");
}

#[tokio::test]
async fn targets_are_roles_files_or_plugins() {
    let manifest = format!(
        "{MANIFEST}
        [targets.readonly]
        [targets.\"Read Write\"]
        role = \"rw\"
        strategy = \"role\"
        [targets.reporting]
        strategy = \"temporary-user\"
        sql = \"reporting.sql\""
    );
    let sql =
        b"-- what it means\nGRANT readonly TO {username};\nGRANT SELECT ON t TO {username};\n";
    let release = load(
        &manifest,
        &[("x.wasm", &component()), ("reporting.sql", sql)],
    )
    .await
    .expect("loads");
    let names: Vec<&str> = release.targets().map(|(name, _)| name).collect();
    assert_eq!(names, ["Read Write", "readonly", "reporting"]);
    let strategy = |name| release.target(name).expect("is there").strategy();
    assert_eq!(strategy("readonly"), None);
    assert_eq!(strategy("Read Write"), Some(Strategy::Role));
    assert_eq!(strategy("reporting"), Some(Strategy::TemporaryUser));

    let ask = async |target| {
        let request = request_of("a", target);
        release
            .setup(
                &request,
                strategy(target).unwrap_or(Strategy::Role),
                "ada",
                soon(),
            )
            .await
            .expect("answers")
            .value
    };
    assert_eq!(
        ask("readonly").await,
        [Step::GrantRole("readonly".to_owned())]
    );
    assert_eq!(ask("Read Write").await, [Step::GrantRole("rw".to_owned())]);
    let statement = |sql: &str| {
        Step::Sql(Statement {
            sql: sql.to_owned(),
            args: Vec::new(),
        })
    };
    let expected = [
        statement("GRANT readonly TO {username}"),
        statement("GRANT SELECT ON t TO {username}"),
    ];
    assert_eq!(ask("reporting").await, expected);

    let unknown = release
        .setup(&request_of("a", "nope"), Strategy::Role, "ada", soon())
        .await;
    assert_refused(
        unknown,
        Code::UnknownTarget,
        &["target `nope` is not in `plugins.toml`: add it, or ask for another"],
    );
}

#[tokio::test]
async fn a_file_is_no_answer_for_the_strategy_role() {
    let manifest = format!("{MANIFEST}[targets.t]\nsql = \"t.sql\"\n");
    let files = [
        ("x.wasm", &component()[..]),
        ("t.sql", b"GRANT a TO {username};"),
    ];
    let release = load(&manifest, &files)
        .await
        .expect("loads: STRATEGY may be temporary-user");
    let asked = release
        .setup(&request_of("a", "t"), Strategy::Role, "ada", soon())
        .await;
    assert_refused(
        asked,
        Code::InvalidPlugin,
        &["target `t` is the file `t.sql`", "strategy `role`"],
    );
    let result = load(&format!("{manifest}strategy = \"role\"\n"), &files).await;
    assert_refused(
        result,
        Code::InvalidPlugin,
        &["line 4: `targets.t.sql` can't be run for the strategy `role`"],
    );
}

#[tokio::test]
async fn a_broken_file_is_refused_when_the_release_is_loaded() {
    let manifest =
        format!("{MANIFEST}[targets.t]\nstrategy = \"temporary-user\"\nsql = \"t.sql\"\n");
    for (sql, why) in [
        (&b"GRANT a TO 'b; "[..], "`t.sql`: "),
        (b"-- nothing", "`t.sql`: "),
        (
            b"GRANT a TO b; GRANT {role} TO c;",
            "`t.sql`, statement 2: ",
        ),
        (b"\xff", "`t.sql` isn't UTF-8 text"),
    ] {
        let result = load(&manifest, &[("x.wasm", &component()), ("t.sql", sql)]).await;
        assert_refused(result, Code::InvalidPlugin, &[why]);
    }
    let large = vec![b' '; 256 * 1024 + 1];
    let result = load(&manifest, &[("x.wasm", &component()), ("t.sql", &large)]).await;
    assert_refused(
        result,
        Code::InvalidPlugin,
        &["`t.sql` (`targets.t`) is larger than 262144 bytes"],
    );
}

#[tokio::test]
async fn files_have_limits_at_their_value_and_one_past_it() {
    use crate::plugin::manifest::{MAX_BYTES, MAX_COMPONENT_BYTES, MAX_SQL_BYTES};
    let manifest = format!(
        "[resolver]\ncomponent = \"x.wasm\"\nlimits = {{ component_bytes = {MAX_COMPONENT_BYTES} }}\n\
        [targets.t]\nstrategy = \"temporary-user\"\nsql = \"x.sql\"\n"
    );
    let files: [(&str, &[u8], u64); 3] = [
        ("plugins.toml", manifest.as_bytes(), MAX_BYTES),
        ("x.sql", b"GRANT a TO {username};", MAX_SQL_BYTES),
        ("x.wasm", &component(), MAX_COMPONENT_BYTES),
    ];
    for (path, _, most) in files {
        let directory = tempfile::tempdir().expect("a directory can be made");
        for (path, bytes, _) in files {
            std::fs::write(directory.path().join(path), bytes).expect("can be written");
        }
        // White space, which text may end in; of the component, which is only
        // read here, zeros.
        let path_there = directory.path().join(path);
        if path == "x.wasm" {
            let file = std::fs::File::options().write(true).open(&path_there);
            file.and_then(|file| file.set_len(most))
                .expect("can be extended");
        } else {
            let mut bytes = std::fs::read(&path_there).expect("can be read");
            bytes.resize(usize::try_from(most).expect("is small"), b'\n');
            std::fs::write(&path_there, bytes).expect("can be written");
        }
        load_from(directory.path()).await.map(|_| ()).expect(path);
        let file = std::fs::File::options().append(true).open(&path_there);
        file.and_then(|mut file| file.write_all(b"\n"))
            .expect("can be extended");
        let expected = [format!("`{path}`"), format!(" is larger than {most} bytes")];
        let result = load_from(directory.path()).await;
        assert_refused(
            result,
            Code::InvalidPlugin,
            &expected.each_ref().map(String::as_str),
        );
    }
}

#[tokio::test]
async fn everything_missing_is_named_at_once() {
    let manifest = format!("{MANIFEST}[targets.t]\nsql = \"t.sql\"\n");
    assert_refused(
        load(&manifest, &[]).await,
        Code::InvalidPlugin,
        &["`t.sql` (`targets.t`) is missing; `x.wasm` (`resolver`) is missing"],
    );
    let nowhere = load_from(Path::new("/nowhere/at/all")).await;
    let error = assert_refused(nowhere, Code::ReleaseUnavailable, &[]);
    assert!(
        !error.message().contains("nowhere"),
        "paths are for the log"
    );
}

#[tokio::test]
async fn links_do_not_lead_out() {
    let outside = tempfile::tempdir().expect("a directory can be made");
    std::fs::write(outside.path().join("secret.wasm"), component()).expect("can be written");
    let inside = tempfile::tempdir().expect("a directory can be made");
    write(inside.path(), MANIFEST, &[("real.wasm", &component())]);
    let link = inside.path().join("x.wasm");
    std::os::unix::fs::symlink(outside.path().join("secret.wasm"), &link).expect("can be linked");
    let named = ["`x.wasm` (`resolver`) is a link that leads out of the directory"];
    assert_refused(load_from(inside.path()).await, Code::InvalidPlugin, &named);

    std::fs::remove_file(&link).expect("is there");
    std::os::unix::fs::symlink("real.wasm", &link).expect("can be linked");
    load_from(inside.path())
        .await
        .expect("a link within is fine");

    std::fs::remove_file(&link).expect("is there");
    std::fs::create_dir(&link).expect("can be made");
    assert_refused(
        load_from(inside.path()).await,
        Code::InvalidPlugin,
        &["`x.wasm` (`resolver`) is no regular file"],
    );
}

#[tokio::test]
async fn the_id_is_of_every_byte() {
    let files = |sql: &'static [u8]| [("x.wasm", component()), ("t.sql", sql.to_vec())];
    let id = async |manifest: &str, files: &[(&str, Vec<u8>)]| {
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, bytes)| (*name, &bytes[..]))
            .collect();
        load(manifest, &files).await.expect("loads").id().to_owned()
    };
    let manifest = format!("{MANIFEST}[targets.t]\nsql = \"t.sql\"\n");
    let first = id(&manifest, &files(b"GRANT a TO {username}")).await;
    assert!(first.starts_with("dir-") && first.len() == 16, "{first}");
    assert_eq!(first, id(&manifest, &files(b"GRANT a TO {username}")).await);
    assert_ne!(first, id(&manifest, &files(b"GRANT b TO {username}")).await);
    assert_ne!(
        first,
        id(
            &format!("{manifest}# more\n"),
            &files(b"GRANT a TO {username}")
        )
        .await
    );
}

#[tokio::test]
async fn check_all_finds_every_broken_plugin() {
    let manifest = "[resolver]\ncomponent = \"r.wasm\"\n[targets.a]\ncomponent = \"a.wasm\"\n[targets.b]\ncomponent = \"b.wasm\"\n";
    let target = Guest::roles(&["a"]).build();
    let files = [
        ("r.wasm", &component()[..]),
        ("a.wasm", &target),
        ("b.wasm", b"junk"),
    ];
    let errors = load(manifest, &files)
        .await
        .expect("loads")
        .check_all()
        .await
        .expect_err("b is broken");
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0]
            .message()
            .starts_with("plugin `targets.b` (sha256 "),
        "{}",
        errors[0]
    );
    let files = [
        ("r.wasm", &b"junk"[..]),
        ("a.wasm", b"junk"),
        ("b.wasm", b"junk"),
    ];
    let errors = load(manifest, &files)
        .await
        .expect("loads")
        .check_all()
        .await
        .expect_err("all are broken");
    assert_eq!(errors.len(), 3);
}
