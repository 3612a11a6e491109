//! What is wrong with a record, and where. A defect knows its place only relative
//! to the value that was being read; each level above adds its own step, so a good
//! record pays nothing for paths.

use domain::rejection::{Rejection, RejectionCode};

#[derive(Debug)]
pub(super) struct Defect {
    code: RejectionCode,
    /// Without the leading `$`.
    path: String,
    /// Fixed texts, so that no value of a record can get into a message.
    message: &'static str,
}

impl Defect {
    pub(super) fn new(code: RejectionCode, message: &'static str) -> Self {
        Self {
            code,
            path: String::new(),
            message,
        }
    }

    pub(super) fn at(mut self, member: &str) -> Self {
        self.path.insert_str(0, member);
        self.path.insert(0, '.');
        self
    }

    pub(super) fn at_index(mut self, index: usize) -> Self {
        self.path.insert_str(0, &format!("[{index}]"));
        self
    }

    pub(super) fn reject(self, salla_id: Option<i64>) -> Rejection {
        Rejection {
            code: self.code,
            path: format!("${}", self.path),
            message: self.message.to_owned(),
            salla_id,
        }
    }
}

/// Names the member in which a defect lies.
pub(super) trait At {
    fn at(self, member: &str) -> Self;
    fn at_index(self, index: usize) -> Self;
}

impl<T> At for Result<T, Defect> {
    fn at(self, member: &str) -> Self {
        self.map_err(|defect| defect.at(member))
    }

    fn at_index(self, index: usize) -> Self {
        self.map_err(|defect| defect.at_index(index))
    }
}
