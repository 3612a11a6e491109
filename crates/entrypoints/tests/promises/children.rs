//! No child process has a secret of ours, and no crash writes one to a file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// In place of psql: writes down what it was given, and how its parent may crash.
const PSQL: &str = "#!/bin/sh
cat /proc/$$/environ > \"$1\"
grep 'Max core file size' /proc/$PPID/limits > \"$2\"
";

#[cfg(target_os = "linux")]
#[test]
fn psql_gets_what_it_needs_and_no_secret() {
    let place = tempfile::tempdir().unwrap();
    let psql = place.path().join("psql");
    fs::write(&psql, PSQL).unwrap();
    fs::set_permissions(&psql, fs::Permissions::from_mode(0o755)).unwrap();
    let (environment, limits) = (place.path().join("environ"), place.path().join("limits"));
    let path = format!("{}:/usr/bin:/bin", place.path().display());
    let url = "postgres://user:of-the-database@127.0.0.1:1/shop";
    let status = Command::new(env!("CARGO_BIN_EXE_salla-sync"))
        .args(["psql", "--"])
        .args([&environment, &limits])
        .env_clear()
        .envs([
            ("PATH", path.as_str()),
            ("HOME", "/home/me"),
            ("TERM", "xterm"),
            ("LC_ALL", "C.UTF-8"),
            ("PAGER", "less"),
            ("PSQL_EDITOR", "vi"),
            ("PGOPTIONS", "-c work_mem=8MB"),
            ("DATABASE_URL", url),
            ("SALLA_SYNC_KEY", "s3cret"),
            ("SALLA_CLIENT_SECRET", "s3cret"),
            ("SALLA_ACCESS_TOKEN", "s3cret"),
            ("SALLA_REFRESH_TOKEN", "s3cret"),
            ("SALLA_WEBHOOK_SECRET", "s3cret"),
            ("SALLA_SYNC_WEBHOOK_URL", "https://example.com/s3cret"),
            ("HTTPS_PROXY", "http://me:s3cret@proxy"),
            ("OF_ANOTHER_PROGRAM", "s3cret"),
        ])
        .status()
        .unwrap();
    assert!(status.success());
    let given = fs::read(environment).unwrap();
    let given = String::from_utf8_lossy(&given);
    let variables: Vec<&str> = given.split('\0').filter(|each| !each.is_empty()).collect();
    for expected in [
        "HOME=/home/me",
        "TERM=xterm",
        "LC_ALL=C.UTF-8",
        "PAGER=less",
        "PSQL_EDITOR=vi",
        "PGOPTIONS=-c work_mem=8MB",
        "PGHOST=127.0.0.1",
        "PGPASSWORD=of-the-database",
    ] {
        assert!(variables.contains(&expected), "{expected}: {variables:?}");
    }
    for forbidden in ["s3cret", "SALLA_", "DATABASE_URL"] {
        let found = variables.iter().find(|each| each.contains(forbidden));
        assert_eq!(found, None);
    }
    let limits = fs::read_to_string(limits).unwrap();
    let words: Vec<&str> = limits.split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
}
