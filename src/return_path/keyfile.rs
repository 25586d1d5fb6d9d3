//! The key file: how a ring is written down.
//!
//! ```text
//! # comment
//! returnpath-keyring 1
//! key 0 retire 1700000000000 <secret> <fingerprint>
//! key 1 mint 1707776000000 <secret> <fingerprint>
//! ```
//!
//! One line per key: its id (0 to 63), its state, since when (milliseconds since 1970; `-` where nobody knew the time),
//! the secret in 64 and its fingerprint in 32 hexadecimal digits. The fingerprint finds a damaged line: a
//! secret with one wrong digit would otherwise be found out by bounces that are refused.
//!
//! Every error names the file, the line where there is one, and what to do; none shows a secret.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::keyring::{Key, KeyState, Keyring, KeyringError};
use super::token::Token;
use crate::id::hex;
use crate::time::Timestamp;

/// Reads a key file that only its owner has rights to.
pub(crate) fn read(path: &Path) -> Result<Keyring, KeyringError> {
    let origin = format!("key file {}", path.display());
    let refuse = |what: String| KeyringError(format!("{origin}: {what}"));
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => refuse(
            "does not exist; name the file that was used before, or make one with `Keyring::file_or_create`".into(),
        ),
        _ => refuse(format!("cannot be read ({error}); let the user that runs this program own it")),
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(refuse("is not a regular file; name a key file".into()));
    }
    check_owner_only(&metadata).map_err(&refuse)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    parse(&origin, &bytes)
}

/// Reads a key file, or makes one that is there either whole or not at all.
pub(crate) fn read_or_create(path: &Path, new: impl FnOnce() -> Keyring) -> Result<Keyring, KeyringError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        _ => return read(path),
    }
    let ring = new();
    let cannot = |error: io::Error| {
        KeyringError(format!(
            "key file {}: cannot be made ({error}); its folder must exist and be writable, and its file system know hard links",
            path.display()
        ))
    };
    let draft = Draft::write(path, &ring).map_err(cannot)?;
    // Unlike a rename, a link never takes the place of what another process put there in the meantime.
    match fs::hard_link(&draft.path, path) {
        Ok(()) => {
            sync_folder(path).map_err(cannot)?;
            Ok(ring)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(cannot(error)),
    }
}

/// Puts a ring in the place of the file.
pub(crate) fn replace(path: &Path, ring: &Keyring) -> Result<(), KeyringError> {
    let write = || {
        let draft = Draft::write(path, ring)?;
        fs::rename(&draft.path, path)?;
        sync_folder(path)
    };
    write().map_err(|error| {
        KeyringError(format!(
            "key file {}: cannot be written ({error}); its folder must exist and be writable, and have room",
            path.display()
        ))
    })
}

/// The text of a key file.
pub(crate) fn format(ring: &Keyring) -> String {
    let mut text = String::from(
        "# Key ring of returnpath. Whoever reads it can forge bounces; without it no mail that is out can come back.\n\
         # Keep it owner-only (mode 0600) and in the backup.\n",
    );
    let _ = writeln!(text, "{MAGIC} {VERSION}");
    for (id, key) in ring.entries() {
        let since = key.since.map_or("-".into(), |since| since.as_millis().to_string());
        let secret = key.secret.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let _ = writeln!(text, "key {id} {} {since} {secret} {}", key.state, key.fingerprint);
    }
    text
}

/// The mirror of [`format`]; `origin` begins the text of an error.
pub(crate) fn parse(origin: &str, bytes: &[u8]) -> Result<Keyring, KeyringError> {
    let foreign = || {
        KeyringError(format!(
            "{origin}, line 1: not a key file of returnpath (it would begin with `{MAGIC} {VERSION}`); nothing was \
             changed in it, name another one"
        ))
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(foreign());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| foreign())?;
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));

    let (_, first) = lines.next().ok_or_else(foreign)?;
    match first.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' ')) {
        Some(VERSION) => {}
        Some(version) if version.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(KeyringError(format!(
                "{origin}: its format {version} is newer than this version of the crate knows ({VERSION}); use the newer one"
            )));
        }
        _ => return Err(foreign()),
    }

    let mut ring = Keyring::default();
    for (number, line) in lines {
        let refuse = |what: &str| {
            KeyringError(format!(
                "{origin}, line {number}: {what}; restore the file from a copy, its secrets cannot be made again"
            ))
        };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let ["key", id, state, since, secret, fingerprint] = words[..] else {
            return Err(refuse("expected `key ID STATE SINCE SECRET FINGERPRINT`"));
        };
        let id = id.parse().ok().filter(|id| *id <= Token::MAX_KEY).ok_or_else(|| refuse("the id is not 0 to 63"))?;
        let state = KeyState::from_name(state)
            .ok_or_else(|| refuse("the state is not `accept`, `mint`, `retire` or `revoked`"))?;
        let since = match since {
            "-" => None,
            millis => Some(millis.parse().map_err(|_| refuse("the time is neither milliseconds nor `-`"))?),
        };
        let secret = hex(secret).ok_or_else(|| refuse("the secret has not 64 hexadecimal digits"))?;
        let key = Key::new(secret, state, since.map(Timestamp::from_millis));
        if key.fingerprint.to_string() != fingerprint.to_ascii_lowercase() {
            return Err(refuse("the secret does not fit its fingerprint: the line is damaged"));
        }
        if !ring.insert(id, key) {
            return Err(refuse("the id stands in an earlier line already"));
        }
    }
    if ring.entries().next().is_none() {
        return Err(KeyringError(format!("{origin}: holds no key; restore the file from a copy")));
    }
    Ok(ring)
}

/// A file beside the one that is meant, whole and synced; it is removed when it is done with.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(target: &Path, ring: &Keyring) -> io::Result<Draft> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random bytes"))?;
        let name = target.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
        let mut draft = name.to_owned();
        draft.push(format!(".{:016x}.new", u64::from_ne_bytes(random)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let draft = Draft { path: target.with_file_name(draft) };
        let mut file = options.open(&draft.path)?;
        file.write_all(format(ring).as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = fs::remove_file(&self.path);
    }
}

/// A name is on disk once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn check_owner_only(metadata: &fs::Metadata) -> Result<(), String> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!(
        "its mode is {mode:04o}, so others than its owner have rights to the secrets; run `chmod 600` on it, and change \
         the key if somebody may have read it"
    ))
}

/// Elsewhere the rights are the administrator's matter.
#[cfg(not(unix))]
fn check_owner_only(_: &fs::Metadata) -> Result<(), String> {
    Ok(())
}

const MAGIC: &str = "returnpath-keyring";
const VERSION: &str = "1";
/// 64 keys have 9 KiB; what is far beyond is another kind of file.
const MAX_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn ring() -> Keyring {
        let mut ring = Keyring::generate();
        ring.rotate(NOON).unwrap();
        ring
    }

    fn same(one: &Keyring, other: &Keyring) -> bool {
        one.to_bytes() == other.to_bytes()
    }

    #[test]
    fn a_ring_reads_back_from_its_bytes_with_comments_and_blank_lines() {
        let ring = ring();
        assert!(same(&Keyring::from_bytes(ring.to_bytes()).unwrap(), &ring));
        let edited = format(&ring).replace("returnpath-keyring 1\n", "\n  # mine\n  returnpath-keyring 1  \n\n");
        let edited = edited.replace('\n', "\r\n");
        assert!(same(&Keyring::from_bytes(edited).unwrap(), &ring));
    }

    #[test]
    fn a_damaged_line_is_named_and_no_secret_is_shown() {
        let text = format(&ring());
        let second = text.lines().last().unwrap().to_owned();
        let words: Vec<&str> = second.split(' ').collect();
        let with = |at: usize, word: &str| {
            let mut words = words.clone();
            words[at] = word;
            text.replace(&second, &words.join(" "))
        };
        let flipped =
            if words[4].starts_with('0') { words[4].replacen('0', "1", 1) } else { format!("0{}", &words[4][1..]) };
        for (text, expected) in [
            (with(1, "64"), "line 5: the id is not 0 to 63"),
            (with(1, "-1"), "line 5: the id is not 0 to 63"),
            (with(1, "0"), "line 5: the id stands in an earlier line"),
            (with(2, "minting"), "line 5: the state is not"),
            (with(3, "yesterday"), "line 5: the time is neither"),
            (with(4, &words[4][1..]), "line 5: the secret has not 64"),
            (with(4, &flipped), "line 5: the secret does not fit its fingerprint"),
            (with(5, &words[4][..32]), "line 5: the secret does not fit its fingerprint"),
            (with(5, ""), "line 5: expected `key ID STATE"),
            (text.replace(&second, "[keys]"), "line 5: expected `key ID STATE"),
            (text.lines().take(3).collect::<Vec<_>>().join("\n"), "holds no key"),
            (text.replace("keyring 1", "keyring 2"), "format 2 is newer"),
        ] {
            let error = parse("key file ring", text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("key file ring") && error.contains(expected), "{error}");
            assert!(!error.contains(&words[4][..16]), "{error}");
        }
    }

    #[test]
    fn another_kind_of_file_is_named_as_such() {
        for bytes in [
            &b""[..],
            b"# only a comment\n",
            b"-----BEGIN PRIVATE KEY-----\n",
            b"\x7fELF\xff\xfe",
            b"returnpath-keyring\n",
            b"returnpath-keyring one\n",
            &[b'#'; MAX_BYTES as usize + 1],
        ] {
            let error = parse("key file ring", bytes).unwrap_err().to_string();
            assert!(
                error.contains("line 1: not a key file of returnpath") && error.contains("name another"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_is_made_once_and_read_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring");
        let made = Keyring::file_or_create(&path).unwrap();
        assert!(same(&Keyring::file_or_create(&path).unwrap(), &made));
        assert!(same(&Keyring::file(&path).unwrap(), &made));
        let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        assert_eq!(names(), ["ring"], "no draft is left behind");

        let mut changed = made.clone();
        changed.rotate(NOON).unwrap();
        changed.save(&path).unwrap();
        assert!(same(&Keyring::file(&path).unwrap(), &changed));
        assert_eq!(names(), ["ring"]);
    }

    #[test]
    fn of_many_that_make_the_file_at_once_all_have_the_same_ring() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring");
        let rings: Vec<Keyring> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Keyring::file_or_create(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(rings.iter().all(|ring| same(ring, &rings[0])));
    }

    #[test]
    fn a_file_that_is_not_there_or_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let text = Keyring::file(&missing).unwrap_err().to_string();
        assert!(
            text.contains(&missing.display().to_string()) && text.contains("does not exist; name the file"),
            "{text}"
        );
        let text = Keyring::file(folder.path()).unwrap_err().to_string();
        assert!(text.contains("is not a regular file"), "{text}");
        let text = Keyring::file_or_create(missing.join("ring")).unwrap_err().to_string();
        assert!(text.contains("cannot be made") && text.contains("folder must exist"), "{text}");
        let text = ring().save(missing.join("ring")).unwrap_err().to_string();
        assert!(text.contains("cannot be written"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused_and_ours_are_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let ring = Keyring::file_or_create(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        for open in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            let text = Keyring::file(&path).unwrap_err().to_string();
            assert!(text.contains(&format!("its mode is 0{open:o}")) && text.contains("chmod 600"), "{text}");
            assert!(Keyring::file_or_create(&path).is_err(), "nor is it made anew");
        }
        ring.save(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(same(&Keyring::file(&path).unwrap(), &ring));
    }

    #[test]
    fn a_ring_of_a_file_opens_what_it_minted_before() {
        use crate::return_path::{Form, Forms, Layout, TagPlacement};
        let form = Form::new("b.example.org", Layout::default()).unwrap();
        let forms = Forms::new([&form], &[], Duration::ZERO);
        let id = crate::DeliveryId::from_u64(crate::id::IdSource::new(0, 0).next(NOON));
        let before = ring();
        let path = before.mint(&form, id, None, TagPlacement::Fit).unwrap();
        let after = Keyring::from_bytes(before.to_bytes()).unwrap();
        let returned = after.open(path.address().as_str(), &forms, Duration::from_secs(60), NOON).unwrap();
        assert_eq!(returned.delivery(), id);
    }
}
