//! Who publishes: two sets of plugins, a key, and a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sym_test_support::aws::Aws;
use sym_test_support::tools;
use tempfile::TempDir;

use crate::fixture::{Behaviour, resolver_of_all};

/// The plugins of every other test.
pub(crate) const FIRST: &str = "first";

/// The same with a resolver that refuses everybody: seen from outside, whether
/// anything of it ran.
pub(crate) const SECOND: &str = "second";

const PAYLOAD_TYPE: &str = "application/vnd.sym-postgres.release+json";

/// Keys, plugins, and where they go.
pub(crate) struct Publisher {
    directory: TempDir,
    url: String,
    environment: Vec<(String, String)>,
}

impl Publisher {
    pub(crate) fn in_directory() -> anyhow::Result<Publisher> {
        let directory = tempfile::Builder::new().prefix("sym-store-").tempdir()?;
        let url = format!("file://{}", directory.path().join("store").display());
        Publisher::make(directory, url, Vec::new())
    }

    pub(crate) fn in_bucket(aws: &Aws, bucket: &str) -> anyhow::Result<Publisher> {
        let directory = tempfile::Builder::new().prefix("sym-store-").tempdir()?;
        Publisher::make(directory, format!("s3://{bucket}/sym"), aws.env())
    }

    fn make(
        directory: TempDir,
        url: String,
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<Publisher> {
        for name in [FIRST, SECOND] {
            let plugins = directory.path().join(name);
            copy(&tools::target_directory().join("plugins"), &plugins)?;
            // Ours, which others that take their place here would fail.
            let cases = plugins.join("cases");
            if cases.is_dir() {
                fs::remove_dir_all(cases)?;
            }
        }
        let refuses = Behaviour::Failure("denied", "Not today.");
        let second = directory.path().join(SECOND);
        fs::write(
            second.join("default-resolver.wasm"),
            resolver_of_all(&refuses),
        )?;
        let publisher = Publisher {
            directory,
            url,
            environment,
        };
        publisher.run(&["keygen", "team"])?;
        Ok(publisher)
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        let pairs = self.environment.iter();
        pairs
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    pub(crate) fn first(&self) -> &'static str {
        FIRST
    }

    pub(crate) fn second(&self) -> &'static str {
        SECOND
    }

    /// The item of `PLUGIN_TRUST` for the key `team`.
    pub(crate) fn trust(&self) -> String {
        self.trust_in("team.pub").expect("was made")
    }

    pub(crate) fn trust_in(&self, file: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.path(file))?.trim().to_owned())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The store of [`Publisher::in_directory`].
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub(crate) fn object(&self, sha256: &Value) -> PathBuf {
        let name = sha256.as_str().unwrap_or_default();
        self.store().join("objects").join(name)
    }

    pub(crate) fn publish_first(&self) -> anyhow::Result<String> {
        self.publish(FIRST, "team.key", &[])
    }

    pub(crate) fn publish_second(&self) -> anyhow::Result<String> {
        self.publish(SECOND, "team.key", &[])
    }

    /// Publishes, and gives the release's id.
    pub(crate) fn publish(
        &self,
        plugins: &str,
        key: &str,
        more: &[&str],
    ) -> anyhow::Result<String> {
        Ok(output(self.publish_command(plugins, key, more))?
            .trim()
            .to_owned())
    }

    pub(crate) fn publish_command(&self, plugins: &str, key: &str, more: &[&str]) -> Command {
        let mut command = self.command();
        command
            .args(["publish", plugins, "--to", &self.url, "--key", key])
            .args(more);
        command
    }

    /// Collects garbage however young it is, and gives what that says.
    pub(crate) fn collect(&self, more: &[&str]) -> anyhow::Result<Value> {
        let trust = self.trust();
        let gc = ["gc", &self.url, "--trust", &trust, "--json"];
        let young = ["--older-than", "0s"];
        self.json(&[&gc[..], &young, more].concat())
    }

    /// Runs `symctl` beside the keys and the plugins.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command();
        command.args(arguments);
        output(command)
    }

    /// The same, of which the output is JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.run(arguments)?)?)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(tools::binary("symctl").expect("is built"));
        command
            .current_dir(self.directory.path())
            .envs(self.environment());
        command
    }

    /// The statement in use.
    pub(crate) fn statement(&self) -> anyhow::Result<Value> {
        let envelope: Value =
            serde_json::from_slice(&fs::read(self.store().join("current.json"))?)?;
        let payload = STANDARD.decode(envelope["payload"].as_str().unwrap_or_default())?;
        Ok(serde_json::from_slice(&payload)?)
    }

    /// Puts a statement of any kind in use, rightly signed by `team`.
    pub(crate) fn sign(&self, statement: &Value) -> anyhow::Result<()> {
        let pem = fs::read_to_string(self.path("team.key"))?;
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let pair = Ed25519KeyPair::from_pkcs8(&STANDARD.decode(body)?)?;
        let payload = statement.to_string();
        let message = format!(
            "DSSEv1 {} {PAYLOAD_TYPE} {} {payload}",
            PAYLOAD_TYPE.len(),
            payload.len()
        );
        let signature = STANDARD.encode(pair.sign(message.as_bytes()));
        let envelope = json!({
            "payloadType": PAYLOAD_TYPE, "payload": STANDARD.encode(&payload),
            "signatures": [{"keyid": "team", "sig": signature}],
        });
        fs::write(self.store().join("current.json"), envelope.to_string())?;
        Ok(())
    }
}

fn output(mut command: Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "`{command:?}` failed: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Copies a directory, over what is there.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    let entries = fs::read_dir(from).with_context(|| format!("no `{}`", from.display()))?;
    for entry in entries {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if entry.is_dir() {
            copy(&entry, &to.join(name))?;
        } else {
            fs::copy(&entry, to.join(name))?;
        }
    }
    Ok(())
}
