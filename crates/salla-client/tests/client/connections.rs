//! Tokens in memory, with the promises of the port.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::failure::{Disconnection, Failure};
use domain::shop::MerchantId;
use importer::ports::connections::{
    BeginRefresh, Connection, ConnectionId, ConnectionState, Connections, RefreshIntent, Tokens,
};
use jiff::Timestamp;
use secrecy::SecretString;
use uuid::Uuid;

pub(crate) const ID: ConnectionId = ConnectionId(Uuid::nil());

#[derive(Debug)]
pub(crate) struct MemoryConnections {
    row: Mutex<Connection>,
    /// So many of the next attempts to store a pair fail.
    pub(crate) outages: Mutex<u32>,
    /// What somebody brings just before the connection is given up.
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
                tokens,
                version: 1,
                state: ConnectionState::Active,
            }),
            outages: Mutex::new(0),
            brought_late: Mutex::new(None),
        })
    }

    pub(crate) fn row(&self) -> Connection {
        self.row.lock().unwrap().clone()
    }

    pub(crate) fn set_state(&self, state: ConnectionState) {
        self.row.lock().unwrap().state = state;
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

    async fn bind(&self, _: ConnectionId, _: MerchantId) -> Result<(), Failure> {
        Ok(())
    }

    async fn load(&self, _: ConnectionId) -> Result<Connection, Failure> {
        Ok(self.row())
    }

    async fn of_merchant(&self, _: MerchantId) -> Result<Option<Connection>, Failure> {
        Ok(Some(self.row()))
    }

    async fn begin_refresh(
        &self,
        _: ConnectionId,
        version: i64,
        now: Timestamp,
    ) -> Result<BeginRefresh, Failure> {
        let mut row = self.row.lock().unwrap();
        if row.version > version {
            return Ok(BeginRefresh::Superseded(Box::new(row.clone())));
        }
        if let ConnectionState::Refreshing { since } = row.state {
            return Ok(BeginRefresh::InFlight { since });
        }
        row.state = ConnectionState::Refreshing { since: now };
        let connection = row.id;
        Ok(BeginRefresh::Granted(RefreshIntent {
            connection,
            version,
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
                what: "away".to_owned(),
            });
        }
        let mut row = self.row.lock().unwrap();
        if row.version == intent.version {
            row.tokens = tokens.clone();
            row.version += 1;
            row.state = ConnectionState::Active;
        }
        Ok(row.clone())
    }

    async fn abandon_refresh(&self, intent: &RefreshIntent) -> Result<(), Failure> {
        let mut row = self.row.lock().unwrap();
        if row.version == intent.version {
            row.state = ConnectionState::Active;
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
