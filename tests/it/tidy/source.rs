//! A Rust file as the rules see it: code, strings and comments told apart, line by line.

/// One file of the checkout.
pub(super) struct Source {
    /// From the root of the checkout, with `/`.
    pub(super) path: String,
    /// As it was read.
    pub(super) text: String,
    /// The text with comments, strings and characters blanked; lines and columns stay.
    pub(super) code: String,
    /// The text with everything but the contents of strings blanked.
    pub(super) strings: String,
    /// Whether it is test code as a whole, by its place or since its parent says so.
    pub(super) is_test: bool,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, strings) = split(text);
        let is_test = path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/");
        Self { path: path.to_owned(), text: text.to_owned(), code, strings, is_test }
    }

    /// The files that are there for the tests alone: `#[cfg(test)] mod samples;`.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let lines: Vec<&str> = self.code.lines().map(str::trim).collect();
        let gated = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").map(|pair| pair[1]);
        let names = gated.filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
        let folder = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        names.map(|name| format!("{folder}/{name}.rs")).collect()
    }

    /// The first line of test code, counted from 1; past the end if there is none.
    pub(super) fn tests_from(&self) -> usize {
        if self.is_test {
            return 1;
        }
        let lines: Vec<&str> = self.code.lines().map(str::trim).collect();
        let begins = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].contains('{');
        lines.windows(2).position(begins).unwrap_or(lines.len()) + 1
    }
}

/// Copies `text` twice: once with only code left, once with only the contents of strings.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut strings) = (String::with_capacity(text.len()), String::new());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let (length, in_code, in_strings) = match token(&chars[at..]) {
            Token::Code(length) => (length, true, false),
            Token::Comment(length) | Token::Character(length) => (length, false, false),
            Token::Text(length) => (length, false, true),
        };
        debug_assert!(length > 0, "no progress at {c:?}");
        for &c in &chars[at..at + length] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if in_code { c } else { blank });
            strings.push(if in_strings { c } else { blank });
        }
        at += length;
    }
    (code, strings)
}

/// What stands at the start of some text, and how many characters it takes.
enum Token {
    Code(usize),
    Comment(usize),
    Text(usize),
    Character(usize),
}

fn token(rest: &[char]) -> Token {
    let next = |n: usize| rest.get(n).copied().unwrap_or('\0');
    match next(0) {
        '/' if next(1) == '/' => Token::Comment(rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())),
        '/' if next(1) == '*' => Token::Comment(block_comment(rest)),
        '"' => Token::Text(quoted(rest, '"')),
        // A character, or the lifetime that looks like the start of one.
        '\'' if next(1) == '\\' || next(2) == '\'' => Token::Character(quoted(rest, '\'')),
        c if c.is_alphanumeric() || c == '_' => {
            let word = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
            match raw_string(rest, word) {
                Some(length) => Token::Text(length),
                None => Token::Code(word),
            }
        }
        _ => Token::Code(1),
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `r"…"`, `br#"…"#` and the like, whose prefix takes `word` characters.
fn raw_string(rest: &[char], word: usize) -> Option<usize> {
    if !matches!(rest[..word], ['r'] | ['b' | 'c', 'r']) {
        return None;
    }
    let hashes = rest[word..].iter().take_while(|c| **c == '#').count();
    let start = word + hashes;
    if rest.get(start) != Some(&'"') {
        return None;
    }
    let closes = |at: &usize| rest[*at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    let end = (start + 1..rest.len()).find(closes)?;
    Some(end + 1 + hashes)
}

#[test]
fn comments_and_strings_are_not_code() {
    #[track_caller]
    fn check(text: &str, code: &str, strings: &str) {
        let source = Source::new("src/x.rs", text);
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!((words(&source.code), words(&source.strings)), (code.to_owned(), strings.to_owned()));
        assert_eq!(source.code.len(), text.len(), "columns stay");
        assert_eq!(source.code.matches('\n').count(), text.matches('\n').count());
    }
    check("a // b \"c\"", "a", "");
    check("/* a /* b */ c */ d", "d", "");
    check(r#"f("a // \" b")"#, "f( )", r#""a // \" b""#);
    check(r##"f(r#"a " b"#)"##, "f( )", r##"r#"a " b"#"##);
    check(r#"'"' + "x""#, "+", r#""x""#);
    check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}", "");
    check(r"['\'', '\u{1F}', 'x']", "[ , , ]", "");
    check("\"a\nb\" c", "c", "\"a b\"");
    check("r#mod::x", "r#mod::x", "");
}

#[test]
fn the_tests_of_a_file_begin_at_their_attribute() {
    let begins = |path, text| Source::new(path, text).tests_from();
    assert_eq!(begins("src/a.rs", "//! a\nfn a() {}\n#[cfg(test)]\nmod tests {}\n"), 3);
    assert_eq!(begins("src/a.rs", "//! a\nfn a() {}\n"), 3);
    assert_eq!(begins("src/a.rs", "//! a\n#[cfg(test)]\nmod tests;\nfn a() {}\n"), 5);
    assert_eq!(begins("src/a/tests.rs", "//! a\n"), 1);
    let source = |path| Source::new(path, "#[cfg(test)]\npub(crate) mod samples;\nmod b;\n#[cfg(test)]\nmod tests {}\n");
    assert_eq!(source("src/a.rs").test_modules(), ["src/a/samples.rs"]);
    assert_eq!(source("src/a/mod.rs").test_modules(), ["src/a/samples.rs"]);
}
