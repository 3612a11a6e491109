//! The command line: commands, flags, values and defaults are derived from Rust names.

use clap::{Command, CommandFactory as _};

/// Without what the environment of the test happens to hold.
fn write(command: Command, name: &str, out: &mut String) {
    let command = command
        .term_width(100)
        .mut_args(|argument| argument.hide_env_values(true));
    out.push_str(&format!("$ {name} --help\n"));
    out.push_str(&command.clone().render_long_help().to_string());
    out.push('\n');
    for inner in command.get_subcommands().filter(|c| c.get_name() != "help") {
        write(inner.clone(), &format!("{name} {}", inner.get_name()), out);
    }
}

#[test]
#[cfg(feature = "demo")]
fn the_help_of_every_command_stays() {
    let mut command = entrypoints::cli::Cli::command();
    command.build();
    let mut out = String::new();
    write(command, "salla-sync", &mut out);
    insta::assert_snapshot!(out);
}
