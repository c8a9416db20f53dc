//! Keys sealed by a TPM in software, and what becomes of them when it is another, was cleared, or does not answer.

use std::sync::Arc;

use hallpass_testkit::chip::Chip as SoftwareTpm;

use super::super::{Places, Rung, Vault};
use super::*;
use crate::vault::bounded::PATIENCE;

fn tpm(chip: &SoftwareTpm, folder: &Path) -> Tpm {
    Tpm::new(Some(chip.socket()), Some(folder.to_owned()))
}

fn sealed_here(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_key_rests_sealed_beside_the_record_until_it_is_wiped_and_outlives_a_restart() {
    let (mut chip, folder) = (SoftwareTpm::start(), tempfile::tempdir().unwrap());
    let keeper = tpm(&chip, folder.path());
    keeper.probe().unwrap();
    assert!(sealed_here(folder.path()).is_empty(), "the probe leaves nothing");
    let (key, other) = (random_key(), random_key());
    keeper.save("hallpass:one:login", &key).unwrap();
    keeper.save("hallpass:other:login", &other).unwrap();
    let [first, second] = [&key, &other].map(|key| key.clone());
    for file in sealed_here(folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let has = |key: &RecordKey| bytes.windows(16).any(|part| part == &key[..16]);
        assert!(!has(&first) && !has(&second), "{}", file.display());
    }
    chip.restart();
    // Another process of the same person.
    let again = tpm(&chip, folder.path());
    assert_eq!(*again.find("hallpass:one:login").unwrap().unwrap(), *key);
    assert_eq!(*again.find("hallpass:other:login").unwrap().unwrap(), *other);
    assert!(again.wipe("hallpass:one:login").unwrap() && !again.wipe("hallpass:one:login").unwrap());
    assert!(again.find("hallpass:one:login").unwrap().is_none());
    // All of one identity's, but for one.
    again.save("hallpass:other:again", &key).unwrap();
    assert!(again.wipe_all("hallpass:other:", Some("hallpass:other:again")).unwrap());
    assert!(again.find("hallpass:other:login").unwrap().is_none());
    assert_eq!(*again.find("hallpass:other:again").unwrap().unwrap(), *key);
    assert!(again.wipe_all("hallpass:other:", None).unwrap() && sealed_here(folder.path()).is_empty());
}

#[test]
fn what_is_loaded_into_a_tpm_leaves_it_again() {
    // It has room for three objects and a few sessions: were one left, this would come to an end.
    let chip = SoftwareTpm::start();
    for _ in 0..5 {
        Tpm::new(Some(chip.socket()), None).probe().unwrap();
    }
}

#[test]
fn a_storage_key_that_is_kept_in_the_tpm_is_the_one_that_is_used() {
    let (chip, folder) = (SoftwareTpm::start(), tempfile::tempdir().unwrap());
    let keeper = tpm(&chip, folder.path());
    let key = random_key();
    keeper.save("hallpass:one:login", &key).unwrap();
    Chip::open(&chip.socket()).unwrap().keep_for_tests();
    assert_eq!(*keeper.find("hallpass:one:login").unwrap().unwrap(), *key, "it is the same key");
    // The owner has a password now: no other can be made, and none need be.
    chip.own();
    assert_eq!(*keeper.find("hallpass:one:login").unwrap().unwrap(), *key);
    keeper.probe().unwrap();
}

#[test]
fn a_tpm_whose_owner_has_a_password_and_keeps_no_storage_key_says_what_it_wants() {
    let chip = SoftwareTpm::start();
    chip.own();
    let why = Tpm::new(Some(chip.socket()), None).probe().unwrap_err();
    assert!(why.why().contains("wants the password of its owner"), "{why:?}");
}

#[test]
fn what_another_tpm_sealed_is_said_to_be_foreign_and_what_was_cleared_is_gone() {
    let (chip, other, folder) = (SoftwareTpm::start(), SoftwareTpm::start(), tempfile::tempdir().unwrap());
    tpm(&chip, folder.path()).save("hallpass:one:login", &random_key()).unwrap();
    assert_eq!(tpm(&other, folder.path()).find("hallpass:one:login"), Err(Fault::Elsewhere));
    chip.clear();
    assert_eq!(tpm(&chip, folder.path()).find("hallpass:one:login"), Ok(None));
    // It can be used again at once.
    tpm(&chip, folder.path()).probe().unwrap();
}

#[test]
fn a_sealed_key_that_was_changed_opens_nothing_and_does_no_harm() {
    let (chip, folder) = (SoftwareTpm::start(), tempfile::tempdir().unwrap());
    let keeper = tpm(&chip, folder.path());
    keeper.save("hallpass:one:login", &random_key()).unwrap();
    let file = keeper.file("hallpass:one:login").unwrap();
    let whole = private::read(&file).unwrap().unwrap();
    let parts = sealing::parts::<Sealed>(MAGIC, HEADER_LEN_MAX, &whole).unwrap();
    let mut private_part = base64url::parse(&parts.header.private).unwrap();
    *private_part.last_mut().unwrap() ^= 1;
    let changed = Sealed { private: base64url::render(private_part), ..parts.header };
    private::write(&file, &sealing::seal(MAGIC, &changed, None)).unwrap();
    assert_eq!(keeper.find("hallpass:one:login"), Ok(None));
    for len in [0, 5, MAGIC.len() + 3, whole.len() - 9] {
        private::write(&file, &whole[..len]).unwrap();
        assert_eq!(keeper.find("hallpass:one:login"), Ok(None), "{len} bytes");
    }
    keeper.probe().unwrap();
}

#[test]
fn no_key_crosses_the_bus_in_the_clear_and_a_changed_answer_is_not_believed() {
    let chip = SoftwareTpm::start();
    let (folder, key) = (tempfile::tempdir().unwrap(), random_key());
    let bus = Bus::between(&chip, |_| ());
    let keeper = Tpm::new(Some(bus.socket()), Some(folder.path().to_owned()));
    keeper.save("hallpass:one:login", &key).unwrap();
    assert_eq!(*keeper.find("hallpass:one:login").unwrap().unwrap(), *key);
    let heard = bus.heard();
    assert!(heard.len() > 1000, "it was listened to");
    assert!(heard.windows(8).all(|part| part != &key[..8]), "and the key was not heard");
    drop(bus);
    // `TPM2_Unseal` answers what was sealed, encrypted, and somebody flips a bit of it: after the header, the length of
    // the parameters, and that of the first.
    let bus = Bus::between(&chip, |answer| {
        if answer.len() > 60 && answer[10..16] == [0, 0, 0, 34, 0, 32] {
            answer[20] ^= 1;
        }
    });
    let why = Tpm::new(Some(bus.socket()), Some(folder.path().to_owned())).find("hallpass:one:login");
    assert!(why.unwrap_err().why().contains("somebody changed"));
}

#[test]
fn a_tpm_that_hangs_is_given_up_on_and_one_that_is_not_there_is_said_at_once() {
    let chip = SoftwareTpm::start();
    chip.hang();
    let started = std::time::Instant::now();
    let why = Tpm::new(Some(chip.socket()), None).probe().unwrap_err();
    assert!(why.why().contains("does not answer in time"), "{why:?}");
    assert!(started.elapsed() >= PATIENCE, "it was waited for");
    let (gone, folder) = (chip.socket(), tempfile::tempdir().unwrap());
    drop(chip);
    for place in [None, Some(gone), Some(folder.path().join("none"))] {
        let why = Tpm::new(place, None).probe().unwrap_err();
        assert_eq!(why, Fault::Absent("is not on this machine".into()));
    }
    // A file that takes what is written and gives it back is no TPM.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Tpm::new(Some(file), None).probe(), Err(Fault::Failing(_))));
}

#[test]
fn a_tpm_is_below_the_keyring_and_is_not_waited_for_where_that_works() {
    let chip = SoftwareTpm::start();
    let places = Places { session_bus: None, tpm: Some(chip.socket()) };
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::new(Arc::new(|_| Ok(None)), places, Some(folder.path()));
    let unasked: Vec<Rung> = vault.keepers.iter().filter(|(_, unasked, _)| *unasked).map(|k| k.0).collect();
    let place = |rung| unasked.iter().position(|own| *own == rung);
    assert!(place(Rung::Keyring) < place(Rung::Tpm) && place(Rung::Tpm).is_some());
    let (place, key) = vault.new_key(Rung::Tpm, "one", "login").unwrap();
    assert_eq!(*vault.find_key(&place).unwrap().unwrap(), *key);
    assert_eq!(vault.wipe_keys_of("one", None), Some(Rung::Tpm));
}

/// Somebody on the way between a program and a TPM, who hears everything and changes what it likes of the answers.
struct Bus {
    folder: tempfile::TempDir,
    heard: Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Bus {
    fn between(chip: &SoftwareTpm, mut change: impl FnMut(&mut Vec<u8>) + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let listener = std::os::unix::net::UnixListener::bind(folder.path().join("bus")).unwrap();
        let (to, hears) = (chip.socket(), heard.clone());
        // It ends with the process; a program that is gone is no longer heard.
        std::thread::spawn(move || {
            for mut near in listener.incoming().flatten() {
                let mut far = std::os::unix::net::UnixStream::connect(&to).unwrap();
                while let Some(command) = message(&mut near) {
                    hears.lock().unwrap().extend(&command);
                    std::io::Write::write_all(&mut far, &command).unwrap();
                    let Some(mut answer) = message(&mut far) else { break };
                    hears.lock().unwrap().extend(&answer);
                    change(&mut answer);
                    std::io::Write::write_all(&mut near, &answer).unwrap();
                }
            }
        });
        Self { folder, heard }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

/// One command or answer; each says how long it is.
fn message(from: &mut impl std::io::Read) -> Option<Vec<u8>> {
    let mut message = vec![0u8; 6];
    from.read_exact(&mut message).ok()?;
    let len = u32::from_be_bytes(message[2..6].try_into().unwrap());
    message.resize(len as usize, 0);
    from.read_exact(&mut message[6..]).ok()?;
    Some(message)
}
