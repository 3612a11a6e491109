//! A client with endless work, a network and a limiter, run event by event.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use salla_client::admission::AdaptiveLimit;
use salla_client::pacing::{
    LatencyClass, Pacer, PacerSettings, PermitDecision, PermitId, RateHeaders, ResponseOutcome,
};

use crate::limiter::{Edge, Limiter, LimiterResponse};
use crate::losses::Arrival;
use crate::workload::{Import, Work};

/// Seconds: the shortest, and up to how much more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jitter(pub(crate) f64, pub(crate) f64);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) up: Jitter,
    /// Mean of what else a request is held up on its way there, mostly little and now and
    /// then much.
    pub(crate) held_up: f64,
    pub(crate) work: Jitter,
    pub(crate) down: Jitter,
}

impl Network {
    pub(crate) fn steady(round_trip: f64) -> Self {
        Self {
            up: Jitter(round_trip * 0.2, round_trip * 0.05),
            held_up: 0.0,
            work: Jitter(round_trip * 0.6, 0.0),
            down: Jitter(round_trip * 0.2, 0.0),
        }
    }
}

/// Another app that spends from the same budget.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OtherApp {
    /// This many requests a second, at random times.
    Steady(f64),
    /// A number of requests spread over one second, once in a number of seconds.
    Bursts(u32, f64),
}

#[derive(Clone, Debug)]
pub(crate) struct Simulation {
    pub(crate) limiter: Limiter,
    pub(crate) edge: Option<Edge>,
    pub(crate) settings: PacerSettings,
    pub(crate) network: Network,
    pub(crate) in_flight: usize,
    /// What there is to do; without it, work without end.
    pub(crate) import: Option<Import>,
    /// Salla's clock shows this when ours shows zero.
    pub(crate) epoch: f64,
    pub(crate) seconds: f64,
    pub(crate) other_app: Option<OtherApp>,
    /// The other app's last moment.
    pub(crate) stranger_until: f64,
    /// The process dies and starts again at these moments.
    pub(crate) restarts: Vec<f64>,
    /// It stops in an orderly way, and records for its successor how long to send nothing.
    pub(crate) hands_over: bool,
    /// Answers speak of another budget, as those of `/customers` do.
    pub(crate) elsewhere: bool,
    /// Answers carry no rate headers or no `Date`.
    pub(crate) headers: bool,
    pub(crate) date: bool,
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) admitted: u64,
    /// Those of them that the budget itself paid for.
    pub(crate) within: u64,
    /// Those admitted after [`Simulation::half_time`].
    pub(crate) admitted_late: u64,
    pub(crate) refused: u64,
    pub(crate) other_apps: u64,
    pub(crate) strangers_within: u64,
    pub(crate) other_apps_refused: u64,
    pub(crate) last_admitted_at: f64,
}

impl Simulation {
    pub(crate) fn new(limiter: Limiter, settings: PacerSettings) -> Self {
        Self {
            limiter,
            edge: None,
            settings,
            network: Network::steady(0.2),
            in_flight: 32,
            import: None,
            epoch: 1_750_000_000.37,
            seconds: 2.0 * 3600.0,
            other_app: None,
            stranger_until: f64::INFINITY,
            restarts: Vec::new(),
            hands_over: false,
            elsewhere: false,
            headers: true,
            date: true,
            seed: 7,
        }
    }

    pub(crate) fn half_time(&self) -> f64 {
        self.seconds / 2.0
    }

    pub(crate) fn run(self) -> Stats {
        self.watched().0
    }

    /// Also returns when each request arrived and its response.
    pub(crate) fn watched(self) -> (Stats, Vec<Arrival>) {
        Run::new(self).play()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Look,
    NextStage,
    Arrives(u64),
    Answered(u64),
    OtherApp,
    Restart,
}

struct Request {
    permit: PermitId,
    class: LatencyClass,
    sent: f64,
    process: u64,
    said: Option<LimiterResponse>,
    date: i64,
}

struct Run {
    simulation: Simulation,
    rng: fastrand::Rng,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    now: f64,
    process: u64,
    pacer: Pacer,
    requests: HashMap<u64, Request>,
    flying: usize,
    work: Option<(Work, AdaptiveLimit)>,
    arrivals: Vec<Arrival>,
    look_at: Option<f64>,
    stats: Stats,
}

impl Run {
    fn new(simulation: Simulation) -> Self {
        let mut rng = fastrand::Rng::with_seed(simulation.seed);
        let pacer = Pacer::new(simulation.settings.clone(), rng.fork());
        Self {
            rng,
            events: BinaryHeap::new(),
            sequence: 0,
            now: 0.0,
            process: 0,
            pacer,
            requests: HashMap::new(),
            flying: 0,
            work: simulation
                .import
                .as_ref()
                .map(|import| (Work::of(import), AdaptiveLimit::new(import.most_in_flight))),
            arrivals: Vec::new(),
            look_at: None,
            stats: Stats::default(),
            simulation,
        }
    }

    fn play(mut self) -> (Stats, Vec<Arrival>) {
        self.at(0.0, Event::Look);
        for restart in self.simulation.restarts.clone() {
            self.at(restart, Event::Restart);
        }
        self.expect_strangers(0.5);
        while let Some(Reverse((micros, _, event))) = self.events.pop() {
            self.now = micros as f64 / 1e6;
            if self.now >= self.simulation.seconds {
                break;
            }
            self.happen(event);
            self.send_what_may_go();
        }
        (self.stats, self.arrivals)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Look => self.look_at = self.look_at.filter(|&moment| moment > self.now),
            Event::NextStage => {
                if let Some((work, _)) = &mut self.work {
                    work.next_stage();
                }
            }
            Event::Arrives(number) => self.arrive(number),
            Event::Answered(number) => self.answer(number),
            Event::OtherApp => self.other_app(),
            Event::Restart => self.restart(),
        }
    }

    fn send_what_may_go(&mut self) {
        while let Some(class) = self.waiting() {
            match self.pacer.next_permit(self.local(), class) {
                PermitDecision::Granted(permit) => self.send(permit, class),
                PermitDecision::WaitForResponse => return,
                PermitDecision::WaitUntil(moment) => return self.look(moment.as_secs_f64()),
            }
        }
    }

    /// What the next request is, if one can be made.
    fn waiting(&self) -> Option<LatencyClass> {
        match &self.work {
            None => (self.flying < self.simulation.in_flight).then_some(LatencyClass(0)),
            Some((work, limit)) if self.flying < limit.current() => work.waiting(),
            Some(_) => None,
        }
    }

    /// Timers are late by up to a millisecond.
    fn look(&mut self, moment: f64) {
        let moment = moment.max(self.now) + 1e-6 + self.rng.f64() * 0.001;
        if self.look_at.is_none_or(|known| known > moment + 0.001) {
            self.look_at = Some(moment);
            self.at(moment, Event::Look);
        }
    }

    fn send(&mut self, permit: PermitId, class: LatencyClass) {
        self.pacer.on_sent(permit, self.local());
        self.flying += 1;
        if let Some((work, _)) = &mut self.work {
            work.sent();
        }
        let number = self.sequence;
        let request = Request {
            permit,
            class,
            sent: self.now,
            process: self.process,
            said: None,
            date: 0,
        };
        self.requests.insert(number, request);
        let held_up = -(1.0 - self.rng.f64()).ln() * self.simulation.network.held_up;
        let way = self.draw(self.simulation.network.up) + held_up;
        self.at(self.now + way, Event::Arrives(number));
    }

    fn arrive(&mut self, number: u64) {
        let epoch = self.simulation.epoch + self.now;
        let (now, in_flight) = (self.now, self.flying);
        let edge = self.simulation.edge.as_mut();
        let said = match edge.is_some_and(|edge| edge.refuses(now, in_flight)) {
            true => LimiterResponse::REFUSED_AT_EDGE,
            false => self.simulation.limiter.arrive(epoch),
        };
        self.arrivals.push(Arrival {
            at: self.now,
            within: said.within,
            admitted: said.admitted,
            remaining: said.remaining,
        });
        if said.admitted {
            self.stats.admitted += 1;
            self.stats.within += u64::from(said.within);
            self.stats.admitted_late += u64::from(self.now >= self.simulation.half_time());
            self.stats.last_admitted_at = self.now;
        } else {
            self.stats.refused += 1;
        }
        let work = self.draw(self.simulation.network.work);
        let way = self.draw(self.simulation.network.down);
        if let Some(request) = self.requests.get_mut(&number) {
            request.said = Some(said);
            request.date = (epoch + work).floor() as i64;
        }
        self.at(self.now + work + way, Event::Answered(number));
    }

    fn answer(&mut self, number: u64) {
        let Some(request) = self.requests.remove(&number) else {
            return;
        };
        if request.process != self.process {
            return;
        }
        let said = request.said.expect("it arrived");
        self.work_goes_on(&request, said.admitted);
        self.flying -= 1;
        let has_rate_headers = self.simulation.headers && said.has_rate_headers;
        let headers = RateHeaders {
            limit: has_rate_headers.then_some(said.limit),
            remaining: has_rate_headers.then_some(said.remaining),
            reset_epoch: has_rate_headers.then_some(said.reset_epoch),
            date_epoch: self.simulation.date.then_some(request.date),
            retry_after: said.retry_after.map(Duration::from_secs_f64),
        };
        let outcome = match said.admitted {
            true if self.simulation.elsewhere => ResponseOutcome::CountedElsewhere,
            true => ResponseOutcome::Accepted,
            false => ResponseOutcome::Throttled,
        };
        self.pacer
            .on_response(request.permit, self.local(), &headers, outcome);
    }

    fn work_goes_on(&mut self, request: &Request, admitted: bool) {
        let Some((work, limit)) = &mut self.work else {
            return;
        };
        let took = Duration::from_secs_f64(self.now - request.sent);
        limit.answered(request.class, took, self.flying);
        if work.answered(admitted) {
            let pause = self.simulation.import.as_ref().map_or(0.0, |i| i.pause);
            self.at(self.now + pause, Event::NextStage);
        }
    }

    fn other_app(&mut self) {
        let said = self
            .simulation
            .limiter
            .arrive(self.simulation.epoch + self.now);
        self.stats.other_apps += u64::from(said.admitted);
        self.stats.strangers_within += u64::from(said.within);
        self.stats.other_apps_refused += u64::from(!said.admitted);
        if let Some(OtherApp::Steady(_)) = self.simulation.other_app {
            self.expect_strangers(self.now);
        }
    }

    /// Foretells when the other app sends: the next time, or each time of all bursts.
    fn expect_strangers(&mut self, after: f64) {
        match self.simulation.other_app {
            Some(OtherApp::Steady(rate)) => {
                let pause = -self.rng.f64().max(1e-9).ln() / rate;
                self.foretell_stranger(after + pause);
            }
            Some(OtherApp::Bursts(size, every)) => {
                let bursts = (self.simulation.seconds / every) as u32;
                for burst in 0..bursts {
                    let begin = (f64::from(burst) + self.rng.f64()) * every;
                    for _ in 0..size {
                        let moment = begin + self.rng.f64();
                        self.foretell_stranger(moment);
                    }
                }
            }
            None => {}
        }
    }

    fn foretell_stranger(&mut self, moment: f64) {
        if moment < self.simulation.stranger_until {
            self.at(moment, Event::OtherApp);
        }
    }

    /// As in the database, only the time of the last request is stored, or the state at the end.
    fn restart(&mut self) {
        let wait = match self.simulation.hands_over {
            true => self.hand_over(),
            false => Duration::from_secs(1),
        };
        self.process += 1;
        self.flying = 0;
        let mut settings = self.simulation.settings.clone();
        settings.not_before = Some(self.local() + wait);
        self.pacer = Pacer::new(settings, self.rng.fork());
    }

    /// Drops what is under way.
    fn hand_over(&mut self) -> Duration {
        let of_this = |request: &&Request| request.process == self.process;
        let permits = self.requests.values().filter(of_this).map(|r| r.permit);
        for permit in permits.collect::<Vec<_>>() {
            self.pacer.on_dropped(permit);
        }
        self.pacer.wait_of_successor(self.local())
    }

    fn draw(&mut self, jitter: Jitter) -> f64 {
        jitter.0 + jitter.1 * self.rng.f64()
    }

    fn local(&self) -> Duration {
        Duration::from_secs_f64(self.now)
    }

    fn at(&mut self, moment: f64, event: Event) {
        self.sequence += 1;
        let micros = (moment * 1e6).ceil() as u64;
        self.events.push(Reverse((micros, self.sequence, event)));
    }
}
