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
