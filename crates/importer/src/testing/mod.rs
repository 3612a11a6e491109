//! What adapters' tests share: contract suites of ports, and a clock to drive.

pub mod budgets;
pub mod clock;
pub mod inbox;
pub mod notifier;
pub mod queue;
