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
