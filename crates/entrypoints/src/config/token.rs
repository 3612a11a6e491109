//! Tokens as people and programs hand them over: with what editors, shells and web pages add
//! to them.

use importer::ports::connections::Tokens;
use jiff::Timestamp;
use salla_client::oauth::read_tokens;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::SettingsReader;

const REFRESH_PREFIX: &str = "ory_rt_";
const ACCESS_PREFIX: &str = "ory_at_";

/// Which of the two a text should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Refresh,
}

/// The token alone, or what is wrong with the text, as the end of a sentence that never
/// quotes it.
fn token(text: &str, kind: Kind) -> Result<&str, &'static str> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let scheme = text.split_once(char::is_whitespace);
    let text = match scheme {
        Some((word, token)) if word.eq_ignore_ascii_case("bearer") => token.trim(),
        None if text.eq_ignore_ascii_case("bearer") => "",
        _ => text,
    };
    let is_quote = |c| matches!(c, '"' | '\'' | '`' | '“' | '”' | '‘' | '’');
    if text.is_empty() {
        Err("is empty")
    } else if text.starts_with(is_quote) || text.ends_with(is_quote) {
        Err("is in quotes; give the token without them")
    } else if text.starts_with(['{', '[']) {
        Err("is JSON where a token alone belongs; give Salla's response as a file with --tokens")
    } else if is_assignment(text) {
        Err("is a line of settings (NAME=TOKEN); give the token alone")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err(
            "is not a valid value of an HTTP header: it contains blanks, line breaks or other \
             characters that no token has; copy it again",
        )
    } else if kind == Kind::Access && text.starts_with(REFRESH_PREFIX) {
        Err("is a refresh token (ory_rt_…); an access token begins with ory_at_")
    } else if kind == Kind::Refresh && text.starts_with(ACCESS_PREFIX) {
        Err("is an access token (ory_at_…); a refresh token begins with ory_rt_")
    } else {
        Ok(text)
    }
}

/// As in a file of settings or a shell: `SALLA_ACCESS_TOKEN=…`, `export TOKEN=…`.
fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name && name.to_ascii_lowercase().ends_with("token")
    })
}

/// The bytes of a file as text, or what is wrong with them.
fn decoded(bytes: &[u8]) -> Result<&str, &'static str> {
    const UTF_16: &str = "is UTF-16 text; save it as UTF-8";
    let zeros = bytes.iter().filter(|byte| **byte == 0).count();
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(UTF_16);
    }
    // Without a mark every other byte of Latin letters is zero.
    if zeros > 0 && zeros >= bytes.len() / 3 {
        return Err(UTF_16);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    Ok(text.trim_start_matches('\u{feff}').trim())
}

/// A token alone, or Salla's response with one or two as it is.
pub(super) fn parse(bytes: &[u8], received_at: Timestamp) -> Result<Tokens, String> {
    let text = decoded(bytes)?;
    if text.starts_with('{') {
        return answer(text, received_at);
    }
    Ok(Tokens {
        access: token(text, Kind::Access)?.into(),
        refresh: None,
        expires_at: None,
        scope: None,
    })
}

fn answer(text: &str, received_at: Timestamp) -> Result<Tokens, String> {
    let answer: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("begins like JSON and is cut off or invalid at line {line}, column {column}")
    })?;
    const NO_TOKEN: &str = "contains neither a single token nor JSON with access_token; the body \
         of a webhook is for `salla-sync connect --from-webhook`";
    match &answer["access_token"] {
        Value::Null => return Err(NO_TOKEN.to_owned()),
        Value::String(_) => {}
        other => return Err(wrong_type("access_token", other)),
    }
    match &answer["refresh_token"] {
        Value::Null | Value::String(_) => {}
        other => return Err(wrong_type("refresh_token", other)),
    }
    read_tokens(text.as_bytes(), received_at).ok_or_else(|| NO_TOKEN.to_owned())
}

fn wrong_type(name: &str, value: &Value) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("holds {found} as {name}, which must be a text")
}

impl SettingsReader<'_> {
    /// The tokens as they are sent to Salla. `name` says where one of the two comes from.
    pub(super) fn checked(
        &mut self,
        tokens: Tokens,
        name: impl Fn(Kind) -> String,
    ) -> Option<Tokens> {
        let mut check = |given: &SecretString, kind| {
            let checked = token(given.expose_secret(), kind).map(SecretString::from);
            checked
                .map_err(|problem| self.problem(format!("{} {problem}", name(kind))))
                .ok()
        };
        let access = check(&tokens.access, Kind::Access);
        let refresh = match &tokens.refresh {
            // As in a response without one.
            Some(given) if given.expose_secret().trim().is_empty() => None,
            Some(given) => Some(check(given, Kind::Refresh)?),
            None => None,
        };
        let access = access?;
        let same = refresh.as_ref().is_some_and(|refresh| {
            let refresh: &SecretString = refresh;
            refresh.expose_secret() == access.expose_secret()
        });
        if same {
            let (one, other) = (name(Kind::Access), name(Kind::Refresh));
            self.problem(format!(
                "{one} and {other} are the same: one of them is wrong"
            ));
            return None;
        }
        Some(Tokens {
            access,
            refresh,
            ..tokens
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received_at() -> Timestamp {
        Timestamp::from_second(1_750_000_000).unwrap()
    }

    type Found<'a> = (&'a str, Option<&'a str>, Option<i64>);

    fn found(tokens: &Tokens) -> Found<'_> {
        (
            tokens.access.expose_secret(),
            tokens.refresh.as_ref().map(SecretString::expose_secret),
            tokens.expires_at.map(Timestamp::as_second),
        )
    }

    #[test]
    fn files_hold_a_token_or_sallas_answer() {
        let pair = r#"{"access_token":"a","refresh_token":"r","expires":1751000000}"#;
        let marked_pair = format!("\u{feff}{pair}\r\n");
        let table: [(&str, Found<'_>); 9] = [
            ("ory_at_x\n", ("ory_at_x", None, None)),
            ("\u{feff}ory_at_x\r\n", ("ory_at_x", None, None)),
            ("  Bearer ory_at_x ", ("ory_at_x", None, None)),
            ("bearer\tory_at_x", ("ory_at_x", None, None)),
            ("abc.d-e_f~g+h/i==", ("abc.d-e_f~g+h/i==", None, None)),
            (pair, ("a", Some("r"), Some(1_751_000_000))),
            (&marked_pair, ("a", Some("r"), Some(1_751_000_000))),
            (
                r#"{"access_token":"a","expires_in":1209599}"#,
                ("a", None, Some(1_751_209_599)),
            ),
            (
                r#"{"access_token":"a","refresh_token":null}"#,
                ("a", None, None),
            ),
        ];
        for (text, expected) in table {
            let tokens = parse(text.as_bytes(), received_at());
            let tokens = tokens.unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!(found(&tokens), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_token_is_a_problem_that_does_not_quote_it() {
        let utf_16 = |mark: &[u8], big: bool| {
            let units = "secret".encode_utf16();
            let bytes = units.flat_map(|unit| match big {
                true => unit.to_be_bytes(),
                false => unit.to_le_bytes(),
            });
            mark.iter().copied().chain(bytes).collect::<Vec<u8>>()
        };
        let table: Vec<(Vec<u8>, &str)> = vec![
            ("".into(), "is empty"),
            ("\u{feff} \r\n".into(), "is empty"),
            ("Bearer ".into(), "is empty"),
            ("\"secret\"".into(), "in quotes"),
            ("'secret'".into(), "in quotes"),
            ("“secret”".into(), "in quotes"),
            ("Bearer \"secret\"".into(), "in quotes"),
            ("[\"secret\"]".into(), "JSON"),
            ("SALLA_ACCESS_TOKEN=secret".into(), "NAME=TOKEN"),
            ("export SALLA_ACCESS_TOKEN=secret".into(), "NAME=TOKEN"),
            ("access_token=secret".into(), "NAME=TOKEN"),
            ("secret words".into(), "header"),
            ("secret\nsecret".into(), "header"),
            ("secret\0more_of_the_secret".into(), "header"),
            ("secret\u{200b}".into(), "header"),
            ("secret\u{a0}secret".into(), "header"),
            ("سرsecret".into(), "header"),
            (b"secret\xff".to_vec(), "UTF-8"),
            (utf_16(b"\xff\xfe", false), "UTF-16"),
            (utf_16(b"\xfe\xff", true), "UTF-16"),
            (utf_16(b"", false), "UTF-16"),
            (utf_16(b"", true), "UTF-16"),
            ("ory_rt_secret".into(), "refresh token"),
            ("{}".into(), "neither a single token"),
            ("{\"access_token\":null}".into(), "neither a single token"),
            ("{\"access_token\":123}".into(), "a number as access_token"),
            (
                "{\"access_token\":[\"secret\"]}".into(),
                "a list as access_token",
            ),
            (
                "{\"access_token\":{\"secret\":1}}".into(),
                "an object as access_token",
            ),
            (
                "{\"access_token\":\"secret\",\"refresh_token\":true}".into(),
                "true or false as refresh_token",
            ),
            ("{\"access_token\":\"secret".into(), "line 1, column"),
            (
                "{\"event\":\"app.store.authorize\",\"data\":{\"access_token\":\"secret\"}}".into(),
                "--from-webhook",
            ),
        ];
        for (bytes, expected) in table {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let problem = match parse(&bytes, received_at()) {
                Ok(_) => panic!("{text:?} was taken"),
                Err(problem) => problem,
            };
            assert!(problem.contains(expected), "{text:?}: {problem}");
            assert!(!problem.contains("secret"), "{text:?}: {problem}");
        }
    }

    fn check(access: &str, refresh: Option<&str>) -> Result<Tokens, String> {
        let nothing = |_: &str| None;
        let mut reader = SettingsReader::new(&nothing);
        let tokens = Tokens {
            access: access.into(),
            refresh: refresh.map(SecretString::from),
            expires_at: None,
            scope: None,
        };
        let checked = reader.checked(tokens, |kind| format!("{kind:?}"));
        checked.ok_or_else(|| reader.problems().join("\n"))
    }

    #[test]
    fn both_tokens_are_checked_wherever_they_come_from() {
        let tokens = check("\u{feff}Bearer a", Some(" r\r\n")).unwrap();
        assert_eq!(found(&tokens), ("a", Some("r"), None));
        assert_eq!(found(&check("a", Some("")).unwrap()), ("a", None, None));
        let table = [
            ("a", Some("\"r\""), "Refresh is in quotes"),
            ("{\"access_token\":\"a\"}", None, "Access is JSON"),
            ("ory_rt_r", Some("ory_at_a"), "Access is a refresh token"),
            ("ory_rt_r", Some("ory_at_a"), "Refresh is an access token"),
            ("same", Some("same"), "Access and Refresh are the same"),
            (
                "a\nb",
                None,
                "Access is not a valid value of an HTTP header",
            ),
            ("a", Some("r\0"), "Refresh is not a valid value"),
        ];
        for (access, refresh, expected) in table {
            let problem = check(access, refresh).err().unwrap();
            assert!(problem.contains(expected), "{access:?}: {problem}");
        }
    }
}
