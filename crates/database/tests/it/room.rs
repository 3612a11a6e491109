//! A pool is no larger than the server has connections left.

use std::sync::Arc;
use std::time::Duration;

use database::testing::TestDatabase;
use database::{ConnectSettings, Database};
use importer::ports::clock::{Clock, SystemClock};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

const PASSWORD: &str = "opens-nothing-but-a-test";

/// A role of this test alone, which may have `connections` of them.
struct Limited {
    database: TestDatabase,
    role: String,
}

impl Limited {
    async fn to(connections: u32) -> Self {
        let database = TestDatabase::create().await;
        let role = format!("limited_{}", uuid::Uuid::now_v7().simple());
        let limited = Self { database, role };
        let role = &limited.role;
        limited
            .tell(format!(
                "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT {connections}"
            ))
            .await;
        limited
    }

    async fn tell(&self, sql: String) {
        self.database
            .pool()
            .execute(AssertSqlSafe(sql))
            .await
            .unwrap();
    }

    fn url(&self) -> String {
        let mut url = url::Url::parse(&self.database.url()).unwrap();
        url.set_username(&self.role).unwrap();
        url.set_password(Some(PASSWORD)).unwrap();
        url.into()
    }

    /// How large a pool becomes that wants six connections.
    async fn most_of_a_pool(&self) -> u32 {
        self.most_of_a_patient_pool(Duration::ZERO, Arc::new(SystemClock::real()))
            .await
    }

    async fn most_of_a_patient_pool(&self, waits: Duration, clock: Arc<dyn Clock>) -> u32 {
        let settings = ConnectSettings {
            max_connections: 6,
            timeout: Duration::from_secs(20),
            waits_for_room: waits,
            ..ConnectSettings::new(SecretString::from(self.url()))
        };
        let database = Database::connect(settings, clock).await.unwrap();
        let most = database.pool().options().get_max_connections();
        // All of them are really there.
        let mut held = Vec::new();
        for _ in 0..most {
            held.push(database.pool().acquire().await.unwrap());
        }
        drop(held);
        database.close().await;
        most
    }

    async fn end(self) {
        self.tell(format!("DROP ROLE {}", self.role)).await;
    }
}

#[tokio::test]
async fn a_pool_takes_what_is_left_for_its_role() {
    let limited = Limited::to(4).await;
    assert_eq!(limited.most_of_a_pool().await, 4);
    let other = PgConnection::connect(&limited.url()).await.unwrap();
    assert_eq!(limited.most_of_a_pool().await, 3, "another program has one");
    other.close().await.unwrap();
    limited.end().await;
}

/// A waiting pool gets the connections of another program that ends.
#[derive(Debug)]
struct OtherGoes {
    other: tokio::sync::Mutex<Option<PgConnection>>,
    clock: SystemClock,
}

#[async_trait::async_trait]
impl Clock for OtherGoes {
    fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        if let Some(other) = self.other.lock().await.take() {
            other.close().await.unwrap();
        }
        self.clock.sleep(duration).await;
    }
}

#[tokio::test]
async fn a_pool_that_waits_takes_what_others_give_up() {
    let limited = Limited::to(6).await;
    let other = PgConnection::connect(&limited.url()).await.unwrap();
    let clock = OtherGoes {
        other: Some(other).into(),
        clock: SystemClock::real(),
    };
    let most = limited
        .most_of_a_patient_pool(Duration::from_secs(20), Arc::new(clock))
        .await;
    assert_eq!(most, 6);
    limited.end().await;
}

#[tokio::test]
async fn a_pool_takes_what_is_left_of_its_database() {
    let limited = Limited::to(20).await;
    let name = limited.database.pool().connect_options();
    let name = name.get_database().unwrap();
    limited
        .tell(format!("ALTER DATABASE {name} CONNECTION LIMIT 12"))
        .await;
    assert_eq!(limited.most_of_a_pool().await, 6, "there is room enough");
    let ours = limited.database.pool().size();
    limited
        .tell(format!(
            "ALTER DATABASE {name} CONNECTION LIMIT {}",
            ours + 3
        ))
        .await;
    assert_eq!(limited.most_of_a_pool().await, 3);
    limited.end().await;
}
