//! Names of database roles and users, checked before anything else sees them.
//!
//! What can be said of a name without asking the server is said here: its
//! length, its letters, and whether it belongs to PostgreSQL, to RDS or to us.
//! What only the server knows (attributes, ownership, options) is decided by
//! the SQL functions in schema `sym`.

use std::fmt;

use unicode_general_category::{GeneralCategory, get_general_category};

/// Longest name of a role, in bytes.
///
/// PostgreSQL shortens a longer identifier and only raises a notice, so two
/// people could end up sharing one role. We refuse the name instead.
///
/// Source: PostgreSQL manual, "Identifiers and Key Words": `NAMEDATALEN` - 1.
pub const MAX_BYTES: usize = 63;

/// The name of a role that may be the subject of a grant: of a user, or of a
/// role to be lent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleName(String);

/// Why a name can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleNameError {
    /// Nothing at all.
    Empty,
    /// Longer than [`MAX_BYTES`].
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It holds this control character. NUL ends a name on the wire, and the
    /// others make logs and terminals lie.
    ControlCharacter(char),
    /// It holds this character, which can't be seen or changes the order in
    /// which the others are shown.
    InvisibleCharacter(char),
    /// It begins or ends with white space.
    OuterSpace,
    /// PostgreSQL, RDS or this function keep names of this kind for themselves.
    Reserved(&'static str),
}

impl RoleName {
    /// Checks a name.
    ///
    /// # Errors
    /// Each kind of [`RoleNameError`].
    pub fn new(name: impl Into<String>) -> Result<Self, RoleNameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(RoleNameError::Empty);
        }
        if name.len() > MAX_BYTES {
            return Err(RoleNameError::TooLong { bytes: name.len() });
        }
        if let Some(character) = name.chars().find(|character| character.is_control()) {
            return Err(RoleNameError::ControlCharacter(character));
        }
        if let Some(character) = name.chars().find(|character| is_invisible(*character)) {
            return Err(RoleNameError::InvisibleCharacter(character));
        }
        if name.trim() != name {
            return Err(RoleNameError::OuterSpace);
        }
        // Case counts for PostgreSQL, but `PG_x` beside `pg_x` only confuses.
        let lower = name.to_lowercase();
        for (prefix, owner) in RESERVED_PREFIXES {
            if lower.starts_with(prefix) {
                return Err(RoleNameError::Reserved(owner));
            }
        }
        for (reserved, owner) in RESERVED_NAMES {
            if lower == *reserved {
                return Err(RoleNameError::Reserved(owner));
            }
        }
        Ok(Self(name))
    }

    /// The name as it is, not quoted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Beginnings that are never a subject of a grant, and whose they are.
///
/// `pg_` is refused by the server itself (SQLSTATE 42939). `rds` covers
/// `rds_superuser`, `rds_iam`, `rdsadmin` and what AWS adds later. `sym_` is
/// ours: the bot, the marker role, the graveyard.
const RESERVED_PREFIXES: &[(&str, &str)] = &[
    ("pg_", "PostgreSQL"),
    ("rds", "Amazon RDS"),
    ("sym_bot", "this function"),
    ("sym_managed", "this function"),
    ("sym_graveyard", "this function"),
    ("sym_admins", "this function"),
];

/// Whole names that are never a subject of a grant.
///
/// `public` and `none` are keywords that PostgreSQL reads as no role at all,
/// even where they are quoted; the `current_…` are read as whoever asks.
const RESERVED_NAMES: &[(&str, &str)] = &[
    ("public", "PostgreSQL"),
    ("none", "PostgreSQL"),
    ("current_role", "PostgreSQL"),
    ("current_user", "PostgreSQL"),
    ("session_user", "PostgreSQL"),
    ("postgres", "the database's administrator"),
    ("azure_pg_admin", "the database's administrator"),
    ("cloudsqlsuperuser", "the database's administrator"),
];

/// Whether a character has no look of its own or changes the order in which
/// others are shown: with it, two texts that look alike are two.
///
/// Sources: Unicode Standard, section 4.5 (general categories Cf, Zl and Zp:
/// every bidirectional control is one of them) and 5.21 (code points that are
/// ignored in display by default, of whichever category).
pub(crate) fn is_invisible(character: char) -> bool {
    is_format(character)
        || matches!(character,
            '\u{034F}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{2065}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Whether a character directs how others are shown, and ends or turns a line
/// perhaps: categories Cf, Zl and Zp.
pub(crate) fn is_format(character: char) -> bool {
    matches!(
        get_general_category(character),
        GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    )
}

impl fmt::Display for RoleNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { bytes } => {
                write!(f, "is {bytes} bytes long, at most {MAX_BYTES} are allowed")
            }
            Self::ControlCharacter(character) => {
                write!(
                    f,
                    "holds the control character U+{:04X}",
                    u32::from(*character)
                )
            }
            Self::InvisibleCharacter(character) => {
                write!(
                    f,
                    "holds the invisible character U+{:04X}",
                    u32::from(*character)
                )
            }
            Self::OuterSpace => f.write_str("begins or ends with white space"),
            Self::Reserved(owner) => write!(f, "is reserved for {owner}"),
        }
    }
}

impl std::error::Error for RoleNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Result<(), RoleNameError>) {
        assert_eq!(RoleName::new(name).map(|_| ()), expected, "{name:?}");
    }

    #[test]
    fn takes_ordinary_and_odd_names_as_they_are() {
        for name in [
            "sym_user",
            "Read-Only",
            "zoë",
            "a b",
            "O'Brien",
            "x\"y",
            "select",
            "1",
            "sym_user2",
            "pgx",
        ] {
            check(name, Ok(()));
        }
    }

    #[test]
    fn refuses_a_name_that_postgresql_would_shorten() {
        check(&"x".repeat(63), Ok(()));
        check(&"x".repeat(64), Err(RoleNameError::TooLong { bytes: 64 }));
        check(&"é".repeat(32), Err(RoleNameError::TooLong { bytes: 64 }));
    }

    #[test]
    fn refuses_reserved_names_in_any_case() {
        for name in [
            "pg_ops",
            "PG_read_all_data",
            "rds_superuser",
            "rdsadmin",
            "RDS_iam",
            "public",
            "NONE",
            "postgres",
            "sym_bot",
            "sym_managed",
            "Sym_Graveyard",
            "sym_admins",
            "current_user",
        ] {
            assert!(
                matches!(RoleName::new(name), Err(RoleNameError::Reserved(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn refuses_what_cannot_be_seen() {
        check("", Err(RoleNameError::Empty));
        check("a\0b", Err(RoleNameError::ControlCharacter('\0')));
        check("a\nb", Err(RoleNameError::ControlCharacter('\n')));
        check("a\u{85}b", Err(RoleNameError::ControlCharacter('\u{85}')));
        check(
            "ad\u{200B}min",
            Err(RoleNameError::InvisibleCharacter('\u{200B}')),
        );
        check(
            "a\u{202E}b",
            Err(RoleNameError::InvisibleCharacter('\u{202E}')),
        );
        for character in [
            '\u{AD}',
            '\u{34F}',
            '\u{61C}',
            '\u{115F}',
            '\u{180E}',
            '\u{200D}',
            '\u{2028}',
            '\u{2029}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{FE0F}',
            '\u{FEFF}',
            '\u{FFF9}',
            '\u{E0001}',
            '\u{E007F}',
            '\u{E01EF}',
        ] {
            check(
                &format!("a{character}b"),
                Err(RoleNameError::InvisibleCharacter(character)),
            );
        }
        check(" a", Err(RoleNameError::OuterSpace));
        check("a\u{a0}", Err(RoleNameError::OuterSpace));
    }
}
