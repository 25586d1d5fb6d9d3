//! The library as a program: one JSON line in, the whole story out.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::postfix::Setup;
use crate::{skipped, within};

#[tokio::test]
async fn one_line_in_gives_queued_delivered_and_later_the_bounce() {
    let Some(setup) = Setup::new() else { return };
    let Some(mut daemon) = Daemon::start(&["--relay", &setup.address().to_string()]) else { return };
    let listening = daemon.event("listening").await;
    let address = listening["address"].as_str().and_then(|address| address.parse().ok()).expect("an address and port");
    let _postfix = setup.transport("b.example.org", address).start().await;

    daemon
        .line(r#"{"from":"News <news@example.org>","to":"nobody-of-that-name@local.example","subject":"Hello","text":"Hello.","tag":4711,"mailing":"issue-1","key":"one"}"#)
        .await;
    let queued = daemon.event("queued").await;
    assert_eq!((&queued["tag"], &queued["key"]), (&Value::from(4711), &Value::from("one")));
    assert!(queued["return_path"].as_str().is_some_and(|path| path.ends_with("@b.example.org")), "{queued}");

    let delivered = daemon.event("delivered").await;
    assert_eq!((&delivered["id"], &delivered["tag"]), (&queued["id"], &queued["tag"]));
    assert_eq!((&delivered["code"], &delivered["stage"]), (&Value::from(250), &Value::from("end_of_data")));

    let bounce = daemon.event("bounce").await;
    for (key, value) in [
        ("id", queued["id"].clone()),
        ("message", queued["message"].clone()),
        ("tag", 4711.into()),
        ("to", "nobody-of-that-name@local.example".into()),
        ("mailing", "issue-1".into()),
        ("reason", "user_unknown".into()),
        ("status", "5.1.1".into()),
        ("address_state", "no_mailbox".into()),
        ("advice", "remove".into()),
        ("outcome", "failed".into()),
        ("trust", "sealed".into()),
        ("verified", true.into()),
        ("origin", "report".into()),
    ] {
        assert_eq!(bounce[key], value, "{key}: {bounce}");
    }
    daemon.end().await;
}

/// The example `daemon`, running.
struct Daemon {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _home: tempfile::TempDir,
}

impl Daemon {
    fn start(args: &[&str]) -> Option<Daemon> {
        let program = program();
        if !program.exists() {
            skipped(&format!("{} is not built; `cargo test` without `--test` builds it", program.display()));
            return None;
        }
        let home = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(program)
            .args(["--domain", "b.example.org", "--ehlo", "mail.example.org", "--listen", "127.0.0.1:0"])
            .args(["--drain", "--quiet", "--disk-reserve", "0", "--store"])
            .arg(format!("sqlite:{}", home.path().join("mail.db").display()))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it is there");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        Some(Daemon { child, input, output, _home: home })
    }

    async fn line(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("it reads");
    }

    /// The next line, which must be of this kind.
    async fn event(&mut self, kind: &str) -> Value {
        let line = within(kind, self.output.next_line()).await.expect("UTF-8").expect("another line");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(event["event"], kind, "{event}");
        event
    }

    /// Ends its input; it ends in order, and has nothing more to say.
    async fn end(mut self) {
        drop(self.input);
        assert_eq!(within("the daemon's end", self.output.next_line()).await.expect("UTF-8"), None);
        assert!(within("the daemon's end", self.child.wait()).await.expect("our own child").success());
    }
}

/// Beside the folder of this test program.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this runs");
    test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps").join("examples").join("daemon")
}
