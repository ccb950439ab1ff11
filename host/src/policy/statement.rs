//! One statement: read, held against the rules, and written down again.

use pg_query::NodeEnum;

use super::tree::Tree;
use super::{
    AuthorizedStatement, AuthorizedStep, Refusal, Scope, SqlPolicy, any, grants, membership,
};
use crate::error::Code;
use crate::name::MAX_BYTES;
use crate::sql::token::{self, Token};

/// One statement as the rules look at it.
pub(super) struct Parsed<'a> {
    /// What it is.
    pub(super) node: &'a NodeEnum,
    /// Its words, without comments.
    pub(super) tokens: &'a [Token<'a>],
}

impl Parsed<'_> {
    /// What kind of statement it is, in PostgreSQL's words and without anybody
    /// else's.
    pub(super) fn kind(&self) -> String {
        let words: Vec<String> = self
            .tokens
            .iter()
            .map_while(Token::keyword)
            .take(2)
            .collect();
        if words.is_empty() {
            "query".to_owned()
        } else {
            words.join(" ")
        }
    }
}

/// Checks a statement with its values in it.
pub(super) fn check(sql: &str, scope: &Scope<'_>) -> Result<Vec<AuthorizedStep>, Refusal> {
    let tokens =
        token::scan(sql).map_err(|source| Refusal::invalid("isn't SQL").with_source(source))?;
    let tokens: Vec<Token<'_>> = tokens
        .into_iter()
        .filter(|token| !token.is_comment())
        .collect();
    words(&tokens)?;
    let tree = Tree::parse(sql)?;
    let node = tree
        .node()
        .ok_or_else(|| Refusal::invalid("holds no statement"))?;
    let statement = Parsed {
        node,
        tokens: &tokens,
    };
    if let Some(roles) = membership::plain_grant(node, scope)? {
        return Ok(roles.into_iter().map(AuthorizedStep::GrantRole).collect());
    }
    rules(&statement, scope, scope.policy.sql)
        .map_err(|refusal| with_hint(refusal, &statement, scope))?;
    Ok(vec![AuthorizedStep::Sql(AuthorizedStatement {
        sql: tree.to_sql()?,
        is_free: scope.policy.sql == SqlPolicy::Any,
    })])
}

fn rules(statement: &Parsed<'_>, scope: &Scope<'_>, policy: SqlPolicy) -> Result<(), Refusal> {
    match policy {
        SqlPolicy::Roles => Err(Refusal::not_allowed(format!(
            "is a statement `{}`, expected `GRANT role TO {{username}}`",
            statement.kind()
        ))),
        SqlPolicy::Grants => grants::check(statement, scope),
        // What `grants` allows is allowed here whatever it names: a table may be
        // called `sym`.
        SqlPolicy::Any => grants::check(statement, scope).or_else(|_| any::check(statement, scope)),
    }
}

/// Adds the narrowest policy that would let the statement pass.
fn with_hint(mut refusal: Refusal, statement: &Parsed<'_>, scope: &Scope<'_>) -> Refusal {
    let wider = [SqlPolicy::Grants, SqlPolicy::Any]
        .into_iter()
        .filter(|policy| *policy > scope.policy.sql);
    let passes = wider
        .into_iter()
        .find(|policy| rules(statement, scope, *policy).is_ok());
    if let (Code::NotAllowed, Some(policy)) = (refusal.code, passes) {
        refusal.message.push_str(&format!(
            " (SQL_POLICY is `{}`, `{policy}` would allow it)",
            scope.policy.sql
        ));
    }
    refusal
}

/// What can be said of the words alone, and no longer of the tree: there names
/// have been shortened already.
fn words(tokens: &[Token<'_>]) -> Result<(), Refusal> {
    for token in tokens {
        if token.is_unicode_identifier() {
            return Err(Refusal::invalid(
                "has a name in the form `U&\"…\"`; write the characters themselves",
            ));
        }
        if token.is_parameter() {
            return Err(Refusal::invalid(
                "has a parameter such as `$1`; use a placeholder such as `{name}`",
            ));
        }
        match token.identifier() {
            Some(name) if name.len() > MAX_BYTES => {
                return Err(Refusal::invalid(format!(
                    "has a name of {} bytes, at most {MAX_BYTES} are allowed",
                    name.len()
                )));
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}
