//! Where messages for workers go.

use super::SettingsReader;

pub const QUEUE: &str = "SALLA_SYNC_QUEUE";

/// SQS allows eighty characters, and `-historical-sync-dead` is put behind the prefix.
const PREFIX_LENGTH: usize = 59;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueuePlace {
    /// Beside everything else.
    #[default]
    Database,
    /// On SQS, in queues whose names begin so.
    Sqs { prefix: String },
}

impl SettingsReader<'_> {
    pub fn queue(&mut self) -> QueuePlace {
        let Some(text) = self.text(QUEUE) else {
            return QueuePlace::Database;
        };
        if text == "postgres" {
            return QueuePlace::Database;
        }
        let Some(prefix) = text.strip_prefix("sqs://") else {
            self.problem(format!(
                "{QUEUE} is neither postgres, which it is when unset, nor sqs://PREFIX, such as \
                 sqs://salla-sync"
            ));
            return QueuePlace::Database;
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if prefix.is_empty() || prefix.len() > PREFIX_LENGTH || !prefix.chars().all(is_name) {
            self.problem(format!(
                "{QUEUE} names no queues: write a prefix of their names after sqs://, up to \
                 {PREFIX_LENGTH} letters, digits, - and _ (the queues are PREFIX-historical-sync \
                 and PREFIX-notifications; region and account are those of AWS_REGION and the \
                 credentials)"
            ));
            return QueuePlace::Database;
        }
        if !cfg!(feature = "aws") {
            self.problem(format!(
                "{QUEUE} names SQS, which this build of salla-sync does not include; build it with \
                 --features aws"
            ));
        }
        QueuePlace::Sqs {
            prefix: prefix.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn read(value: &str) -> (QueuePlace, Vec<String>) {
        let lookup = |name: &str| (name == QUEUE).then(|| OsString::from(value));
        let mut reader = SettingsReader::new(&lookup);
        (reader.queue(), reader.problems())
    }

    #[test]
    fn a_place_is_the_database_or_names_of_queues() {
        for value in ["", "postgres", " postgres "] {
            assert_eq!(read(value), (QueuePlace::Database, Vec::new()));
        }
        let long = format!("sqs://{}", "q".repeat(60));
        for value in [
            "sqs",
            "sqs://",
            "https://sqs.eu-central-1.amazonaws.com/1/q",
            "sqs://a/b",
            "sqs://a b",
            &long,
        ] {
            let (place, problems) = read(value);
            assert_eq!(place, QueuePlace::Database, "{value}");
            assert!(problems[0].contains("sqs://"), "{value}: {problems:?}");
        }
        let (place, problems) = read("sqs://salla-sync");
        let prefix = "salla-sync".to_owned();
        assert_eq!(place, QueuePlace::Sqs { prefix });
        assert_eq!(problems.is_empty(), cfg!(feature = "aws"), "{problems:?}");
    }
}
