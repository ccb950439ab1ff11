//! Guests by hand, in WebAssembly's text format: the types of `wit/` once, and
//! around a core module of any kind what makes a plugin of it.
//!
//! Text alone: who has a guest's text turns it into bytes.

/// Which of the two worlds of `wit/` a guest is for.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// The interface that it exports.
    pub interface: &'static str,
    /// The one function of that interface.
    pub function: &'static str,
    /// That function's parameters and result.
    pub signature: &'static str,
}

/// Says who the requester is in the database.
pub const RESOLVER: World = World {
    interface: "sym:postgres/resolver@0.1.0",
    function: "resolve-user",
    signature: r#"(param "request" $request) (result (result string (error $failure)))"#,
};

/// Says what a target means.
pub const TARGET: World = World {
    interface: "sym:postgres/target-setup@0.1.0",
    function: "setup",
    signature: r#"(param "request" $request) (param "username" string) (result (result $steps (error $failure)))"#,
};

impl World {
    /// The export, by the functions `run` and `realloc` and the memory of the
    /// core instance `$main`.
    pub fn lift(&self) -> String {
        let World {
            interface,
            function,
            signature,
        } = self;
        format!(
            r#"(func $lifted {signature}
                (canon lift (core func $main "run") (memory (core memory $main "memory"))
                    (realloc (core func $main "realloc"))))
            (instance $export (export "{function}" (func $lifted)))
            (export "{interface}" (instance $export))"#
        )
    }
}

/// A component with an honest allocator, and one core module of a test's.
#[derive(Clone, Debug)]
pub struct Guest {
    /// What it exports.
    pub world: World,
    /// Pages of memory that it begins with.
    pub pages: u32,
    /// Where its allocator begins, in bytes.
    pub heap: u32,
    /// More that the component imports or holds.
    pub imports: String,
    /// More core functions of the component that the module imports from
    /// `host`: name and type.
    pub functions: Vec<(&'static str, &'static str)>,
    /// The module's fields, of which one is a function with the export `run`.
    /// `$log` takes level, address and length; `$get` address and length of a
    /// key, and where the option goes.
    pub fields: String,
}

impl Guest {
    /// The component's text.
    pub fn to_wat(&self) -> String {
        let Guest {
            world,
            pages,
            heap,
            imports,
            functions,
            fields,
        } = self;
        let lift = world.lift();
        let mut exports = String::new();
        let mut module_imports = String::new();
        for (name, ty) in [
            ("log", "(param i32 i32 i32)"),
            ("get", "(param i32 i32 i32)"),
        ]
        .iter()
        .chain(functions)
        {
            exports.push_str(&format!("(export \"{name}\" (func ${name}))"));
            module_imports.push_str(&format!("(import \"host\" \"{name}\" (func ${name} {ty}))"));
        }
        // An export of another instance's memory has to be the lifted function's.
        format!(
            r#"(component
                {TYPES}
                {IMPORTS}
                {imports}
                (core module $libc
                    (memory (export "memory") {pages})
                    (global $next (mut i32) (i32.const {heap}))
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                        (local $at i32)
                        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                        (global.set $next (i32.add (local.get $at) (local.get 3)))
                        (local.get $at)))
                (core instance $libc (instantiate $libc))
                (alias core export $libc "memory" (core memory $memory))
                (alias core export $libc "realloc" (core func $realloc))
                (core func $log (canon lower (func $log "write") (memory $memory)))
                (core func $get (canon lower (func $config "get") (memory $memory) (realloc $realloc)))
                (core module $module
                    (import "libc" "memory" (memory 0))
                    {module_imports}
                    {fields})
                (core instance $host {exports})
                (core instance $run (instantiate $module (with "libc" (instance $libc)) (with "host" (instance $host))))
                (alias core export $run "run" (core func $run))
                (core instance $main
                    (export "run" (func $run)) (export "memory" (memory $memory)) (export "realloc" (func $realloc)))
                {lift})"#
        )
    }
}

/// A data segment.
pub fn data(at: usize, bytes: &[u8]) -> String {
    let bytes: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{bytes}\")\n")
}

/// The types of `wit/`, in the component model's own words.
pub const TYPES: &str = r#"
    (type $types-instance (instance
        (type $pairs (list (tuple string string)))
        (type $optional (option string))
        (type $actor-record (record (field "username" string) (field "name" $optional) (field "identities" $pairs)))
        (export "actor" (type $actor (eq $actor-record)))
        (type $target-record (record (field "name" string) (field "label" $optional) (field "settings" $pairs)))
        (export "target" (type $target (eq $target-record)))
        (type $request-record (record
            (field "run-id" string) (field "strategy" string)
            (field "requester" $actor) (field "approver" (option $actor)) (field "target" $target)
            (field "flow" string) (field "reason" $optional) (field "duration-seconds" (option u32))
            (field "event-time" string) (field "context" $pairs) (field "event-json" string)))
        (export "request" (type $request (eq $request-record)))
        (type $value-variant (variant (case "identifier" string) (case "literal" string)))
        (export "value" (type $value (eq $value-variant)))
        (type $statement-record (record (field "sql" string) (field "args" (list (tuple string $value)))))
        (export "statement" (type $statement (eq $statement-record)))
        (type $step-variant (variant (case "grant-role" string) (case "sql" $statement)))
        (export "step" (type $step (eq $step-variant)))
        (type $failure-record (record (field "code" string) (field "message" string)))
        (export "failure" (type $failure (eq $failure-record)))))
    (import "sym:postgres/types@0.1.0" (instance $types (type $types-instance)))
    (alias export $types "request" (type $request))
    (alias export $types "step" (type $step))
    (alias export $types "failure" (type $failure))
    (type $steps (list $step))
"#;

/// The imports of `wit/`.
const IMPORTS: &str = r#"
    (type $log-instance (instance
        (type $level-enum (enum "debug" "info" "warn" "error"))
        (export "level" (type $level (eq $level-enum)))
        (export "write" (func (param "level" $level) (param "message" string)))))
    (import "sym:postgres/log@0.1.0" (instance $log (type $log-instance)))
    (type $config-instance (instance
        (export "get" (func (param "key" string) (result (option string))))))
    (import "sym:postgres/config@0.1.0" (instance $config (type $config-instance)))
"#;
