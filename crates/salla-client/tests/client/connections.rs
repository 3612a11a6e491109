//! Tokens in memory, with the promises of the port.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::connection_change::Tags;
use domain::failure::{DatabaseCause, Disconnection, Failure};
use domain::shop::MerchantId;
use importer::ports::connections::{
    BETWEEN_EARLY_REFRESHES, BeginRefresh, Bound, Connection, ConnectionId, ConnectionState,
    Connections, MAX_PRESENTATIONS, Presentation, Presented, RefreshIntent, Tokens,
};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use uuid::Uuid;

pub(crate) const ID: ConnectionId = ConnectionId(Uuid::nil());

#[derive(Debug)]
pub(crate) struct MemoryConnections {
    row: Mutex<Connection>,
    tried_at: Mutex<Option<Timestamp>>,
    /// How often the row was read.
    pub(crate) loads: AtomicUsize,
    /// Number of the next attempts to store a pair that fail.
    pub(crate) outages: Mutex<u32>,
    /// Whether the connection was deleted, as with its shop.
    pub(crate) is_gone: AtomicBool,
    /// Tokens that arrive just before the connection is disconnected.
    pub(crate) brought_late: Mutex<Option<Tokens>>,
}

pub(crate) fn tokens(access: &str, refresh: Option<&str>) -> Tokens {
    Tokens {
        access: SecretString::from(access),
        refresh: refresh.map(SecretString::from),
        expires_at: None,
        scope: None,
    }
}

impl MemoryConnections {
    pub(crate) fn holding(tokens: Tokens) -> Arc<Self> {
        Arc::new(Self {
            row: Mutex::new(Connection {
                id: ID,
                merchant: None,
                salla_id: None,
                tokens,
                version: 1,
                state: ConnectionState::Active,
            }),
            tried_at: Mutex::default(),
            loads: AtomicUsize::new(0),
            outages: Mutex::new(0),
            is_gone: AtomicBool::new(false),
            brought_late: Mutex::new(None),
        })
    }

    pub(crate) fn row(&self) -> Connection {
        self.row.lock().unwrap().clone()
    }

    /// As a database does that lacks the last commits.
    pub(crate) fn go_back_to(&self, former: Connection) {
        *self.row.lock().unwrap() = former;
    }

    pub(crate) fn set_state(&self, state: ConnectionState) {
        self.row.lock().unwrap().state = state;
    }

    fn there(&self) -> Result<Connection, Failure> {
        match self.is_gone.load(Ordering::SeqCst) {
            true => Err(Disconnection::NotConnected.into()),
            false => Ok(self.row()),
        }
    }

    /// As `app.store.authorize` does.
    pub(crate) fn replace(&self, tokens: Tokens) {
        let mut row = self.row.lock().unwrap();
        row.tokens = tokens;
        row.version += 1;
        row.state = ConnectionState::Active;
    }
}

#[async_trait]
impl Connections for MemoryConnections {
    async fn open(&self, _: &Tokens) -> Result<Connection, Failure> {
        Ok(self.row())
    }

    async fn tag(&self, _: ConnectionId, _: Option<i64>, _: &Tags) -> Result<(), Failure> {
        Ok(())
    }

    async fn bind(
        &self,
        _: ConnectionId,
        _: MerchantId,
        _: Option<Timestamp>,
    ) -> Result<Bound, Failure> {
        Ok(Bound::Current)
    }

    async fn load(&self, _: ConnectionId) -> Result<Connection, Failure> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.there()
    }

    async fn of_merchant(&self, _: MerchantId) -> Result<Option<Connection>, Failure> {
        Ok(Some(self.row()))
    }

    async fn begin_refresh(
        &self,
        _: ConnectionId,
        version: i64,
        now: Timestamp,
        presentation: Presentation,
    ) -> Result<BeginRefresh, Failure> {
        let mut row = self.row.lock().unwrap();
        if row.version > version {
            return Ok(BeginRefresh::Superseded(Box::new(row.clone())));
        }
        if row.version < version {
            return Ok(BeginRefresh::Behind {
                stored: row.version,
            });
        }
        let times = match (row.state, presentation) {
            (ConnectionState::Disconnected { why }, _) => return Err(why.into()),
            (ConnectionState::Refreshing(presented), Presentation::Last { seen })
                if seen == Some(presented) && presented.times < MAX_PRESENTATIONS =>
            {
                MAX_PRESENTATIONS
            }
            (ConnectionState::Refreshing(presented), _) => {
                return Ok(BeginRefresh::InFlight(presented));
            }
            (ConnectionState::Active, Presentation::Last { seen: None }) => MAX_PRESENTATIONS,
            (ConnectionState::Active, _) => 1,
        };
        let tried_at = self.tried_at.lock().unwrap().replace(now);
        let between = SignedDuration::try_from(BETWEEN_EARLY_REFRESHES).unwrap();
        if presentation == Presentation::Early
            && tried_at.is_some_and(|at| now.duration_since(at) < between)
        {
            *self.tried_at.lock().unwrap() = tried_at;
            return Ok(BeginRefresh::TooSoon);
        }
        row.state = ConnectionState::Refreshing(Presented {
            since: now,
            times,
            is_lost: false,
        });
        Ok(BeginRefresh::Granted(RefreshIntent {
            id: Uuid::nil(),
            connection: row.id,
            version,
            times,
        }))
    }

    async fn complete_refresh(
        &self,
        intent: &RefreshIntent,
        tokens: &Tokens,
    ) -> Result<Connection, Failure> {
        let mut outages = self.outages.lock().unwrap();
        if *outages > 0 {
            *outages -= 1;
            return Err(Failure::Database {
                message: "away".to_owned(),
                cause: DatabaseCause::Unavailable,
            });
        }
        self.there()?;
        let mut row = self.row.lock().unwrap();
        if row.version <= intent.version {
            row.tokens = tokens.clone();
            row.version = intent.version + 1;
            row.state = ConnectionState::Active;
        }
        Ok(row.clone())
    }

    async fn restore(&self, known: &Connection, stored: i64) -> Result<Connection, Failure> {
        let mut row = self.row.lock().unwrap();
        if row.version <= stored {
            *row = Connection {
                state: ConnectionState::Active,
                ..known.clone()
            };
        }
        Ok(row.clone())
    }

    async fn abandon_refresh(&self, intent: &RefreshIntent) -> Result<(), Failure> {
        let mut row = self.row.lock().unwrap();
        if row.version != intent.version {
            return Ok(());
        }
        row.state = match row.state {
            ConnectionState::Refreshing(presented) if presented.times > 1 => {
                ConnectionState::Refreshing(Presented {
                    times: presented.times - 1,
                    is_lost: true,
                    ..presented
                })
            }
            _ => ConnectionState::Active,
        };
        Ok(())
    }

    async fn lose_refresh(&self, intent: &RefreshIntent) -> Result<(), Failure> {
        let mut row = self.row.lock().unwrap();
        let is_same = row.version == intent.version;
        if let (true, ConnectionState::Refreshing(presented)) = (is_same, &mut row.state) {
            presented.is_lost = true;
        }
        Ok(())
    }

    async fn disconnect(
        &self,
        _: ConnectionId,
        version: i64,
        why: Disconnection,
    ) -> Result<(), Failure> {
        if let Some(tokens) = self.brought_late.lock().unwrap().take() {
            self.replace(tokens);
        }
        let mut row = self.row.lock().unwrap();
        if row.version == version {
            row.state = ConnectionState::Disconnected { why };
        }
        Ok(())
    }
}
