//! A name server on loopback that knows what a test tells it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, MX};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use returnpath::async_trait;
use tokio::net::UdpSocket;

/// Dropped, it closes.
pub(crate) struct NameServer {
    address: SocketAddr,
    zones: Arc<Mutex<HashMap<String, Answer>>>,
    _server: Server<Answers>,
}

/// What it says about a name.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// These mail exchangers; `.` is the null MX.
    Exchangers(Vec<(u16, &'static str)>),
    Address(IpAddr),
    /// The name exists and has nothing.
    Nothing,
    Broken,
}

impl NameServer {
    /// What is not told it says does not exist.
    pub(crate) async fn start(zones: impl IntoIterator<Item = (&'static str, Answer)>) -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zones = zones.into_iter().map(|(name, answer)| (format!("{name}."), answer)).collect();
        let zones = Arc::new(Mutex::new(zones));
        let mut server = Server::new(Answers(zones.clone()));
        server.register_socket(socket);
        NameServer { address, zones, _server: server }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Says something else from now on.
    pub(crate) fn set(&self, name: &str, answer: Answer) {
        self.zones.lock().unwrap().insert(format!("{name}."), answer);
    }
}

struct Answers(Arc<Mutex<HashMap<String, Answer>>>);

impl Answers {
    fn answer(&self, name: &Name, asked: RecordType) -> (ResponseCode, Vec<Record>) {
        let answer = self.0.lock().unwrap().get(&name.to_ascii().to_ascii_lowercase()).cloned();
        let record = |data| Record::from_rdata(name.clone(), 60, data);
        match (answer, asked) {
            (None, _) => (ResponseCode::NXDomain, Vec::new()),
            (Some(Answer::Broken), _) => (ResponseCode::ServFail, Vec::new()),
            (Some(Answer::Exchangers(hosts)), RecordType::MX) => {
                let records = hosts.into_iter().map(|(preference, host)| {
                    let mut host = Name::from_ascii(host).unwrap();
                    host.set_fqdn(true);
                    record(RData::MX(MX::new(preference, host)))
                });
                (ResponseCode::NoError, records.collect())
            }
            (Some(Answer::Address(IpAddr::V4(v4))), RecordType::A) => {
                (ResponseCode::NoError, vec![record(RData::A(A(v4)))])
            }
            (Some(Answer::Address(IpAddr::V6(v6))), RecordType::AAAA) => {
                (ResponseCode::NoError, vec![record(RData::AAAA(AAAA(v6)))])
            }
            _ => (ResponseCode::NoError, Vec::new()),
        }
    }
}

#[async_trait]
impl RequestHandler for Answers {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut response: R) -> ResponseInfo {
        let query = request.request_info().unwrap().query;
        let (code, records) = self.answer(&Name::from(query.name()), query.query_type());
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = code;
        metadata.recursion_available = true;
        let message = MessageResponseBuilder::from_message_request(request).build(metadata, &records, [], [], []);
        match response.send_response(message).await {
            Ok(info) => info,
            Err(_) => Header { metadata, counts: HeaderCounts::default() }.into(),
        }
    }
}
