//! A Postfix of the test's own: configured, started, read, and ended with the test.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;

use crate::{announce, skipped, within};

/// A Postfix that is not started yet: its port is known, so that a mailer can be told to relay to it.
pub(crate) struct Setup {
    home: TempDir,
    address: SocketAddr,
    transports: String,
    refused: String,
    mailboxes: String,
    settings: String,
}

impl Setup {
    /// `None`, after saying so, where no Postfix can be started.
    pub(crate) fn new() -> Option<Setup> {
        let version = match version() {
            Ok(version) => version,
            Err(why) => {
                skipped(&why);
                return None;
            }
        };
        static ONCE: Once = Once::new();
        ONCE.call_once(|| announce(&format!("the tests run against Postfix {version}")));
        let home = tempfile::Builder::new().prefix("returnpath-postfix-").tempdir().expect("a folder");
        // Postfix runs as several users, who all have to find their way through.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Some(Setup {
            home,
            address: socket.local_addr().expect("it is bound"),
            transports: String::new(),
            refused: String::new(),
            mailboxes: String::new(),
            settings: String::new(),
        })
    }

    /// Where it will listen.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its own folder.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Mail for this domain goes to that host.
    pub(crate) fn transport(mut self, domain: &str, host: SocketAddr) -> Setup {
        writeln!(self.transports, "{domain} smtp:[{}]:{}", host.ip(), host.port()).expect("a string takes it");
        self
    }

    /// Recipients that begin so are refused at RCPT, with this reply.
    pub(crate) fn refuse(mut self, beginning: &str, reply: &str) -> Setup {
        writeln!(self.refused, "/^{beginning}/ {reply}").expect("a string takes it");
        self
    }

    /// A mailbox of the domain `mail.example`, with so many octets in it.
    pub(crate) fn mailbox(mut self, name: &str, octets: usize) -> Setup {
        writeln!(self.mailboxes, "{name}@mail.example {name}").expect("a string takes it");
        let mail = self.mail();
        fs::create_dir_all(&mail).expect("the folder is ours");
        chown(&mail, Some(MAILBOX_OWNER), Some(MAILBOX_OWNER)).expect("we are root");
        let file = mail.join(name);
        fs::write(&file, "x".repeat(octets)).expect("there is room");
        chown(&file, Some(MAILBOX_OWNER), Some(MAILBOX_OWNER)).expect("we are root");
        self
    }

    /// A line of `main.cf`.
    pub(crate) fn setting(mut self, line: &str) -> Setup {
        writeln!(self.settings, "{line}").expect("a string takes it");
        self
    }

    /// Starts it and waits for its greeting.
    pub(crate) async fn start(self) -> Postfix {
        self.configure();
        // The shell ends Postfix when its standard input closes: at the end of the test, and also when the whole test
        // process is killed.
        let output = fs::File::create(self.home().join("output")).expect("the folder is ours");
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(self.home())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a file"))
            .stderr(output)
            .spawn()
            .expect("there is a shell");
        let postfix = Postfix { keeper, home: self.home, address: self.address };
        within("Postfix's greeting", postfix.greeting()).await;
        postfix
    }

    fn configure(&self) {
        let home = self.home();
        for folder in ["queue", "data"] {
            fs::create_dir(home.join(folder)).expect("the folder is ours");
        }
        chown(home.join("data"), Some(owner()), None).expect("we are root");
        let write = |name: &str, text: &str| fs::write(home.join(name), text).expect("the folder is ours");
        write("transport", &self.transports);
        write("refused", &self.refused);
        write("mailboxes", &self.mailboxes);
        let main = MAIN.replace("HOME", &home.display().to_string());
        write("main.cf", &format!("{main}{}", self.settings));
        write("master.cf", &MASTER.replace("ADDRESS", &self.address.to_string()));
    }

    fn mail(&self) -> PathBuf {
        self.home().join("mail")
    }
}

/// A running Postfix. Dropped, it ends.
pub(crate) struct Postfix {
    keeper: Child,
    home: TempDir,
    address: SocketAddr,
}

impl Postfix {
    /// What is in a mailbox of the domain `mail.example`.
    pub(crate) fn mailbox(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join("mail").join(name)).expect("the mailbox was set up")
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Waits until a line of its log contains all these words, and gives that line.
    pub(crate) async fn logged(&self, words: &[&str]) -> String {
        let find = async {
            loop {
                let log = self.log();
                if let Some(line) = log.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                    return line.to_owned();
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        within(&format!("{words:?} in Postfix's log"), find).await
    }

    async fn greeting(&self) {
        loop {
            if let Ok(stream) = TcpStream::connect(self.address).await {
                let mut line = String::new();
                if matches!(BufReader::new(stream).read_line(&mut line).await, Ok(1..)) {
                    assert!(line.starts_with("220 "), "{line}");
                    return;
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        for _ in 0..500 {
            if !matches!(self.keeper.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        if std::thread::panicking() {
            let output = fs::read_to_string(self.home.path().join("output")).unwrap_or_default();
            eprintln!("what Postfix said:\n{output}{}", self.log());
        }
    }
}

/// The version of the Postfix that is installed, or why none can be started.
fn version() -> Result<String, String> {
    let output = Command::new("postconf").args(["-d", "-h", "mail_version"]).output();
    let output = output.map_err(|error| format!("no Postfix is installed (postconf: {error})"))?;
    let process = fs::metadata("/proc/self").map_err(|_| "Postfix is started by these tests on Linux only")?;
    if process.uid() != 0 {
        return Err("only root can start a Postfix".into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The user that Postfix's daemons run as.
fn owner() -> u32 {
    let users = fs::read_to_string("/etc/passwd").expect("a Unix system");
    let user = users.lines().find_map(|line| line.strip_prefix("postfix:")).expect("Postfix's package made its user");
    user.split(':').nth(1).and_then(|id| id.parse().ok()).expect("the third field is the user's number")
}

const KEEPER: &str = r#"
postfix -c "$1" start-fg </dev/null &
cat >/dev/null
postfix -c "$1" abort
wait
"#;

/// Nothing leaves this machine, and what cannot be delivered comes back within seconds.
const MAIN: &str = "\
compatibility_level = 3.6
queue_directory = HOME/queue
data_directory = HOME/data
maillog_file = HOME/log
maillog_file_prefixes = HOME
myhostname = mx.remote.example
myorigin = remote.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtp_balance_inet_protocols = no
alias_maps =
alias_database =
mydestination = local.example
local_recipient_maps =
virtual_mailbox_domains = mail.example
virtual_mailbox_maps = texthash:HOME/mailboxes
virtual_mailbox_base = HOME/mail
virtual_mailbox_limit = 100000
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
message_size_limit = 100000
transport_maps = texthash:HOME/transport
default_transport = error:5.4.4 there is no way out of here
smtpd_reject_unlisted_recipient = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access regexp:HOME/refused, permit_mynetworks, reject
smtpd_error_sleep_time = 0
notify_classes =
queue_run_delay = 3s
minimal_backoff_time = 3s
maximal_backoff_time = 3s
delay_warning_time = 4s
maximal_queue_lifetime = 15s
bounce_queue_lifetime = 15s
";

const MASTER: &str = "\
ADDRESS   inet  n  -  n  -     -  smtpd
pickup    unix  n  -  n  60    1  pickup
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  300   1  qmgr
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  bounce
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
verify    unix  -  -  n  -     1  verify
flush     unix  n  -  n  1000? 0  flush
proxymap  unix  -  -  n  -     -  proxymap
smtp      unix  -  -  n  -     -  smtp
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
local     unix  -  n  n  -     -  local
virtual   unix  -  n  n  -     -  virtual
anvil     unix  -  -  n  -     1  anvil
scache    unix  -  -  n  -     1  scache
postlog   unix-dgram n - n -   1  postlogd
";

/// `nobody`: mailboxes never belong to root.
const MAILBOX_OWNER: u32 = 65_534;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
