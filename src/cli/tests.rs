//! The command line itself.

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("curfew").chain(line.split_whitespace()))
}

#[test]
fn the_command_line_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_and_option_says_what_it_is_for() {
    fn check(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} of {}", argument.get_id(), command.get_name());
        }
        command.get_subcommands().for_each(check);
    }
    check(&Arguments::command());
}

/// The words of a line for the shell, as one command each: without comments and what it does with the output.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut word, mut quoted) = (vec![Vec::new()], String::new(), false);
    for c in line.chars().chain([' ']) {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                let word = std::mem::take(&mut word);
                match word.as_str() {
                    "" => {}
                    "#" => break,
                    "|" | "&&" | ">" => commands.push(Vec::new()),
                    _ => commands.last_mut().expect("one").push(word),
                }
            }
            c => word.push(c),
        }
    }
    commands
}

#[test]
fn every_command_of_the_documentation_is_one() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let mut tried = 0;
    for page in pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")).chain([root.join("README.md")]) {
        let text = std::fs::read_to_string(&page).expect("a page").replace("\\\n", " ");
        for (block, _) in text.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```")) {
            let ours = block.lines().flat_map(commands).filter(|words| words.first().is_some_and(|word| word == "curfew"));
            for words in ours {
                let parsed = Arguments::try_parse_from(&words);
                assert!(parsed.is_ok(), "{}: `{}`: {}", page.display(), words.join(" "), parsed.expect_err("refused"));
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried} commands were found");
}

#[test]
fn a_revocation_needs_a_reason_of_the_closed_set() {
    assert!(parse("owner revoke payments").is_err());
    let error = parse("owner revoke payments --reason because").expect_err("no such reason").to_string();
    assert!(error.contains("cessation-of-operation"), "{error}");
    assert!(parse("owner revoke payments --reason key-compromise --max-affected 5 --wait committed").is_ok());
}

#[test]
fn options_of_every_command_may_stand_anywhere() {
    for line in ["--addr a:1 --format json owner list", "owner list --addr a:1 --format json", "owner --addr a:1 list --format json"] {
        let arguments = parse(line).expect(line);
        assert_eq!((arguments.global.addr.as_str(), arguments.global.format), ("a:1", output::Format::Json));
    }
}

#[test]
fn a_task_ends_by_itself_in_one_way() {
    assert!(parse("task open --environment production --purpose deploy").is_err());
    assert!(parse("task open --environment production --purpose deploy --within 5m").is_ok());
    assert!(parse("task open --environment production --purpose deploy --within 5m --deadline 2027-03-31T17:00:00Z").is_err());
}
