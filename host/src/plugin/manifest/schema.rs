//! `plugins.toml` as a JSON Schema, for editors.
//!
//! It says what a schema can say; where a file is, and that it is there, only
//! [`Manifest::parse`](super::Manifest::parse) and who reads the files know.
//! Draft 7, which editors of TOML speak.

use serde_json::{Map, Value, json};

use super::MAX_TARGETS;
use crate::plugin::limits::{Limit, Limits};
use crate::request::MAX_TARGET_BYTES;

/// The schema, as `plugins/plugins.schema.json` has it.
pub fn schema() -> String {
    let mut text = format!("{:#}", value());
    text.push('\n');
    text
}

fn value() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "plugins.toml",
        "description": "The plugins of one deployment: who is which database user, and what each target means.",
        "type": "object",
        "required": ["resolver"],
        "additionalProperties": false,
        "properties": {
            "resolver": {
                "description": "Who is which database user. There is one resolver, for all targets.",
                "type": "object",
                "required": ["component"],
                "additionalProperties": false,
                "properties": run(),
            },
            "targets": {
                "description": "What can be asked for: each is named like its `sym_target`, and is a component, an SQL file or a role.",
                "type": "object",
                "maxProperties": MAX_TARGETS,
                "propertyNames": {"pattern": "\\S", "maxLength": MAX_TARGET_BYTES},
                "additionalProperties": {"$ref": "#/definitions/target"},
            },
            "limits": {
                "description": "What each plugin may use up in one call, where it has no limit of its own.",
                "$ref": "#/definitions/limits",
            },
        },
        "definitions": {
            "path": {
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                // Below the directory, by what it says: no root, no `.` and no
                // `..` on the way, and nothing that Windows takes for a path.
                "pattern": "^(?!/)(?!(.*/)?\\.\\.?(/|$))[^\\\\:\\u0000-\\u001f\\u007f-\\u009f]+$",
            },
            "target": target(),
            "limits": limits(),
        },
    })
}

/// The keys of whatever has a component.
fn run() -> Map<String, Value> {
    let keys = json!({
        "component": {
            "description": "A WebAssembly component, relative to this file.",
            "$ref": "#/definitions/path",
        },
        "config": {
            "description": "Settings, as the plugin gets them: text as it is, anything else as JSON.",
            "type": "object",
        },
        "limits": {"$ref": "#/definitions/limits"},
        "wasi": {
            "description": "Whether it gets WASI: a clock that stands still, nothing to read, and its output in the log. For languages that can't do without.",
            "type": "boolean",
            "default": false,
        },
    });
    match keys {
        Value::Object(keys) => keys,
        _ => Map::new(),
    }
}

fn target() -> Value {
    let mut properties = run();
    let more = json!({
        "strategy": {
            "description": "How access is given. Without it, as the function's variable STRATEGY says.",
            "enum": ["role", "temporary-user"],
        },
        "sql": {
            "description": "A file of SQL statements for a temporary user, whose name they have as `{username}`.",
            "$ref": "#/definitions/path",
        },
        "role": {
            "description": "The role to lend. Without `component`, `sql` and `role`, it is the one that is named like the target.",
            "type": "string",
            "minLength": 1,
        },
    });
    if let Value::Object(more) = more {
        properties.extend(more);
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "dependencies": {
            "config": ["component"],
            "limits": ["component"],
            "wasi": ["component"],
            "sql": {"properties": {"strategy": {"const": "temporary-user"}}},
        },
        "allOf": [
            {"not": {"required": ["component", "sql"]}},
            {"not": {"required": ["component", "role"]}},
            {"not": {"required": ["sql", "role"]}},
        ],
    })
}

fn limits() -> Value {
    let defaults = Limits::default();
    let limits = Limit::ALL.iter().map(|limit| {
        let schema = json!({
            "description": limit.documentation().trim(),
            "type": "integer",
            "minimum": 1,
            "maximum": limit.most(),
            "default": defaults.get(*limit),
        });
        (limit.key().to_owned(), schema)
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": limits.collect::<Map<String, Value>>(),
    })
}
