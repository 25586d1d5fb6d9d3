//! One order in one transaction, as programs with these clients write it.

use returnpath::Outbox;

use crate::cluster::Cluster;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    Psql,
    TokioPostgres,
    Sqlx,
}

/// How the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Rollback,
}

impl Client {
    /// The order and its mail, in one transaction.
    pub(crate) async fn run(self, cluster: &Cluster, outbox: &Outbox, number: i64, end: End) {
        match self {
            Client::Psql => psql(cluster, outbox, number, end),
            Client::TokioPostgres => tokio_postgres(&cluster.url(), outbox, number, end).await.unwrap(),
            Client::Sqlx => sqlx(&cluster.url(), outbox, number, end).await.unwrap(),
        }
    }
}

/// The statement with its value written into it.
pub(crate) fn literal(outbox: &Outbox) -> String {
    let digits: String = outbox.payload().iter().map(|byte| format!("{byte:02x}")).collect();
    outbox.sql().replace("$1", &format!("'\\x{digits}'"))
}

fn psql(cluster: &Cluster, outbox: &Outbox, number: i64, end: End) {
    let end = if end == End::Commit { "COMMIT" } else { "ROLLBACK" };
    cluster.sql(&format!("BEGIN; INSERT INTO orders VALUES ({number}); {}; {end}", literal(outbox)));
}

async fn tokio_postgres(url: &str, outbox: &Outbox, number: i64, end: End) -> Result<(), tokio_postgres::Error> {
    let (mut client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    let transaction = client.transaction().await?;
    transaction.execute("INSERT INTO orders VALUES ($1)", &[&number]).await?;
    transaction.execute(outbox.sql(), &[&outbox.payload()]).await?;
    match end {
        End::Commit => transaction.commit().await?,
        End::Rollback => transaction.rollback().await?,
    }
    drop(client);
    connection.await.expect("it does not panic")
}

async fn sqlx(url: &str, outbox: &Outbox, number: i64, end: End) -> Result<(), sqlx::Error> {
    use sqlx::Connection as _;
    let mut connection = sqlx::PgConnection::connect(url).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO orders VALUES ($1)").bind(number).execute(&mut *transaction).await?;
    sqlx::query(outbox.sql()).bind(outbox.payload()).execute(&mut *transaction).await?;
    match end {
        End::Commit => transaction.commit().await?,
        End::Rollback => transaction.rollback().await?,
    }
    connection.close().await
}
