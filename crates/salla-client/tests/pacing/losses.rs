//! Where the time of an import goes that the floor does not count: what each of the
//! limiter's minutes could have given and did not.

/// What the limiter saw of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: f64,
    pub(crate) within: bool,
    pub(crate) admitted: bool,
    pub(crate) remaining: u32,
}

/// One minute of the limiter's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Minute {
    pub(crate) began: f64,
    /// From the end of the minute before to the first request of this one.
    pub(crate) dead: f64,
    /// When the budget was spent, from the beginning on.
    pub(crate) burst: f64,
    /// Budget that was left at the end.
    pub(crate) unused: u32,
    pub(crate) overflow: u32,
    /// Seconds after exhaustion that could have held another request.
    pub(crate) seconds_unused: f64,
    /// Mean distance of the requests after exhaustion.
    pub(crate) spacing: f64,
}

/// Cuts the arrivals into minutes, each of which begins with the first of its requests.
pub(crate) fn minutes(arrivals: &[Arrival]) -> Vec<Minute> {
    let mut minutes: Vec<Minute> = Vec::new();
    let mut rest = arrivals;
    while let Some(first) = rest.first() {
        let end = first.at + 60.0;
        let (these, later) = rest.split_at(rest.partition_point(|a| a.at < end));
        let before = minutes.last().map_or(first.at, |m| m.began + 60.0);
        let is_last = later.is_empty();
        minutes.push(minute(these, first.at - before, is_last));
        rest = later;
    }
    minutes
}

fn minute(arrivals: &[Arrival], dead: f64, is_last: bool) -> Minute {
    let began = arrivals[0].at;
    let (within, after): (Vec<Arrival>, Vec<Arrival>) = arrivals
        .iter()
        .filter(|a| a.admitted)
        .partition(|a| a.within);
    let last_within = within[within.len() - 1];
    let burst = last_within.at - began;
    let end = match is_last {
        true => arrivals[arrivals.len() - 1].at - began,
        false => 60.0,
    };
    let span = after.last().map_or(0.0, |last| last.at - last_within.at);
    Minute {
        began,
        dead,
        burst,
        unused: if is_last { 0 } else { last_within.remaining },
        overflow: after.len() as u32,
        seconds_unused: (end - burst).floor() - after.len() as f64,
        spacing: span / after.len().max(1) as f64,
    }
}
