//! `tunnel.sh` of the sandbox: what it asks AWS for, and what it says where
//! something is missing. The AWS CLI is a double that does as it is told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sym_test_support::tools;

/// What the AWS CLI answers: a shell script's `case` on its first two arguments.
const WORKING: &str = r#"
"sts get-caller-identity") echo '{}' ;;
"ec2 describe-instances") echo i-0123 ;;
"ssm describe-instance-information") echo Online ;;
"ssm start-session") shift 2; printf '%s\n' "$@" ;;
"#;

/// Runs the script with these programs, and gives what it printed: to standard
/// output, or the error.
fn tunnel(programs: &[(&str, &str)], arguments: &[&str]) -> anyhow::Result<Result<String, String>> {
    let directory = tempfile::tempdir()?;
    for (name, text) in programs {
        let path = directory.path().join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    let script = "deploy/terraform/modules/sandbox/tunnel.sh";
    let output = Command::new("/bin/bash")
        .arg(tools::workspace().join(script))
        .args(arguments)
        .env_clear()
        // Nothing else: the script's own tools are the shell's.
        .env("PATH", directory.path())
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    })
}

fn aws(answers: &str) -> String {
    format!(
        "#!/bin/bash\ncase \"$1 $2\" in\n{answers}\n*) echo \"what is $*\" >&2; exit 9 ;;\nesac\n"
    )
}

/// With a CLI that answers so, and its plugin.
fn with(answers: &str, arguments: &[&str]) -> anyhow::Result<Result<String, String>> {
    let programs = [
        ("aws", aws(answers)),
        ("session-manager-plugin", "#!/bin/bash\n".to_owned()),
    ];
    let programs: Vec<(&str, &str)> = programs
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    tunnel(&programs, arguments)
}

/// A port that nobody listens on.
fn free_port() -> anyhow::Result<String> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port().to_string())
}

#[test]
fn forwards_through_the_bastion_that_it_finds() -> anyhow::Result<()> {
    let port = free_port()?;
    let expected = format!(
        "--target\ni-0123\n--document-name\nAWS-StartPortForwardingSessionToRemoteHost\n--parameters\n\
         {{\"host\":[\"db.example\"],\"portNumber\":[\"5432\"],\"localPortNumber\":[\"{port}\"]}}\n"
    );
    let arguments = ["--endpoint", "db.example", "--local-port", &port];
    assert_eq!(with(WORKING, &arguments)?, Ok(expected.clone()));
    // Named, it is not looked for.
    let unlooked = WORKING.replace("\"ec2 describe-instances\") echo i-0123 ;;\n", "");
    let arguments = [&arguments[..], &["--bastion", "i-0123"]].concat();
    assert_eq!(with(&unlooked, &arguments)?, Ok(expected));
    Ok(())
}

#[test]
fn says_what_is_wrong_with_its_arguments() -> anyhow::Result<()> {
    for (arguments, sentence) in [
        (
            &[][..],
            "name the database with `--endpoint`: `terraform output db_config` has its host.",
        ),
        (
            &["--endpoint"],
            "`--endpoint` needs a value after it; `tunnel.sh --help` shows how.",
        ),
        (
            &["--frob"],
            "`--frob` is none of its options; `tunnel.sh --help` shows them.",
        ),
        (
            &["-e", "db\"],\"x\":[\""],
            "`db\"],\"x\":[\"` is no host name: leave out the port and everything else.",
        ),
        (
            &["-e", "db", "-l", "0"],
            "`0` is no port: take a number from 1 to 65535.",
        ),
        (
            &["-e", "db", "-r", "65536"],
            "`65536` is no port: take a number from 1 to 65535.",
        ),
    ] {
        assert_eq!(
            with(WORKING, arguments)?,
            Err(format!("tunnel.sh: {sentence}\n"))
        );
    }
    Ok(())
}

#[test]
fn says_what_is_missing_on_this_machine() -> anyhow::Result<()> {
    let port = free_port()?;
    let arguments = ["-e", "db.example", "-l", &port];
    let errors = |sentence: &str| Err(format!("tunnel.sh: {sentence}\n"));
    assert_eq!(
        tunnel(&[], &arguments)?,
        errors("there is no `aws`: install the AWS CLI version 2.")
    );
    assert_eq!(
        tunnel(&[("aws", &aws(WORKING))], &arguments)?,
        errors("the AWS CLI lacks its Session Manager plugin: install `session-manager-plugin`.")
    );
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?.port().to_string();
    assert_eq!(
        with(WORKING, &["-e", "db.example", "-l", &port])?,
        errors(&format!(
            "port {port} on this machine is in use: choose another with `--local-port`."
        ))
    );
    Ok(())
}

#[test]
fn says_what_is_missing_in_aws() -> anyhow::Result<()> {
    let port = free_port()?;
    for (working, broken, sentence) in [
        (
            "echo '{}'",
            "echo 'no credentials' >&2; exit 1",
            "no credentials that work",
        ),
        (
            "echo i-0123",
            "echo None",
            "there is no running instance with the name `sym-postgres-sandbox-bastion`",
        ),
        (
            "echo i-0123",
            "echo 'denied' >&2; exit 1",
            "the bastion can't be looked for",
        ),
        (
            "echo Online",
            "echo None",
            "`i-0123` is not connected to Session Manager (None)",
        ),
        (
            "echo Online",
            "echo 'denied' >&2; exit 1",
            "you need ssm:DescribeInstanceInformation",
        ),
    ] {
        let answers = WORKING.replace(working, broken);
        let errors = with(&answers, &["-e", "db.example", "-l", &port])?.expect_err("fails");
        assert!(errors.contains(sentence), "{errors}");
    }
    Ok(())
}

#[test]
fn is_where_the_pages_say() {
    let script = Path::new("deploy/terraform/modules/sandbox/tunnel.sh");
    let metadata = tools::workspace()
        .join(script)
        .metadata()
        .expect("it is there");
    assert_ne!(metadata.permissions().mode() & 0o111, 0, "it can be run");
}
