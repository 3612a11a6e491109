//! Notifications about the ends of imports: in the app, and through channels outside.

use async_trait::async_trait;
use domain::connection_change::{ConnectionChangeJob, ConnectionChangeKind, Tags};
use domain::failure::Failure;
use domain::job::{NotificationJob, NotificationKind};
use domain::notification::Audience;
use domain::run::RunId;
use domain::shop::MerchantId;
use jiff::Timestamp;
use uuid::Uuid;

use super::runs::{RecordedFailure, ShopSummary, StoredProgress};

/// What a channel is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The same however often it is delivered, for receivers to recognise it.
    pub id: Uuid,
    pub kind: NotificationKind,
    pub shop: ShopSummary,
    pub run: RunId,
    pub ended_at: Timestamp,
    pub progress: StoredProgress,
    pub failure: Option<RecordedFailure>,
}

/// What recording a notification came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It is in the app, and these channels have not taken it yet.
    Notice(Box<Notice>),
    /// The run has ended otherwise since, or has resumed: there is nothing to send.
    Outdated,
    /// There is no such run of this merchant.
    Unknown,
}

/// What became of a shop's connection, for the app's backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionChange {
    /// The same however often it is delivered, for receivers to recognise it.
    pub id: Uuid,
    pub kind: ConnectionChangeKind,
    pub shop: ShopSummary,
    /// Why it is broken, as a failure code.
    pub reason: Option<String>,
    /// Whether the tokens are refreshed here; unknown where they are forgotten.
    pub is_owned: Option<bool>,
    pub tags: Tags,
    pub changed_at: Timestamp,
    /// The channels that have taken it.
    pub taken_by: Vec<String>,
}

/// Notifications in the database.
#[async_trait]
pub trait Notifications: Send + Sync {
    /// Writes the row that the app shows, once for each ending of a run however often it
    /// is called.
    async fn record(&self, job: &NotificationJob) -> Result<Recorded, Failure>;

    /// The channels that have taken a notification.
    async fn delivered(&self, notice: Uuid) -> Result<Vec<String>, Failure>;

    /// May be repeated.
    async fn mark_delivered(&self, notice: Uuid, channel: &str) -> Result<(), Failure>;

    /// Puts changes of connections that were noted on the queue, each once, and says how many
    /// there were. What is older than a week stays where it is.
    async fn send_connection_changes(&self) -> Result<u64, Failure>;

    /// A change to send, if there is one.
    async fn connection_change(
        &self,
        job: &ConnectionChangeJob,
    ) -> Result<Option<ConnectionChange>, Failure>;

    /// May be repeated.
    async fn mark_change_taken(&self, change: Uuid, channel: &str) -> Result<(), Failure>;
}

/// Which notifications to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct InboxFilter {
    pub merchant: Option<MerchantId>,
    pub only_unread: bool,
    /// Only what is older than this one.
    pub before: Option<Uuid>,
    pub limit: u32,
}

/// A notification as the app shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct InboxEntry {
    pub notice: Notice,
    /// When the merchant read it.
    pub read_at: Option<Timestamp>,
}

/// Merchants' notifications, for the app to show.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// The latest first.
    async fn list(&self, filter: &InboxFilter) -> Result<Vec<InboxEntry>, Failure>;

    /// Marks these as read. May be repeated: what was read before keeps its time. Where
    /// some do not exist, or are not of this merchant where one is given, these are returned and
    /// nothing is marked.
    async fn mark_read(
        &self,
        notices: &[Uuid],
        of: Option<MerchantId>,
    ) -> Result<Vec<Uuid>, Failure>;
}

/// A channel to people outside the app.
///
/// **Repeated:** a notice comes again when its confirmation was lost; receivers know it
/// by its id.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Names the channel in the database and in logs; never changes.
    fn name(&self) -> &'static str;

    fn audience(&self) -> Audience;

    /// Returns once the other side has confirmed. A failure that
    /// [passes](Failure::resumes_by_itself) is retried later; another one goes to the dead letters
    /// immediately, until the other side is fixed. Its text contains nothing secret and nothing
    /// personal.
    async fn deliver(&self, notice: &Notice) -> Result<(), Failure>;

    /// Whether it gets changes of connections as well.
    fn takes_connection_changes(&self) -> bool {
        false
    }

    /// As [`deliver`](Self::deliver), for a change of a connection.
    async fn deliver_connection_change(&self, _: &ConnectionChange) -> Result<(), Failure> {
        Ok(())
    }
}

/// Something that operators must know and that is no end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// A stable name, which the runbook explains.
    pub code: &'static str,
    pub summary: String,
    /// What to type.
    pub advice: String,
    pub merchant: Option<MerchantId>,
    pub run: Option<RunId>,
    pub at: Timestamp,
}

/// A channel to operators. An alert that cannot be delivered is in the log at least.
#[async_trait]
pub trait Alerts: Send + Sync {
    async fn raise(&self, alert: &Alert) -> Result<(), Failure>;
}
