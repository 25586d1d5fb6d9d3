//! A PostgreSQL of the test's own: made, started, stopped, killed, followed by a standby, and gone with the test.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::skipped;

/// A running server.
pub(crate) struct Cluster {
    home: TempDir,
    port: u16,
    programs: Programs,
}

#[derive(Clone)]
struct Programs {
    folder: PathBuf,
    /// Root may not run a server: this user does it.
    user: Option<(u32, u32)>,
}

impl Cluster {
    /// `None`, after saying so, where none can be started.
    pub(crate) fn start() -> Option<Cluster> {
        let programs = match Programs::find() {
            Ok(programs) => programs,
            Err(why) => {
                skipped(&why);
                return None;
            }
        };
        let cluster = Cluster { home: programs.home(), port: free_port(), programs };
        let data = cluster.data();
        let arguments = ["-D", text(&data), "-U", "mail", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"];
        cluster.programs.run("initdb", &arguments);
        cluster.configure();
        cluster.pg_ctl("start");
        Some(cluster)
    }

    /// An exact copy that follows this one; every commit of this one waits for it from now on.
    pub(crate) fn standby(&self) -> Cluster {
        let standby = Cluster { home: self.programs.home(), port: free_port(), programs: self.programs.clone() };
        let data = standby.data();
        let port = self.port.to_string();
        let slot = ["-D", text(&data), "-h", "127.0.0.1", "-p", &port, "-U", "mail", "-R", "-X", "stream"];
        self.programs.run("pg_basebackup", &[&slot[..], &["-C", "-S", "standby", "--no-sync"]].concat());
        standby.configure();
        standby.pg_ctl("start");
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("SELECT pg_reload_conf()");
        standby
    }

    fn configure(&self) {
        // Syncs are what is tested by kills of the daemons, not of the machine; the log says what went wrong.
        let settings = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n\
             max_connections = 100\nshared_buffers = 64MB\nwal_level = replica\nhot_standby = on\n",
            self.port
        );
        let path = self.data().join("postgresql.auto.conf");
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, before + &settings).expect("the settings can be written");
    }

    /// For a mailer; more hosts may follow.
    pub(crate) fn url(&self) -> String {
        format!("postgres://mail@127.0.0.1:{}/postgres", self.port)
    }

    /// One URL for both: whichever can be written to.
    pub(crate) fn url_with(&self, other: &Cluster) -> String {
        format!(
            "postgres://mail@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
            self.port, other.port
        )
    }

    /// Stops and starts it: open connections are cut.
    pub(crate) fn restart(&self) {
        self.pg_ctl("restart");
    }

    fn pg_ctl(&self, order: &str) {
        let (data, log) = (self.data(), self.home.path().join("log"));
        let arguments = [order, "-D", text(&data), "-l", text(&log), "-w", "-t", "120"];
        self.programs.run("pg_ctl", &arguments);
    }

    /// As a power cut would: no checkpoint, no farewell.
    pub(crate) fn kill(&self) {
        let data = self.data();
        self.programs.run("pg_ctl", &["stop", "-D", text(&data), "-m", "immediate", "-w"]);
    }

    /// The standby becomes the primary.
    pub(crate) fn promote(&self) {
        let data = self.data();
        self.programs.run("pg_ctl", &["promote", "-D", text(&data), "-w", "-t", "60"]);
    }

    /// What psql prints, without decoration.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let port = self.port.to_string();
        let arguments =
            ["-h", "127.0.0.1", "-p", &port, "-U", "mail", "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1"];
        let output = self.programs.run("psql", &[&arguments[..], &["-c", statement]].concat());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data();
        let arguments = ["stop", "-D", text(&data), "-m", "immediate", "-w"];
        let _ = self.programs.command("pg_ctl", &arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl Programs {
    fn find() -> Result<Programs, String> {
        let found = fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = found.map(|entry| entry.path().join("bin")).collect();
        folders.retain(|folder| folder.join("initdb").exists());
        folders.sort();
        let folder = folders.pop().ok_or("no PostgreSQL server is installed under /usr/lib/postgresql")?;
        let mine = fs::metadata("/proc/self").map_err(|error| format!("who runs this is not known: {error}"))?.uid();
        let user = if mine == 0 { Some(user("postgres").ok_or("there is no user postgres")?) } else { None };
        Ok(Programs { folder, user })
    }

    /// A folder that the server's user owns.
    fn home(&self) -> TempDir {
        let home = tempfile::Builder::new().prefix("returnpath-postgres-").tempdir().expect("a folder");
        if let Some((user, group)) = self.user {
            chown(home.path(), Some(user), Some(group)).expect("root may give it away");
        }
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("the folder is ours");
        home
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(self.folder.join(name));
        command.args(arguments).current_dir("/").stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Output {
        // To files, not pipes: a server that is started inherits them, and a pipe would never end.
        let (out, errors) = (tempfile::tempfile().expect("a file"), tempfile::tempfile().expect("a file"));
        let status = self
            .command(name, arguments)
            .stdout(out.try_clone().expect("a file"))
            .stderr(errors.try_clone().expect("a file"))
            .status()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = Output { status, stdout: whole(out), stderr: whole(errors) };
        assert!(status.success(), "{name} {arguments:?}: {status}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

fn whole(mut file: fs::File) -> Vec<u8> {
    use std::io::{Read as _, Seek as _};
    let mut content = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut content)).expect("it was just written");
    content
}

/// User and group of a name, by the system's own list.
fn user(name: &str) -> Option<(u32, u32)> {
    let list = fs::read_to_string("/etc/passwd").ok()?;
    let line = list.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("it is bound").port()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
