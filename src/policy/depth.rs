//! How deep a policy may go. Its parser goes as deep as the text does, and where a stack ends the
//! process ends; so this is looked at first.

use super::text::{Problem, line_at};
use crate::model::PolicyName;

/// The most brackets of any kind around one place, `!` and `-` in a row, and `if` in one policy.
const DEEPEST: usize = 32;

/// The most operators, accesses and conditions of one policy: a chain of them is as deep as it is long.
const LONGEST: usize = 1024;

/// The first place that goes too deep, if any does.
pub(super) fn too_deep(file: &PolicyName, text: &str) -> Option<Problem> {
    let mut depth = Depth::default();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = if letter == '"' {
            string(rest)
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if letter.is_alphabetic() {
            rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len())
        } else {
            letter.len_utf8()
        };
        let (token, next) = rest.split_at_checked(length)?;
        depth.pass(token);
        if let Some(what) = depth.problem() {
            return Some(Problem::in_file(file, Some(line_at(text, text.len() - rest.len())), what));
        }
        rest = next;
    }
    None
}

/// How long the string is that `rest` begins with, its quotes included.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    let ends = |(_, letter): &(usize, char)| {
        let end = *letter == '"' && !escaped;
        escaped = *letter == '\\' && !escaped;
        end
    };
    rest.char_indices().skip(1).find(ends).map_or(rest.len(), |(at, quote)| at + quote.len_utf8())
}

#[derive(Default)]
struct Depth {
    brackets: usize,
    signs: usize,
    choices: usize,
    steps: usize,
}

impl Depth {
    fn pass(&mut self, token: &str) {
        match token {
            "(" | "[" | "{" => self.brackets += 1,
            ")" | "]" | "}" => self.brackets = self.brackets.saturating_sub(1),
            ";" => (self.choices, self.steps) = (0, 0),
            "if" => self.choices += 1,
            "&" | "|" | "+" | "*" | "." | "when" | "unless" => self.steps += 1,
            "!" | "-" => {
                self.signs += 1;
                self.steps += 1;
                return;
            }
            blank if blank.trim().is_empty() => return,
            _ => {}
        }
        self.signs = 0;
    }

    fn problem(&self) -> Option<String> {
        if self.brackets.max(self.signs).max(self.choices) > DEEPEST {
            Some(format!("this goes more than {DEEPEST} levels deep; write it flatter, or as several policies"))
        } else if self.steps > LONGEST {
            Some(format!("this policy has more than {LONGEST} operators; write it as several policies"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, line: Option<usize>) {
        let file = "a.cedar".parse().expect("a name");
        assert_eq!(too_deep(&file, text).map(|problem| problem.line), line.map(Some), "{text}");
    }

    #[test]
    fn what_goes_too_deep_is_found_with_its_line() {
        let many = |text: &str, times: usize| text.repeat(times);
        for (open, close) in [("(", ")"), ("[", "]"), ("{a: ", "}"), ("!", ""), ("- ", ""), ("if ", " then 1 else 1")] {
            check(&format!("\n{}1{}", many(open, 32), many(close, 32)), None);
            check(&format!("\n{}1{}\n\n", many(open, 33), many(close, 33)), Some(2));
        }
        for (step, each) in [("&& true ", 2), ("|| true ", 2), ("+ 1 ", 1), (".a ", 1), ("when { true } ", 1)] {
            check(&many(step, 1024 / each), None);
            check(&many(step, 1024 / each + 1), Some(1));
        }
        check(&many("!a, ", 1024), None);
        check(&many("!a, ", 1025), Some(1));
        check(&format!("{}\n", many("permit (a, b, c) when { a.b && !c };", 500)), None);
        check(&format!("\"{}\"", many("(", 99)), None);
        check(&format!("\"\\\"{}\"", many("(", 99)), None);
        check(&format!("\"\\\\\"{}", many("(", 99)), Some(1));
        check(&format!("// {}\n1", many("(", 99)), None);
        check(&format!("// \"\n{}", many("(", 99)), Some(2));
        check(&format!("\"{}", many("(", 99)), None);
    }
}
