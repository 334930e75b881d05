//! Queue groups: of all members, one gets the message.

use async_nats::{Client, Subscriber};
use futures::future::join_all;
use futures::stream::{SelectAll, StreamExt, select_all};
use tokio::time::timeout;

use crate::harness::{PATIENCE, Server, assert_quiet, next_text, settle};

/// So many that a member left out by chance is out of the question: (2/3)^600.
const JOBS: usize = 600;

async fn publish_jobs(client: &Client, subject: &str, jobs: usize) {
    for number in 0..jobs {
        let text = number.to_string();
        client
            .publish(subject.to_owned(), text.into())
            .await
            .unwrap();
    }
}

/// The jobs that each member got, once `total` have come; one more is an error of the server.
async fn shares(members: Vec<Subscriber>, total: usize) -> Vec<Vec<usize>> {
    let mut shares = vec![Vec::new(); members.len()];
    let mut all: SelectAll<_> = select_all(
        members
            .into_iter()
            .enumerate()
            .map(|(member, subscriber)| subscriber.map(move |message| (member, message))),
    );
    for _ in 0..total {
        let (member, message) = timeout(PATIENCE, all.next())
            .await
            .expect("a job in time")
            .expect("the members stay subscribed");
        let text = std::str::from_utf8(&message.payload).unwrap();
        shares[member].push(text.parse().unwrap());
    }
    shares
}

fn assert_each_job_once(shares: &[Vec<usize>], jobs: usize) {
    let mut got: Vec<usize> = shares.concat();
    got.sort_unstable();
    assert_eq!(got, (0..jobs).collect::<Vec<_>>());
}

#[tokio::test]
async fn each_message_goes_to_one_member_and_every_member_gets_some() {
    let server = Server::start().await;
    let publisher = server.connect().await;
    let clients = join_all((0..3).map(|_| server.connect())).await;
    let mut members = Vec::new();
    for client in &clients {
        members.push(client.queue_subscribe("jobs", "w".into()).await.unwrap());
        settle(client).await;
    }

    publish_jobs(&publisher, "jobs", JOBS).await;

    let shares = shares(members, JOBS).await;
    assert_each_job_once(&shares, JOBS);
    for (member, share) in shares.iter().enumerate() {
        assert!(!share.is_empty(), "member {member} got nothing");
        // One publisher, so every member sees its share in the order of publishing.
        assert!(
            share.is_sorted(),
            "member {member} got its share out of order"
        );
    }
}

#[tokio::test]
async fn members_on_one_connection_share_too() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(client.queue_subscribe("jobs", "w".into()).await.unwrap());
    }

    publish_jobs(&client, "jobs", JOBS).await;

    let shares = shares(members, JOBS).await;
    assert_each_job_once(&shares, JOBS);
    assert!(
        shares.iter().all(|share| !share.is_empty()),
        "a member got nothing"
    );
}

#[tokio::test]
async fn every_group_and_every_plain_subscription_gets_all() {
    let server = Server::start().await;
    let (publisher, client) = (server.connect().await, server.connect().await);
    let mut one_group = Vec::new();
    let mut other_group = Vec::new();
    for _ in 0..2 {
        one_group.push(client.queue_subscribe("jobs", "one".into()).await.unwrap());
        other_group.push(
            client
                .queue_subscribe("jobs", "other".into())
                .await
                .unwrap(),
        );
    }
    let mut plain = client.subscribe("jobs").await.unwrap();
    settle(&client).await;

    publish_jobs(&publisher, "jobs", 100).await;

    assert_each_job_once(&shares(one_group, 100).await, 100);
    assert_each_job_once(&shares(other_group, 100).await, 100);
    for number in 0..100 {
        assert_eq!(next_text(&mut plain).await, number.to_string());
    }
    settle(&client).await;
    assert_quiet(&mut plain);
}

#[tokio::test]
async fn a_group_is_one_whatever_pattern_its_members_use() {
    let server = Server::start().await;
    let (publisher, client) = (server.connect().await, server.connect().await);
    let mut members = Vec::new();
    for pattern in ["jobs.new", "jobs.*", "jobs.>"] {
        members.push(client.queue_subscribe(pattern, "w".into()).await.unwrap());
    }
    settle(&client).await;

    publish_jobs(&publisher, "jobs.new", JOBS).await;

    let shares = shares(members, JOBS).await;
    assert_each_job_once(&shares, JOBS);
    assert!(
        shares.iter().all(|share| !share.is_empty()),
        "a member got nothing"
    );
}

#[tokio::test]
async fn the_rest_of_a_group_takes_over() {
    let server = Server::start().await;
    let publisher = server.connect().await;
    let (staying, leaving) = (server.connect().await, server.connect().await);
    let mut stays = staying.queue_subscribe("jobs", "w".into()).await.unwrap();
    let mut leaves = leaving.queue_subscribe("jobs", "w".into()).await.unwrap();
    settle(&staying).await;
    settle(&leaving).await;

    leaves.unsubscribe().await.unwrap();
    settle(&leaving).await;

    publish_jobs(&publisher, "jobs", 100).await;
    for number in 0..100 {
        assert_eq!(next_text(&mut stays).await, number.to_string());
    }
}
