//! Rotation, explored by `stateright` through the very function that decides.
//!
//! The world: one session at an issuer; processes of its legitimate holder that share one record on disk, take no
//! lock at all, crash at any instant and lose or overtake one another's messages; and a thief. Every interleaving
//! up to the bounds below is visited.

use hallpass_model::grant::{Acr, Amr, Approval, Authentication, Grant};
use hallpass_model::id::{ClientId, CredentialId, OrgId, PrincipalId, SessionId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::random::Seeded;
use hallpass_model::session::{
    Authentic, Binding, ProofOfKey, Redemption, RefreshToken, Replay, Rotation, Session, SessionKey, Verdict,
};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::{cut::Stamp, lifetimes};
use stateright::{Checker, Model, Property};

const HOLDERS_KEY: Thumbprint = Thumbprint::from_bytes([1; 32]);
const THIEFS_KEY: Thumbprint = Thumbprint::from_bytes([2; 32]);

/// What a thief managed to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theft {
    /// Nothing: there is no thief.
    None,
    /// The refresh token alone.
    Token,
    /// The whole record, the key with it.
    Clone,
}

/// Generations explored: enough for a message to be overtaken twice.
const GENERATIONS: u64 = 5;
/// Decisions of the issuer explored, each at a second of its own.
const TICKS: i64 = 6;

fn authentic(key: &SessionKey, session: SessionId, generation: u64) -> Authentic {
    let text = RefreshToken::render(key, session, generation);
    RefreshToken::parse(text.expose_text()).expect("we rendered it").authenticate(key).expect("by this key")
}

struct World {
    session: Session,
    key: SessionKey,
    /// The token of each generation, its MAC checked once: as costly as the rest of a state together.
    tokens: Vec<Authentic>,
    processes: usize,
    theft: Theft,
    /// Whether a message may be answered long after it was sent, when others were.
    overtaking: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    tick: i64,
    rotation: Rotation,
    cut: bool,
    /// The generation in the record on disk.
    record: u64,
    processes: Vec<Process>,
    /// What the thief copied, if they did.
    loot: Option<u64>,
    thief_was_answered: bool,
    /// A thief presented a spent generation in time, and the session lives.
    replay_went_unnoticed: bool,
    /// A legitimate message cut the session.
    holder_was_taken_for_a_thief: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Process {
    Idle,
    /// It asked with this generation, at this tick; the message is on its way.
    Asked {
        generation: u64,
        at: i64,
    },
    /// It crashed after asking; the message is still on its way.
    Ghost {
        generation: u64,
        at: i64,
    },
    /// The issuer decided; the answer is on its way back.
    Answered {
        generation: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Ask(usize),
    Arrive(usize),
    Crash(usize),
    LoseRequest(usize),
    LoseAnswer(usize),
    Save(usize),
    Steal,
    ThiefAsks,
}

impl World {
    fn new(binding: Binding, theft: Theft, processes: usize, overtaking: bool) -> Self {
        let (start, entropy) = (Timestamp::from_seconds(1_000), Seeded::new(1));
        let session = Session {
            id: SessionId::new(start, &entropy),
            org: OrgId::new(start, &entropy),
            principal: PrincipalId::new(start, &entropy),
            client: ClientId::new(start, &entropy),
            device: None,
            grant: Grant {
                scopes: Default::default(),
                resources: vec![],
                purpose: None,
                authentication: Authentication {
                    at: start,
                    acr: Acr::PhishingResistant,
                    amr: vec![Amr::Pop],
                },
                approval: Approval::DevicePage,
            },
            binding,
            origin: CredentialId::new(start, &entropy),
            rotation: Rotation::first(start),
            stamp: Stamp(start.millis()),
            created: start,
            idle_until: start + lifetimes::SESSION_IDLE,
            expires: start + lifetimes::SESSION_ABSOLUTE,
        };
        let key = SessionKey::new(&entropy);
        let tokens =
            (0..=GENERATIONS + 1).map(|generation| authentic(&key, session.id, generation)).collect();
        Self { session, key, tokens, processes, theft, overtaking }
    }

    fn time(tick: i64) -> Timestamp {
        // Half past each second: a proof's `iat` has whole seconds only, the issuer's clock has more.
        Timestamp::from_millis(1_000_000 + tick * 1_000 + 500)
    }

    /// The issuer's whole part: real tokens, the real MAC check, the real rule.
    fn present(&self, state: &State, generation: u64, key: Option<Thumbprint>, made: i64) -> Verdict {
        let session = Session { rotation: state.rotation, ..self.session.clone() };
        session.redeem(
            &Redemption {
                token: self.tokens[generation as usize],
                org: session.org,
                client: session.client,
                proof: key
                    .map(|key| ProofOfKey { key, made: Timestamp::from_seconds(Self::time(made).seconds()) }),
                from: None,
                after_restore: false,
            },
            Self::time(state.tick),
        )
    }

    fn key_of_holder(&self) -> Option<Thumbprint> {
        matches!(self.session.binding, Binding::Key(_)).then_some(HOLDERS_KEY)
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            tick: 0,
            rotation: self.session.rotation,
            cut: false,
            record: 0,
            processes: vec![Process::Idle; self.processes],
            loot: None,
            thief_was_answered: false,
            replay_went_unnoticed: false,
            holder_was_taken_for_a_thief: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.cut || state.tick >= TICKS {
            return;
        }
        let busy = state.processes.iter().any(|p| !matches!(p, Process::Idle));
        for (i, process) in state.processes.iter().enumerate() {
            match process {
                Process::Idle if self.overtaking || !busy => actions.push(Action::Ask(i)),
                Process::Idle => {}
                Process::Asked { .. } => {
                    actions.extend([Action::Arrive(i), Action::LoseRequest(i)]);
                    if self.overtaking {
                        actions.push(Action::Crash(i));
                    }
                }
                Process::Ghost { .. } => actions.extend([Action::Arrive(i), Action::LoseRequest(i)]),
                Process::Answered { .. } => actions.extend([Action::Save(i), Action::LoseAnswer(i)]),
            }
        }
        if self.theft != Theft::None {
            match state.loot {
                None => actions.push(Action::Steal),
                Some(_) => actions.push(Action::ThiefAsks),
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Ask(i) => {
                state.processes[i] = Process::Asked { generation: state.record, at: state.tick }
            }
            Action::Crash(i) => {
                let Process::Asked { generation, at } = state.processes[i] else { return None };
                // Another process of the same holder starts in its place: the ghost's slot is used again once
                // its message has arrived or is lost.
                state.processes[i] = Process::Ghost { generation, at };
            }
            Action::LoseRequest(i) | Action::LoseAnswer(i) => state.processes[i] = Process::Idle,
            Action::Arrive(i) => {
                let (generation, at, alive) = match state.processes[i] {
                    Process::Asked { generation, at } => (generation, at, true),
                    Process::Ghost { generation, at } => (generation, at, false),
                    _ => return None,
                };
                state.tick += 1;
                let verdict = self.present(&state, generation, self.key_of_holder(), at);
                state.processes[i] = Process::Idle;
                match verdict {
                    Verdict::Next(rotation) | Verdict::Again(rotation, _) => {
                        state.rotation = rotation;
                        if alive {
                            state.processes[i] = Process::Answered { generation: rotation.newest };
                        }
                    }
                    Verdict::Replay(_) | Verdict::RetryTooLate => {
                        state.cut = true;
                        // With a thief about, a cut is the right end whoever trips over it.
                        state.holder_was_taken_for_a_thief = !state.thief_was_answered;
                    }
                    Verdict::Refused(_) => {} // it reads the record again and goes on
                    Verdict::Adopted(_) => return None,
                }
            }
            // Rule 4 of the holder's half: a later save never overwrites a newer generation.
            Action::Save(i) => {
                let Process::Answered { generation } = state.processes[i] else { return None };
                state.record = state.record.max(generation);
                state.processes[i] = Process::Idle;
            }
            Action::Steal => state.loot = Some(state.record),
            Action::ThiefAsks => {
                let generation = state.loot?;
                let key = match (self.theft, self.session.binding) {
                    (_, Binding::Bearer) => None,
                    (Theft::Clone, _) => Some(HOLDERS_KEY),
                    _ => Some(THIEFS_KEY),
                };
                state.tick += 1;
                let spent = generation + 1 < state.rotation.newest;
                match self.present(&state, generation, key, state.tick) {
                    Verdict::Next(rotation) | Verdict::Again(rotation, _) => {
                        state.rotation = rotation;
                        state.loot = Some(rotation.newest);
                        state.thief_was_answered = true;
                    }
                    Verdict::Replay(_) | Verdict::RetryTooLate => state.cut = true,
                    Verdict::Refused(_) => {}
                    Verdict::Adopted(_) => return None,
                }
                state.replay_went_unnoticed |= spent && !state.cut;
            }
        }
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.rotation.newest <= GENERATIONS
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a legitimate holder is never taken for a thief", |_, s: &State| {
                !s.holder_was_taken_for_a_thief
            }),
            Property::always("the record on disk is always honoured", |world: &World, s: &State| {
                s.cut || s.thief_was_answered || {
                    let now = s.tick;
                    matches!(
                        world.present(s, s.record, world.key_of_holder(), now),
                        Verdict::Next(_) | Verdict::Again(..)
                    )
                }
            }),
            Property::always("a replay after the successor was used cuts the session", |_, s: &State| {
                !s.replay_went_unnoticed
            }),
            Property::always("a token without its key opens nothing", |world: &World, s: &State| {
                !(s.thief_was_answered
                    && world.theft == Theft::Token
                    && matches!(world.session.binding, Binding::Key(_)))
            }),
            Property::sometimes("a holder gets several generations on", |_, s: &State| {
                s.rotation.newest >= 4
            }),
            Property::sometimes("a retry is answered", |_, s: &State| s.rotation.retries > 0),
            Property::sometimes(
                "a theft ends in a cut, where there is a thief",
                |world: &World, s: &State| world.theft == Theft::None || s.cut,
            ),
        ]
    }
}

fn explore(world: World, at_least: usize) {
    let checker = world.checker().threads(2).spawn_bfs().join();
    assert!(checker.unique_state_count() >= at_least, "only {} states", checker.unique_state_count());
    checker.assert_properties();
}

/// Holds invariant 7 for key-bound sessions: crashes, lost, late and overtaking messages, no lock at all.
#[test]
fn no_interleaving_logs_a_key_bound_holder_out() {
    explore(World::new(Binding::Key(HOLDERS_KEY), Theft::None, 3, true), 10_000);
}

#[test]
fn a_token_stolen_without_its_key_opens_nothing_and_cuts() {
    explore(World::new(Binding::Key(HOLDERS_KEY), Theft::Token, 2, true), 1_000);
}

#[test]
fn a_cloned_record_is_found_out_by_its_first_stale_refresh() {
    explore(World::new(Binding::Key(HOLDERS_KEY), Theft::Clone, 2, true), 1_000);
}

/// Bearer-only: one process at a time (the holder's lock) and every retry inside its window.
#[test]
fn no_lost_answer_logs_a_bearer_holder_out() {
    explore(World::new(Binding::Bearer, Theft::None, 2, false), 50);
}

#[test]
fn a_stolen_bearer_token_is_found_out_by_its_first_stale_refresh() {
    explore(World::new(Binding::Bearer, Theft::Token, 2, false), 100);
}

#[test]
fn a_bearer_retry_after_its_window_ends_the_session_and_says_why() {
    let world = World::new(Binding::Bearer, Theft::None, 1, false);
    let mut state = world.init_states().remove(0);
    let Verdict::Next(rotation) = world.present(&state, 0, None, 0) else {
        panic!("the first refresh is fine")
    };
    state.rotation = rotation;
    let at = |now: Timestamp| {
        let token = authentic(&world.key, world.session.id, 0);
        let session = Session { rotation, ..world.session.clone() };
        let asked = Redemption {
            token,
            org: session.org,
            client: session.client,
            proof: None,
            from: None,
            after_restore: false,
        };
        session.redeem(&asked, now)
    };
    let late = lifetimes::BEARER_RETRY + Lifetime::millis(1);
    assert!(matches!(at(rotation.since + lifetimes::BEARER_RETRY), Verdict::Again(..)));
    assert_eq!(at(rotation.since + late), Verdict::RetryTooLate);
    // A clock that was set back does not hold the window open until it has caught up.
    assert!(matches!(at(rotation.since - lifetimes::BEARER_RETRY), Verdict::Again(..)));
    assert_eq!(at(rotation.since - late), Verdict::RetryTooLate);
    assert_eq!(at(rotation.since - Lifetime::hours(1)), Verdict::RetryTooLate);
}

#[test]
fn another_key_is_a_replay_and_a_missing_proof_is_not() {
    let world = World::new(Binding::Key(HOLDERS_KEY), Theft::None, 1, false);
    let state = world.init_states().remove(0);
    assert_eq!(world.present(&state, 0, Some(THIEFS_KEY), 0), Verdict::Replay(Replay::OtherKey));
    assert!(matches!(world.present(&state, 0, None, 0), Verdict::Refused(_)));
}
