//! Where the bot's password is in Vault: the operator's variables for it.

use std::path::PathBuf;

use super::Reader;
use crate::env;
use crate::event::printable;

/// Where a secret is in HashiCorp Vault or OpenBao, and as whom to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// Without a path.
    pub address: String,
    /// The role of the AWS auth method.
    pub role: String,
    /// Where that method is mounted.
    pub mount: String,
    /// Path of the secret, with the `data/` of KV version 2.
    pub path: String,
    /// Field of the secret.
    pub field: String,
    /// Vault's namespace.
    pub namespace: Option<String>,
    /// What the auth method wants signed, so that a login is good for this Vault
    /// alone.
    pub server_id: Option<String>,
    /// Region of the STS that Vault asks; `None`: the global one.
    pub sts_region: Option<String>,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Reader<'_> {
    pub(super) fn vault(&mut self, place: &str) -> Vault {
        let (path, field) = place.split_once('#').unwrap_or((place, ""));
        let path = path.trim_start_matches('/');
        if !path.contains("/data/") || !is_url_path(path) || field.is_empty() {
            self.wrong(
                env::DB_PASSWORD_VAULT.name,
                &format!(
                    "is `{}`, expected path and field in a KV version 2 engine, such as \
                     `secret/data/sym-postgres#password`: `data/` comes after the engine's name",
                    printable(place, 80)
                ),
            );
        }
        let address = self.required(env::VAULT_ADDR);
        let address = address.trim_end_matches('/');
        // What is read there is the database's password.
        let is_address = match url::Url::parse(address) {
            Ok(url) if url.path() != "/" || url.query().is_some() => false,
            Ok(url) if url.scheme() == "http" => {
                matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
            }
            Ok(url) => url.scheme() == "https" && url.has_host(),
            Err(_) => false,
        };
        if !address.is_empty() && !is_address {
            self.wrong(
                env::VAULT_ADDR.name,
                &format!(
                    "is `{}`, expected `https://` with a host name and a port, and nothing behind them",
                    printable(address, 80)
                ),
            );
        }
        let mount = self.text(env::VAULT_AUTH_MOUNT);
        let mount = mount.as_deref().unwrap_or("aws").trim_matches('/');
        if !is_url_path(mount) {
            self.wrong(env::VAULT_AUTH_MOUNT.name, "is no path, such as `aws`");
        }
        let sts_region = self.text(env::VAULT_STS_REGION);
        if sts_region
            .as_deref()
            .is_some_and(|region| !is_url_path(region))
        {
            self.wrong(
                env::VAULT_STS_REGION.name,
                "is no region, such as `eu-central-1`",
            );
        }
        Vault {
            address: address.to_owned(),
            role: self.required(env::VAULT_ROLE),
            mount: mount.to_owned(),
            path: path.to_owned(),
            field: field.to_owned(),
            namespace: self.text(env::VAULT_NAMESPACE),
            server_id: self.text(env::VAULT_SERVER_ID),
            sts_region,
            ca_file: self.text(env::VAULT_CACERT).map(PathBuf::from),
        }
    }
}

/// Whether a path means the same in a URL as it stands: nothing to escape, and
/// nothing that leads out.
fn is_url_path(path: &str) -> bool {
    path.split('/').all(|part| {
        !part.is_empty()
            && part.bytes().any(|byte| byte != b'.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::error::Errors;

    fn problems(place: &str, address: &str) -> Vec<String> {
        let lookup = |name: &str| match name {
            "PLUGINS" => Some("dir:///p".to_owned()),
            "DB_HOST" | "DB_USER" | "VAULT_ROLE" => Some("x".to_owned()),
            "DB_PASSWORD_VAULT" => Some(place.to_owned()),
            "VAULT_ADDR" => Some(address.to_owned()),
            _ => None,
        };
        let errors = Config::from_env(lookup).err();
        let errors = errors.as_ref().map_or(&[][..], Errors::as_slice);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_place_is_a_path_with_data_in_it_and_a_field() {
        let address = "https://vault.example:8200";
        for place in ["secret/data/a#b", "/team/kv/data/a/b#c"] {
            assert!(problems(place, address).is_empty(), "{place}");
        }
        for place in [
            "secret/data/a",
            "secret/a#b",
            "secret/data/../x#b",
            "secret/data/a?x#b",
            "secret/data/#b",
        ] {
            let expected = format!(
                "the function's variable `DB_PASSWORD_VAULT` is `{place}`, expected path and field in a KV version 2 \
                 engine, such as `secret/data/sym-postgres#password`: `data/` comes after the engine's name"
            );
            assert_eq!(problems(place, address), [expected]);
        }
    }

    #[test]
    fn the_password_is_not_asked_for_in_the_clear() {
        let place = "secret/data/a#b";
        for address in [
            "https://vault.example",
            "https://vault.example:8200/",
            "http://127.0.0.1:8200",
        ] {
            assert!(problems(place, address).is_empty(), "{address}");
        }
        for address in [
            "http://vault.example:8200",
            "vault.example",
            "https://vault.example/ui",
            "file:///etc",
        ] {
            assert_eq!(problems(place, address).len(), 1, "{address}");
        }
        let expected = "the function's variable `VAULT_ADDR` is not set";
        assert_eq!(problems(place, ""), [expected]);
    }
}
