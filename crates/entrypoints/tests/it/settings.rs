//! Settings as they are found in the world: tokens with what editors add to them, proxies,
//! machines without certificate authorities, addresses that lack a part.

use std::process::Output;

use crate::process::{present_day, program, run};
use crate::service::TestService;
use crate::truth::small;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn requests(service: &TestService) -> u64 {
    service.simulator.ledger().requests
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_with_what_editors_and_people_add_to_it() {
    let service = present_day(small(20)).await;
    let token = service.simulator.access_token();
    for value in [
        format!("\u{feff}{token}"),
        format!("Bearer {token}"),
        format!(" bearer\t{token}\r\n"),
    ] {
        let mut command = program(&service, &["plan"]);
        command.env("SALLA_ACCESS_TOKEN", &value);
        let output = run(command).await;
        assert!(output.status.success(), "{value:?}: {}", said(&output));
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("tokens");
    let pair = serde_json::json!({
        "access_token": token, "refresh_token": service.simulator.refresh_token(),
    });
    for text in [
        format!("\u{feff}{token}\r\n"),
        format!("\u{feff}{pair}\r\n"),
        format!("Bearer {token}\n"),
    ] {
        std::fs::write(&file, &text).expect("a file can be written");
        let mut command = program(&service, &["plan", "--tokens"]);
        command.arg(&file);
        let output = run(command).await;
        assert!(output.status.success(), "{text:?}: {}", said(&output));
    }
    assert_eq!(service.simulator.ledger().refresh_reuses, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_never_sent() {
    let service = present_day(small(20)).await;
    let before = requests(&service);
    let token = service.simulator.access_token();
    let refresh = service.simulator.refresh_token();
    let table = [
        (format!("\"{token}\""), "in quotes"),
        (format!("{token}\n{token}"), "HTTP header"),
        (format!("SALLA_ACCESS_TOKEN={token}"), "NAME=TOKEN"),
        (format!("[\"{token}\"]"), "JSON"),
        (format!("{{\"access_token\":\"{token}\"}}"), "JSON"),
        (refresh.to_owned(), "is a refresh token"),
    ];
    for (value, expected) in &table {
        for command in ["plan", "import", "verify", "connect", "probe", "extend"] {
            let mut command = program(&service, &[command]);
            command.env("SALLA_ACCESS_TOKEN", value);
            let output = run(command).await;
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{value:?}: {said}");
            assert!(said.contains("SALLA_ACCESS_TOKEN"), "{value:?}: {said}");
            assert!(said.contains(expected), "{value:?}: {said}");
            assert!(!said.contains(token), "{said}");
        }
    }
    let mut doctor = program(&service, &["doctor"]);
    doctor.env("SALLA_ACCESS_TOKEN", &table[0].0);
    let output = run(doctor).await;
    assert_eq!(output.status.code(), Some(1));
    let report = said(&output);
    assert!(
        report.contains("BAD  settings") && report.contains("in quotes"),
        "{report}"
    );
    assert!(report.contains("not checked"), "{report}");

    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("tokens");
    let utf_16: Vec<u8> = token.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, expected) in [
        ([b"\xff\xfe".to_vec(), utf_16].concat(), "UTF-16"),
        (
            b"{\"access_token\":123}".to_vec(),
            "a number as access_token",
        ),
        (format!("[\"{token}\"]").into_bytes(), "JSON"),
        (format!("{token}\0").into_bytes(), "HTTP header"),
    ] {
        std::fs::write(&file, &bytes).expect("a file can be written");
        let mut command = program(&service, &["plan", "--tokens"]);
        command.arg(&file);
        let output = run(command).await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(requests(&service), before, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_is_asked_past_every_proxy() {
    let service = present_day(small(20)).await;
    for (variable, proxy) in [
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("http_proxy", "127.0.0.1:9"),
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("all_proxy", "http://user:secret@127.0.0.1:9"),
        ("HTTP_PROXY", "no address at all"),
        ("HTTPS_PROXY", "garbage"),
    ] {
        for arguments in [&["plan"][..], &["doctor"], &["import", "--again"]] {
            let mut command = program(&service, arguments);
            command.env(variable, proxy);
            let output = run(command).await;
            let said = said(&output);
            assert!(output.status.success(), "{variable}={proxy}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_cannot_be_used_is_named() {
    let service = present_day(small(20)).await;
    for (variable, proxy) in [
        ("HTTPS_PROXY", "http://us er:secret@proxy"),
        ("ALL_PROXY", "socks5://user:secret@proxy.invalid"),
        ("https_proxy", "ftp://secret.invalid"),
    ] {
        let mut command = program(&service, &["plan"]);
        command
            .env("SALLA_API_URL", "https://salla.invalid/admin/v2")
            .env(variable, proxy);
        let output = run(command).await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(variable) && said.contains("NO_PROXY"),
            "{said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certificate_authorities_only_https_is_out_of_reach() {
    let service = present_day(small(20)).await;
    let bare = |arguments: &[&str]| {
        let mut command = program(&service, arguments);
        command
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent");
        command
    };
    for arguments in [&["plan"][..], &["import"], &["doctor"]] {
        let output = run(bare(arguments)).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
    let before = requests(&service);
    for (setting, url) in [
        ("SALLA_API_URL", "https://salla.invalid/admin/v2"),
        ("SALLA_ACCOUNTS_URL", "https://accounts.salla.invalid"),
        ("SALLA_SYNC_WEBHOOK_URL", "https://receiver.invalid/hook"),
    ] {
        let mut command = bare(&["work"]);
        command.env(setting, url).env(
            "SALLA_SYNC_WEBHOOK_SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        );
        let output = run(command).await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{setting}: {said}");
        assert!(said.contains(setting), "{setting}: {said}");
        assert!(
            said.contains("install the package ca-certificates"),
            "{said}"
        );
        assert!(said.contains("SSL_CERT_FILE"), "{said}");
    }
    assert_eq!(requests(&service), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_not_sent_unencrypted_to_another_machine() {
    let service = present_day(small(20)).await;
    for (setting, url) in [
        ("SALLA_API_URL", "http://salla.invalid/admin/v2"),
        ("SALLA_API_URL", "http://192.0.2.1:8080/admin/v2"),
        ("SALLA_ACCOUNTS_URL", "http://accounts.salla.invalid"),
    ] {
        for arguments in [&["plan"][..], &["import"], &["work"]] {
            let mut command = program(&service, arguments);
            command.env(setting, url);
            let output = run(command).await;
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{setting}: {said}");
            assert!(said.contains("SALLA_ALLOW_HTTP=1"), "{setting}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_an_address_lacks() {
    let service = present_day(small(20)).await;
    let mut without_scheme = program(&service, &["doctor"]);
    without_scheme.env("SALLA_API_URL", "api.salla.dev/admin/v2");
    let report = said(&run(without_scheme).await);
    assert!(report.contains("BAD  settings"), "{report}");
    assert!(report.contains("begins with https://"), "{report}");
    assert!(!report.contains("please report"), "{report}");

    let api = service.simulator.api_url();
    let host = api
        .strip_suffix("/admin/v2")
        .expect("the simulator's API has Salla's path");
    let mut without_path = program(&service, &["doctor"]);
    without_path.env("SALLA_API_URL", host);
    let report = said(&run(without_path).await);
    assert!(report.contains("BAD  token"), "{report}");
    assert!(
        report.contains(host) && report.contains("ends with /admin/v2"),
        "{report}"
    );
}

/// A refresh token works once: an operator who exchanges it by hand can lose the shop.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_is_left_alone_is_not_called_missing() {
    let service = present_day(small(20)).await;
    for arguments in [
        &["doctor"][..],
        &["plan"],
        &["probe"],
        &["verify"],
        &["trace", "1", "--fetch"],
    ] {
        let expired = || {
            let mut command = program(&service, arguments);
            command.env("SALLA_ACCESS_TOKEN", "ory_at_over");
            command
        };
        let output = run(expired()).await;
        let report = said(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {report}");
        for part in ["does not use the refresh token", "by hand", "database"] {
            assert!(report.contains(part), "{arguments:?}: {report}");
        }
        assert!(
            !report.contains("there is no refresh token"),
            "{arguments:?}: {report}"
        );

        let mut without = expired();
        without.env_remove("SALLA_REFRESH_TOKEN");
        let report = said(&run(without).await);
        assert!(
            report.contains("there is no refresh token"),
            "{arguments:?}: {report}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_would_stop_a_service_and_checks_the_rest() {
    let service = present_day(small(20)).await;
    let connected = run(program(&service, &["connect"])).await;
    assert!(connected.status.success(), "{}", said(&connected));
    let other_key = format!("test:{}=", "A".repeat(43));
    for (name, value) in [
        ("SALLA_SYNC_RETENTION", "soon"),
        ("SALLA_SYNC_WEBHOOK_URL", "x.example"),
        ("SALLA_SYNC_PUBLIC_URL", "x.example"),
        ("SALLA_SYNC_KEEP_FRESH", "often"),
        ("SALLA_SYNC_KEY", "k1:short"),
        ("SALLA_SYNC_KEY", &other_key),
    ] {
        let mut doctor = program(&service, &["doctor"]);
        doctor.env(name, value);
        let output = run(doctor).await;
        let report = said(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {report}");
        let settings = report.lines().filter(|line| line.contains(" settings "));
        let settings: Vec<&str> = settings.collect();
        let is_bad = |line: &&str| line.contains("BAD") && line.contains(name);
        assert!(settings.iter().any(is_bad), "{name}: {report}");
        assert!(
            !settings.iter().any(|line| line.contains("complete")),
            "{name}: {report}"
        );
        for rest in [
            "ok   tables",
            "ok   versions",
            "ok   connections",
            "ok   token",
        ] {
            assert!(report.contains(rest), "{name}: {report}");
        }
    }
    let output = run(program(&service, &["doctor"])).await;
    assert!(output.status.success(), "{}", said(&output));
}
