//! Mail as remote hosts send it to a return path: reports and automatic answers, and its delivery to a listener.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A delivery status notification (RFC 3464) about one recipient, as a remote host would write it.
///
/// ```
/// use returnpath::analysis::Kind;
/// use returnpath::testing::Report;
///
/// let report = Report::failed("bob@example.net", "5.1.1", "550 5.1.1 <bob@example.net>: no such user");
/// let analysis = returnpath::analyse(report.to_string().as_bytes());
/// assert_eq!(analysis.kind, Kind::Bounce);
/// ```
#[derive(Debug, Clone)]
pub struct Report {
    action: &'static str,
    recipient: String,
    status: String,
    diagnostic: String,
    original: String,
}

impl Report {
    /// The message was returned.
    pub fn failed(recipient: &str, status: &str, diagnostic: &str) -> Report {
        Report::new("failed", recipient, status, diagnostic)
    }

    /// The remote host goes on trying.
    pub fn delayed(recipient: &str, status: &str, diagnostic: &str) -> Report {
        Report::new("delayed", recipient, status, diagnostic)
    }

    /// The message was delivered.
    pub fn delivered(recipient: &str) -> Report {
        Report::new("delivered", recipient, "2.0.0", "250 2.0.0 ok")
    }

    fn new(action: &'static str, recipient: &str, status: &str, diagnostic: &str) -> Report {
        Report {
            action,
            recipient: recipient.to_owned(),
            status: status.to_owned(),
            diagnostic: diagnostic.to_owned(),
            original: String::new(),
        }
    }

    /// Returns this message's header with the report.
    pub fn original(mut self, message: &str) -> Report {
        self.original = message.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        self
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { action, recipient, status, diagnostic, original } = self;
        let mut text = String::new();
        write!(
            text,
            "From: Mail Delivery System <mailer-daemon@remote.example>\n\
             To: undisclosed-recipients:;\n\
             Subject: Delivery status: {action}\n\
             Date: Tue, 06 Jan 2026 12:00:00 +0000\n\
             Message-ID: <report-{status}-{recipient}>\n\
             Auto-Submitted: auto-replied\n\
             MIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"=report\"\n\
             \n\
             --=report\n\
             Content-Type: text/plain; charset=us-ascii\n\
             \n\
             This is the mail system at remote.example. The state of your message to\n\
             <{recipient}> is: {action}. The remote host said:\n\
             \n\
             {diagnostic}\n\
             --=report\n\
             Content-Type: message/delivery-status\n\
             \n\
             Reporting-MTA: dns; remote.example\n\
             Arrival-Date: Tue, 06 Jan 2026 11:00:00 +0000\n\
             \n\
             Final-Recipient: rfc822; {recipient}\n\
             Action: {action}\n\
             Status: {status}\n\
             Remote-MTA: dns; mx.remote.example\n\
             Diagnostic-Code: smtp; {diagnostic}\n\
             \n\
             --=report\n\
             Content-Type: text/rfc822-headers\n\
             \n"
        )?;
        let text = text.replace('\n', "\r\n");
        write!(f, "{text}{original}\r\n--=report--\r\n")
    }
}

/// An automatic answer (RFC 3834), as a vacation program would write it.
pub fn vacation_reply(from: &str, to: &str, subject: &str) -> String {
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: Auto: {subject}\r\nAuto-Submitted: auto-replied\r\n\
         Date: Tue, 06 Jan 2026 12:00:00 +0000\r\nMessage-ID: <vacation-{from}>\r\n\r\n\
         I am away until Monday and will read your message then.\r\n"
    )
}

/// Delivers a message to a listener over SMTP, with the null sender, as a remote host does. Gives the reply to the end
/// of data, or the refusal that came before it.
pub async fn deliver_to(listener: SocketAddr, recipient: &str, message: &str) -> std::io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(listener).await?);
    reply(&mut stream).await?;
    for command in ["EHLO remote.example", "MAIL FROM:<>", &format!("RCPT TO:<{recipient}>"), "DATA"] {
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let reply = reply(&mut stream).await?;
        if !reply.starts_with(['2', '3']) {
            stream.write_all(b"QUIT\r\n").await?;
            return Ok(reply);
        }
    }
    let stuffed = message.replace("\r\n.", "\r\n..");
    let end = if stuffed.ends_with("\r\n") { ".\r\n" } else { "\r\n.\r\n" };
    stream.write_all(format!("{stuffed}{end}").as_bytes()).await?;
    let end_of_data = reply(&mut stream).await?;
    stream.write_all(b"QUIT\r\n").await?;
    Ok(end_of_data)
}

/// The last line of a whole reply.
async fn reply(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line.trim_end().to_owned());
        }
    }
}
