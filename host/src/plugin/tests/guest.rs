//! Components by hand: a core function that does whatever a test needs.

use sym_test_support::guest::{self, RESOLVER, TARGET, World};

use crate::plan::Step;

/// A guest in the making.
pub(super) struct Guest {
    world: World,
    pages: u32,
    body: String,
    fields: String,
    imports: String,
    functions: Vec<(&'static str, &'static str)>,
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
            world: RESOLVER,
            pages: 2,
            body: body.to_owned(),
            fields: String::new(),
            imports: String::new(),
            functions: Vec::new(),
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

    /// A target plugin that answers with these steps, whose statements have no
    /// values.
    pub(super) fn steps(steps: &[Step]) -> Self {
        const STEP_BYTES: usize = 20;
        let texts_at = TEXT + STEP_BYTES * steps.len();
        let (mut list, mut texts) = (Vec::new(), Vec::new());
        for step in steps {
            let (case, text) = match step {
                Step::GrantRole(role) => (0, role),
                Step::Sql(statement) => (1, &statement.sql),
            };
            let mut step = answer(case, &[(texts_at + texts.len(), text.len())]);
            step.resize(STEP_BYTES, 0);
            list.extend(step);
            texts.extend_from_slice(text.as_bytes());
        }
        let mut guest = Self::resolver(&format!("i32.const {ANSWER}"))
            .data(ANSWER, &answer(0, &[(TEXT, steps.len())]))
            .data(TEXT, &list)
            .data(texts_at, &texts);
        guest.world = TARGET;
        guest
    }

    /// A target plugin that answers with `grant-role`s.
    pub(super) fn roles(roles: &[&str]) -> Self {
        let step = |role: &&str| Step::GrantRole((*role).to_owned());
        Self::steps(&roles.iter().map(step).collect::<Vec<_>>())
    }

    pub(super) fn data(mut self, at: usize, bytes: &[u8]) -> Self {
        self.fields.push_str(&guest::data(at, bytes));
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
        self.functions.push(("number", "(result i64)"));
        self
    }

    pub(super) fn named(mut self, interface: &'static str, function: &'static str) -> Self {
        (self.world.interface, self.world.function) = (interface, function);
        self
    }

    /// With a function of another type, whose core function has the given one.
    pub(super) fn typed(mut self, signature: &'static str) -> Self {
        self.world.signature = signature;
        self
    }

    pub(super) fn build(self) -> Vec<u8> {
        self.build_with("(param i32) (result i32)")
    }

    pub(super) fn build_with(self, core_type: &str) -> Vec<u8> {
        let Self {
            world,
            pages,
            body,
            fields,
            imports,
            functions,
        } = self;
        let guest = guest::Guest {
            world,
            pages,
            heap: 65536,
            imports,
            functions,
            fields: format!(r#"{fields} (func $run (export "run") {core_type} {body})"#),
        };
        let text = guest.to_wat();
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
