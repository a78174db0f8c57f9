//! The mutants of a file: what is changed, where, and how it is written into the source.
//!
//! The operators are those of cargo-mutants (<https://mutants.rs/mutants.html>): a function's body becomes a value of
//! its type, a binary operator another one, `!` is left out, a guard of a match arm is always or never true. The core
//! has no bare arithmetic, so its methods change as the operators do: `saturating_add` becomes `saturating_sub`.

use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Block, Expr, GenericArgument, ImplItemFn, ItemFn, PathArguments, ReturnType, Type, UnOp};

/// Functions in which a mutant says nothing. `check` is called in tests only and holds invariants; `count` and
/// `footprint` fill statistics; the rest is what people debug with.
const SKIPPED_FUNCTIONS: [&str; 5] = ["check", "count", "fmt", "footprint", "inspect"];
/// Traits whose implementations print.
const SKIPPED_TRAITS: [&str; 2] = ["Debug", "Display"];
/// Code under these is not in what is shipped.
const SKIPPED_FLAGS: [&str; 4] = ["test", "fuzzing", "debug_assertions", "donp_planted"];
/// Methods that are the core's arithmetic, and what each becomes.
const METHODS: [(&str, &str); 6] = [
    ("saturating_add", "saturating_sub"),
    ("saturating_sub", "saturating_add"),
    ("checked_add", "checked_sub"),
    ("checked_sub", "checked_add"),
    ("wrapping_add", "wrapping_sub"),
    ("wrapping_sub", "wrapping_add"),
];

/// How a mutant is written into the source, by byte offsets there.
#[derive(Clone)]
pub enum Edit {
    /// At the beginning of a body: an early return.
    Return { at: usize, value: String },
    /// An expression, and what stands in its place.
    Instead { of: Range<usize>, with: String },
}

/// One change of the source.
#[derive(Clone)]
pub struct Mutant {
    pub line: usize,
    pub function: String,
    /// Such as `== becomes !=`.
    pub what: String,
    pub edit: Edit,
    /// The function's body: what a compiler's error is attributed to when it points at no mutant.
    pub body: Range<usize>,
}

/// What a file has: its mutants, and the files that are its modules in test builds alone.
pub struct Found {
    pub mutants: Vec<Mutant>,
    pub test_modules: Vec<String>,
}

/// Parses a file and lists its mutants in the order of the source.
///
/// # Errors
/// The text is no Rust.
pub fn find(text: &str) -> syn::Result<Found> {
    let file = syn::parse_file(text)?;
    let mut walk = Walk { text, scopes: Vec::new(), found: Found { mutants: Vec::new(), test_modules: Vec::new() } };
    walk.visit_file(&file);
    Ok(walk.found)
}

/// A function that is being walked.
struct Scope {
    name: String,
    body: Range<usize>,
    constant: bool,
}

struct Walk<'a> {
    text: &'a str,
    scopes: Vec<Scope>,
    found: Found,
}

impl Walk<'_> {
    fn source(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }

    fn of(&self, part: &impl Spanned) -> &str {
        self.source(part.span().byte_range())
    }

    fn push(&mut self, span: Span, what: String, edit: Edit) {
        let Some(scope) = self.scopes.last().filter(|s| !s.constant) else { return };
        self.found.mutants.push(Mutant {
            line: span.start().line,
            function: scope.name.clone(),
            what,
            edit,
            body: scope.body.clone(),
        });
    }

    /// The mutants of a function's body as a whole, then those inside.
    fn function(&mut self, name: String, constant: bool, output: &ReturnType, block: &Block) {
        let body = block.span().byte_range();
        self.scopes.push(Scope { name, body: body.clone(), constant });
        let values = match output {
            ReturnType::Default => vec!["()".to_owned()],
            ReturnType::Type(_, ty) => values(ty),
        };
        let content = self.source(body.start + 1..body.end.saturating_sub(1)).trim().to_owned();
        for value in values.into_iter().filter(|value| *value != content && !content.is_empty()) {
            let edit = Edit::Return { at: body.start + 1, value: value.clone() };
            self.push(block.brace_token.span.open(), format!("the body becomes {}", short(&value)), edit);
        }
        visit::visit_block(self, block);
        self.scopes.pop();
    }

    fn swap(&mut self, binary: &syn::ExprBinary) {
        let operator = self.of(&binary.op).to_owned();
        let others: &[&str] = match binary.op {
            BinOp::Eq(_) => &["!="],
            BinOp::Ne(_) => &["=="],
            BinOp::Lt(_) => &["<=", ">"],
            BinOp::Le(_) => &["<", ">"],
            BinOp::Gt(_) => &[">=", "<"],
            BinOp::Ge(_) => &[">", "<"],
            BinOp::And(_) if !has_let(&binary.left) && !has_let(&binary.right) => &["||"],
            BinOp::Or(_) => &["&&"],
            BinOp::Add(_) => &["-"],
            BinOp::Sub(_) => &["+"],
            BinOp::Mul(_) => &["/"],
            BinOp::Div(_) => &["*"],
            BinOp::BitAnd(_) => &["|"],
            BinOp::BitOr(_) => &["&"],
            BinOp::BitXor(_) => &["|"],
            BinOp::Shl(_) => &[">>"],
            BinOp::Shr(_) => &["<<"],
            BinOp::AddAssign(_) => &["-="],
            BinOp::SubAssign(_) => &["+="],
            _ => &[],
        };
        for other in others {
            let with = format!("({}) {other} ({})", self.of(&binary.left), self.of(&binary.right));
            let edit = Edit::Instead { of: binary.span().byte_range(), with };
            self.push(binary.op.span(), format!("{operator} becomes {other}"), edit);
        }
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item;
        match item {
            Item::Mod(module) if !skipped(&module.attrs) => visit::visit_item_mod(self, module),
            Item::Mod(module) if module.content.is_none() => {
                self.found.test_modules.push(module.ident.to_string());
            }
            Item::Fn(ItemFn { attrs, sig, block, .. }) if !skipped(attrs) => {
                let name = sig.ident.to_string();
                if !SKIPPED_FUNCTIONS.contains(&name.as_str()) {
                    self.function(name, sig.constness.is_some(), &sig.output, block);
                }
            }
            Item::Impl(block) if !skipped(&block.attrs) => {
                let printed = block.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
                if !printed.is_some_and(|last| SKIPPED_TRAITS.iter().any(|t| last.ident == t)) {
                    visit::visit_item_impl(self, block);
                }
            }
            Item::Trait(block) if !skipped(&block.attrs) => visit::visit_item_trait(self, block),
            // Constants are computed by the compiler; macros are tokens.
            _ => {}
        }
    }

    fn visit_impl_item_fn(&mut self, f: &'ast ImplItemFn) {
        let name = f.sig.ident.to_string();
        if !skipped(&f.attrs) && !SKIPPED_FUNCTIONS.contains(&name.as_str()) {
            self.function(name, f.sig.constness.is_some(), &f.sig.output, &f.block);
        }
    }

    fn visit_trait_item_fn(&mut self, f: &'ast syn::TraitItemFn) {
        let name = f.sig.ident.to_string();
        if let Some(block) = &f.default
            && !skipped(&f.attrs)
            && !SKIPPED_FUNCTIONS.contains(&name.as_str())
        {
            self.function(name, f.sig.constness.is_some(), &f.sig.output, block);
        }
    }

    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_generic_argument(&mut self, _: &'ast GenericArgument) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}

    /// A capacity is a hint (cargo-mutants leaves these calls out too).
    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let hint =
            matches!(&*call.func, Expr::Path(f) if f.path.segments.last().is_some_and(|s| s.ident == "with_capacity"));
        if !hint {
            visit::visit_expr_call(self, call);
        }
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Binary(binary) => self.swap(binary),
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
                let edit = Edit::Instead { of: unary.span().byte_range(), with: self.of(&unary.expr).to_owned() };
                self.push(unary.span(), "! is left out".to_owned(), edit);
            }
            Expr::MethodCall(call) => {
                if let Some((from, to)) = METHODS.iter().find(|(from, _)| call.method == from) {
                    let (whole, name) = (call.span().byte_range(), call.method.span().byte_range());
                    let before = self.source(whole.start..name.start);
                    let with = format!("{before}{to}{}", self.source(name.end..whole.end));
                    self.push(call.method.span(), format!("{from} becomes {to}"), Edit::Instead { of: whole, with });
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expr);
    }

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        let flagged = match statement {
            syn::Stmt::Local(local) => skipped(&local.attrs),
            syn::Stmt::Expr(Expr::Block(block), _) => skipped(&block.attrs),
            syn::Stmt::Expr(Expr::If(branch), _) => skipped(&branch.attrs),
            _ => false,
        };
        if !flagged {
            visit::visit_stmt(self, statement);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard
            && !has_let(guard)
        {
            for value in ["true", "false"] {
                let edit = Edit::Instead { of: guard.span().byte_range(), with: value.to_owned() };
                self.push(guard.span(), format!("the guard becomes {value}"), edit);
            }
        }
        visit::visit_arm(self, arm);
    }
}

/// A chain with a `let` in it binds names: it is no value that could stand in parentheses.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// Whether an item is in test builds alone, or in those of a flag.
fn skipped(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let tokens = list.tokens.to_string();
            // `not(donp_planted)` is what is shipped.
            !tokens.starts_with("not") && SKIPPED_FLAGS.iter().any(|flag| tokens.contains(flag))
        }
        meta => meta.path().is_ident("test"),
    })
}

/// Values of a type: what a body may be replaced with. None for references, which need a place.
fn values(ty: &Type) -> Vec<String> {
    let default = || vec!["::core::default::Default::default()".to_owned()];
    match ty {
        Type::Tuple(tuple) if tuple.elems.is_empty() => vec!["()".into()],
        Type::Tuple(tuple) => {
            let all: Vec<_> = tuple.elems.iter().filter_map(|e| values(e).into_iter().next()).collect();
            if all.len() == tuple.elems.len() { vec![format!("({})", all.join(", "))] } else { Vec::new() }
        }
        Type::Reference(reference) => match &*reference.elem {
            Type::Slice(_) if reference.mutability.is_none() => vec!["&[]".into()],
            Type::Path(path) if path.path.is_ident("str") => vec!["\"\"".into(), "\"xyzzy\"".into()],
            _ => Vec::new(),
        },
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return Vec::new() };
            let first = |n: usize| inner(&last.arguments, n).and_then(|t| values(t).into_iter().next());
            match last.ident.to_string().as_str() {
                "bool" => vec!["true".into(), "false".into()],
                "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => {
                    vec!["0".into(), "1".into()]
                }
                "f32" | "f64" => vec!["0.0".into(), "1.0".into()],
                "Option" => ["None".to_owned()].into_iter().chain(first(0).map(|v| format!("Some({v})"))).collect(),
                "Result" => first(0).map(|v| format!("Ok({v})")).into_iter().collect(),
                "Vec" => ["::alloc::vec::Vec::new()".to_owned()]
                    .into_iter()
                    .chain(first(0).map(|v| format!("::alloc::vec![{v}]")))
                    .collect(),
                _ => default(),
            }
        }
        Type::Array(_) => default(),
        _ => Vec::new(),
    }
}

fn inner(arguments: &PathArguments, n: usize) -> Option<&Type> {
    let PathArguments::AngleBracketed(list) = arguments else { return None };
    let types = list.args.iter().filter_map(|a| if let GenericArgument::Type(ty) = a { Some(ty) } else { None });
    types.into_iter().nth(n)
}

fn short(value: &str) -> String {
    value
        .replace("::core::default::Default::default()", "Default")
        .replace("::alloc::vec::Vec::new()", "Vec::new()")
        .replace("::alloc::", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<String> {
        let found = find(text).unwrap();
        found.mutants.iter().map(|m| format!("{} {}: {}", m.line, m.function, m.what)).collect()
    }

    #[test]
    fn operators_bodies_and_guards_have_mutants() {
        let text = "fn f(a: u8, b: u8) -> bool {\n    a < b && !g()\n}\nfn h(x: u8) {\n    match x { n if n == 1 => {} _ => {} }\n}";
        assert_eq!(
            listed(text),
            [
                "1 f: the body becomes true",
                "1 f: the body becomes false",
                "2 f: && becomes ||",
                "2 f: < becomes <=",
                "2 f: < becomes >",
                "2 f: ! is left out",
                "4 h: the body becomes ()",
                "5 h: the guard becomes true",
                "5 h: the guard becomes false",
                "5 h: == becomes !=",
            ]
        );
    }

    #[test]
    fn the_methods_of_arithmetic_change_like_operators() {
        let text = "fn f(a: u8) -> u8 { a.saturating_add(1) }";
        assert!(listed(text).contains(&"1 f: saturating_add becomes saturating_sub".to_owned()));
    }

    /// What is in no shipped build, what a compiler computes, and what cannot be written otherwise.
    #[test]
    fn tests_constants_and_lets_have_no_mutants() {
        for text in [
            "const A: usize = 1 + 2;",
            "const fn f() -> usize { 1 + 2 }",
            "fn f() -> &'static T { Vec::with_capacity(n.saturating_add(1)) }",
            "fn f() -> &'static T { g::<{ 1 + 2 }>([t; 3 + 4]) }",
            "#[cfg(test)] fn f() -> bool { a == b }",
            "#[cfg(any(test, debug_assertions))] fn g() { a(); }",
            "#[cfg(test)] mod tests { fn f() -> bool { a == b } }",
            "impl Debug for A { fn fmt(&self) -> bool { a == b } }",
        ] {
            assert_eq!(listed(text), [""; 0], "{text}");
        }
        let chain = "fn f() -> &'static T { if let Some(x) = y && x { t } else { t } }";
        assert_eq!(listed(chain), [""; 0]);
    }
}
