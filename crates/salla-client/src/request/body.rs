//! Reading an answer, within what it may take of the memory that all shops share.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use importer::memory::{Growth, Load, Memory, Room, Size};

use super::trouble::Trouble;
use crate::pacing::Class;

/// No error that Salla writes comes near this, and what another host writes in its place is
/// told from its beginning.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Where an answer is read to.
pub(super) struct Reader<'a> {
    pub(super) memory: &'a Memory,
    pub(super) room: &'a mut Room,
    pub(super) size: Size,
}

impl Reader<'_> {
    pub(super) async fn read(mut self, mut response: reqwest::Response) -> Result<Bytes, Trouble> {
        let is_error = !response.status().is_success();
        let announced = response.content_length().unwrap_or(0);
        // A page's usual size, so that it is not moved while it grows.
        let expected = usize::try_from(announced).unwrap_or(0).min(1 << 20);
        let mut body = BytesMut::with_capacity(expected);
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|_| Trouble::passing("the answer was cut off"))?
        {
            let length = body.len() + chunk.len();
            if is_error && length > MAX_ERROR_BYTES {
                body.extend_from_slice(&chunk[..MAX_ERROR_BYTES - body.len()]);
                break;
            }
            self.take(Load::of_bytes(length))?;
            body.extend_from_slice(&chunk);
        }
        self.take(Load::of(&body))?;
        self.room.shrink(self.size);
        Ok(body.freeze())
    }

    fn take(&mut self, answer: Load) -> Result<(), Trouble> {
        match self.room.grow(self.memory, self.size, answer) {
            Growth::Fits => Ok(()),
            Growth::Outgrown => Err(Trouble::Outgrown),
            Growth::TooLarge => Err(Trouble::TooLarge(self.size.max_bytes())),
        }
    }
}

/// How long the answers of each kind were of late, so that as much room is taken for the next.
#[derive(Debug, Default)]
pub struct UsualSizes([AtomicUsize; Class::COUNT]);

impl UsualSizes {
    pub(super) fn of(&self, class: Class) -> usize {
        self.place(class).load(Ordering::Relaxed)
    }

    /// One long answer among many short ones is soon forgotten.
    pub(super) fn note(&self, class: Class, bytes: usize) {
        let place = self.place(class);
        let before = place.load(Ordering::Relaxed);
        place.store(bytes.max(before - before / 8), Ordering::Relaxed);
    }

    fn place(&self, class: Class) -> &AtomicUsize {
        &self.0[class.index()]
    }
}
