//! Pages that planning has read and that a scan begins with, so that they are read once.

use std::sync::{Arc, Mutex, PoisonError};

use domain::failure::Failure;

use crate::memory::{self, Memory, Room};
use crate::portions::beginning;
use crate::ports::platform::{Page, PageRequest, Platform};

/// What planning has read, for the scans that follow.
#[derive(Clone, Debug, Default)]
pub struct PlannedPages {
    pages: Arc<Mutex<Vec<(PageRequest, Page, Room)>>>,
    /// Nothing is kept where there is none.
    memory: Option<Memory>,
}

impl PlannedPages {
    /// For an import, which reads the lists as soon as they are planned.
    pub fn within(memory: Memory) -> Self {
        Self {
            memory: Some(memory),
            ..Self::default()
        }
    }

    /// Requests a page, keeps it if there is room for it, and returns what is wanted of it now.
    pub(crate) async fn read<T>(
        &self,
        platform: &dyn Platform,
        request: PageRequest,
        summary: impl FnOnce(&Page) -> T,
    ) -> Result<T, Failure> {
        let (page, room) = match memory::fetching(platform.list_page(&request)).await {
            // What can be had of it is no page that a scan asks for.
            (Err(Failure::TooLarge { .. }), _) => {
                let (page, _room) = beginning(platform, request).await?;
                return Ok(summary(&page));
            }
            (page, room) => (page?, room),
        };
        let summary = summary(&page);
        // Planning waits for more requests, and so would all who wait for its room.
        if self.memory.as_ref().is_some_and(Memory::has_plenty) {
            self.locked().push((request, page, room));
        }
        Ok(summary)
    }

    /// The page if it was kept, once.
    pub(crate) fn take(&self, request: &PageRequest) -> Option<(Page, Room)> {
        let mut pages = self.locked();
        let place = pages.iter().position(|(kept, ..)| kept == request)?;
        let (_, page, room) = pages.swap_remove(place);
        Some((page, room))
    }

    /// Drops a page that no scan will ask for.
    pub(crate) fn forget(&self, request: &PageRequest) {
        drop(self.take(request));
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<(PageRequest, Page, Room)>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
