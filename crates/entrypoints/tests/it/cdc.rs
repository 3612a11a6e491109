//! A reader that follows PostgreSQL's log during an import arrives at the same rows.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use database::CdcOptions;
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use crate::process::{present_day, program, run};
use crate::service::completed;
use crate::truth::small;

const SLOT: &str = "follower";

/// Texts of columns; `None` is null.
type Values = Vec<Option<String>>;

/// A table as the log describes it, and its rows by their keys.
struct Followed {
    name: String,
    columns: Vec<String>,
    keys: Vec<usize>,
    rows: BTreeMap<Values, Values>,
}

/// Reads the messages of pgoutput, version 1.
#[derive(Default)]
struct Follower {
    tables: HashMap<u32, Followed>,
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, left) = self.0.split_at(count);
        self.0 = left;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn u16(&mut self) -> usize {
        usize::from(u16::from_be_bytes(self.take(2).try_into().unwrap()))
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap();
        let text = String::from_utf8(self.take(end).to_vec()).unwrap();
        self.take(1);
        text
    }

    /// `Err` stands for a long value that has not changed, which the log leaves out.
    fn row(&mut self) -> Vec<Result<Option<String>, ()>> {
        let columns = self.u16();
        let mut value = |_| match self.byte() {
            b'n' => Ok(None),
            b'u' => Err(()),
            b't' => {
                let length = self.u32() as usize;
                Ok(Some(String::from_utf8(self.take(length).to_vec()).unwrap()))
            }
            other => panic!("a value of kind {other}"),
        };
        (0..columns).map(&mut value).collect()
    }
}

impl Followed {
    fn key(&self, row: &[Result<Option<String>, ()>]) -> Values {
        let value = |at: &usize| row[*at].clone().expect("a key is never left out");
        self.keys.iter().map(value).collect()
    }

    fn put(&mut self, row: Vec<Result<Option<String>, ()>>) {
        let key = self.key(&row);
        let former = self.rows.get(&key).cloned();
        let values = row.into_iter().enumerate().map(|(at, value)| {
            value.unwrap_or_else(|()| former.as_ref().expect("it is known")[at].clone())
        });
        let values = values.collect();
        self.rows.insert(key, values);
    }
}

impl Follower {
    fn apply(&mut self, message: &[u8]) {
        let mut bytes = Bytes(message);
        match bytes.byte() {
            b'R' => {
                let id = bytes.u32();
                let (schema, name) = (bytes.text(), bytes.text());
                assert_eq!(schema, "salla", "{name}");
                bytes.byte();
                let (mut columns, mut keys) = (Vec::new(), Vec::new());
                for at in 0..bytes.u16() {
                    if bytes.byte() & 1 == 1 {
                        keys.push(at);
                    }
                    columns.push(bytes.text());
                    bytes.take(8);
                }
                self.tables.entry(id).or_insert_with(|| Followed {
                    name,
                    columns,
                    keys,
                    rows: BTreeMap::new(),
                });
            }
            b'I' => {
                let table = self.tables.get_mut(&bytes.u32()).unwrap();
                assert_eq!(bytes.byte(), b'N');
                table.put(bytes.row());
            }
            b'U' => {
                let table = self.tables.get_mut(&bytes.u32()).unwrap();
                let mut kind = bytes.byte();
                if kind != b'N' {
                    let former = bytes.row();
                    table.rows.remove(&table.key(&former));
                    kind = bytes.byte();
                }
                assert_eq!(kind, b'N');
                table.put(bytes.row());
            }
            b'D' => {
                let table = self.tables.get_mut(&bytes.u32()).unwrap();
                bytes.byte();
                let former = bytes.row();
                table.rows.remove(&table.key(&former));
            }
            b'B' | b'C' | b'O' | b'Y' => {}
            other => panic!("a message of kind {}", char::from(other)),
        }
    }

    /// Reads what there is and confirms it.
    async fn follow(&mut self, pool: &PgPool) -> usize {
        let read = "SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,
            'proto_version', '1', 'publication_names', 'salla_sync')";
        let read = sqlx::query_scalar(read).bind(SLOT);
        let messages: Vec<Vec<u8>> = read.fetch_all(pool).await.unwrap();
        messages.iter().for_each(|message| self.apply(message));
        messages.len()
    }

    /// How many rows it has; all as they are in the database.
    async fn compare(&self, pool: &PgPool) -> usize {
        let mut all = 0;
        for table in self.tables.values() {
            let texts: Vec<String> = table
                .columns
                .iter()
                // As the log has it: a cast writes true for what is t there.
                .map(|column| {
                    format!(
                        "CASE WHEN \"{column}\" IS NOT NULL THEN format('%s', \"{column}\") END"
                    )
                })
                .collect();
            let select = format!("SELECT {} FROM salla.\"{}\"", texts.join(", "), table.name);
            let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(pool).await;
            let mut expected: Vec<Values> = rows
                .unwrap()
                .iter()
                .map(|row| (0..texts.len()).map(|at| row.get(at)).collect())
                .collect();
            let mut followed: Vec<Values> = table.rows.values().cloned().collect();
            expected.sort();
            followed.sort();
            all += followed.len();
            let differs = followed
                .iter()
                .zip(&expected)
                .find(|(one, other)| one != other);
            assert!(
                followed == expected,
                "{}: {} rows for {}, such as {differs:?}",
                table.name,
                followed.len(),
                expected.len()
            );
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_the_log_arrives_at_the_same_rows() {
    let service = present_day(small(300)).await;
    let pool = service.database.pool();
    let options = CdcOptions {
        slot: Some(SLOT.to_owned()),
        full_rows: false,
    };
    // Twice is the same.
    service.open.database.enable_cdc(&options).await.unwrap();
    service.open.database.enable_cdc(&options).await.unwrap();
    let mut follower = Follower::default();
    let is_over = AtomicBool::new(false);
    let importing = async {
        let (_, outcome) = service.import().await;
        is_over.store(true, Ordering::SeqCst);
        completed(outcome);
    };
    // What was read is confirmed, so no reading may be cut off.
    let following = async {
        while !is_over.load(Ordering::SeqCst) {
            follower.follow(pool).await;
        }
    };
    tokio::join!(importing, following);
    // What is changed and deleted afterwards arrives too.
    for change in [
        "UPDATE salla.customers SET first_name = 'علي' WHERE id % 3 = 0",
        "DELETE FROM salla.customers WHERE id % 7 = 0",
    ] {
        let mut tx = pool.begin().await.unwrap();
        // The log is read as far as it is on disk.
        for statement in ["SET LOCAL synchronous_commit = on", change] {
            let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx);
            done.await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    while follower.follow(pool).await > 0 {}
    assert!(follower.compare(pool).await > 500);
    let names: Vec<&str> = follower
        .tables
        .values()
        .map(|table| table.name.as_str())
        .collect();
    assert!(
        names.contains(&"orders") && names.contains(&"order_items"),
        "{names:?}"
    );

    let status = service.open.database.cdc_status().await.unwrap();
    assert!(status.unpublished.is_empty() && status.published.len() >= names.len());
    assert_eq!(
        (status.slots[0].name.as_str(), status.slots.len()),
        (SLOT, 1)
    );
    let disabled = service.open.database.disable_cdc(Some(SLOT)).await;
    assert_eq!(disabled.unwrap(), (true, true));
    let disabled = service.open.database.disable_cdc(Some(SLOT)).await;
    assert_eq!(disabled.unwrap(), (false, false));
    let status = service.open.database.cdc_status().await.unwrap();
    assert!(status.published.is_empty() && status.slots.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_say_how_it_stands_and_which_right_is_missing() {
    let service = present_day(small(10)).await;
    let said = async |arguments: &[&str]| {
        let output = run(program(&service, arguments)).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let (is_done, text) = said(&["cdc", "status"]).await;
    assert!(is_done && text.contains("Nothing is published"), "{text}");
    let (is_done, text) = said(&["cdc", "enable", "--full-rows"]).await;
    assert!(
        is_done && text.contains("tables of the schema salla"),
        "{text}"
    );
    let (is_done, text) = said(&["cdc", "status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(is_done && status["full_rows"] == true, "{text}");
    assert!(!status["published"].to_string().contains("raw"), "{text}");
    let (is_done, text) = said(&["cdc", "disable", "--slot", "follower"]).await;
    assert!(is_done && text.contains("no slot follower"), "{text}");
    let (is_done, text) = said(&["cdc", "enable", "--slot", "Follower"]).await;
    assert!(!is_done && text.contains("lowercase letters"), "{text}");
}
