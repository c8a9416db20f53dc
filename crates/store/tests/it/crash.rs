//! What survives on a disk that loses all that was not synced, at any instant; and on a full one.

use std::path::PathBuf;

use hallpass_model::cut::{Place, Target, Why};
use hallpass_model::id::{CredentialId, OrgId};
use hallpass_model::ledger::{Actor, Event};
use hallpass_model::random::{Entropy, Seeded};
use hallpass_model::time::Lifetime;
use hallpass_store::{
    AddPerson, Assertion, CutMade, Engine, Filter, MakeCut, Redeemed, SpendAssertion, Store, StoreError,
    StorePlace,
};
use hallpass_testkit::disk::{self, VFS};

use crate::world::{World, key, next, open, token};

/// Power cuts.
const POWER_CUTS: usize = 1_000;
/// Writes and syncs until one comes: from within the first commit to well after the next copying.
const STEPS: u32 = 240;
/// Pages of the log until it is copied, which takes fewer writes than `STEPS`.
const CHECKPOINT_PAGES: u32 = 48;

/// A store on a forgetful disk, and all that was acknowledged.
struct Site {
    data: PathBuf,
    engine: Engine,
    random: Seeded,
    /// People who tried to join.
    tried: usize,
    /// Those whose coming was acknowledged.
    joined: Vec<usize>,
    /// Cuts that were.
    cut: Vec<CredentialId>,
    /// Assertions whose use was.
    used: Vec<usize>,
    /// The last refresh token that was given to a holder.
    held: String,
    /// Open between power cuts.
    world: Option<World>,
}

impl Site {
    async fn new(unsafe_no_sync: bool) -> Self {
        disk::register();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().canonicalize().unwrap().join("data");
        let engine =
            Engine { vfs: Some(VFS.to_owned()), unsafe_no_sync, checkpoint_pages: Some(CHECKPOINT_PAGES) };
        let place = StorePlace { engine: engine.clone(), ..StorePlace::new(&data) };
        let world = World::at(place, folder).await;
        let held = token(&world.log_in(Some(key(1))).await);
        Self {
            data,
            engine,
            random: Seeded::new(11),
            tried: 0,
            joined: Vec::new(),
            cut: Vec::new(),
            used: Vec::new(),
            held,
            world: Some(world),
        }
    }

    fn below(&self, n: u32) -> u32 {
        let mut bytes = [0; 4];
        self.random.fill(&mut bytes);
        u32::from_le_bytes(bytes) % n
    }

    /// People join, a holder refreshes and things are cut until the power goes; then it comes back. Says what was lost
    /// that had been acknowledged.
    async fn power_cut(&mut self) -> Result<(), String> {
        let asked = self.world.take().ok_or("it was not opened again")?;
        disk::cut_power_after(&self.data, self.below(STEPS));
        while self.round(&asked).await? {}
        let World { store, org, ada, cli, notes, now, folder } = asked;
        drop(store);
        disk::power_back(&self.data);
        // Shared memory does not outlive a power cut.
        let _absent = std::fs::remove_file(self.data.join("hallpass.db-shm"));
        let place = StorePlace { engine: self.engine.clone(), ..StorePlace::new(&self.data) };
        let store = open(place).map_err(|error| format!("it does not open: {error}"))?;
        let world = World { store, org, ada, cli, notes, now, folder };
        self.look(&world).await?;
        self.world = Some(world);
        Ok(())
    }

    /// One of each, all at once. Whether the power is still there.
    async fn round(&mut self, world: &World) -> Result<bool, String> {
        let first = self.tried;
        self.tried += 2;
        let join = |n: usize| {
            let handle = format!("p{n}").parse().unwrap();
            world.store.change(
                Actor::Operator,
                world.now,
                AddPerson { org: world.org, handle, name: "P".into() },
            )
        };
        let credential = CredentialId::new(world.now, &self.random);
        let cut = MakeCut { org: None, target: Target::Credential(credential), why: Why::RunOver };
        let (one, two, refreshed, cut, used) = tokio::join!(
            join(first),
            join(first + 1),
            world.store.change(Actor::Nobody, world.now, world.redeem(&self.held, Some(key(1)))),
            world.store.change(Actor::Operator, world.now, cut),
            world.store.change(Actor::Nobody, world.now, assertion(world, first)),
        );
        let mut powered = true;
        for (n, joined) in [one.map(drop), two.map(drop)].into_iter().enumerate() {
            match joined {
                Ok(()) => self.joined.push(first + n),
                Err(_) => powered = false,
            }
        }
        match refreshed {
            Ok(Redeemed::Next(opened) | Redeemed::Again(opened, _)) => self.held = token(&opened),
            Ok(refused) => return Err(format!("a holder was refused: {refused:?}")),
            Err(_) => powered = false,
        }
        match cut {
            Ok(CutMade::Cut(_)) => self.cut.push(credential),
            Ok(other) => return Err(format!("not cut: {other:?}")),
            Err(_) => powered = false,
        }
        match used {
            Ok(true) => self.used.push(first),
            Ok(false) => return Err("an assertion was used that nobody made before".to_owned()),
            Err(_) => powered = false,
        }
        Ok(powered)
    }

    async fn look(&mut self, world: &World) -> Result<(), String> {
        for n in self.some_of(&self.joined) {
            if !knows(&world.store, world.org, n).await {
                return Err(format!("p{n} was acknowledged and is lost"));
            }
        }
        for credential in self.some_of(&self.cut) {
            if !is_cut(world, credential).await {
                return Err(format!("the cut of {credential} was acknowledged and is lost"));
            }
        }
        for n in self.some_of(&self.used) {
            if world.change(assertion(world, n)).await {
                return Err(format!("assertion {n} is good again"));
            }
        }
        // A rotation that was acknowledged and lost would make its holder's token one that was never handed out.
        match world.refresh(&self.held, Some(key(1))).await {
            Redeemed::Next(opened) | Redeemed::Again(opened, _) => self.held = token(&opened),
            refused => return Err(format!("a legitimate holder is logged out: {refused:?}")),
        }
        Ok(())
    }

    /// The newest, and a few older ones.
    fn some_of<T: Copy>(&self, all: &[T]) -> Vec<T> {
        let newest = all.len().saturating_sub(10);
        let mut some = all[newest..].to_vec();
        if newest > 0 {
            some.extend((0..3).map(|_| all[self.below(newest as u32) as usize]));
        }
        some
    }
}

async fn knows(store: &Store, org: OrgId, n: usize) -> bool {
    store.find_person_by_handle(org, &format!("p{n}")).await.unwrap().is_some()
}

fn assertion(world: &World, n: usize) -> SpendAssertion {
    let expires = world.now + Lifetime::minutes(5);
    SpendAssertion { org: world.org, client: world.cli, assertion: Assertion { jti: n.to_string(), expires } }
}

async fn is_cut(world: &World, credential: CredentialId) -> bool {
    let place = Place {
        org: world.org,
        principal: None,
        client: world.cli,
        device: None,
        session: None,
        credentials: vec![credential],
        acting: None,
        stamp: hallpass_model::cut::Stamp(i64::MAX),
    };
    world.store.is_dead(&place).await.unwrap().is_some()
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_thousand_power_cuts() {
    let mut site = Site::new(false).await;
    for n in 0..POWER_CUTS {
        site.power_cut().await.unwrap_or_else(|lost| panic!("power cut {n}: {lost}"));
    }
    assert!(site.joined.len() > POWER_CUTS / 2, "{} were acknowledged", site.joined.len());
    let checkpoints = disk::checkpoints(&site.data);
    assert!(checkpoints > POWER_CUTS / 2, "the log was copied to its end {checkpoints} times");
    let world = site.world.take().unwrap();
    crate::ledger::verify(&world.store).await;
    for credential in &site.cut {
        assert!(is_cut(&world, *credential).await, "the cut of {credential} is lost");
    }
    // Everybody, this once, and the ledger says of each exactly what the rows say.
    let mut rows = 0;
    for n in 0..site.tried {
        let known = knows(&world.store, world.org, n).await;
        assert!(known || !site.joined.contains(&n), "p{n} was acknowledged and is lost");
        rows += usize::from(known);
    }
    let joined = Filter { event: Some(Event::Registered), ..Filter::default() };
    let (mut entries, mut from) = (0, 0);
    loop {
        let page = world.store.list_ledger(&joined, from, 1_000).await.unwrap();
        entries += page.items.iter().filter(|row| row.leaf.contains("\"kind\":\"person\"")).count();
        from = page.items.last().map_or(from, |row| row.seq + 1);
        if !page.more {
            break;
        }
    }
    assert_eq!(entries, rows + 1, "and the administrator");
}

#[tokio::test]
async fn without_syncing_the_same_test_finds_what_is_lost() {
    let mut site = Site::new(true).await;
    for _ in 0..20 {
        if site.power_cut().await.is_err() {
            return;
        }
    }
    panic!("nothing was synced, and the test did not notice");
}

#[tokio::test]
async fn a_full_disk_is_said_to_be_full_loses_nothing_and_works_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let place = disk::place(folder.path());
    let data = place.data.clone();
    let world = World::at(place, folder).await;
    let first = token(&world.log_in(Some(key(1))).await);
    let before = world.ledger().await;
    disk::set_full(&data, true);
    for _ in 0..3 {
        let redeem = world.redeem(&first, Some(key(1)));
        let refused = world.store.change(Actor::Nobody, world.now, redeem).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    }
    assert_eq!(world.ledger().await, before, "reading goes on");
    disk::set_full(&data, false);
    let second = next(world.refresh(&first, Some(key(1))).await);
    next(world.refresh(&token(&second), Some(key(1))).await);
    crate::ledger::verify(&world.store).await;
}

#[tokio::test]
async fn a_checkpoint_whose_commit_failed_is_signed_in_the_next_and_was_never_kept_outside() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("ledger.checkpoint");
    let place = disk::place(folder.path()).with_outside(&outside);
    let data = place.data.clone();
    let world = World::at(place, folder).await;
    let join = |n: u64| {
        let handle = format!("p{n}").parse().unwrap();
        world.store.change(Actor::Operator, world.now, AddPerson { org: world.org, handle, name: "P".into() })
    };
    let mut size = world.store.ledger_size().await.unwrap();
    // The next one makes a checkpoint due.
    while size < 999 {
        join(size).await.unwrap().unwrap();
        size = world.store.ledger_size().await.unwrap();
    }
    disk::set_full(&data, true);
    assert!(matches!(join(size).await, Err(StoreError::Full)));
    disk::set_full(&data, false);
    assert!(!outside.exists(), "it is not durable");
    join(size).await.unwrap().unwrap();
    join(1_000).await.unwrap().unwrap();
    // A live database is not looked at from outside here: what this disk has not synced, the system's own readers miss,
    // and SQLite syncs a log that was copied in part only when it is copied to its end.
    drop(world.store);
    let notes = crate::ledger::checkpoints(&data.join("hallpass.db"));
    let sizes: Vec<_> = notes.iter().map(|note| note.lines().nth(1).unwrap()).collect();
    assert_eq!(sizes, ["1000", "1001"], "with the commit after the failed one, and at the end");
}
