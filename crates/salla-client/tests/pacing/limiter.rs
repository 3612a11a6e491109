//! What Salla's one paragraph about its limits can mean, as plain counters.

/// What the limiter says to one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimiterResponse {
    pub(crate) admitted: bool,
    /// Admitted within the budget, not by the second after exhaustion.
    pub(crate) within: bool,
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// As sent: cut to seconds.
    pub(crate) reset_epoch: i64,
    pub(crate) retry_after: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Algorithm {
    /// N requests from the first one on until the window ends.
    FromFirst,
    /// N requests in each minute of the clock.
    Aligned,
    /// A bucket of N that drains N a window.
    Leaky,
}

#[derive(Clone, Debug)]
pub(crate) struct Limiter {
    pub(crate) algorithm: Algorithm,
    pub(crate) limit: u32,
    pub(crate) window: f64,
    /// One request a second after exhaustion.
    pub(crate) overflow: bool,
    pub(crate) retry_after: bool,
    started: f64,
    used: f64,
    last_overflow: f64,
}

impl Limiter {
    pub(crate) fn new(algorithm: Algorithm, limit: u32, window: f64) -> Self {
        Self {
            algorithm,
            limit,
            window,
            overflow: true,
            retry_after: true,
            started: f64::NEG_INFINITY,
            used: 0.0,
            last_overflow: f64::NEG_INFINITY,
        }
    }

    pub(crate) fn arrive(&mut self, epoch: f64) -> LimiterResponse {
        match self.algorithm {
            Algorithm::Leaky => self.arrive_in_bucket(epoch),
            Algorithm::FromFirst | Algorithm::Aligned => self.arrive_in_window(epoch),
        }
    }

    fn arrive_in_window(&mut self, epoch: f64) -> LimiterResponse {
        if epoch >= self.started + self.window {
            self.started = match self.algorithm {
                Algorithm::Aligned => (epoch / self.window).floor() * self.window,
                _ => epoch,
            };
            self.used = 0.0;
        }
        let within = self.used < f64::from(self.limit);
        let admitted = within || (self.overflow && epoch - self.last_overflow >= 1.0);
        if within {
            self.used += 1.0;
        }
        if admitted {
            // The strictest reading: a second after whatever was admitted last.
            self.last_overflow = epoch;
        }
        self.response(
            admitted,
            within,
            f64::from(self.limit) - self.used,
            self.started + self.window,
            epoch,
        )
    }

    fn arrive_in_bucket(&mut self, epoch: f64) -> LimiterResponse {
        let rate = f64::from(self.limit) / self.window;
        let idle = (epoch - self.started).max(0.0);
        self.used = (self.used - idle * rate).max(0.0);
        self.started = epoch;
        let admitted = self.used + 1.0 <= f64::from(self.limit);
        if admitted {
            self.used += 1.0;
        }
        let full_again = epoch + self.used / rate;
        self.response(
            admitted,
            admitted,
            f64::from(self.limit) - self.used,
            full_again,
            epoch,
        )
    }

    fn response(
        &self,
        admitted: bool,
        within: bool,
        remaining: f64,
        reset: f64,
        epoch: f64,
    ) -> LimiterResponse {
        LimiterResponse {
            admitted,
            within,
            limit: self.limit,
            remaining: remaining.max(0.0) as u32,
            reset_epoch: reset.floor() as i64,
            retry_after: (!admitted && self.retry_after).then(|| (reset - epoch).ceil()),
        }
    }
}
