//! What the program writes, and what becomes of it when it cannot be written.

use std::fs::File;
use std::process::{Command, Stdio};

use salla_simulator::{InvalidRates, Scenario};

use crate::process::{present_day, program, run};
use crate::service::TestService;
use crate::truth::small;

/// The name of a shop whose owner means harm: it would set the window's title, colour, clear
/// the screen, turn the direction of writing and forge a line.
const NAME: &str = "متجر \u{1b}]0;owned\u{7}\u{1b}[31m\u{9b}2J \u{202e}dab\u{202c}\u{2067}\r\n\
                    salla-sync: all good\u{2028}\u{7f}";

async fn evil_shop() -> TestService {
    let mut scenario = Scenario {
        invalid: InvalidRates {
            orders: 0.05,
            ..Default::default()
        },
        ..small(120)
    };
    scenario.shop.name = NAME.to_owned();
    present_day(scenario).await
}

fn controls_the_terminal(c: char) -> bool {
    c.is_control() && c != '\n'
        || ('\u{2028}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_shop_is_called_its_name_stays_where_it_is_printed() {
    let service = evil_shop().await;
    let mut shown = 0;
    for arguments in [
        &["doctor"][..],
        &["plan"],
        &["--log", "info", "import", "--rejection-share", "50%"],
        &["import", "--again", "--rejection-share", "50%"],
        &["status", "--certificate"],
        &["rejected", "--raw"],
        &["rejected", "replay"],
        &["remap"],
        &["trace", "1"],
        &["verify", "--deep"],
        &["connect"],
        &["runs", "list"],
        &["notifications", "list"],
        &["queue", "depth"],
        &["probe"],
    ] {
        let output = run(program(&service, arguments)).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let bad = said.chars().find(|c| controls_the_terminal(*c));
        assert_eq!(bad, None, "{arguments:?}: {said}");
        let forged = said.lines().any(|line| line.starts_with("salla-sync: all"));
        assert!(!forged, "{arguments:?}: {said}");
        shown += u32::from(said.contains("\\u{1b}]0;owned\\u{7}"));
    }
    assert!(shown >= 6, "its name was shown {shown} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_holds_a_name_as_it_is() {
    let service = evil_shop().await;
    for arguments in [
        &["import", "--json", "--rejection-share", "50%"][..],
        &["status", "--json"],
        &["plan", "--json"],
        &["probe", "--json"],
    ] {
        let output = run(program(&service, arguments)).await;
        let value: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?} is no JSON: {error}"));
        if arguments[0] == "status" {
            assert_eq!(value[0]["shop"]["name"], NAME, "{value}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_for_roles_is_printed_for_psql_to_run() {
    let service = present_day(small(10)).await;
    let output = run(program(&service, &["roles", "create", "--print"])).await;
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).expect("it is text");
    assert_eq!(printed.trim(), database::roles_script().trim());
}

fn full_disk() -> Stdio {
    let device = File::options().write(true).open("/dev/full");
    device.expect("there is a device that is full").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_written_is_a_failure() {
    let service = present_day(small(40)).await;
    for arguments in [
        &["plan"][..],
        &["plan", "--json"],
        &["import", "--json"],
        &["import"],
        &["status"],
        &["status", "--json"],
        &["verify"],
        &["rejected", "--json"],
        &["notifications", "list", "--json"],
        &["runs", "list"],
        &["migrate"],
        &["probe"],
        &["probe", "--json"],
        &["doctor"],
        &["--version"],
        &["--help"],
        &["import", "--help"],
    ] {
        let mut command = program(&service, arguments);
        command.stdout(full_disk());
        let output = run(command).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        let told = said
            .matches("writing the result to standard output")
            .count();
        assert_eq!(told, 1, "{arguments:?}: {said}");
    }
}

/// As behind `| head`.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_gone_is_no_failure() {
    let service = present_day(small(40)).await;
    for arguments in [
        &["plan"][..],
        &["import", "--json"],
        &["status", "--json"],
        &["--help"],
    ] {
        let mut command = program(&service, arguments);
        let (reader, writer) = std::io::pipe().expect("there are pipes");
        command.stdout(writer);
        drop(reader);
        let output = run(command).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(
            !said.contains("writing the result"),
            "{arguments:?}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let service = present_day(small(40)).await;
    for format in ["text", "json"] {
        let arguments = [
            "--log",
            "debug",
            "--log-format",
            format,
            "import",
            "--again",
        ];
        let mut command = program(&service, &arguments);
        command.stderr(full_disk());
        let output = run(command).await;
        assert!(output.status.success(), "{format}: {:?}", output.status);
        assert!(!output.stdout.is_empty(), "{format}");
    }
}

/// Without NO_COLOR, which `program` leaves unset.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_a_file_has_no_colours() {
    let service = present_day(small(40)).await;
    for arguments in [
        &["--log", "info", "import"][..],
        &["--log", "debug", "import", "--again"],
    ] {
        let output = run(program(&service, arguments)).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(" INFO ") || said.contains("DEBUG"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn a_wrong_command_line_is_a_matter_of_usage() {
    for arguments in [&["impot"][..], &["import", "--months"], &[]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salla-sync"));
        let output = command.args(arguments).env_clear().output();
        let output = output.expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}
