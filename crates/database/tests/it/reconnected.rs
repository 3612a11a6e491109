//! Runs that failed because their shop was disconnected, once it is connected again.

use database::Keyring;
use database::testing::TestDatabase;
use domain::failure::Disconnection;
use domain::run::{RunId, RunState};
use domain::shop::MerchantId;
use domain::window::DayRange;
use importer::ports::clock::{Clock as _, SystemClock};
use importer::ports::connections::Connections;
use importer::ports::jobs::Jobs;
use importer::ports::runs::{Run, Runs};

use crate::connections::tokens;
use crate::shop::{claim, options, shop_info};

struct Office {
    db: TestDatabase,
    merchant: MerchantId,
}

impl Office {
    async fn open() -> Self {
        let db = TestDatabase::create().await;
        let runs = db.database().runs();
        let merchant = runs.ensure_merchant(&shop_info(1)).await.unwrap();
        Self { db, merchant }
    }

    async fn connect(&self, access: &str) {
        let (keyring, _) = Keyring::generate().unwrap();
        let connections = self.db.database().connections(keyring);
        let connection = connections.open(&tokens(access, None)).await.unwrap();
        connections
            .bind(connection.id, self.merchant, None)
            .await
            .unwrap();
    }

    /// Days up to today.
    fn range() -> DayRange {
        let today = domain::instant::riyadh_date(SystemClock::real().now());
        DayRange::last_months(today, options().months)
    }

    async fn start(&self) -> RunId {
        let jobs = self.db.database().jobs();
        let run = jobs.start(self.merchant, &options(), Self::range()).await;
        run.unwrap().run.id
    }

    /// A worker has the run while `meanwhile` happens, and then finds the shop disconnected.
    async fn fail(&self, run: RunId, meanwhile: impl Future<Output = ()>) {
        let runs = self.db.database().runs();
        let lease = claim(&runs, run, "worker").await;
        meanwhile.await;
        let lost = Disconnection::RefreshLost.into();
        runs.fail(lease, &lost, None).await.unwrap();
        // The message that brought the run is done with.
        sqlx::query("DELETE FROM salla_sync.queue_messages")
            .execute(self.db.pool())
            .await
            .unwrap();
    }

    async fn sent_again(&self) -> Vec<RunId> {
        self.db
            .database()
            .jobs()
            .restart_reconnected()
            .await
            .unwrap()
    }

    async fn run(&self, run: RunId) -> Run {
        self.db.database().jobs().find(run).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_shop_that_is_connected_again_has_its_failed_run_sent_once() {
    let office = Office::open().await;
    office.connect("first").await;
    let run = office.start().await;
    office.fail(run, async {}).await;
    assert_eq!(office.sent_again().await, [], "it is the same connection");
    office.connect("second").await;
    assert_eq!(office.sent_again().await, [run]);
    assert_eq!(office.run(run).await.state, RunState::Pending);
    office.fail(run, async {}).await;
    assert_eq!(
        office.sent_again().await,
        [],
        "this one does not serve either"
    );
}

/// A worker keeps the connection with which it started the run.
#[tokio::test]
async fn a_shop_that_is_connected_while_its_run_still_works_has_it_sent_again() {
    let office = Office::open().await;
    office.connect("first").await;
    let run = office.start().await;
    office.fail(run, office.connect("second")).await;
    assert_eq!(office.sent_again().await, [run]);
}

/// Its days would end where they ended then.
#[tokio::test]
async fn a_run_that_failed_long_ago_makes_place_for_one_up_to_today() {
    let office = Office::open().await;
    office.connect("first").await;
    let old = office.start().await;
    office.fail(old, async {}).await;
    sqlx::query(
        "UPDATE salla_sync.sync_runs SET range_from = range_from - 40, range_to = range_to - 40",
    )
    .execute(office.db.pool())
    .await
    .unwrap();
    office.connect("second").await;
    let sent = office.sent_again().await;
    assert_eq!(sent.len(), 1);
    assert_ne!(sent[0], old);
    assert_eq!(office.run(sent[0]).await.range, Office::range());
    assert_eq!(office.sent_again().await, [], "the old one is superseded");
}
