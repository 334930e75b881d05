//! User and password, or a token.

use async_nats::{ConnectErrorKind, ConnectOptions};

use crate::harness::{Server, next, settle};

/// A secret as users choose them, with all that could upset a careless parser.
const SECRET: &str = "s3cr3t \"quoted\" \\ {ünïcode}";

async fn assert_works(server: &Server, options: ConnectOptions) {
    let client = server.connect_with(options).await;
    assert!(client.server_info().auth_required);
    let mut subscription = client.subscribe("inside").await.unwrap();
    client.publish("inside", "hello".into()).await.unwrap();
    assert_eq!(next(&mut subscription).await.payload, "hello");
}

async fn assert_refused(server: &Server, options: ConnectOptions) {
    let refused = options.connect(server.url()).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        ConnectErrorKind::AuthorizationViolation
    );
}

#[tokio::test]
async fn a_user_needs_the_password() {
    let server = Server::start_with(&["--user", "alice", "--pass", SECRET]).await;
    let with = |user: &str, password: &str| {
        ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
    };

    assert_works(&server, with("alice", SECRET)).await;
    assert_refused(&server, with("alice", "wrong")).await;
    assert_refused(&server, with("alice", "")).await;
    assert_refused(&server, with("bob", SECRET)).await;
    assert_refused(&server, with("", "")).await;
    assert_refused(&server, ConnectOptions::with_token(SECRET.to_owned())).await;
    assert_refused(&server, ConnectOptions::new()).await;
    // Those that were refused have done no harm.
    assert_works(&server, with("alice", SECRET)).await;
}

#[tokio::test]
async fn a_token_is_enough() {
    let server = Server::start_with(&["--auth", SECRET]).await;
    let with = |token: &str| ConnectOptions::with_token(token.to_owned());

    assert_works(&server, with(SECRET)).await;
    assert_refused(&server, with("wrong")).await;
    assert_refused(&server, with("")).await;
    assert_refused(&server, ConnectOptions::new()).await;
    assert_works(&server, with(SECRET)).await;
}

#[tokio::test]
async fn credentials_nobody_asked_for_are_ignored() {
    let server = Server::start().await;
    let options = ConnectOptions::with_user_and_password("alice".into(), "x".into());
    let client = server.connect_with(options).await;
    assert!(!client.server_info().auth_required);
    settle(&client).await;
}

/// A key whose other half only the client has.
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
const KEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

/// bcrypt's hash of `tomato`.
const HASH: &str = "$2y$04$Eqm0g3Gzyhx5eehmXMAsk.U7umpYU5o1yHHdfY/ZtVPDfP6oMc3CG";

fn configuration(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[tokio::test]
async fn a_key_signs_and_a_hash_is_compared() {
    let file = configuration(&format!(
        "authorization {{ users [ {{ nkey: {KEY} }}, {{ user: joe, password: '{HASH}' }} ] }}"
    ));
    let server = Server::start_with(&["--config", file.path().to_str().unwrap()]).await;
    let with = |user: &str, password: &str| {
        ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
    };

    assert_works(&server, ConnectOptions::with_nkey(SEED.into())).await;
    assert_works(&server, with("joe", "tomato")).await;
    assert_refused(&server, with("joe", HASH)).await;
    assert_refused(&server, with("joe", "potato")).await;
    assert_refused(&server, with(KEY, "")).await;
    assert_refused(&server, ConnectOptions::new()).await;
}
