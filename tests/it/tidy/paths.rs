//! The paths that a file names, `use` lists written out.

use super::source::Source;

/// A path as it stands in the code: `crate::model::Cut` is three segments.
pub(super) struct Path {
    /// Counted from 1.
    pub(super) line: usize,
    /// Never empty; `*` for a glob.
    pub(super) segments: Vec<String>,
    /// How many `mod name { … }` of this file are around it.
    pub(super) inline_modules: usize,
}

impl Path {
    /// Whether the segments hold `part`, one after the other.
    pub(super) fn names(&self, part: &[&str]) -> bool {
        self.segments.windows(part.len()).any(|window| window == part)
    }
}

/// Every path of two segments or more, in order.
pub(super) fn paths(source: &Source) -> Vec<Path> {
    let tokens = tokens(&source.code);
    let mut found = Vec::new();
    // Whether each open brace is that of a module.
    let mut braces = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => braces.push(at >= 2 && tokens[at - 2].text == "mod"),
            "}" => drop(braces.pop()),
            text if is_word(text) => {
                let inline_modules = braces.iter().filter(|module| **module).count();
                let mut segments = Vec::new();
                at = path(&tokens, at, &mut segments, &mut |line, segments| {
                    if segments.len() > 1 {
                        found.push(Path { line, segments: segments.to_vec(), inline_modules });
                    }
                });
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads the path or `use` tree at `at`, hands each whole path to `give`, and returns where it ends.
fn path(tokens: &[Token], mut at: usize, segments: &mut Vec<String>, give: &mut impl FnMut(usize, &[String])) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let length = segments.len();
    let line = tokens[at].line;
    loop {
        segments.push(text(at).to_owned());
        at += 1;
        match (text(at), text(at + 1)) {
            ("::", next) if is_word(next) || next == "*" => at += 1,
            ("::", "{") => {
                at += 2;
                while !matches!(text(at), "}" | "") {
                    // Between the paths stand commas, and `as` with its name.
                    at = if is_word(text(at)) && text(at) != "as" { path(tokens, at, segments, give) } else { at + 1 };
                    if text(at) == "as" {
                        at += 2;
                    }
                }
                at += 1;
                break;
            }
            _ => {
                give(line, segments);
                break;
            }
        }
    }
    segments.truncate(length);
    at
}

struct Token {
    line: usize,
    /// A word, `::`, or one other character.
    text: String,
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            let (text, after) = rest.split_at(length);
            tokens.push(Token { line: number + 1, text: text.to_owned() });
            rest = after.trim_start();
        }
    }
    tokens
}

#[test]
fn use_lists_are_written_out() {
    #[track_caller]
    fn check(code: &str, expected: &[&str]) {
        let source = Source::new("src/x.rs", code);
        let found: Vec<String> = paths(&source).iter().map(|path| format!("{}:{}", path.line, path.segments.join("::"))).collect();
        assert_eq!(found, expected);
    }
    check("use crate::model::Cut;", &["1:crate::model::Cut"]);
    check("use crate::{\n  a::{b, c as d},\n  e::*,\n};\nx::y()", &["2:crate::a::b", "2:crate::a::c", "3:crate::e::*", "5:x::y"]);
    check("let v = Vec::<u8>::new();", &[]);
    check("fn f(x: a::B<c::D>) -> super::E { if x { g::h } }", &["1:a::B", "1:c::D", "1:super::E", "1:g::h"]);
    check("// use a::b;\n\"c::d\"", &[]);
}

#[test]
fn inline_modules_are_counted() {
    let source = Source::new("src/x.rs", "use a::b;\nmod tests {\n fn f() { c::d }\n mod in_it { e::f }\n}\ng::h");
    let found: Vec<usize> = paths(&source).iter().map(|path| path.inline_modules).collect();
    assert_eq!(found, [0, 1, 2, 0]);
}
