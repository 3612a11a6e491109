//! What the programs in a folder are, and whether they run at all.

use std::path::Path;
use std::process::Stdio;

use crate::children;
use crate::programs::Programs;

/// Runs both programs: a file of the right name may be a shim that fails, or a
/// server whose libraries are missing.
pub(crate) fn inspect(bin: &Path) -> Result<Programs, String> {
    let bin = std::path::absolute(bin).unwrap_or_else(|_| bin.to_owned());
    ask_version(&bin.join("initdb"))?;
    let version = ask_version(&bin.join("postgres"))?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    let major = digits
        .parse()
        .map_err(|_| format!("postgres calls itself version {version:?}"))?;
    Ok(Programs {
        bin,
        major,
        version,
    })
}

fn ask_version(program: &Path) -> Result<String, String> {
    let answer = children::command(program, &[])
        .arg("--version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} did not start ({error})", program.display()))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    parse_version(&text)
        .filter(|_| answer.status.success())
        .map(str::to_owned)
        .ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&answer.stderr);
            format!(
                "{} --version said {:?}",
                program.display(),
                complaint.trim()
            )
        })
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is version `15.18`.
fn parse_version(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("(PostgreSQL)")?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        for (printed, expected) in [
            ("postgres (PostgreSQL) 16.14\n", Some("16.14")),
            (
                "initdb (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some("15.18"),
            ),
            ("postgres (PostgreSQL) 18beta1", Some("18beta1")),
            ("some shim", None),
        ] {
            assert_eq!(parse_version(printed), expected, "{printed}");
        }
    }
}
