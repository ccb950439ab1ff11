//! What the Terraform module `settings` computes, computed here: the very policy
//! documents and variables of `deploy/terraform`, on a machine without Terraform.
//!
//! The module has no provider. `cargo xtask test` compares what this makes with
//! what Terraform makes, where there is one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use hcl::Expression;
use hcl::eval::{Context, Evaluate as _, FuncArgs, FuncDef, ParamType};
use serde_json::{Value, json};

use crate::tools::workspace;

/// Where the module is.
pub fn settings_directory() -> PathBuf {
    workspace().join("deploy/terraform/modules/settings")
}

/// A key of the right form, which is nobody's.
const TRUST: &str = "team:MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Variables of the module, as an operator who sets what has to be set has them:
/// in the account `123456789012`, in the bucket `releases`.
pub fn settings_variables() -> Value {
    json!({
        "name": "sym-postgres", "strategy": "role", "makes_users": true,
        "partition": "aws", "region": "us-east-1", "account_id": "123456789012",
        "database": {"host": "db.example", "port": 5432, "user": "sym_bot", "auth": "password"},
        "password": {"store": "ssm", "name": "/symops.com/sym-postgres/DB_PASSWORD"},
        "releases": {"bucket": "releases", "prefix": "sym-postgres", "trust": [TRUST]},
        "secrets": {"prefix": "/symops.com"},
        "limits": {},
        "environment": {},
    })
}

/// The module's outputs.
///
/// # Errors
///
/// The module isn't there, or has something in it that this can't compute.
pub fn settings_outputs(variables: &Value) -> anyhow::Result<BTreeMap<String, Value>> {
    let body = read_module(&settings_directory())?;
    let mut given = BTreeMap::new();
    let mut locals = Vec::new();
    let mut outputs = Vec::new();
    for block in body.blocks() {
        let label = block.labels().first().map_or("", |label| label.as_str());
        let attribute = |name: &str| {
            let mut attributes = block.body().attributes();
            attributes.find(|attribute| attribute.key() == name)
        };
        match block.identifier() {
            "variable" => {
                let kind = attribute("type").context("a variable has a type")?.expr();
                given.insert(label.to_owned(), complete(kind, &variables[label]));
            }
            "locals" => locals.extend(
                block
                    .body()
                    .attributes()
                    .map(|a| (a.key().to_owned(), a.expr().clone())),
            ),
            "output" => {
                let value = attribute("value").context("an output has a value")?;
                outputs.push((label.to_owned(), value.expr().clone()));
            }
            _ => {}
        }
    }
    let mut context = context();
    context.declare_var("var", to_hcl(&json!(given))?);
    // Each needs others: those that can be computed, until all are.
    let mut known: BTreeMap<String, hcl::Value> = BTreeMap::new();
    while !locals.is_empty() {
        let mut left = Vec::new();
        let mut why = None;
        let before = known.len();
        for (name, expression) in locals {
            match expression.evaluate(&context) {
                Ok(value) => drop(known.insert(name, value)),
                Err(error) => {
                    why = Some(format!("`local.{name}`: {error}"));
                    left.push((name, expression));
                }
            }
            context.declare_var("local", known.clone().into_iter().collect::<hcl::Value>());
        }
        ensure!(
            known.len() > before,
            "can't be computed: {}",
            why.unwrap_or_default()
        );
        locals = left;
    }
    outputs
        .into_iter()
        .map(|(name, expression)| {
            let value = expression
                .evaluate(&context)
                .map_err(|error| anyhow::anyhow!("`output.{name}`: {error}"))?;
            Ok((name, serde_json::to_value(value)?))
        })
        .collect()
}

/// All of a module's files as one.
///
/// # Errors
///
/// One can't be read, or isn't HCL.
pub fn read_module(directory: &Path) -> anyhow::Result<hcl::Body> {
    let mut structures = Vec::new();
    for path in module_files(directory)? {
        let text = fs::read_to_string(&path)?;
        let body =
            hcl::parse(&text).map_err(|error| anyhow::anyhow!("`{}`: {error}", path.display()))?;
        structures.extend(body.into_inner());
    }
    Ok(hcl::Body::from_iter(structures))
}

/// A module's files, in the order of their names.
///
/// # Errors
///
/// The directory can't be read.
pub fn module_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| format!("`{}`", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tf") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A value with `null` for each optional attribute that it lacks, as Terraform
/// hands it to the module.
fn complete(kind: &Expression, value: &Value) -> Value {
    let Expression::FuncCall(call) = kind else {
        return value.clone();
    };
    match (call.name.name.as_str(), call.args.first()) {
        ("optional", Some(inner)) => complete(inner, value),
        ("object", Some(Expression::Object(attributes))) if value.is_object() => {
            let attributes = attributes.iter().map(|(name, kind)| {
                let name = name.to_string();
                let value = complete(kind, &value[&name]);
                (name, value)
            });
            Value::Object(attributes.collect())
        }
        _ => value.clone(),
    }
}

fn to_hcl(value: &Value) -> anyhow::Result<hcl::Value> {
    Ok(hcl::to_value(value)?)
}

/// The functions that the module uses, as Terraform's manual describes them.
fn context() -> Context<'static> {
    let mut context = Context::new();
    let mut declare = |name: &str, function: fn(FuncArgs) -> Result<hcl::Value, String>| {
        let definition = FuncDef::builder().variadic_param(ParamType::Any);
        context.declare_func(name, definition.build(function));
    };
    declare("coalesce", |args| {
        let empty = hcl::Value::String(String::new());
        let is_value = |value: &hcl::Value| !value.is_null() && *value != empty;
        let mut values = args.into_values().into_iter();
        values.find(is_value).ok_or("all are null".to_owned())
    });
    declare("compact", |args| {
        let values = list(first(args)?)?;
        let is_value = |value: &hcl::Value| value.as_str().is_some_and(|text| !text.is_empty());
        Ok(values.into_iter().filter(is_value).collect())
    });
    declare("concat", |args| {
        let lists: Result<Vec<_>, String> = args.into_values().into_iter().map(list).collect();
        Ok(lists?.into_iter().flatten().collect())
    });
    declare("join", |args| {
        let [separator, values] = two(args)?;
        let values: Result<Vec<String>, String> = list(values)?.into_iter().map(text).collect();
        Ok(values?.join(&text(separator)?).into())
    });
    declare("jsonencode", |args| {
        let json = serde_json::to_value(first(args)?).map_err(|error| error.to_string())?;
        Ok(json.to_string().into())
    });
    declare("merge", |args| {
        let mut merged = hcl::Map::new();
        for map in args.into_values() {
            match map {
                hcl::Value::Object(map) => merged.extend(map),
                hcl::Value::Null => {}
                other => return Err(format!("{other:?} is no map")),
            }
        }
        Ok(hcl::Value::Object(merged))
    });
    declare("split", |args| {
        let [separator, value] = two(args)?;
        let (separator, value) = (text(separator)?, text(value)?);
        Ok(value
            .split(&separator)
            .map(|part| hcl::Value::from(part.to_owned()))
            .collect())
    });
    declare("startswith", |args| {
        let [value, beginning] = two(args)?;
        Ok(text(value)?.starts_with(&text(beginning)?).into())
    });
    declare("tostring", |args| match first(args)? {
        hcl::Value::Number(number) => Ok(number.to_string().into()),
        hcl::Value::Bool(is_true) => Ok(is_true.to_string().into()),
        other => Ok(other),
    });
    declare("trimprefix", |args| {
        let [value, prefix] = two(args)?;
        let (value, prefix) = (text(value)?, text(prefix)?);
        Ok(value.strip_prefix(&prefix).unwrap_or(&value).into())
    });
    context
}

fn first(args: FuncArgs) -> Result<hcl::Value, String> {
    args.into_values()
        .into_iter()
        .next()
        .ok_or("an argument is missing".to_owned())
}

fn two(args: FuncArgs) -> Result<[hcl::Value; 2], String> {
    <[hcl::Value; 2]>::try_from(args.into_values())
        .map_err(|values| format!("{} arguments, expected two", values.len()))
}

fn list(value: hcl::Value) -> Result<Vec<hcl::Value>, String> {
    match value {
        hcl::Value::Array(values) => Ok(values),
        other => Err(format!("{other:?} is no list")),
    }
}

fn text(value: hcl::Value) -> Result<String, String> {
    match value {
        hcl::Value::String(text) => Ok(text),
        other => Err(format!("{other:?} is no text")),
    }
}

/// One output that is a policy document.
///
/// # Errors
///
/// As [`settings_outputs`], or there is no such document.
pub fn settings_policy(variables: &Value, output: &str) -> anyhow::Result<Value> {
    let outputs = settings_outputs(variables)?;
    match outputs.get(output) {
        Some(Value::String(document)) => Ok(serde_json::from_str(document)?),
        other => bail!("`{output}` is {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_the_functions_variables() -> anyhow::Result<()> {
        let outputs = settings_outputs(&settings_variables())?;
        assert_eq!(
            outputs["environment"],
            json!({
                "PLUGINS": "s3://releases/sym-postgres", "PLUGIN_TRUST": TRUST, "STRATEGY": "role",
                "DB_HOST": "db.example", "DB_PORT": "5432", "DB_USER": "sym_bot", "DB_AUTH": "password",
                "DB_PASSWORD_KEY": "/symops.com/sym-postgres/DB_PASSWORD", "SECRET_PREFIX": "/symops.com",
            })
        );
        Ok(())
    }

    // What Terraform must leave to IAM.
    #[test]
    fn leaves_iams_own_variables_alone() -> anyhow::Result<()> {
        let policy = settings_policy(&settings_variables(), "users_policy")?;
        assert_eq!(
            policy["Statement"][0]["Condition"]["StringLike"]["aws:userid"],
            "*:${secretsmanager:ResourceTag/sym.user}"
        );
        Ok(())
    }
}
