//! Amazon S3, or what speaks like it.

use std::io::Write;
use std::time::SystemTime;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};

use super::{Condition, Listed, Object, StoreError};
use crate::aws::{Aws, cause, chain};

pub(super) async fn get(
    aws: &Aws,
    bucket: &str,
    key: &str,
    most: u64,
    etag: Option<&str>,
) -> Result<Option<Object>, StoreError> {
    let mut bytes = Vec::new();
    let etag = read(aws, bucket, key, most, etag, &mut bytes).await?;
    Ok(etag.map(|etag| Object { bytes, etag }))
}

/// Reads an object into something, and gives its etag.
pub(super) async fn read(
    aws: &Aws,
    bucket: &str,
    key: &str,
    most: u64,
    etag: Option<&str>,
    into: &mut (impl Write + Send),
) -> Result<Option<String>, StoreError> {
    let request = aws.s3().await.get_object().bucket(bucket).key(key);
    let answer = request
        .set_if_none_match(etag.map(str::to_owned))
        .send()
        .await;
    let mut answer = match answer {
        Ok(answer) => answer,
        // Not modified: it comes as an error without a code.
        Err(error) if etag.is_some() && status(&error) == Some(304) => return Ok(None),
        Err(error) if status(&error) == Some(404) && !is_without_bucket(&error) => {
            return Err(StoreError::Missing);
        }
        Err(error) => return Err(unavailable(error)),
    };
    let etag = answer.e_tag.take().unwrap_or_default();
    let mut bytes = 0;
    // Counted as it comes: what was announced is the other side's word.
    while let Some(chunk) = answer.body.next().await {
        let chunk = chunk.map_err(|error| StoreError::Unavailable(chain(&error)))?;
        bytes += chunk.len() as u64;
        if bytes > most {
            return Err(StoreError::TooLarge { most });
        }
        into.write_all(&chunk)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    }
    Ok(Some(etag))
}

pub(super) async fn put(
    aws: &Aws,
    bucket: &str,
    key: &str,
    bytes: &[u8],
    condition: Condition<'_>,
) -> Result<(), StoreError> {
    let request = aws.s3().await.put_object().bucket(bucket).key(key);
    let request = match condition {
        Condition::Always => request,
        Condition::IsAbsent => request.if_none_match("*"),
        Condition::IsStill(etag) => request.if_match(etag),
    };
    let body = ByteStream::from(bytes.to_vec());
    match request.body(body).send().await {
        Ok(_) => Ok(()),
        // 409: another conditional write was under way. 404: there is none to
        // be still as it was.
        Err(error)
            if condition != Condition::Always
                && matches!(status(&error), Some(412 | 409 | 404))
                && !is_without_bucket(&error) =>
        {
            Err(StoreError::Changed)
        }
        Err(error) if condition != Condition::Always && status(&error) == Some(501) => {
            Err(StoreError::Unconditional)
        }
        Err(error) => Err(unavailable(error)),
    }
}

pub(super) async fn list(
    aws: &Aws,
    bucket: &str,
    prefix: &str,
    below: &str,
) -> Result<Vec<Listed>, StoreError> {
    let mut listed = Vec::new();
    let mut token = None;
    loop {
        let request = aws.s3().await.list_objects_v2().bucket(bucket);
        let request = request.prefix(format!("{prefix}{below}"));
        let answer = request.set_continuation_token(token).send().await;
        let answer = answer.map_err(unavailable)?;
        for object in answer.contents() {
            let key = object.key().and_then(|key| key.strip_prefix(prefix));
            listed.extend(key.map(|key| Listed {
                key: key.to_owned(),
                bytes: object.size().unwrap_or_default().unsigned_abs(),
                written: system_time(object.last_modified()),
            }));
        }
        token = answer.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            return Ok(listed);
        }
    }
}

pub(super) async fn delete(aws: &Aws, bucket: &str, key: &str) -> Result<(), StoreError> {
    let request = aws.s3().await.delete_object().bucket(bucket).key(key);
    request.send().await.map(drop).map_err(unavailable)
}

/// Deletes an object that was last written by then. Returns whether it was.
pub(super) async fn delete_older(
    aws: &Aws,
    bucket: &str,
    key: &str,
    than: SystemTime,
) -> Result<bool, StoreError> {
    let request = aws.s3().await.head_object().bucket(bucket).key(key);
    let written = match request.send().await {
        Ok(answer) => system_time(answer.last_modified()),
        Err(error) if status(&error) == Some(404) => return Ok(false),
        Err(error) => return Err(unavailable(error)),
    };
    if written.is_none_or(|written| written > than) {
        return Ok(false);
    }
    delete(aws, bucket, key).await?;
    Ok(true)
}

fn system_time(time: Option<&DateTime>) -> Option<SystemTime> {
    time.and_then(|time| SystemTime::try_from(*time).ok())
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

fn is_without_bucket<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("NoSuchBucket")
}

fn unavailable<E>(error: SdkError<E>) -> StoreError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    StoreError::Unavailable(cause(&error))
}
