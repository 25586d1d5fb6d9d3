//! The daemon as a child process: lines in, lines out, and an end by any means.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A folder with a store, over which one daemon after the other is started.
pub(crate) struct Site {
    folder: TempDir,
}

impl Site {
    pub(crate) fn new() -> Site {
        Site { folder: tempfile::tempdir().unwrap() }
    }

    /// In a folder of its own under this one.
    #[allow(dead_code, reason = "not every test program that has this module chooses the disk")]
    pub(crate) fn under(directory: &Path) -> Site {
        Site { folder: tempfile::tempdir_in(directory).unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("mail.db")
    }

    /// The names of the files in the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A daemon over the store of this folder, with further flags.
    pub(crate) fn daemon(&self, flags: &[&str]) -> Daemon {
        let store = format!("sqlite:{}", self.store().display());
        let mut all =
            vec!["--domain", DOMAIN, "--ehlo", "mail.example.org", "--quiet", "--disk-reserve", "0", "--store", &store];
        all.extend(flags);
        Daemon::start(all)
    }
}

/// A running daemon; dropped, it is killed.
pub(crate) struct Daemon {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: watch::Receiver<Vec<Value>>,
    reading: JoinHandle<()>,
    errors: JoinHandle<String>,
}

/// A daemon that ended by itself.
pub(crate) struct Ended {
    /// The exit status; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<Value>,
    pub(crate) errors: String,
}

impl Daemon {
    /// Exactly these flags.
    pub(crate) fn start<S: AsRef<OsStr>>(flags: impl IntoIterator<Item = S>) -> Daemon {
        let mut child = Command::new(program())
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let (sender, lines) = watch::channel(Vec::new());
        let reading = tokio::spawn(async move {
            let mut line = Vec::new();
            // A line that was cut off by the end of the process was not printed.
            while stdout.read_until(b'\n', &mut line).await.is_ok() && line.ends_with(b"\n") {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                sender.send_modify(|lines| lines.push(value));
                line.clear();
            }
        });
        let errors = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        Daemon { child, stdin, lines, reading, errors }
    }

    /// Gives it a line. One that has died takes nothing more, which is no error here.
    pub(crate) async fn feed(&mut self, line: &Value) {
        self.feed_text(&line.to_string()).await;
    }

    pub(crate) async fn feed_text(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
        }
    }

    /// Its standard input, to be written to by another task.
    #[allow(dead_code, reason = "not every test program that has this module feeds from several tasks")]
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.stdin.take().expect("it is taken once")
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// What it printed so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.lines.borrow().clone()
    }

    /// What it printed after its first lines, of which there are so many.
    pub(crate) fn lines_after(&self, heard: usize) -> Vec<Value> {
        self.lines.borrow()[heard..].to_vec()
    }

    /// Waits until this holds of what it printed.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&[Value]) -> bool) -> Vec<Value> {
        let mut lines = self.lines.clone();
        let found = tokio::time::timeout(PATIENCE, lines.wait_for(|lines| holds(lines))).await;
        match found {
            Ok(Ok(lines)) => lines.clone(),
            Ok(Err(_)) => panic!("the daemon ended before {what}; it printed {:#?}", self.lines()),
            Err(_) => panic!("waited in vain for {what}; the daemon printed {:#?}", self.lines()),
        }
    }

    /// Waits for the first line of which this holds.
    pub(crate) async fn line(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let lines = self.until(what, |lines| lines.iter().any(&is_it)).await;
        lines.into_iter().find(is_it).unwrap()
    }

    /// Waits for the first event of this kind.
    pub(crate) async fn event(&self, kind: &str) -> Value {
        self.line(kind, |line| line["event"] == kind).await
    }

    /// Where it listens.
    pub(crate) async fn listener(&self) -> SocketAddr {
        self.event("listening").await["address"].as_str().unwrap().parse().unwrap()
    }

    /// `kill -9`; gives all that it had printed.
    pub(crate) async fn kill(mut self) -> Vec<Value> {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
        self.reading.await.unwrap();
        let lines = self.lines.borrow();
        lines.clone()
    }

    /// For signals.
    pub(crate) fn process_id(&self) -> String {
        self.child.id().expect("it has not been waited for").to_string()
    }

    /// Asks it to stop, as a supervisor does.
    pub(crate) fn terminate(&self) {
        assert!(std::process::Command::new("kill").args(["-TERM", &self.process_id()]).status().unwrap().success());
    }

    /// Waits until it ends by itself.
    pub(crate) async fn end(mut self) -> Ended {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let Ok(status) = status else { panic!("the daemon does not end; it printed {:#?}", self.lines()) };
        self.reading.await.unwrap();
        let lines = self.lines.borrow().clone();
        Ended { code: status.unwrap().code(), lines, errors: self.errors.await.unwrap() }
    }
}

/// Waits until this holds, looking often.
#[allow(dead_code, reason = "not every test program that has this module waits so")]
pub(crate) async fn eventually(what: &str, holds: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, holds).await;
}

/// As [`eventually`], with this much time; the looks, which may be long, take a small part of it.
pub(crate) async fn eventually_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let look = async {
        while !holds() {
            tokio::time::sleep(patience / 3000).await;
        }
    };
    tokio::time::timeout(patience, look).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// Whether the large sizes are to be run.
#[allow(dead_code, reason = "not every test program that has this module has sizes")]
pub(crate) fn full() -> bool {
    std::env::var("RETURNPATH_SCALE").is_ok_and(|scale| scale == "full")
}

/// The example, which cargo builds beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join("daemon");
    assert!(Path::new(&program).exists(), "{} is missing: cargo build --examples", program.display());
    program
}

pub(crate) const DOMAIN: &str = "b.example.org";
/// For anything that must happen: far longer than it takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
