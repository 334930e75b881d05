//! Who may open a session.

use crate::ids::AccountId;
use crate::permissions::Permissions;
use midge_api::ConnectOptions;
use std::sync::Arc;

/// Who may enter, and what they may do. By default everybody may.
#[derive(Clone, Default)]
pub struct Auth {
    /// Nobody else; everybody, if there are none.
    pub users: Vec<User>,
    /// Who shows nothing is the user of this name.
    pub no_auth_user: Option<String>,
}

/// Somebody who may enter.
#[derive(Clone)]
pub struct User {
    /// The name; empty with a token.
    pub name: String,
    /// What has to be shown beside it.
    pub secret: Secret,
    /// The account that the user's clients are in.
    pub account: AccountId,
    /// What the user may do; everything, if nothing is said.
    pub permissions: Option<Arc<Permissions>>,
}

/// What only the right one knows, in plain text.
#[derive(Clone)]
pub enum Secret {
    /// In place of a name and a password.
    Token(String),
    /// With a name.
    Password(String),
}

impl Auth {
    /// Everybody may enter who shows this token.
    pub fn token(token: String) -> Auth {
        Auth::one(String::new(), Secret::Token(token))
    }

    /// Everybody may enter who shows this name and this password.
    pub fn user(name: String, pass: String) -> Auth {
        Auth::one(name, Secret::Password(pass))
    }

    fn one(name: String, secret: Secret) -> Auth {
        Auth {
            users: vec![User {
                name,
                secret,
                account: AccountId::GLOBAL,
                permissions: None,
            }],
            no_auth_user: None,
        }
    }

    /// Whether CONNECT must carry credentials.
    pub fn is_required(&self) -> bool {
        !self.users.is_empty() && self.no_auth_user.is_none()
    }

    /// Who enters without saying anything.
    pub(crate) fn anonymous(&self) -> Admitted<'_> {
        if self.users.is_empty() {
            return Admitted::Anybody;
        }
        let name = self.no_auth_user.as_ref();
        let user = self.users.iter().find(|user| Some(&user.name) == name);
        user.map_or(Admitted::Nobody, Admitted::User)
    }

    /// Whom these credentials are of.
    pub(crate) fn admits(&self, options: &ConnectOptions) -> Admitted<'_> {
        if self.users.is_empty() {
            return Admitted::Anybody;
        }
        let shows = [&options.user, &options.pass, &options.auth_token];
        if shows.iter().all(|shown| shown.is_empty()) {
            return self.anonymous();
        }
        // All are compared, so that the time taken tells neither which of name
        // and password was wrong nor who there is.
        let mut admitted = Admitted::Nobody;
        for user in &self.users {
            let is_right = match &user.secret {
                Secret::Token(token) => same(token, &options.auth_token),
                Secret::Password(pass) => {
                    same(&user.name, &options.user) & same(pass, &options.pass)
                }
            };
            if is_right {
                admitted = Admitted::User(user);
            }
        }
        admitted
    }
}

/// Who a client turns out to be.
#[derive(Clone, Copy)]
pub(crate) enum Admitted<'a> {
    /// Everybody may enter.
    Anybody,
    /// This one.
    User(&'a User),
    /// It may not enter.
    Nobody,
}

/// Compares without stopping at the first difference: how long it takes must
/// not tell how much of a guess was right. The length may show.
fn same(secret: &str, guess: &str) -> bool {
    let (secret, guess) = (secret.as_bytes(), guess.as_bytes());
    let differing = secret.iter().zip(guess).fold(0, |differing, (a, b)| {
        std::hint::black_box(differing | (a ^ b))
    });
    secret.len() == guess.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(auth: &Auth, user: &str, pass: &str, token: &str) -> Option<String> {
        let options = ConnectOptions {
            user: user.into(),
            pass: pass.into(),
            auth_token: token.into(),
            ..ConnectOptions::default()
        };
        match auth.admits(&options) {
            Admitted::Anybody => Some("anybody".into()),
            Admitted::User(user) => Some(user.name.clone()),
            Admitted::Nobody => None,
        }
    }

    #[test]
    fn only_the_right_credentials_enter() {
        let open = Auth::default();
        assert_eq!(admitted(&open, "", "", "").as_deref(), Some("anybody"));
        assert!(!open.is_required());
        let auth = Auth::token("t".into());
        assert_eq!(admitted(&auth, "", "", ""), None);
        assert_eq!(admitted(&auth, "", "", "t").as_deref(), Some(""));
        let mut auth = Auth::user("u".into(), "p".into());
        auth.users.extend(Auth::user("v".into(), "q".into()).users);
        assert!(auth.is_required());
        for (user, pass, wanted) in [
            ("u", "p", Some("u")),
            ("v", "q", Some("v")),
            ("u", "q", None),
            ("u", "", None),
            ("", "p", None),
            ("u", "pp", None),
            ("", "", None),
        ] {
            assert_eq!(
                admitted(&auth, user, pass, "").as_deref(),
                wanted,
                "{user} {pass}"
            );
        }
        auth.no_auth_user = Some("v".into());
        assert!(!auth.is_required());
        assert_eq!(admitted(&auth, "", "", "").as_deref(), Some("v"));
        assert_eq!(admitted(&auth, "u", "", ""), None);
    }
}
