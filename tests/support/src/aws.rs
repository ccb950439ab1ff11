//! Secrets Manager, SSM and S3 on this machine, as moto speaks them.
//!
//! [`Aws::env`] points the real AWS SDK here. The helpers look at what is
//! stored by plain requests of their own, so that a test doesn't trust the code
//! it tests.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;
use crate::process::{POLL_INTERVAL, Running, command_that_dies_with_us};
use crate::tools::{self, Python};

/// Region of everything here. moto wants more of S3's callers in any other.
pub const REGION: &str = "us-east-1";

/// How long moto may take to start: half a second on a quiet machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A running AWS double.
pub struct Aws {
    // Before the directory: fields are dropped in this order.
    _server: Running,
    directory: TempDir,
    address: SocketAddr,
}

impl Aws {
    /// Starts it, empty.
    ///
    /// # Errors
    ///
    /// moto can't be fetched or doesn't start.
    pub fn start() -> anyhow::Result<Aws> {
        Aws::start_by(&tools::moto()?)
    }

    fn start_by(python: &Python) -> anyhow::Result<Aws> {
        let directory = tempfile::Builder::new().prefix("sym-aws-").tempdir()?;
        let log_path = directory.path().join("log");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)?;
        let mut command = command_that_dies_with_us(&python.program, Signal::SIGKILL);
        command
            .args(["-m", "moto.server", "--host", "127.0.0.1"])
            // The system chooses, and moto says which: no race for a port.
            .args(["--port", "0"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PYTHONPATH", &python.packages)
            .env("PYTHONUNBUFFERED", "1")
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut server =
            Running::start(command, Signal::SIGKILL).context("moto can't be started")?;
        let deadline = Instant::now() + START_PATIENCE;
        let address = loop {
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            if let Some(address) = find_address(&log) {
                break address;
            }
            if let Some(status) = server.exit_status() {
                bail!("moto ended ({status}): {}", log.trim());
            }
            if Instant::now() > deadline {
                bail!("moto does not start; its log: {}", log.trim());
            }
            thread::sleep(POLL_INTERVAL);
        };
        Ok(Aws {
            _server: server,
            directory,
            address,
        })
    }

    /// Where it is, such as `http://127.0.0.1:4566`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The variables that have the AWS SDK come here.
    pub fn env(&self) -> Vec<(String, String)> {
        environment(&self.endpoint())
    }

    /// Everything that moto has logged: each request is a line.
    pub fn log_text(&self) -> String {
        let log = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What a secret holds now, read as JSON.
    ///
    /// # Errors
    ///
    /// There is no such secret (`ResourceNotFoundException`), or it is to be
    /// deleted (`InvalidRequestException`), or it is not JSON.
    pub async fn secret_value(&self, name: &str) -> anyhow::Result<Value> {
        let secret = self
            .call(
                Service::SecretsManager,
                "GetSecretValue",
                &json!({"SecretId": name}),
            )
            .await?;
        let text = secret["SecretString"].as_str().context("no SecretString")?;
        Ok(serde_json::from_str(text)?)
    }

    /// Description, tags and versions of a secret.
    ///
    /// # Errors
    ///
    /// There is no such secret.
    pub async fn describe_secret(&self, name: &str) -> anyhow::Result<Value> {
        let call = json!({"SecretId": name});
        Ok(self
            .call(Service::SecretsManager, "DescribeSecret", &call)
            .await?)
    }

    /// All secrets that are not to be deleted.
    ///
    /// # Errors
    ///
    /// moto is gone.
    pub async fn list_secrets(&self) -> anyhow::Result<Vec<Value>> {
        let mut list = self
            .call(Service::SecretsManager, "ListSecrets", &json!({}))
            .await?;
        match list["SecretList"].take() {
            Value::Array(secrets) => Ok(secrets),
            other => bail!("not a list of secrets: {other}"),
        }
    }

    /// Stores an encrypted parameter, over what was there.
    ///
    /// # Errors
    ///
    /// moto refuses the name or the value.
    pub async fn put_parameter(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let call = json!({
            "Name": name, "Value": value, "Type": "SecureString", "Overwrite": true,
        });
        self.call(Service::Ssm, "PutParameter", &call).await?;
        Ok(())
    }

    /// Makes a bucket of S3.
    ///
    /// # Errors
    ///
    /// moto refuses the name, or is gone.
    pub async fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        let request = Request::put(format!("/{name}"))
            .header("host", self.address.to_string())
            .body(Full::new(Bytes::new()))?;
        let (status, body) = self.send(request).await?;
        ensure!(
            status == 200,
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }

    /// Makes an IAM user who may do what a policy says, and gives the variables
    /// with which the AWS SDK is that user.
    ///
    /// # Errors
    ///
    /// moto refuses the policy, or is gone.
    pub async fn create_user(
        &self,
        name: &str,
        policy: &Value,
    ) -> anyhow::Result<Vec<(String, String)>> {
        self.call_iam(&[("Action", "CreateUser"), ("UserName", name)])
            .await?;
        self.call_iam(&[
            ("Action", "PutUserPolicy"),
            ("UserName", name),
            ("PolicyName", "policy"),
            ("PolicyDocument", &policy.to_string()),
        ])
        .await?;
        let answer = self
            .call_iam(&[("Action", "CreateAccessKey"), ("UserName", name)])
            .await?;
        let field = |tag: &str| {
            let (_, rest) = answer.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once("</")?.0.to_owned())
        };
        let id = field("AccessKeyId").context("no AccessKeyId")?;
        let key = field("SecretAccessKey").context("no SecretAccessKey")?;
        Ok(vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), id),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), key),
        ])
    }

    /// From now on nobody may do what no policy allows. moto knows the resources
    /// of S3, and reads no conditions.
    ///
    /// # Errors
    ///
    /// moto is gone.
    pub async fn enforce_iam(&self) -> anyhow::Result<()> {
        let request = Request::post("/moto-api/reset-auth")
            .header("host", self.address.to_string())
            .body(Full::new(Bytes::from_static(b"0")))?;
        let (status, body) = self.send(request).await?;
        ensure!(
            status == 200,
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }

    /// Calls IAM, which speaks AWS's query protocol.
    async fn call_iam(&self, fields: &[(&str, &str)]) -> anyhow::Result<String> {
        let encoded: Vec<String> = fields
            .iter()
            .chain(&[("Version", "2010-05-08")])
            .map(|(name, value)| format!("{name}={}", percent_encode(value)))
            .collect();
        let request = Request::post("/")
            .header("host", self.address.to_string())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", authorization("iam"))
            .body(Full::new(Bytes::from(encoded.join("&"))))?;
        let (status, body) = self.send(request).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        ensure!(status == 200, "{status}: {text}");
        Ok(text)
    }

    /// Calls any operation of a service that speaks AWS's JSON protocol.
    ///
    /// # Errors
    ///
    /// The service's own refusal, with its code.
    pub async fn call(
        &self,
        service: Service,
        operation: &str,
        input: &Value,
    ) -> Result<Value, AwsError> {
        let (name, target) = match service {
            Service::SecretsManager => ("secretsmanager", "secretsmanager"),
            Service::Ssm => ("ssm", "AmazonSSM"),
            Service::Kms => ("kms", "TrentService"),
        };
        let request = Request::post("/")
            .header("host", self.address.to_string())
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("{target}.{operation}"))
            .header("authorization", authorization(name))
            .body(Full::new(Bytes::from(input.to_string())))
            .map_err(AwsError::unreachable)?;
        let (status, body) = self.send(request).await.map_err(AwsError::unreachable)?;
        let output: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status == 200 {
            return Ok(output);
        }
        let code = output["__type"].as_str().unwrap_or_default();
        Err(AwsError {
            status,
            code: code.rsplit('#').next().unwrap_or_default().to_owned(),
            message: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(u16, Bytes)> {
        http::send(self.address, request).await
    }
}

/// The variables that have the AWS SDK go to this endpoint.
pub(crate) fn environment(endpoint: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        // The SDK signs with them; moto doesn't look.
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A service that [`Aws::call`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// AWS Secrets Manager.
    SecretsManager,
    /// AWS Systems Manager, for its Parameter Store.
    Ssm,
    /// AWS Key Management Service.
    Kms,
}

/// A service's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// HTTP status; 0 where there was no answer.
    pub status: u16,
    /// Such as `ResourceNotFoundException`.
    pub code: String,
    /// The answer as it came.
    pub message: String,
}

impl AwsError {
    fn unreachable(error: impl fmt::Display) -> AwsError {
        AwsError {
            status: 0,
            code: String::new(),
            message: error.to_string(),
        }
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)
    }
}

impl std::error::Error for AwsError {}

/// moto learns the service from it, and doesn't check the rest.
fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Finds ` * Running on http://127.0.0.1:41131` among what moto prints.
fn find_address(log: &str) -> Option<SocketAddr> {
    let (_, after) = log.split_once("Running on http://")?;
    // A line that is not complete may lack the port's last digits.
    let (address, _) = after.split_once('\n')?;
    address.trim().parse().ok()
}
