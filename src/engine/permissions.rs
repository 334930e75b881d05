//! What a user may publish and subscribe to.
//!
//! Rules are subjects with wildcards, allowed or denied; a denial wins. This
//! file judges subjects; who asks, and what is said when the answer is no, is
//! its callers' business.

use midge_proto::{is_subset, matches, subjects_collide};
use std::time::Duration;

/// What a user may do. Without rules of one kind all of it is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// What may be published to.
    pub publish: Rules,
    /// What may be subscribed to.
    pub subscribe: Rules,
    /// Whether answers may be published where nothing else allows it.
    pub responses: Option<Responses>,
}

/// Answers that may be published to the reply subjects of messages that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Responses {
    /// How many to each; `None` for no limit.
    pub max: Option<u32>,
    /// For how long after the message; `None` for no limit.
    pub expires: Option<Duration>,
}

impl Default for Responses {
    fn default() -> Self {
        Responses {
            max: Some(1),
            expires: Some(Duration::from_secs(120)),
        }
    }
}

/// What is allowed and what is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Nothing else, if there is such a list; also if it is empty.
    pub allow: Option<Vec<Rule>>,
    /// None of these.
    pub deny: Vec<Rule>,
}

/// A subject with wildcards. Of subscriptions one can name the queue group as
/// well, with wildcards too; it is about members of that group alone then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The subject.
    pub filter: Box<[u8]>,
    /// The queue group.
    pub queue: Option<Box<[u8]>>,
}

impl Rule {
    /// Reads `subject` or `subject group`; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Rule> {
        let mut words = text.split_ascii_whitespace();
        let (filter, queue) = (words.next()?, words.next());
        let is_sound = |word: &str| midge_proto::is_valid_filter(word.as_bytes());
        if words.next().is_some() || !is_sound(filter) || !queue.is_none_or(is_sound) {
            return None;
        }
        Some(Rule {
            filter: filter.as_bytes().into(),
            queue: queue.map(|queue| queue.as_bytes().into()),
        })
    }
}

/// What a subscription is, as far as permissions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is as it should be.
    Allowed,
    /// It may be made, but some of what it matches may not be seen.
    Filtered,
    /// It may not be made.
    Denied,
}

impl Permissions {
    /// Whether a message may be published to this subject.
    pub(crate) fn can_publish(&self, subject: &[u8]) -> bool {
        let fits = |rule: &Rule| rule.queue.is_none() && matches(&rule.filter, subject);
        let Rules { allow, deny } = &self.publish;
        allow.as_ref().is_none_or(|allow| allow.iter().any(fits)) && !deny.iter().any(fits)
    }

    /// Judges a subscription to a valid filter.
    pub(crate) fn judge(&self, filter: &[u8], queue: Option<&[u8]>) -> Verdict {
        let Rules { allow, deny } = &self.subscribe;
        let is_allowed = allow
            .as_ref()
            .is_none_or(|allow| speaks_of(allow, filter, queue));
        if !is_allowed || speaks_of(deny, filter, queue) {
            return Verdict::Denied;
        }
        let is_cut = |rule: &Rule| rule.queue.is_none() && subjects_collide(&rule.filter, filter);
        if deny.iter().any(is_cut) {
            Verdict::Filtered
        } else {
            Verdict::Allowed
        }
    }

    /// Whether a message on this subject may be seen by a subscription that is
    /// [`Verdict::Filtered`].
    pub(crate) fn can_see(&self, subject: &[u8]) -> bool {
        let fits = |rule: &Rule| rule.queue.is_none() && matches(&rule.filter, subject);
        !self.subscribe.deny.iter().any(fits)
    }
}

/// Whether rules are about all of a subscription. Where some name queue
/// groups, these decide about members of a group.
fn speaks_of(rules: &[Rule], filter: &[u8], queue: Option<&[u8]>) -> bool {
    let mut about = rules
        .iter()
        .filter(|rule| is_subset(filter, &rule.filter))
        .map(|rule| rule.queue.as_deref());
    let Some(queue) = queue else {
        return about.any(|group| group.is_none());
    };
    let (mut is_plain, mut groups) = (false, 0);
    for group in about {
        match group {
            None => is_plain = true,
            Some(group) if matches(group, queue) => return true,
            Some(_) => groups += 1,
        }
    }
    is_plain && groups == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: Option<&[&str]>, deny: &[&str]) -> Rules {
        let read = |texts: &[&str]| -> Vec<Rule> {
            let rules = texts.iter().map(|text| Rule::parse(text).expect(text));
            rules.collect()
        };
        Rules {
            allow: allow.map(read),
            deny: read(deny),
        }
    }

    #[test]
    fn rules_are_subjects_perhaps_with_a_group() {
        for text in ["", "a b c", "a..b", "a >.b", ">.a"] {
            assert_eq!(Rule::parse(text), None, "{text}");
        }
        let rule = Rule::parse(" a.>  g.* ").unwrap();
        assert_eq!(
            (&*rule.filter, rule.queue.as_deref()),
            (&b"a.>"[..], Some(&b"g.*"[..]))
        );
    }

    #[test]
    fn a_denial_wins() {
        for (allow, deny, allowed, denied) in [
            (None, &[][..], "a b.c", ""),
            (Some(&[][..]), &[][..], "", "a b.c"),
            (Some(&["a.*", "b"][..]), &[], "a.x b", "a a.x.y c"),
            (
                Some(&["a.>"]),
                &["a.no", "a.b.*"],
                "a.yes a.b a.b.c.d",
                "a.no a.b.c b",
            ),
            (None, &["a.>"], "a b", "a.b a.b.c"),
        ] {
            let permissions = Permissions {
                publish: rules(allow, deny),
                ..Permissions::default()
            };
            for subject in allowed.split_ascii_whitespace() {
                assert!(permissions.can_publish(subject.as_bytes()), "{subject}");
            }
            for subject in denied.split_ascii_whitespace() {
                assert!(!permissions.can_publish(subject.as_bytes()), "{subject}");
            }
        }
    }

    #[test]
    fn a_subscription_has_to_be_allowed_as_a_whole() {
        use Verdict::{Allowed, Denied, Filtered};
        let permissions = Permissions {
            subscribe: rules(Some(&["ok.>", "one.*"]), &["ok.no", "ok.x.>"]),
            ..Permissions::default()
        };
        for (filter, verdict) in [
            ("ok.a", Allowed),
            ("ok.no", Denied),
            ("ok.x.y", Denied),
            ("ok.x.*", Denied),
            ("ok.x", Allowed),
            ("ok.*", Filtered),
            ("ok.>", Filtered),
            ("one.*", Allowed),
            ("one.>", Denied),
            (">", Denied),
            ("b", Denied),
        ] {
            assert_eq!(
                permissions.judge(filter.as_bytes(), None),
                verdict,
                "{filter}"
            );
            assert_eq!(
                permissions.judge(filter.as_bytes(), Some(b"g")),
                verdict,
                "{filter}"
            );
        }
        assert!(permissions.can_see(b"ok.a") && !permissions.can_see(b"ok.x.y"));
    }

    #[test]
    fn queue_groups_have_rules_of_their_own() {
        use Verdict::{Allowed, Denied};
        let permissions = Permissions {
            subscribe: rules(Some(&["a g1", "a g2.*", "b", "c", "c v1"]), &["b dev"]),
            ..Permissions::default()
        };
        for (filter, queue, verdict) in [
            ("a", Some("g1"), Allowed),
            ("a", Some("g2.x"), Allowed),
            ("a", Some("g3"), Denied),
            ("a", None, Denied),
            ("b", None, Allowed),
            ("b", Some("any"), Allowed),
            ("b", Some("dev"), Denied),
            ("c", None, Allowed),
            ("c", Some("v1"), Allowed),
            ("c", Some("v2"), Denied),
        ] {
            let found = permissions.judge(filter.as_bytes(), queue.map(str::as_bytes));
            assert_eq!(found, verdict, "{filter} {queue:?}");
        }
    }
}
