//! The table of what can be done to a release by who can write the store, or
//! holds an old one: refused each time, with its reason, warm and cold.
//!
//! `docs/releases.md` has the same table.

use std::collections::BTreeSet;
use std::fs;

use anyhow::ensure;
use serde_json::{Value, json};

use super::publisher::{Publisher, SECOND, copy};
use super::{EVENTS, is_denied, world};
use crate::fixture::{Event, World, refusal};

/// A store with a good release in use, and one with a next one to change.
struct Stores {
    publisher: Publisher,
    world: World,
}

impl Stores {
    async fn make() -> anyhow::Result<Stores> {
        let publisher = Publisher::in_directory()?;
        publisher.publish_first()?;
        copy(&publisher.store(), &publisher.path("good"))?;
        publisher.publish_second()?;
        copy(&publisher.store(), &publisher.path("next"))?;
        // The function reads it when it starts.
        use_store(&publisher, "good")?;
        let world = world(&publisher).await?;
        use_store(&publisher, "next")?;
        Ok(Stores { publisher, world })
    }

    fn use_store(&self, name: &str) -> anyhow::Result<()> {
        use_store(&self.publisher, name)
    }

    /// The good release serves; then the next one appears, changed by `tamper`.
    async fn check(
        &self,
        reason: &str,
        tamper: impl Fn(&Publisher) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let world = &self.world;
        self.use_store("good")?;
        world.lambda.restart().await?;
        world.still_works().await?;

        self.use_store("next")?;
        tamper(&self.publisher)?;
        let before = world.lambda.logs().len();
        let mut log = String::new();
        let is_kept = |line: &str| line.contains("release kept") && line.contains(reason);
        for _ in 0..EVENTS {
            world.still_works().await?;
            log = world.lambda.logs()[before..].to_owned();
            if log.lines().any(is_kept) {
                break;
            }
        }
        ensure!(log.lines().any(is_kept), "warm, expected `{reason}`: {log}");
        let accepted = "SELECT max(serial) FROM sym.releases";
        let highest = world.query(accepted).await?;

        world.lambda.restart().await?;
        let state = world.state().await?;
        let answer = world.send(&Event::escalate()).await?;
        let sentence = answer["errors"][0].as_str().unwrap_or_default();
        ensure!(
            sentence.contains(reason),
            "cold, expected `{reason}`: {answer}"
        );
        world.is_as(&state).await?;
        // So the good release can be put back.
        ensure!(world.query(accepted).await? == highest, "it was accepted");
        Ok(())
    }
}

fn use_store(publisher: &Publisher, name: &str) -> anyhow::Result<()> {
    fs::remove_dir_all(publisher.store())?;
    copy(&publisher.path(name), &publisher.store())
}

/// What is done to a statement.
type Edit = fn(&mut Value);

fn pointer(publisher: &Publisher) -> std::path::PathBuf {
    publisher.store().join("current.json")
}

/// The entry of a file in the statement.
fn entry<'a>(statement: &'a mut Value, path: &str) -> &'a mut Value {
    let files = statement["files"].as_array_mut().expect("is a list");
    let mut files = files.iter_mut();
    files.find(|file| file["path"] == path).expect("is there")
}

/// The native code of the resolver for this machine.
fn native(statement: &mut Value) -> &mut Value {
    let resolver = entry(statement, "default-resolver.wasm")["sha256"].clone();
    let list = statement["native"].as_array_mut().expect("is a list");
    let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut list = list.iter_mut();
    list.find(|native| native["of"] == resolver && native["target"] == here.as_str())
        .expect("is there")
}

/// Every object that this host needs of the next release.
fn needed(publisher: &Publisher) -> anyhow::Result<Vec<(String, Value)>> {
    let mut statement = publisher.statement()?;
    let mut needed = vec![(
        "the native code of `default-resolver.wasm`".to_owned(),
        native(&mut statement)["sha256"].clone(),
    )];
    for path in ["plugins.toml", "readonly.sql"] {
        needed.push((
            format!("`{path}`"),
            entry(&mut statement, path)["sha256"].clone(),
        ));
    }
    Ok(needed)
}

fn change(
    publisher: &Publisher,
    object: &Value,
    change: impl Fn(&mut Vec<u8>),
) -> anyhow::Result<()> {
    let path = publisher.object(object);
    let mut bytes = fs::read(&path)?;
    change(&mut bytes);
    Ok(fs::write(path, bytes)?)
}

#[tokio::test]
async fn objects_that_were_changed_are_refused() -> anyhow::Result<()> {
    let stores = Stores::make().await?;
    for (what, object) in needed(&stores.publisher)? {
        let object = &object;
        // The first byte, one in the middle, the last.
        for part in 0..3 {
            let reason = format!("is refused: {what} is not what was signed");
            let flip = |publisher: &Publisher| {
                change(publisher, object, |bytes| {
                    let index = (bytes.len() - 1) * part / 2;
                    bytes[index] ^= 1;
                })
            };
            stores.check(&reason, flip).await?;
        }
        let reason = format!("{what} has ");
        let truncate = |publisher: &Publisher| {
            change(publisher, object, |bytes| bytes.truncate(bytes.len() - 1))
        };
        stores.check(&reason, truncate).await?;
        let reason = format!("{what} is longer than the ");
        let lengthen = |publisher: &Publisher| change(publisher, object, |bytes| bytes.push(0));
        stores.check(&reason, lengthen).await?;
        let reason = format!("{what} of release");
        let delete = |publisher: &Publisher| Ok(fs::remove_file(publisher.object(object))?);
        stores.check(&reason, delete).await?;
    }
    Ok(())
}

// No function reads all of them: each takes the native code of its own architecture,
// and no component that it has native code of.
#[tokio::test]
async fn every_object_that_was_changed_is_found_by_verify() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let (url, trust) = (publisher.url(), publisher.trust());
    let verify = || publisher.run(&["verify", &url, "--trust", &trust]);
    verify()?;
    let objects = listed(&publisher, "objects")?;
    // Four files, and native code of two of them for two architectures.
    assert_eq!(objects.len(), 8);
    for object in objects {
        let path = publisher.store().join("objects").join(&object);
        let whole = std::fs::read(&path)?;
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        std::fs::write(&path, changed)?;
        let error = verify().expect_err("was changed").to_string();
        assert!(
            error.contains("is not what was signed"),
            "{object}: {error}"
        );
        std::fs::remove_file(&path)?;
        let error = verify().expect_err("is missing").to_string();
        assert!(error.contains("isn't whole"), "{object}: {error}");
        std::fs::write(&path, whole)?;
    }
    verify().map(drop)
}

#[tokio::test]
async fn objects_that_were_swapped_are_refused() -> anyhow::Result<()> {
    let stores = Stores::make().await?;
    let mut statement = stores.publisher.statement()?;
    let code = native(&mut statement)["sha256"].clone();
    let component = entry(&mut statement, "default-resolver.wasm")["sha256"].clone();
    let others = statement["native"].as_array().cloned().unwrap_or_default();
    let other = others.iter().find(|other| other["sha256"] != code);
    let other = other.expect("there are several")["sha256"].clone();
    // Another piece of native code, rightly made and signed for something else;
    // WebAssembly where native code should be.
    for from in [&other, &component] {
        let swap = |publisher: &Publisher| {
            fs::copy(publisher.object(from), publisher.object(&code))?;
            Ok(())
        };
        let reason = "the native code of `default-resolver.wasm` ";
        stores.check(reason, swap).await?;
    }
    let garbage = |publisher: &Publisher| change(publisher, &code, |bytes| bytes.fill(0xa5));
    stores.check("is not what was signed", garbage).await
}

#[tokio::test]
async fn statements_that_nobody_trusted_signed_are_refused() -> anyhow::Result<()> {
    let stores = Stores::make().await?;
    let edit = |publisher: &Publisher, edit: &dyn Fn(&mut Value)| {
        let mut envelope: Value = serde_json::from_slice(&fs::read(pointer(publisher))?)?;
        edit(&mut envelope);
        Ok(fs::write(pointer(publisher), envelope.to_string())?)
    };
    stores
        .check("nobody signed it", |publisher| {
            edit(publisher, &|envelope| envelope["signatures"] = json!([]))
        })
        .await?;
    stores
        .check("no key of `PLUGIN_TRUST` signed it", |publisher| {
            edit(publisher, &|envelope| {
                let signature = envelope["signatures"][0]["sig"].as_str();
                let signature = signature.unwrap_or_default();
                let first = if signature.starts_with('A') { 'B' } else { 'A' };
                envelope["signatures"][0]["sig"] = json!(format!("{first}{}", &signature[1..]));
            })
        })
        .await?;
    // The payload of the good release under the signature of the next.
    stores
        .check("no key of `PLUGIN_TRUST` signed it", |publisher| {
            let good = fs::read(publisher.path("good/current.json"))?;
            let good: Value = serde_json::from_slice(&good)?;
            edit(publisher, &|envelope| {
                envelope["payload"] = good["payload"].clone()
            })
        })
        .await?;
    stores
        .check("holds something else", |publisher| {
            edit(publisher, &|envelope| {
                envelope["payloadType"] = json!("text/plain")
            })
        })
        .await?;
    stores
        .check("is no signed statement", |publisher| {
            Ok(fs::write(pointer(publisher), "{}")?)
        })
        .await?;
    stores
        .check("is no signed statement", |publisher| {
            let bytes = fs::read(pointer(publisher))?;
            Ok(fs::write(pointer(publisher), &bytes[..bytes.len() / 2])?)
        })
        .await?;
    stores
        .check("`current.json` is longer than 1048576 bytes", |publisher| {
            Ok(fs::write(pointer(publisher), vec![b' '; (1 << 20) + 1])?)
        })
        .await?;
    stores.publisher.run(&["keygen", "stranger"])?;
    stores
        .check("no key of `PLUGIN_TRUST` signed it", |publisher| {
            publisher
                .publish(SECOND, "stranger.key", &["--trust", &publisher.trust()])
                .map(drop)
        })
        .await?;
    stores
        .check(
            "it is for `other`, and this function is `sym-postgres`",
            |publisher| {
                publisher
                    .publish(SECOND, "team.key", &["--audience", "other"])
                    .map(drop)
            },
        )
        .await
}

// Whoever holds the key can do no more than publish plugins.
#[tokio::test]
async fn statements_that_are_signed_and_wrong_are_refused() -> anyhow::Result<()> {
    let stores = Stores::make().await?;
    let signed = |edit: Edit| {
        move |publisher: &Publisher| {
            let mut statement = publisher.statement()?;
            edit(&mut statement);
            publisher.sign(&statement)
        }
    };
    let cases: [(&str, Edit); 6] = [
        // Rightly signed as native code, and isn't any.
        (
            "has something else where its native code should be",
            |statement| {
                let component = entry(statement, "default-resolver.wasm").clone();
                let native = native(statement);
                native["sha256"] = component["sha256"].clone();
                native["bytes"] = component["bytes"].clone();
            },
        ),
        // Native code as a component: it is never loaded by what it looks like.
        (
            "is native code, expected a WebAssembly component",
            |statement| {
                let code = native(statement).clone();
                statement["native"] = json!([]);
                let component = entry(statement, "default-resolver.wasm");
                component["sha256"] = code["sha256"].clone();
                component["bytes"] = code["bytes"].clone();
            },
        ),
        ("has files that `plugins.toml` doesn't name", |statement| {
            let mut more = entry(statement, "readonly.sql").clone();
            more["path"] = json!("more.sql");
            statement["files"]
                .as_array_mut()
                .expect("is a list")
                .push(more);
        }),
        ("`readonly.sql` is named and not signed", |statement| {
            let files = statement["files"].as_array_mut().expect("is a list");
            files.retain(|file| file["path"] != "readonly.sql");
        }),
        ("unknown field `more`", |statement| {
            statement["more"] = json!(1)
        }),
        ("use a newer host", |statement| {
            statement["schema"] = json!(2)
        }),
    ];
    for (reason, edit) in cases {
        stores.check(reason, signed(edit)).await?;
    }
    Ok(())
}

// Signed as rightly as the one in use, and older: warm it is known from the
// release that serves, cold from the ledger.
#[tokio::test]
async fn an_older_release_that_is_put_back_is_refused() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_second()?;
    let older = fs::read(pointer(&publisher))?;
    publisher.publish_first()?;
    let world = world(&publisher).await?;
    world.still_works().await?;
    fs::write(pointer(&publisher), older)?;
    let reason = "its serial 1 is lower than 2, which was in use";
    for _ in 0..EVENTS {
        world.still_works().await?;
        if world.lambda.logs().contains(reason) {
            break;
        }
    }
    assert!(world.lambda.logs().contains(reason));
    world.lambda.restart().await?;
    let sentence = "the release is refused: its serial 1 is lower than 2, which was accepted before: run `symctl publish … \
        --after 2` or `symctl rollback … --after 2` [invalid-plugin]";
    world.refuses(&Event::escalate(), sentence).await
}

// While a cold function loads a release, the next one is published, and accepted
// for another sandbox: the first came too late, and nothing is wrong.
#[tokio::test]
async fn a_release_that_was_overtaken_while_it_was_loaded_gives_way() -> anyhow::Result<()> {
    let stores = Stores::make().await?;
    let (world, publisher) = (&stores.world, &stores.publisher);
    let second = publisher.run(&["status", &publisher.url(), "--json"])?;
    let second: Value = serde_json::from_str(&second)?;
    let second = second["release"].as_str().unwrap_or_default();
    stores.use_store("good")?;
    let other = world.postgres.admin_in("app").await?;
    other
        .batch_execute("BEGIN; LOCK TABLE sym.releases")
        .await?;
    let event = Event::escalate();
    let restarted = async {
        world.lambda.restart().await?;
        world.send(&event).await
    };
    let (answer, ()) = tokio::try_join!(restarted, async {
        // The function has loaded the first one, and waits to have it accepted.
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'sym.releases'::regclass)";
        world.wait_until(waits).await?;
        stores.use_store("next")?;
        let accept = format!("SELECT sym.accept_release('sym-postgres', 2, '{second}'); COMMIT");
        Ok(other.batch_execute(&accept).await?)
    })?;
    assert_eq!(answer, refusal("Not today. [denied]"));
    Ok(())
}

/// Of two that were signed with one serial, the one that was accepted stays.
// Nothing is wrong with it but that the function has seen a later one.
#[tokio::test]
async fn the_doctor_says_what_the_ledger_refuses() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let old = std::fs::read(pointer(&publisher))?;
    let world = world(&publisher).await?;
    world.still_works().await?;
    let second = publisher.publish_second()?;
    // Asking accepts nothing.
    let doctor = world.symctl(&["doctor"]).await?;
    let taken = format!("ok   accepted release: the ledger takes {second}\n");
    assert!(doctor.stdout.contains(&taken), "{doctor:?}");
    let accepted = "SELECT serial::text FROM sym.releases";
    assert_eq!(world.query(accepted).await?.as_deref(), Some("1"));

    is_denied(&world).await?;
    let doctor = world.symctl(&["doctor"]).await?;
    assert!(doctor.stdout.contains(&taken), "{doctor:?}");
    std::fs::write(pointer(&publisher), old)?;
    let doctor = world.symctl(&["doctor"]).await?;
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    let refused = "FAIL accepted release: the release is refused: its serial 1 is lower than 2, which was accepted \
        before: run `symctl publish … --after 2` or `symctl rollback … --after 2`\n     fix: symctl publish … --after 2, or";
    assert!(doctor.stdout.contains(refused), "{doctor:?}");
    Ok(())
}

#[tokio::test]
async fn another_release_of_the_same_serial_is_refused() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let world = world(&publisher).await?;
    world.still_works().await?;
    let mut statement = publisher.statement()?;
    statement["created"] = json!("2026-01-01T00:00:00Z");
    publisher.sign(&statement)?;
    world.lambda.restart().await?;
    let sentence = "the release is refused: another one with its serial 1 was accepted before: run `symctl publish … --after \
        1` [invalid-plugin]";
    world.refuses(&Event::escalate(), sentence).await
}

/// Code of another engine is left alone, and the component compiled instead.
#[tokio::test]
async fn native_code_of_another_engine_is_not_used() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let mut statement = publisher.statement()?;
    for native in statement["native"].as_array_mut().into_iter().flatten() {
        native["engine"] = json!("48.0.7/1");
        native["sha256"] = json!("0".repeat(64));
    }
    publisher.sign(&statement)?;
    world(&publisher).await?.still_works().await
}

// Who can write the store must not choose what `rollback` signs, nor the serial
// that comes next.
#[tokio::test]
async fn statements_of_nobodys_are_not_signed_anew() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let good = fs::read(pointer(&publisher))?;
    let mut statement = publisher.statement()?;
    statement["serial"] = json!(i64::MAX);
    publisher.sign(&statement)?;
    let mut forged: Value = serde_json::from_slice(&fs::read(pointer(&publisher))?)?;
    forged["signatures"][0]["sig"] = json!("AAAA");
    fs::write(pointer(&publisher), &good)?;
    let name = format!("releases/{}.json", "f".repeat(64));
    fs::write(publisher.store().join(name), forged.to_string())?;

    let id = format!("r{}", i64::MAX);
    let url = publisher.url();
    let rollback = publisher.run(&["rollback", &url, &id, "--key", "team.key"]);
    let error = rollback.expect_err("is refused").to_string();
    ensure!(error.contains("there is no release"), "{error}");
    let second = publisher.publish_second()?;
    ensure!(second.starts_with("r2-"), "{second}");

    fs::write(pointer(&publisher), forged.to_string())?;
    let error = publisher
        .publish_second()
        .expect_err("is refused")
        .to_string();
    ensure!(error.contains("is signed by none of your keys"), "{error}");
    Ok(())
}

/// The files of a directory of the store.
fn listed(publisher: &Publisher, directory: &str) -> anyhow::Result<BTreeSet<String>> {
    let entries = fs::read_dir(publisher.store().join(directory))?;
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

// Who can write the store must not choose what `gc` deletes either.
#[tokio::test]
async fn statements_of_nobodys_do_not_drive_out_real_ones() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    publisher.publish_second()?;
    publisher.publish_first()?;
    let (releases, objects) = (
        listed(&publisher, "releases")?,
        listed(&publisher, "objects")?,
    );
    let good = fs::read(pointer(&publisher))?;
    let is_whole = || {
        ensure!(
            listed(&publisher, "releases")? == releases,
            "a release is gone"
        );
        ensure!(
            listed(&publisher, "objects")? == objects,
            "an object is gone"
        );
        anyhow::Ok(())
    };
    let put = |name: u64, bytes: &[u8]| {
        let path = format!("releases/{name:064x}.json");
        fs::write(publisher.store().join(path), bytes)
    };

    // Ten newer ones that hold nothing but garbage, and ten times the newest itself.
    let garbage = "0".repeat(64);
    let forge = |publisher: &Publisher, serial: u64| {
        let mut statement = publisher.statement()?;
        statement["serial"] = json!(serial);
        statement["native"] = json!([]);
        for file in statement["files"].as_array_mut().into_iter().flatten() {
            file["sha256"] = json!(garbage);
        }
        publisher.sign(&statement)?;
        let mut forged: Value = serde_json::from_slice(&fs::read(pointer(publisher))?)?;
        forged["signatures"][0]["sig"] = json!("AAAA");
        fs::write(pointer(publisher), &good)?;
        anyhow::Ok(forged.to_string())
    };
    for number in 0..10 {
        put(number, forge(&publisher, 1000 + number)?.as_bytes())?;
        let mut copy = good.clone();
        copy.extend(vec![b'\n'; number as usize + 1]);
        put(100 + number, &copy)?;
    }
    put(200, b"{}")?;
    put(201, &vec![b' '; (1 << 20) + 1])?;
    fs::write(publisher.store().join("objects").join(&garbage), "x")?;
    let gone = publisher.collect(&["--keep", "3"])?;
    assert_eq!(gone["releases"], json!([]), "{gone}");
    assert_eq!(
        gone["unsigned"].as_array().map(Vec::len),
        Some(12),
        "{gone}"
    );
    assert_eq!(gone["objects"], 1, "{gone}");
    for number in 0..10 {
        fs::remove_file(
            publisher
                .store()
                .join(format!("releases/{:064x}.json", 100 + number)),
        )?;
    }
    is_whole()?;

    // A forged pointer, and one key too few.
    publisher.run(&["keygen", "stranger"])?;
    let refused = |trust: &str, why: &str| {
        let gc = ["gc", &publisher.url(), "--trust", trust, "--keep", "0"];
        let error = publisher.run(&gc).expect_err("is refused").to_string();
        ensure!(error.contains(why), "{error}");
        is_whole()
    };
    refused(
        &publisher.trust_in("stranger.pub")?,
        "is signed by none of your keys",
    )?;
    refused(&format!("sha256:{garbage}"), "is a pin, expected keys")?;
    fs::write(pointer(&publisher), forge(&publisher, 1000)?)?;
    refused(&publisher.trust(), "is signed by none of your keys")?;
    fs::write(pointer(&publisher), &good)?;

    // What one of the keys signed and this `symctl` can't read may need any object.
    let mut statement = publisher.statement()?;
    statement["schema"] = json!(2);
    publisher.sign(&statement)?;
    let later = fs::read(pointer(&publisher))?;
    fs::write(pointer(&publisher), &good)?;
    put(300, &later)?;
    let gc = [
        "gc",
        &publisher.url(),
        "--trust",
        &publisher.trust(),
        "--keep",
        "0",
    ];
    let error = publisher.run(&gc).expect_err("is refused").to_string();
    ensure!(
        error.contains("has schema 2") && error.contains("use a newer"),
        "{error}"
    );
    fs::remove_file(
        publisher
            .store()
            .join(format!("releases/{:064x}.json", 300)),
    )?;
    is_whole()
}

// What nobody signed is shown, and looks like nothing else.
#[tokio::test]
async fn statements_of_nobodys_forge_no_line_of_status() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let good = fs::read(pointer(&publisher))?;
    let line = "\nsigned by team\n";
    let mut statement = publisher.statement()?;
    statement["publisher"] = json!(line);
    statement["audience"] = json!([line]);
    entry(&mut statement, "readonly.sql")["path"] = json!(line);
    native(&mut statement)["engine"] = json!(line);
    let mut other = native(&mut statement).clone();
    other["target"] = json!(line);
    statement["native"]
        .as_array_mut()
        .expect("is a list")
        .push(other);
    publisher.sign(&statement)?;
    let forged = fs::read(pointer(&publisher))?;
    let url = publisher.url();
    let begins = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("signed by"))
            .count()
    };
    let shown = publisher.run(&["status", &url])?;
    assert_eq!(begins(&shown), 1, "{shown}");
    assert!(shown.contains("\u{fffd}signed by team\u{fffd}"), "{shown}");

    statement[line] = json!(1);
    publisher.sign(&statement)?;
    let unreadable = fs::read(pointer(&publisher))?;
    let error = publisher
        .run(&["status", &url])
        .expect_err("is refused")
        .to_string();
    assert_eq!(begins(&error), 0, "{error}");
    assert!(error.contains("unknown field `"), "{error}");
    fs::write(pointer(&publisher), &good)?;
    for (name, bytes) in [("\nsigned by team\n.json", forged), ("a.json", unreadable)] {
        fs::write(publisher.store().join("releases").join(name), bytes)?;
    }
    let output = publisher.command().args(["releases", &url]).output()?;
    for text in [output.stdout, output.stderr] {
        let text = String::from_utf8(text)?;
        assert_eq!(begins(&text), 0, "{text}");
    }
    Ok(())
}
