//! How long a shop's data is kept after it removed the app.

use jiff::SignedDuration;

use super::SettingsReader;

const RETENTION: &str = "SALLA_SYNC_RETENTION";

/// Long enough for a merchant who changes the app's plan or owner to come back.
const DEFAULT_DAYS: i64 = 90;
const MAX_DAYS: i64 = 3_650;
const HOURS_PER_DAY: i64 = 24;

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(days * HOURS_PER_DAY)
}

/// `30d`, `12w`, or `never`; the outer `None`: none of these.
fn parse(text: &str) -> Option<Option<SignedDuration>> {
    if text == "never" {
        return Some(None);
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let in_days = match unit {
        "d" => 1,
        "w" => 7,
        _ => return None,
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = number.parse().ok().filter(|_| is_number)?;
    let kept = number.checked_mul(in_days)?;
    (1..=MAX_DAYS).contains(&kept).then(|| Some(days(kept)))
}

impl SettingsReader<'_> {
    /// `None`: forever.
    pub fn retention(&mut self) -> Option<SignedDuration> {
        let Some(text) = self.text(RETENTION) else {
            return Some(days(DEFAULT_DAYS));
        };
        parse(&text).unwrap_or_else(|| {
            self.problem(format!(
                "{RETENTION} is neither a time such as 90d or 12w, of at most {MAX_DAYS} days, nor \
                 never"
            ));
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn times_are_days_and_weeks() {
        for (text, kept) in [("1d", 1), ("90d", 90), ("12w", 84), ("3650d", 3_650)] {
            assert_eq!(parse(text), Some(Some(days(kept))), "{text}");
        }
        assert_eq!(parse("never"), Some(None));
        for wrong in [
            "",
            "0d",
            "d",
            "90",
            "3651d",
            "-1d",
            "+1d",
            "1h",
            "1.5d",
            "é",
            "9999999999999999999w",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn without_a_word_it_is_a_quarter_of_a_year() {
        let read = |value: Option<&'static str>| {
            let lookup = move |name: &str| value.filter(|_| name == RETENTION).map(OsString::from);
            let mut reader = SettingsReader::new(&lookup);
            (reader.retention(), reader.problems().len())
        };
        assert_eq!(read(None), (Some(days(90)), 0));
        assert_eq!(read(Some("never")), (None, 0));
        assert_eq!(read(Some("soon")), (None, 1));
    }
}
