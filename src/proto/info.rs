//! What the server says of itself in INFO.

use crate::JsonWriter;

/// The version of nats-server whose behaviour clients may expect; three
/// numbers. They choose code paths by it, so it names the newest version whose
/// features are whole.
pub const NATS_VERSION: &str = "2.14.0";

/// The level of the stream API that is spoken, which goes with the version.
/// Told also where there are no streams.
pub const API_LEVEL: u32 = 4;

/// The JSON of an INFO line.
///
/// Clients size their publishes by `max_payload`, choose code paths by
/// [`NATS_VERSION`] and `headers`, and pick credentials by `auth_required`.
#[derive(Debug, Clone)]
pub struct ServerInfo {
    /// Names this run of the server.
    pub server_id: String,
    /// Names the server to people.
    pub server_name: String,
    /// The protocol spoken: 1, with INFO at any time.
    pub proto: u8,
    /// The address listened on.
    pub host: String,
    /// The port listened on.
    pub port: u16,
    /// Header blocks are understood.
    pub headers: bool,
    /// CONNECT must carry credentials.
    pub auth_required: bool,
    /// Whether clients go over to TLS after this.
    pub tls: TlsOffer,
    /// They have to show a certificate then.
    pub tls_verify: bool,
    /// The longest payload, in bytes.
    pub max_payload: usize,
    /// Streams are offered.
    pub jetstream: bool,
    /// The domain that their API is reached by as well; empty is none.
    pub domain: String,
    /// The server's number for this connection.
    pub client_id: u64,
    /// The address the client comes from.
    pub client_ip: String,
    /// To be signed by clients that have a key.
    pub nonce: Option<Box<str>>,
    /// The server is about to leave; clients should go elsewhere.
    pub lame_duck: bool,
    /// This INFO tells how the session was set up; see `remote_account`.
    pub connect_info: bool,
    /// The account the session belongs to; only with `connect_info`.
    pub remote_account: Option<String>,
    /// It is the one of those who look after the server; only with `connect_info`.
    pub is_system_account: bool,
}

/// Whether a connection is to be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsOffer {
    /// It cannot be.
    #[default]
    None,
    /// The client decides.
    Available,
    /// It has to be.
    Required,
}

impl ServerInfo {
    /// A server of protocol 1 with headers, under its own id, that is open to
    /// everybody and offers no streams.
    pub fn new(server_id: String, host: String, port: u16) -> Self {
        ServerInfo {
            server_name: server_id.clone(),
            server_id,
            proto: 1,
            host,
            port,
            headers: true,
            auth_required: false,
            tls: TlsOffer::None,
            tls_verify: false,
            max_payload: crate::ParseLimits::default().max_payload,
            jetstream: false,
            domain: String::new(),
            client_id: 0,
            client_ip: String::new(),
            nonce: None,
            lame_duck: false,
            connect_info: false,
            remote_account: None,
            is_system_account: false,
        }
    }

    /// The JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = JsonWriter::new();
        json.open_object();
        json.string_field("server_id", &self.server_id);
        json.string_field("server_name", &self.server_name);
        json.string_field("version", NATS_VERSION);
        // The language. Some clients take an INFO without it for a broken one.
        json.string_field("go", "rust");
        json.uint_field("proto", self.proto.into());
        json.string_field("host", &self.host);
        json.uint_field("port", self.port.into());
        json.bool_field("headers", self.headers);
        json.flag("auth_required", self.auth_required);
        json.flag("tls_required", self.tls == TlsOffer::Required);
        json.flag("tls_verify", self.tls_verify);
        json.flag("tls_available", self.tls == TlsOffer::Available);
        json.uint_field("max_payload", self.max_payload as u64);
        json.flag("jetstream", self.jetstream);
        json.string_unless_empty("domain", &self.domain);
        json.uint_field("client_id", self.client_id);
        json.string_field("client_ip", &self.client_ip);
        json.uint_field("api_lvl", API_LEVEL.into());
        if let Some(nonce) = &self.nonce {
            json.string_field("nonce", nonce);
        }
        json.flag("ldm", self.lame_duck);
        json.flag("connect_info", self.connect_info);
        if let Some(account) = &self.remote_account {
            json.string_field("remote_account", account);
        }
        json.flag("acc_is_sys", self.is_system_account);
        json.close_object();
        json.into_bytes()
    }
}
