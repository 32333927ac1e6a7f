//! What unlocks a guest's encrypted volumes: given beforehand, or asked for when one is found locked. [`Keys`]

use block::{BlockRead, BlockWrite, Overlay, OverlayOptions};
use guest::volume::{Origin, Scan, ScanError, Secret, scan_unlocking};
use std::fmt;
use std::sync::Arc;

/// How often somebody is asked for a passphrase of one volume.
const ATTEMPTS: u32 = 3;

/// Asks somebody for the passphrase of the volume of that name; `true` when what was said before did not fit. `None` leaves
/// the volume locked.
pub type Ask<'a> = dyn Fn(&str, bool) -> Option<Secret> + Sync + 'a;

/// What unlocks a guest's encrypted volumes.
#[derive(Clone, Copy, Default)]
pub struct Keys<'a> {
    /// What was given.
    pub given: &'a [Secret],
    /// Who is asked when nothing was given and a volume is locked; `None` where nobody can be.
    pub ask: Option<&'a Ask<'a>>,
}

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("given", &self.given.len()).field("asks", &self.ask.is_some()).finish()
    }
}

impl Keys<'_> {
    /// The secrets for the volumes on `disks`, asking where that has to be. A secret that fits nothing is among them: the one
    /// who uses it says so.
    pub(crate) fn secrets(&self, disks: &[Arc<dyn BlockRead>]) -> Vec<Secret> {
        let Some(ask) = self.ask.filter(|_| self.given.is_empty()) else { return self.given.to_vec() };
        let overlay = |disk: &Arc<dyn BlockRead>| -> Arc<dyn BlockWrite> {
            Arc::new(Overlay::new(Arc::clone(disk), OverlayOptions::new(std::env::temp_dir())))
        };
        let disks: Vec<_> = disks.iter().map(overlay).collect();
        asked(&disks, ask)
    }
}

/// Asks for the passphrase of one locked volume after the other. What else is wrong with the disks is not said here.
fn asked(disks: &[Arc<dyn BlockWrite>], ask: &Ask<'_>) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let Ok(mut scan) = scan_unlocking(disks, &[]) else { return secrets };
    // Volumes in the order in which they were found; one that stays locked is passed over.
    let mut passed_over: Vec<String> = Vec::new();
    loop {
        let next = locked(&scan).find(|name| !passed_over.contains(name));
        let Some(volume) = next else { return secrets };
        match asked_for(&volume, disks, &secrets, ask) {
            Answer::Unlocked(opened, with_it) => (scan, secrets) = (opened, with_it),
            Answer::Refused(with_it) => return with_it,
            Answer::Nothing => passed_over.push(volume),
        }
    }
}

/// What came of asking for one volume.
enum Answer {
    /// It is open, by the last of these secrets.
    Unlocked(Scan, Vec<Secret>),
    /// Nothing is open, and the last of these secrets is as wrong as those that were said before it.
    Refused(Vec<Secret>),
    /// It stays locked.
    Nothing,
}

fn asked_for(volume: &str, disks: &[Arc<dyn BlockWrite>], known: &[Secret], ask: &Ask<'_>) -> Answer {
    let mut refused = None;
    for attempt in 0..ATTEMPTS {
        let Some(secret) = ask(volume, attempt > 0) else { return Answer::Nothing };
        let with_it = [known, &[secret]].concat();
        match scan_unlocking(disks, &with_it) {
            Ok(opened) if locked(&opened).all(|name| name != volume) => {
                return Answer::Unlocked(opened, with_it);
            }
            Err(ScanError::Locked { .. }) => refused = Some(with_it),
            Ok(_) | Err(_) => {}
        }
    }
    refused.map_or(Answer::Nothing, Answer::Refused)
}

/// The encrypted volumes that nothing unlocked yet.
fn locked(scan: &Scan) -> impl Iterator<Item = String> + '_ {
    let is_open = |id| {
        let inside =
            |origin: &Origin| matches!(origin, Origin::Unlocked { container, .. } if *container == id);
        scan.volumes.iter().any(|volume| inside(&volume.origin))
    };
    let is_luks = |kind: &str| kind == "crypto_LUKS";
    scan.volumes
        .iter()
        .filter(move |volume| volume.content.as_ref().is_some_and(|content| is_luks(&content.kind)))
        .filter(move |volume| !is_open(volume.id))
        .map(|volume| volume.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::sync::Mutex;

    /// A disk that cryptsetup encrypted.
    fn encrypted(passphrase: &str) -> Arc<dyn BlockRead> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(20 << 20).unwrap();
        let quick = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "-"];
        let mut format = Command::new("cryptsetup")
            .args(["luksFormat", "--batch-mode", "--type", "luks2"])
            .args(quick)
            .arg(file.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("apt install cryptsetup-bin");
        format.stdin.take().unwrap().write_all(passphrase.as_bytes()).unwrap();
        assert!(format.wait().unwrap().success());
        Arc::new(block::MemoryDisk::from_bytes(std::fs::read(file.path()).unwrap()))
    }

    /// Who says these, one after the other, and what they were asked.
    fn saying(answers: &[Option<&str>], disk: &Arc<dyn BlockRead>) -> (Vec<Secret>, Vec<(String, bool)>) {
        let asked = Mutex::new(Vec::new());
        let ask = |volume: &str, again: bool| {
            let mut asked = asked.lock().unwrap();
            asked.push((volume.to_owned(), again));
            answers[asked.len() - 1].map(Secret::passphrase)
        };
        let secrets = Keys { given: &[], ask: Some(&ask) }.secrets(std::slice::from_ref(disk));
        (secrets, asked.into_inner().unwrap())
    }

    #[test]
    fn somebody_is_asked_for_what_is_locked_and_only_then() {
        let disk = encrypted("right");
        let typed = |secrets: &[Secret]| -> Vec<Vec<u8>> {
            secrets.iter().filter_map(|secret| secret.typed().map(<[u8]>::to_vec)).collect()
        };
        let (secrets, asked) = saying(&[Some("wrong"), Some("right")], &disk);
        assert_eq!(typed(&secrets), [b"right"]);
        assert_eq!(asked, [("disk1".to_owned(), false), ("disk1".to_owned(), true)]);

        let (secrets, asked) = saying(&[None], &disk);
        assert!(secrets.is_empty() && asked.len() == 1);

        // After three tries the last one stands, and is refused where it is used.
        let (secrets, asked) = saying(&[Some("a"), Some("b"), Some("c")], &disk);
        assert_eq!((typed(&secrets), asked.len()), (vec![b"c".to_vec()], 3));

        let plain: Arc<dyn BlockRead> = Arc::new(block::MemoryDisk::new(1 << 20));
        assert!(saying(&[], &plain).1.is_empty());

        let given = [Secret::passphrase("other")];
        let ask = |_: &str, _: bool| -> Option<Secret> { panic!("something was given") };
        let keys = Keys { given: &given, ask: Some(&ask) };
        assert_eq!(typed(&keys.secrets(&[disk])), [b"other"]);
        assert_eq!(format!("{keys:?}"), "Keys { given: 1, asks: true }");
    }
}
