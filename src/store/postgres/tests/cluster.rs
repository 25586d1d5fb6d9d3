//! A PostgreSQL server of our own, for as long as this process lives.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_postgres::NoTls;

/// Makes a cluster, starts it, says where, and takes it down when its standard input ends: that is when the process that
/// has the other end is gone, in whatever way. Durability is not tested here, so nothing is synced.
const SCRIPT: &str = r#"
dir=$(mktemp -d) && cd "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
"$1/initdb" -D data -A trust -U postgres --no-sync >/dev/null || exit 1
umask 077; printf %s "$3" >data/server.crt; printf %s "$4" >data/server.key
"$1/postgres" -D data -p "$2" -c listen_addresses=127.0.0.1 -k "$dir" -c max_connections=300 \
    -c ssl=on -c fsync=off -c full_page_writes=off -c wal_recycle=off -c max_wal_size=4GB </dev/null >log 2>&1 &
server=$!
n=0
until "$1/pg_isready" -q -h 127.0.0.1 -p "$2"; do
    n=$((n + 1)); [ $n -gt 300 ] && { cat log >&2; kill -INT $server; wait $server; exit 1; }
    sleep 0.1
done
echo "$dir"
read -r end
kill -INT $server
wait $server
"#;

pub(super) struct Cluster {
    port: u16,
    /// Where its files are.
    pub(super) data: PathBuf,
    made: AtomicUsize,
    /// What its certificate is verified by, in PEM form.
    pub(super) root: String,
    /// Holds the standard input open.
    _keeper: Child,
}

impl Cluster {
    /// The one of this process. `None` where PostgreSQL is not installed, which is an error where all must be tested.
    pub(super) fn shared() -> Option<&'static Cluster> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let Some(programs) = programs() else {
                assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "PostgreSQL is not installed");
                eprintln!("skipped: PostgreSQL is not installed");
                return None;
            };
            Some(Cluster::start(&programs))
        });
        shared.as_ref()
    }

    fn start(programs: &std::path::Path) -> Cluster {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // The server refuses to run as root.
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        let mut command = if is_root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let root = certified.cert.pem();
        let mut keeper = command
            .args(["-c", SCRIPT, "sh"])
            .arg(programs)
            .arg(port.to_string())
            .arg(&root)
            .arg(certified.signing_key.serialize_pem())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "PostgreSQL did not start");
        let data = PathBuf::from(line.trim_end()).join("data");
        Cluster { port, data, made: AtomicUsize::new(0), root, _keeper: keeper }
    }

    /// A new, empty database: its URL.
    pub(super) async fn database(&self) -> String {
        let name = format!("site{}", self.made.fetch_add(1, Ordering::Relaxed));
        run(&self.url("postgres"), &format!("CREATE DATABASE {name}")).await;
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// Runs one statement as somebody else.
pub(super) async fn run(url: &str, statement: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(statement).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

/// The number that a query answers, asked as somebody else.
pub(super) async fn count(url: &str, query: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let count = client.query_one(query, &[]).await.unwrap().get(0);
    drop(client);
    connection.await.unwrap().unwrap();
    count
}

/// Where the server's programs are: in the path, or where distributions keep them.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt"] {
        let versions = std::fs::read_dir(parent).into_iter().flatten().flatten();
        places.extend(versions.map(|version| version.path().join("bin")));
    }
    // A link may lead to one of them alone; its neighbours are where it ends.
    let mut homes =
        places.iter().filter_map(|place| place.join("initdb").canonicalize().ok()?.parent().map(PathBuf::from));
    homes.find(|home| home.join("postgres").is_file() && home.join("pg_isready").is_file())
}
