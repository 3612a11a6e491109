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
    pub(crate) has_rate_headers: bool,
}

impl LimiterResponse {
    /// Refused by what is in front of the limiter.
    pub(crate) const REFUSED_AT_EDGE: Self = Self {
        admitted: false,
        within: false,
        limit: 0,
        remaining: 0,
        reset_epoch: 0,
        retry_after: None,
        has_rate_headers: false,
    };
}

/// Refuses the requests of one burst, without rate headers.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// The first burst after this moment, with at least this many in flight.
    pub(crate) from: f64,
    pub(crate) in_flight: usize,
    pub(crate) refusals: u32,
}

impl Edge {
    pub(crate) fn refuses(&mut self, now: f64, in_flight: usize) -> bool {
        if now < self.from || in_flight < self.in_flight || self.refusals == 0 {
            return false;
        }
        self.in_flight = 0;
        self.refusals -= 1;
        true
    }
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
    /// From this moment of Salla's clock on the limit is another one: in the midst of a burst, when
    /// more than that is spent.
    pub(crate) lowered: Option<(f64, u32)>,
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
            lowered: None,
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
        if let Some((moment, limit)) = self.lowered {
            let spent = self.used / f64::from(limit);
            if epoch >= moment && (1.2..1.5).contains(&spent) {
                self.limit = limit;
            }
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
            has_rate_headers: true,
        }
    }
}
