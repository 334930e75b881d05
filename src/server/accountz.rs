//! `/accountz`, the accounts, and `/accstatz`, what passes through them.

use crate::monitor::{Made, View, begin_page, end_page};
use crate::query::{Query, refusal};
use crate::subsz;
use midge_engine::{AccountId, AccountStats};
use midge_proto::JsonWriter;

/// The kinds of links that this server does not have.
const LINKS: [&str; 3] = ["gateways", "routes", "leafs"];

/// The names of all accounts, or everything about one.
pub(crate) fn page(view: &View<'_>, query: &Query) -> Made {
    let wanted = query.text("acc");
    let named = view.engine.account_named(wanted);
    if !wanted.is_empty() && named.is_none() {
        return Err(refusal(format!("Account {wanted} does not exist")));
    }
    let mut json = begin_page(view);
    json.string_field(
        "system_account",
        view.engine.account_name(AccountId::SYSTEM),
    );
    if let Some(account) = named {
        json.key("account_detail");
        write_account(&mut json, view, account);
    } else {
        json.key("accounts");
        json.open_array();
        for account in view.engine.accounts() {
            json.string(view.engine.account_name(account));
        }
        json.close_array();
    }
    Ok(end_page(json))
}

/// All about one account.
pub(crate) fn write_account(json: &mut JsonWriter, view: &View<'_>, account: AccountId) {
    let (name, stats) = (
        view.engine.account_name(account),
        view.engine.account_stats(account),
    );
    json.open_object();
    json.string_field("account_name", name);
    json.time_field("update_time", view.timestamp(view.monitor.started));
    json.bool_field("expired", false);
    json.bool_field("complete", true);
    json.bool_field("jetstream_enabled", view.engine.has_streams_in(account));
    json.uint_field("leafnode_connections", 0);
    json.uint_field("client_connections", stats.sessions as u64);
    json.uint_field("subscriptions", stats.router.subscriptions as u64);
    json.string_field("name_tag", name);
    json.key("sublist_stats");
    json.open_object();
    subsz::write_stats(json, &stats.router);
    json.close_object();
    json.close_object();
}

/// The traffic of the accounts, of those without connections on request.
pub(crate) fn statistics(view: &View<'_>, query: &Query) -> Made {
    let with_unused = query.flag("unused")?;
    let mut json = begin_page(view);
    json.key("account_statz");
    json.open_array();
    for (account, stats) in asked_for(view, query.text("acc")) {
        if with_unused || stats.sessions > 0 {
            json.open_object();
            write_statistics(&mut json, view.engine.account_name(account), &stats);
            json.close_object();
        }
    }
    json.close_array();
    Ok(end_page(json))
}

/// One account, or all of them. Every client may ask for its own, so that has
/// to cost no more than one look at the sessions.
fn asked_for(view: &View<'_>, wanted: &str) -> Vec<(AccountId, AccountStats)> {
    if wanted.is_empty() {
        return view.engine.all_account_stats();
    }
    let named = view.engine.account_named(wanted);
    let with_stats = |account| (account, view.engine.account_stats(account));
    named.map(with_stats).into_iter().collect()
}

/// The fields of an account's traffic.
pub(crate) fn write_statistics(json: &mut JsonWriter, name: &str, stats: &AccountStats) {
    json.string_field("acc", name);
    json.string_field("name", name);
    for (key, value) in [
        ("conns", stats.sessions as u64),
        ("leafnodes", 0),
        ("total_conns", stats.sessions as u64),
        ("num_subscriptions", stats.router.subscriptions as u64),
    ] {
        json.uint_field(key, value);
    }
    let traffic = stats.traffic;
    for (key, msgs, bytes) in [
        ("sent", traffic.out_msgs, traffic.out_bytes),
        ("received", traffic.in_msgs, traffic.in_bytes),
    ] {
        json.key(key);
        write_amount(json, msgs, bytes);
        for link in LINKS {
            json.key(link);
            write_amount(json, 0, 0);
            json.close_object();
        }
        json.close_object();
    }
    json.uint_field("slow_consumers", stats.slow_consumers);
}

/// Begins an object with an amount of traffic.
pub(crate) fn write_amount(json: &mut JsonWriter, msgs: u64, bytes: u64) {
    json.open_object();
    json.uint_field("msgs", msgs);
    json.uint_field("bytes", bytes);
}
