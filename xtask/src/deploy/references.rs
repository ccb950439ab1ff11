//! Every reference in our Terraform leads somewhere: what `terraform validate`
//! would check too, but without providers, which can't be had everywhere.
//!
//! What an attribute of a provider's resource may be called is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use hcl::expr::{ObjectKey, Operation, TraversalOperator};
use hcl::template::{Directive, Element};
use hcl::{Block, Body, Expression, Template};
use sym_test_support::terraform::read_module;

/// One directory of `.tf` files, and what is named in it.
#[derive(Default)]
pub(super) struct Module {
    directory: PathBuf,
    variables: BTreeMap<String, Variable>,
    locals: BTreeSet<String>,
    outputs: BTreeSet<String>,
    /// `type.name`, and `data.type.name`.
    resources: BTreeSet<String>,
    calls: BTreeMap<String, Call>,
    uses: Vec<Use>,
    problems: Vec<String>,
}

struct Variable {
    is_required: bool,
    /// Of an object: the names of its attributes.
    attributes: Option<BTreeSet<String>>,
}

struct Call {
    source: String,
    arguments: BTreeSet<String>,
}

/// A path such as `var.tags`, or a function's name, and where it stands.
enum Use {
    Reference { place: String, path: Vec<String> },
    Function { place: String, name: String },
}

/// Arguments of every module call, which aren't the module's own.
const META_ARGUMENTS: [&str; 6] = [
    "source",
    "version",
    "count",
    "for_each",
    "providers",
    "depends_on",
];

/// What Terraform itself knows of a block.
const BUILT_IN: [&str; 5] = ["each", "count", "self", "path", "terraform"];

/// Terraform's functions that we use; another one is added here when it is used.
const FUNCTIONS: [&str; 37] = [
    "alltrue",
    "can",
    "cidrsubnet",
    "coalesce",
    "compact",
    "concat",
    "contains",
    "distinct",
    "file",
    "filebase64sha256",
    "flatten",
    "floor",
    "format",
    "join",
    "jsondecode",
    "jsonencode",
    "keys",
    "length",
    "lookup",
    "lower",
    "merge",
    "nonsensitive",
    "regex",
    "replace",
    "sensitive",
    "setintersection",
    "slice",
    "split",
    "startswith",
    "toset",
    "tostring",
    "trimprefix",
    "trimspace",
    "try",
    "values",
    "upper",
    "one",
];

/// Reads a module. Files that aren't HCL are an error, and not a problem.
pub(super) fn read(directory: &Path) -> Result<Module> {
    let mut module = Module {
        directory: directory.to_owned(),
        ..Module::default()
    };
    let body = read_module(directory)?;
    for attribute in body.attributes() {
        module
            .problems
            .push(format!("`{}` stands in no block", attribute.key()));
    }
    for block in body.blocks() {
        module.add(block);
    }
    Ok(module)
}

impl Module {
    fn add(&mut self, block: &Block) {
        let labels: Vec<&str> = block.labels().iter().map(|label| label.as_str()).collect();
        let place = format!("{} {}", block.identifier(), labels.join("."));
        let names = |body: &Body| -> BTreeSet<String> {
            let keys = body
                .attributes()
                .map(|attribute| attribute.key().to_owned());
            keys.collect()
        };
        let is_new = match (block.identifier(), labels.as_slice()) {
            ("variable", [name]) => {
                self.expect_attributes(&place, block, &["description", "type"]);
                let kind = attribute(block, "type");
                let variable = Variable {
                    is_required: attribute(block, "default").is_none(),
                    attributes: kind.and_then(object_attributes),
                };
                self.variables
                    .insert((*name).to_owned(), variable)
                    .is_none()
            }
            ("output", [name]) => {
                self.expect_attributes(&place, block, &["description", "value"]);
                self.outputs.insert((*name).to_owned())
            }
            ("locals", []) => {
                let names = names(block.body());
                let is_new = self.locals.is_disjoint(&names);
                self.locals.extend(names);
                is_new
            }
            ("resource", [kind, name]) => self.resources.insert(format!("{kind}.{name}")),
            ("data", [kind, name]) => self.resources.insert(format!("data.{kind}.{name}")),
            ("module", [name]) => {
                let call = Call {
                    source: match attribute(block, "source") {
                        Some(Expression::String(source)) => source.clone(),
                        _ => String::new(),
                    },
                    arguments: names(block.body())
                        .into_iter()
                        .filter(|name| !META_ARGUMENTS.contains(&name.as_str()))
                        .collect(),
                };
                self.calls.insert((*name).to_owned(), call).is_none()
            }
            ("terraform" | "provider" | "moved" | "check" | "import" | "removed", _) => true,
            _ => {
                self.problems
                    .push(format!("{place}: no block that we know"));
                true
            }
        };
        if !is_new {
            self.problems.push(format!("{place}: is there twice"));
        }
        self.walk_body(&place, block.body());
    }

    fn expect_attributes(&mut self, place: &str, block: &Block, names: &[&str]) {
        for name in names {
            if attribute(block, name).is_none() {
                self.problems.push(format!("{place}: has no `{name}`"));
            }
        }
    }

    fn walk_body(&mut self, place: &str, body: &Body) {
        for attribute in body.attributes() {
            // Names of types and of attributes are no references.
            let is_name = match attribute.key() {
                "type" => place.starts_with("variable "),
                "ignore_changes" | "providers" | "required_providers" => true,
                // What isn't there any more.
                "from" => matches!(place.trim_end(), "removed" | "moved"),
                _ => false,
            };
            if !is_name {
                let place = format!("{place}: {}", attribute.key());
                self.walk(&place, attribute.expr(), &[]);
            }
        }
        for block in body.blocks() {
            if block.identifier() != "required_providers" {
                self.walk_body(&format!("{place} {}", block.identifier()), block.body());
            }
        }
    }

    /// Collects what an expression refers to. `bound` are names of `for`s around
    /// it.
    fn walk(&mut self, place: &str, expression: &Expression, bound: &[String]) {
        match expression {
            Expression::Array(items) => {
                items.iter().for_each(|item| self.walk(place, item, bound));
            }
            Expression::Object(object) => {
                for (key, value) in object {
                    if let ObjectKey::Expression(key) = key {
                        self.walk(place, key, bound);
                    }
                    self.walk(place, value, bound);
                }
            }
            Expression::TemplateExpr(template) => match Template::from_expr(template) {
                Ok(template) => self.walk_template(place, &template, bound),
                Err(error) => self.problems.push(format!("{place}: {error}")),
            },
            Expression::Variable(name) => self.refer(place, &[name.to_string()], bound),
            Expression::Traversal(traversal) => {
                let mut path = Vec::new();
                for operator in &traversal.operators {
                    match operator {
                        TraversalOperator::GetAttr(name) => path.push(name.to_string()),
                        TraversalOperator::Index(index) => self.walk(place, index, bound),
                        _ => {}
                    }
                }
                if let Expression::Variable(root) = &traversal.expr {
                    path.insert(0, root.to_string());
                    self.refer(place, &path, bound);
                } else {
                    self.walk(place, &traversal.expr, bound);
                }
            }
            Expression::FuncCall(call) => {
                self.uses.push(Use::Function {
                    place: place.to_owned(),
                    name: call.name.to_string(),
                });
                call.args
                    .iter()
                    .for_each(|argument| self.walk(place, argument, bound));
            }
            Expression::Parenthesis(inner) => self.walk(place, inner, bound),
            Expression::Conditional(conditional) => {
                self.walk(place, &conditional.cond_expr, bound);
                self.walk(place, &conditional.true_expr, bound);
                self.walk(place, &conditional.false_expr, bound);
            }
            Expression::Operation(operation) => match &**operation {
                Operation::Unary(unary) => self.walk(place, &unary.expr, bound),
                Operation::Binary(binary) => {
                    self.walk(place, &binary.lhs_expr, bound);
                    self.walk(place, &binary.rhs_expr, bound);
                }
            },
            Expression::ForExpr(each) => {
                self.walk(place, &each.collection_expr, bound);
                let names = each.key_var.iter().chain([&each.value_var]);
                let mut bound = bound.to_vec();
                bound.extend(names.map(ToString::to_string));
                let inner = each.key_expr.iter().chain([&each.value_expr]);
                for expression in inner.chain(each.cond_expr.iter()) {
                    self.walk(place, expression, &bound);
                }
            }
            _ => {}
        }
    }

    fn walk_template(&mut self, place: &str, template: &Template, bound: &[String]) {
        for element in template.elements() {
            match element {
                Element::Interpolation(interpolation) => {
                    self.walk(place, &interpolation.expr, bound);
                }
                Element::Directive(directive) => match &**directive {
                    Directive::If(branch) => self.walk(place, &branch.cond_expr, bound),
                    Directive::For(each) => self.walk(place, &each.collection_expr, bound),
                },
                Element::Literal(_) => {}
            }
        }
    }

    fn refer(&mut self, place: &str, path: &[String], bound: &[String]) {
        if !bound.contains(&path[0]) {
            self.uses.push(Use::Reference {
                place: place.to_owned(),
                path: path.to_vec(),
            });
        }
    }
}

fn attribute<'a>(block: &'a Block, name: &str) -> Option<&'a Expression> {
    let mut attributes = block.body().attributes();
    let found = attributes.find(|attribute| attribute.key() == name)?;
    Some(found.expr())
}

/// The attributes of `object({…})`.
fn object_attributes(kind: &Expression) -> Option<BTreeSet<String>> {
    let Expression::FuncCall(call) = kind else {
        return None;
    };
    match (call.name.name.as_str(), call.args.first()) {
        ("object", Some(Expression::Object(attributes))) => {
            Some(attributes.keys().map(ToString::to_string).collect())
        }
        _ => None,
    }
}

/// What is wrong in all modules together, a sentence each, with the module's
/// name among `modules`.
pub(super) fn check(modules: &BTreeMap<String, Module>) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, module) in modules {
        let mut found = module.problems.clone();
        found.extend(module.check_uses(modules));
        found.extend(module.check_calls(modules));
        found.extend(module.find_unused());
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{name}: {problem}")),
        );
    }
    problems
}

impl Module {
    /// The module that a call leads to, where it is one of ours.
    fn called<'a>(&self, call: &Call, modules: &'a BTreeMap<String, Module>) -> Option<&'a Module> {
        let directory = self.directory.join(&call.source).canonicalize().ok()?;
        modules
            .values()
            .find(|module| module.directory.canonicalize().ok() == Some(directory.clone()))
    }

    fn check_uses(&self, modules: &BTreeMap<String, Module>) -> Vec<String> {
        let mut problems = Vec::new();
        for used in &self.uses {
            let (place, why) = match used {
                Use::Function { place, name } if !FUNCTIONS.contains(&name.as_str()) => {
                    (place, Some(format!("`{name}` is no function that we know")))
                }
                Use::Function { place, .. } => (place, None),
                Use::Reference { place, path } => (place, self.check_path(path, modules)),
            };
            problems.extend(why.map(|why| format!("{place}: {why}")));
        }
        problems
    }

    fn check_path(&self, path: &[String], modules: &BTreeMap<String, Module>) -> Option<String> {
        let text = path.join(".");
        let second = path.get(1).map(String::as_str).unwrap_or_default();
        match path[0].as_str() {
            root if BUILT_IN.contains(&root) => None,
            "var" => {
                let Some(variable) = self.variables.get(second) else {
                    return Some(format!("there is no variable `{second}`"));
                };
                let (attributes, third) = (variable.attributes.as_ref()?, path.get(2)?);
                (!attributes.contains(third)).then(|| format!("`{text}` is no attribute of it"))
            }
            "local" => {
                (!self.locals.contains(second)).then(|| format!("there is no local `{second}`"))
            }
            "module" => {
                let Some(call) = self.calls.get(second) else {
                    return Some(format!("there is no module `{second}`"));
                };
                let (module, output) = (self.called(call, modules)?, path.get(2)?);
                (!module.outputs.contains(output))
                    .then(|| format!("module `{second}` has no output `{output}`"))
            }
            "data" => {
                let name = path[..path.len().min(3)].join(".");
                (!self.resources.contains(&name)).then(|| format!("there is no `{name}`"))
            }
            _ => {
                let name = path[..path.len().min(2)].join(".");
                (!self.resources.contains(&name)).then(|| format!("there is no `{name}`"))
            }
        }
    }

    fn check_calls(&self, modules: &BTreeMap<String, Module>) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, call) in &self.calls {
            let Some(module) = self.called(call, modules) else {
                if call.source.starts_with('.') || call.source.is_empty() {
                    problems.push(format!("module {name}: `{}` is no module", call.source));
                }
                continue;
            };
            for argument in &call.arguments {
                if !module.variables.contains_key(argument) {
                    problems.push(format!("module {name}: takes no `{argument}`"));
                }
            }
            for (variable, _) in module.variables.iter().filter(|(_, v)| v.is_required) {
                if !call.arguments.contains(variable) {
                    problems.push(format!("module {name}: needs `{variable}`"));
                }
            }
        }
        problems
    }

    fn find_unused(&self) -> Vec<String> {
        let is_used = |root: &str, name: &str| {
            self.uses.iter().any(|used| match used {
                Use::Reference { place, path } => {
                    path[0] == root
                        && path.get(1).is_some_and(|second| second == name)
                        // A variable's own validation is no use.
                        && !place.starts_with(&format!("variable {name} "))
                }
                Use::Function { .. } => false,
            })
        };
        let variables = self.variables.keys().map(|name| ("var", name));
        let locals = self.locals.iter().map(|name| ("local", name));
        variables
            .chain(locals)
            .filter(|(root, name)| !is_used(root, name))
            .map(|(root, name)| format!("`{root}.{name}` is used nowhere"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut module = Module::default();
        for block in hcl::parse(text).expect("is HCL").blocks() {
            module.add(block);
        }
        check(&BTreeMap::from([("m".to_owned(), module)]))
    }

    const VARIABLE: &str =
        "variable \"a\" {\n description = \"A\"\n type = object({ b = string })\n}\n";

    #[test]
    fn finds_what_leads_nowhere() {
        for (expression, why) in [
            ("var.c", "there is no variable `c`"),
            ("var.a.c", "`var.a.c` is no attribute of it"),
            ("local.c", "there is no local `c`"),
            ("\"x-${local.c}\"", "there is no local `c`"),
            ("[for x in [1] : y.z]", "there is no `y.z`"),
            ("module.m.o", "there is no module `m`"),
            (
                "data.aws_region.here.name",
                "there is no `data.aws_region.here`",
            ),
            ("aws_vpc.this[0].id", "there is no `aws_vpc.this`"),
            ("frobnicate(1)", "`frobnicate` is no function that we know"),
        ] {
            let text = format!(
                "{VARIABLE}locals {{ l = var.a.b }}\noutput \"o\" {{\n description = \"O\"\n value = [local.l, {expression}]\n}}"
            );
            assert_eq!(problems(&text), [format!("m: output o: value: {why}")]);
        }
    }

    #[test]
    fn what_was_removed_is_not_there() {
        assert!(problems("removed {\n from = aws_vpc.this\n}").is_empty());
    }

    #[test]
    fn finds_what_nobody_uses_and_what_nobody_describes() {
        let text = format!(
            "{VARIABLE}locals {{ l = 1 }}\noutput \"o\" {{\n value = [for x in [1] : x]\n}}"
        );
        assert_eq!(
            problems(&text),
            [
                "m: output o: has no `description`",
                "m: `var.a` is used nowhere",
                "m: `local.l` is used nowhere"
            ]
        );
    }
}
