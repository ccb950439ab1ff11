//! To which release `symctl rollback` goes back, and what it says of it.

use std::fs;

use serde_json::{Value, json};

use super::publisher::Publisher;

struct Store {
    publisher: Publisher,
}

impl Store {
    fn publish(&self, plugins: &str) -> anyhow::Result<String> {
        let more = ["--without-native", "--audience", "one"];
        self.publisher.publish(plugins, "team.key", &more)
    }

    /// Rolls back. Gives the id and what was said.
    fn rollback(&self, more: &[&str]) -> anyhow::Result<Result<(String, String), String>> {
        let url = self.publisher.url();
        let mut command = self.publisher.command();
        command.args(["rollback", &url, "--key", "team.key"]);
        let output = command.args(more).output()?;
        let errors = String::from_utf8(output.stderr)?;
        let id = String::from_utf8(output.stdout)?.trim().to_owned();
        Ok(match output.status.success() {
            true => Ok((id, errors)),
            false => Err(errors),
        })
    }

    #[track_caller]
    fn refuses(&self, why: &str) -> anyhow::Result<()> {
        let before = fs::read(self.publisher.store().join("current.json"))?;
        let error = self.rollback(&[])?.expect_err("is refused");
        assert!(error.contains(why), "`{why}`: {error}");
        let after = fs::read(self.publisher.store().join("current.json"))?;
        assert_eq!(before, after);
        Ok(())
    }

    /// Where the statement of a release lies.
    fn statement_of(&self, id: &str) -> anyhow::Result<std::path::PathBuf> {
        let url = self.publisher.url();
        let listed = self.publisher.json(&["releases", &url, "--json"])?;
        let mut listed = listed.as_array().into_iter().flatten();
        let found = listed.find(|found| found["release"] == id);
        let sha256 = found.unwrap_or(&Value::Null)["sha256"].as_str();
        let name = format!("releases/{}.json", sha256.unwrap_or_default());
        Ok(self.publisher.store().join(name))
    }
}

// Who can write the store can take statements away, or put an old pointer back.
#[tokio::test]
async fn without_a_name_it_goes_to_the_one_before_or_nowhere() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let store = Store { publisher };
    let publisher = &store.publisher;
    let first = store.publish(publisher.first())?;
    store.refuses(&format!("there is no release before {first}"))?;
    let pointer = publisher.store().join("current.json");
    let old = fs::read(&pointer)?;
    let second = store.publish(publisher.second())?;
    let third = store.publish(publisher.first())?;
    let fourth = store.publish(publisher.second())?;
    let choose = format!("name the release to roll back to, such as {third}, {second}, {first}");

    let hidden = store.statement_of(&third)?;
    let statement = fs::read(&hidden)?;
    fs::remove_file(&hidden)?;
    let gone = format!(
        "r3, the one before {fourth}, is missing: name the release to roll back to, such as {second}, {first}"
    );
    store.refuses(&gone)?;
    fs::write(&hidden, &statement)?;

    let newest = fs::read(&pointer)?;
    fs::write(&pointer, &old)?;
    store.refuses(&format!("there is no release before {first}"))?;
    fs::write(&pointer, &statement)?;
    store.refuses(&format!(
        "{fourth} is no older than {third}, which is in use"
    ))?;
    fs::write(&pointer, &newest)?;

    // A copy of the statement, otherwise written, is no other release.
    let copy = format!("releases/{}.json", "f".repeat(64));
    let copy = publisher.store().join(copy);
    fs::write(&copy, [&statement[..], b"\n"].concat())?;
    let (fifth, said) = store.rollback(&[])?.expect("is rolled back");
    fs::remove_file(&copy)?;
    let done = format!("is {fifth} now, which holds what {third} does, in place of {fourth}\n");
    assert!(said.contains(&done), "{said}");
    assert!(fifth.starts_with("r5-"), "{fifth}");

    // Once more, as after a failure that was none: not to what was just left.
    store.refuses(&format!("{fifth} was itself put in use by a rollback"))?;
    let error = store.rollback(&[])?.expect_err("is refused");
    assert!(!error.contains(&choose), "{error}");
    let (sixth, _) = store.rollback(&[&second])?.expect("is named");
    assert!(sixth.starts_with("r6-"), "{sixth}");
    Ok(())
}

#[tokio::test]
async fn it_warns_of_what_it_leaves_out_and_of_old_native_code() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let store = Store { publisher };
    let publisher = &store.publisher;
    store.publish(publisher.first())?;
    let mut statement = publisher.statement()?;
    let file = statement["files"][1].clone();
    statement["serial"] = json!(2);
    statement["native"] = json!([{
        "of": file["sha256"], "engine": "48.0.7/1", "target": "x", "sha256": file["sha256"], "bytes": file["bytes"],
    }]);
    publisher.sign(&statement)?;
    let more = ["--without-native", "--audience", "one,two,three"];
    publisher.publish(publisher.second(), "team.key", &more)?;
    let (_, said) = store.rollback(&[])?.expect("is rolled back");
    let audience = "warning: the release in use is for `two`, `three` too, and this one isn't: ";
    assert!(said.contains(audience), "{said}");
    assert!(
        said.contains(", though for the engine 48.0.7/1: "),
        "{said}"
    );
    let (_, said) = store.rollback(&["r1"])?.expect("is rolled back");
    assert!(
        !said.contains("though") && !said.contains(audience),
        "{said}"
    );
    assert!(said.contains(" has no native code of "), "{said}");

    // What any function can use needs no warning.
    let whole = publisher.publish_first()?;
    publisher.publish_second()?;
    let (_, said) = store.rollback(&[&whole])?.expect("is rolled back");
    assert!(!said.contains(" has no native code of "), "{said}");

    // One of the same key for others, as from their store.
    let more = ["--without-native", "--audience", "others"];
    let others = publisher.publish(publisher.second(), "team.key", &more)?;
    let own = store.publish(publisher.first())?;
    store.refuses(&format!(
        "{others} is for other functions than {own}: name the release to roll back to, such as {others}, "
    ))?;
    Ok(())
}
