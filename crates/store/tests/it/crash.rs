//! What survives on a disk that loses all that was not synced, at any instant; and on a full one.

use std::path::PathBuf;

use hallpass_model::id::OrgId;
use hallpass_model::ledger::{Actor, Event};
use hallpass_model::random::{Entropy, Seeded};
use hallpass_store::{AddPerson, Engine, Store, StoreError, StorePlace};
use hallpass_testkit::disk::{self, VFS};
use tempfile::TempDir;

use crate::world::{START, World, add_org, key, next, open, token};

/// Power cuts. Each comes within the writes of one to a few commits, so that every instant of one is met.
const POWER_CUTS: usize = 1_000;

/// A store on a forgetful disk, and everybody whose coming was acknowledged.
struct Site {
    folder: TempDir,
    data: PathBuf,
    engine: Engine,
    org: OrgId,
    random: Seeded,
    tried: usize,
    acknowledged: Vec<usize>,
    /// Open between power cuts.
    store: Option<Store>,
}

impl Site {
    async fn new(unsafe_no_sync: bool) -> Self {
        disk::register();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().canonicalize().unwrap().join("data");
        let engine = Engine { vfs: Some(VFS.to_owned()), unsafe_no_sync };
        let mut site = Self {
            folder,
            data,
            engine,
            org: OrgId::from_bytes([0; 16]),
            random: Seeded::new(11),
            tried: 0,
            acknowledged: Vec::new(),
            store: None,
        };
        let store = site.open().unwrap();
        site.org = store.change(Actor::Operator, START, add_org("acme")).await.unwrap().unwrap().org;
        site.store = Some(store);
        site
    }

    fn open(&self) -> Result<Store, hallpass_store::OpenError> {
        open(StorePlace { data: self.data.clone(), engine: self.engine.clone() })
    }

    fn below(&self, n: u32) -> u32 {
        let mut bytes = [0; 4];
        self.random.fill(&mut bytes);
        u32::from_le_bytes(bytes) % n
    }

    /// People join until the power goes; then it comes back. Says what was lost that had been acknowledged.
    async fn power_cut(&mut self) -> Result<(), String> {
        let store = self.store.take().ok_or("it was not opened again")?;
        disk::cut_power_after(&self.data, self.below(40));
        loop {
            let first = self.tried;
            self.tried += 3;
            let join = |n: usize| {
                let handle = format!("p{n}").parse().unwrap();
                store.change(Actor::Operator, START, AddPerson { org: self.org, handle, name: "P".into() })
            };
            let (one, two, three) = tokio::join!(join(first), join(first + 1), join(first + 2));
            let mut gone = false;
            for (n, joined) in [one, two, three].into_iter().enumerate() {
                match joined {
                    Ok(_) => self.acknowledged.push(first + n),
                    Err(_) => gone = true,
                }
            }
            if gone {
                break;
            }
        }
        drop(store);
        disk::power_back(&self.data);
        // Shared memory does not outlive a power cut.
        let _absent = std::fs::remove_file(self.data.join("hallpass.db-shm"));
        let store = self.open().map_err(|error| format!("it does not open: {error}"))?;
        self.look(&store).await?;
        self.store = Some(store);
        Ok(())
    }

    async fn look(&self, store: &Store) -> Result<(), String> {
        let newest = self.acknowledged.len().saturating_sub(20);
        let mut older = Vec::new();
        if newest > 0 {
            older.extend((0..5).map(|_| self.acknowledged[self.below(newest as u32) as usize]));
        }
        for n in self.acknowledged[newest..].iter().chain(&older) {
            let found = store.find_person_by_handle(self.org, &format!("p{n}")).await;
            match found.map_err(|error| error.to_string())? {
                Some(_) => {}
                None => return Err(format!("p{n} was acknowledged and is lost")),
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_thousand_power_cuts() {
    let mut site = Site::new(false).await;
    for n in 0..POWER_CUTS {
        site.power_cut().await.unwrap_or_else(|lost| panic!("power cut {n}: {lost}"));
    }
    assert!(site.acknowledged.len() > POWER_CUTS / 2, "{} were acknowledged", site.acknowledged.len());
    let store = site.store.take().unwrap();
    crate::ledger::verify(&store).await;
    // Everybody, this once, and the ledger says of each exactly what the rows say.
    let mut rows = 0;
    for n in 0..site.tried {
        let found = store.find_person_by_handle(site.org, &format!("p{n}")).await.unwrap();
        assert!(found.is_some() || !site.acknowledged.contains(&n), "p{n} was acknowledged and is lost");
        rows += usize::from(found.is_some());
    }
    let joined =
        hallpass_store::Filter { event: Some(Event::Registered), ..hallpass_store::Filter::default() };
    let (mut entries, mut from) = (0, 0);
    loop {
        let page = store.list_ledger(&joined, from, 1_000).await.unwrap();
        entries += page.items.iter().filter(|row| row.leaf.contains("\"kind\":\"person\"")).count();
        from = page.items.last().map_or(from, |row| row.seq + 1);
        if !page.more {
            break;
        }
    }
    assert_eq!(entries, rows + 1, "and the administrator");
    drop(store);
    drop(site.folder);
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
