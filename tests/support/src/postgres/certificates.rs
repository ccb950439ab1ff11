//! A certificate for a server, and the authority that signed it, by `openssl`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::ServerUser;
use crate::tools::run;

/// Makes both in `directory` and gives the authority's, in PEM.
pub(super) fn write(directory: &Path, owner: &ServerUser) -> anyhow::Result<String> {
    let key = |name| {
        [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            name,
        ]
    };
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=sym test authority",
        ])
        .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"])
        .args(key("authority.key"))
        .args(["-out", "authority.pem"])
        .current_dir(directory))?;
    run(Command::new("openssl")
        .args(["req", "-new", "-subj", "/CN=localhost"])
        .args(key("server.key"))
        .args(["-out", "server.request"])
        .current_dir(directory))?;
    fs::write(
        directory.join("server.extensions"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n\
         basicConstraints=critical,CA:FALSE\n\
         extendedKeyUsage=serverAuth\n",
    )?;
    run(Command::new("openssl")
        .args(["x509", "-req", "-days", "2", "-in", "server.request"])
        .args([
            "-CA",
            "authority.pem",
            "-CAkey",
            "authority.key",
            "-CAcreateserial",
        ])
        .args(["-extfile", "server.extensions", "-out", "server.pem"])
        .current_dir(directory))?;
    // The server refuses a key that is not its own.
    owner.take(&directory.join("server.key"))?;
    Ok(fs::read_to_string(directory.join("authority.pem"))?)
}

/// What `postgresql.conf` says about them.
pub(super) fn settings(directory: &Path) -> Vec<(String, String)> {
    let path = |name: &str| directory.join(name).display().to_string();
    vec![
        ("ssl".to_owned(), "on".to_owned()),
        ("ssl_cert_file".to_owned(), path("server.pem")),
        ("ssl_key_file".to_owned(), path("server.key")),
    ]
}
