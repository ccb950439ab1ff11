//! Components by hand: the types of `wit/` once, and a core function that does
//! whatever a test needs.

/// A guest in the making.
pub(super) struct Guest {
    interface: &'static str,
    function: &'static str,
    signature: &'static str,
    pages: u32,
    body: String,
    fields: String,
    imports: String,
    is_numbered: bool,
}

/// Where a guest keeps what it answers with.
const ANSWER: usize = 16;
/// Where its texts begin.
const TEXT: usize = 256;

impl Guest {
    /// A resolver whose core function has this body. It gets the address of its
    /// parameters as local 0, and leaves the address of its answer on the stack.
    /// `$log` takes level, address and length; `$get` address and length of a key,
    /// and where the option goes.
    pub(super) fn resolver(body: &str) -> Self {
        Self {
            interface: "sym:postgres/resolver@0.1.0",
            function: "resolve-user",
            signature: r#"(param "request" $request) (result (result string (error $failure)))"#,
            pages: 2,
            body: body.to_owned(),
            fields: String::new(),
            imports: String::new(),
            is_numbered: false,
        }
    }

    /// A resolver that answers with a user.
    pub(super) fn user(name: &str) -> Self {
        let answer = answer(0, &[(TEXT, name.len())]);
        Self::resolver(&format!("i32.const {ANSWER}"))
            .data(ANSWER, &answer)
            .data(TEXT, name.as_bytes())
    }

    /// A resolver that answers with a failure.
    pub(super) fn failure(code: &str, message: &str) -> Self {
        let answer = answer(1, &[(TEXT, code.len()), (TEXT + code.len(), message.len())]);
        Self::resolver(&format!("i32.const {ANSWER}"))
            .data(ANSWER, &answer)
            .data(TEXT, format!("{code}{message}").as_bytes())
    }

    /// A resolver whose answer is these bytes, whatever they mean.
    pub(super) fn raw_answer(bytes: &[u8]) -> Self {
        Self::resolver(&format!("i32.const {ANSWER}")).data(ANSWER, bytes)
    }

    /// A target plugin that answers with `grant-role`s.
    pub(super) fn roles(roles: &[&str]) -> Self {
        let steps_at = TEXT;
        let mut text_at = steps_at + 20 * roles.len();
        let (mut steps, mut texts) = (Vec::new(), Vec::new());
        for role in roles {
            let mut step = answer(0, &[(text_at, role.len())]);
            step.resize(20, 0);
            steps.extend(step);
            texts.extend_from_slice(role.as_bytes());
            text_at += role.len();
        }
        let mut guest = Self::resolver(&format!("i32.const {ANSWER}"))
            .data(ANSWER, &answer(0, &[(steps_at, roles.len())]))
            .data(steps_at, &steps)
            .data(steps_at + steps.len(), &texts);
        guest.interface = "sym:postgres/target-setup@0.1.0";
        guest.function = "setup";
        guest.signature = r#"(param "request" $request) (param "username" string) (result (result $steps (error $failure)))"#;
        guest
    }

    pub(super) fn data(mut self, at: usize, bytes: &[u8]) -> Self {
        let bytes: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        self.fields
            .push_str(&format!("(data (i32.const {at}) \"{bytes}\")\n"));
        self
    }

    /// Pages of memory that it begins with.
    pub(super) fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// More for its core module.
    pub(super) fn field(mut self, field: &str) -> Self {
        self.fields.push_str(field);
        self
    }

    /// More that it imports.
    pub(super) fn import(mut self, import: &str) -> Self {
        self.imports.push_str(import);
        self
    }

    /// Its core module imports the core function `$number` of its component.
    pub(super) fn numbered(mut self) -> Self {
        self.is_numbered = true;
        self
    }

    pub(super) fn named(mut self, interface: &'static str, function: &'static str) -> Self {
        (self.interface, self.function) = (interface, function);
        self
    }

    /// With a function of another type, whose core function has the given one.
    pub(super) fn typed(mut self, signature: &'static str) -> Self {
        self.signature = signature;
        self
    }

    pub(super) fn build(self) -> Vec<u8> {
        self.build_with("(param i32) (result i32)")
    }

    pub(super) fn build_with(self, core_type: &str) -> Vec<u8> {
        let Self {
            interface,
            function,
            signature,
            pages,
            body,
            fields,
            imports,
            is_numbered,
        } = self;
        let (number, number_import) = if is_numbered {
            (
                r#"(export "number" (func $number))"#,
                r#"(import "host" "number" (func $number (result i64)))"#,
            )
        } else {
            ("", "")
        };
        let text = format!(
            r#"(component
                {TYPES}
                {imports}
                (core module $libc
                    (memory (export "memory") {pages})
                    (global $next (mut i32) (i32.const 65536))
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
                (core module $main
                    (import "libc" "memory" (memory 0))
                    (import "host" "log" (func $log (param i32 i32 i32)))
                    (import "host" "get" (func $get (param i32 i32 i32)))
                    {number_import}
                    {fields}
                    (func $run (export "run") {core_type} {body}))
                (core instance $host (export "log" (func $log)) (export "get" (func $get)) {number})
                (core instance $main (instantiate $main (with "libc" (instance $libc)) (with "host" (instance $host))))
                (func $run {signature}
                    (canon lift (core func $main "run") (memory $memory) (realloc $realloc)))
                (instance $export (export "{function}" (func $run)))
                (export "{interface}" (instance $export)))"#
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

/// A variant's case and its payload of texts or lists, as the canonical ABI has
/// them in memory.
pub(super) fn answer(case: u8, texts: &[(usize, usize)]) -> Vec<u8> {
    let mut bytes = vec![case, 0, 0, 0];
    for (at, length) in texts {
        bytes.extend(u32::try_from(*at).expect("is small").to_le_bytes());
        bytes.extend(u32::try_from(*length).expect("is small").to_le_bytes());
    }
    bytes
}

/// The types and the imports of `wit/`, in the component model's own words.
const TYPES: &str = r#"
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
    (type $log-instance (instance
        (type $level-enum (enum "debug" "info" "warn" "error"))
        (export "level" (type $level (eq $level-enum)))
        (export "write" (func (param "level" $level) (param "message" string)))))
    (import "sym:postgres/log@0.1.0" (instance $log (type $log-instance)))
    (type $config-instance (instance
        (export "get" (func (param "key" string) (result (option string))))))
    (import "sym:postgres/config@0.1.0" (instance $config (type $config-instance)))
"#;
