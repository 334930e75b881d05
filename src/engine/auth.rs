//! Who may open a session.
//!
//! What can be compared is compared here. What takes arithmetic, the hash of
//! a password or a signature, becomes a [`Proof`] for somebody who has time.

use crate::ids::AccountId;
use crate::nkey::PublicKey;
use crate::permissions::Permissions;
use crate::secret::{Password, Proof, Secret, same};
use midge_api::ConnectOptions;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Who may enter, and what they may do. By default everybody may.
#[derive(Clone, Default)]
pub struct Auth {
    /// Nobody else; everybody, if there are none.
    pub users: Vec<Arc<User>>,
    /// Who shows nothing is the user of this name.
    pub no_auth_user: Option<String>,
    /// Clients are whom their certificates name, whatever else they show.
    pub maps_certificates: bool,
}

/// Somebody who may enter.
#[derive(Clone)]
pub struct User {
    /// The name; empty with a token, and the public key as it is written where
    /// that is the secret's other half.
    pub name: String,
    /// What has to be shown beside it.
    pub secret: Secret,
    /// The account that the user's clients are in.
    pub account: AccountId,
    /// What the user may do; everything, if nothing is said.
    pub permissions: Option<Arc<Permissions>>,
    /// Connections at a time; 0 for no limit.
    pub max_connections: usize,
    /// May not come the way that is served here.
    pub is_shut_out: bool,
}

impl User {
    /// A user without rules or limits.
    pub fn new(name: String, secret: Secret) -> User {
        User {
            name,
            secret,
            account: AccountId::GLOBAL,
            permissions: None,
            max_connections: 0,
            is_shut_out: false,
        }
    }
}

impl fmt::Debug for User {
    /// The name alone: secrets are never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)
    }
}

impl Auth {
    /// Everybody may enter who shows this token.
    pub fn token(token: String) -> Auth {
        Auth::one(String::new(), Secret::Token(Password::from(token)))
    }

    /// Everybody may enter who shows this name and this password.
    pub fn user(name: String, pass: String) -> Auth {
        Auth::one(name, Secret::Password(Password::from(pass)))
    }

    fn one(name: String, secret: Secret) -> Auth {
        Auth {
            users: vec![Arc::new(User::new(name, secret))],
            ..Auth::default()
        }
    }

    /// Whether CONNECT must carry credentials.
    pub fn is_required(&self) -> bool {
        self.maps_certificates || (!self.is_open() && self.no_auth_user.is_none())
    }

    /// Whether nobody needs credentials, but those who look after the server:
    /// they have an account that is not for the rest.
    pub(crate) fn is_open(&self) -> bool {
        self.users
            .iter()
            .all(|user| user.account == AccountId::SYSTEM)
    }

    /// Whether INFO must carry something to be signed.
    pub fn wants_nonce(&self) -> bool {
        let has_key = |user: &Arc<User>| matches!(user.secret, Secret::Key(_));
        self.users.iter().any(has_key)
    }

    /// A user by name, whatever the secret.
    pub fn find(&self, name: &str) -> Option<&Arc<User>> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Checks what can be said of all users together.
    ///
    /// # Errors
    /// What is wrong, without secrets.
    pub fn check(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for user in &self.users {
            let name = &user.name;
            if !names.insert(name) {
                return Err(format!("user \"{name}\" is there twice"));
            }
            if name.is_empty() && matches!(user.secret, Secret::Password(_)) {
                return Err("the name of a user is empty".to_owned());
            }
            // Who shows nothing is this user as well.
            let is_for_all = self.no_auth_user.as_deref() == Some(name);
            if let Secret::Token(password) | Secret::Password(password) = &user.secret
                && !(is_for_all && password.is_empty())
            {
                password.check().map_err(|what| match name.as_str() {
                    "" => format!("the token {what}"),
                    name => format!("the password of \"{name}\" {what}"),
                })?;
            }
        }
        match &self.no_auth_user {
            Some(name) if self.find(name).is_none() => {
                Err(format!("no_auth_user \"{name}\" is none of the users"))
            }
            _ => Ok(()),
        }
    }

    /// Those who enter by a name that everybody can say.
    pub fn without_password(&self) -> impl Iterator<Item = &str> {
        let is_open = |user: &&Arc<User>| {
            let is_for_all = self.no_auth_user.as_ref() == Some(&user.name);
            user.secret == Secret::None && !is_for_all && !self.maps_certificates
        };
        self.users.iter().filter(is_open).map(|user| &*user.name)
    }

    /// Who enters without saying anything.
    pub(crate) fn anonymous(&self) -> Judgement {
        if self.maps_certificates {
            return Judgement::Nobody;
        }
        if self.no_auth_user.is_none() && self.is_open() {
            return Judgement::Anybody;
        }
        let user = self.no_auth_user.as_ref().and_then(|name| self.find(name));
        user.map_or(Judgement::Nobody, Judgement::of)
    }

    /// Whom a certificate is of, by the name that was found in it.
    pub(crate) fn certified(&self, name: Option<&str>) -> Judgement {
        let user = name.and_then(|name| self.find(name));
        user.map_or(Judgement::Nobody, Judgement::of)
    }

    /// Whom these credentials are of; `nonce` is what was there to be signed.
    pub(crate) fn judge(&self, options: &ConnectOptions, nonce: Option<&str>) -> Judgement {
        if self.users.is_empty() {
            return Judgement::Anybody;
        }
        if !options.nkey.is_empty() && self.wants_nonce() {
            return self.judge_key(options, nonce);
        }
        let shows = [&options.user, &options.pass, &options.auth_token];
        if shows.iter().all(|shown| shown.is_empty()) {
            return self.anonymous();
        }
        self.judge_password(options)
    }

    fn judge_key(&self, options: &ConnectOptions, nonce: Option<&str>) -> Judgement {
        let claimed = self.find(&options.nkey).map(|user| (user, &user.secret));
        match (claimed, nonce, crate::nkey::signature(&options.sig)) {
            (Some((user, Secret::Key(key))), Some(nonce), Some(signature)) => {
                let proof = Proof::Signature {
                    key: PublicKey::bytes(key),
                    nonce: nonce.into(),
                    signature,
                };
                Judgement::Unproven(Some(user.clone()), proof)
            }
            _ => Judgement::Nobody,
        }
    }

    /// All are compared, so that the time taken tells neither which of name
    /// and password was wrong nor who there is. Where one password is a hash
    /// one is always computed, if need be for nobody.
    fn judge_password(&self, options: &ConnectOptions) -> Judgement {
        let (mut admitted, mut claimed, mut any_hash) = (None, None, None);
        for user in &self.users {
            let (is_named, shown, password) = match &user.secret {
                Secret::Token(token) => (true, &options.auth_token, token),
                Secret::Password(pass) => (same(&user.name, &options.user), &options.pass, pass),
                Secret::None => {
                    if options.pass.is_empty() & same(&user.name, &options.user) {
                        admitted = Some(user);
                    }
                    continue;
                }
                Secret::Key(_) => continue,
            };
            match password {
                Password::Plain(text) if is_named & same(text, shown) => admitted = Some(user),
                Password::Plain(_) => {}
                Password::Bcrypt(hash) => {
                    any_hash = Some((shown, hash));
                    if is_named {
                        claimed = Some((user, shown, hash));
                    }
                }
            }
        }
        let proof = |(shown, hash): (&String, &String)| Proof::Password {
            shown: shown.clone(),
            hash: hash.clone(),
        };
        match (admitted, claimed, any_hash) {
            (Some(user), ..) => Judgement::of(user),
            (None, Some((user, shown, hash)), _) => {
                Judgement::Unproven(Some(user.clone()), proof((shown, hash)))
            }
            (None, None, Some(any)) => Judgement::Unproven(None, proof(any)),
            (None, None, None) => Judgement::Nobody,
        }
    }
}

/// Who a client turns out to be.
pub(crate) enum Judgement {
    /// Everybody may enter.
    Anybody,
    /// This one.
    User(Arc<User>),
    /// It may not enter.
    Nobody,
    /// This one, if the proof holds; nobody even then, if none is named.
    Unproven(Option<Arc<User>>, Proof),
}

impl Judgement {
    fn of(user: &Arc<User>) -> Judgement {
        Judgement::User(user.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(auth: &Auth, options: &ConnectOptions) -> String {
        match auth.judge(options, Some("nonce")) {
            Judgement::Anybody => "anybody".into(),
            Judgement::User(user) => user.name.clone(),
            Judgement::Nobody => "nobody".into(),
            Judgement::Unproven(user, proof) => {
                let name = user.map_or("nobody".into(), |user| user.name.clone());
                match proof {
                    Proof::Password { hash, .. } => format!("{name} by {}", &hash[..7]),
                    Proof::Signature { .. } => format!("{name} by signature"),
                }
            }
        }
    }

    fn shown(user: &str, pass: &str, token: &str) -> ConnectOptions {
        ConnectOptions {
            user: user.into(),
            pass: pass.into(),
            auth_token: token.into(),
            ..ConnectOptions::default()
        }
    }

    #[test]
    fn only_the_right_credentials_enter() {
        let open = Auth::default();
        assert_eq!(judged(&open, &shown("", "", "")), "anybody");
        assert!(!open.is_required());
        let auth = Auth::token("t".into());
        assert_eq!(judged(&auth, &shown("", "", "")), "nobody");
        assert_eq!(judged(&auth, &shown("", "", "t")), "");
        let mut auth = Auth::user("u".into(), "p".into());
        auth.users.extend(Auth::user("v".into(), "q".into()).users);
        assert!(auth.is_required());
        for (user, pass, wanted) in [
            ("u", "p", "u"),
            ("v", "q", "v"),
            ("u", "q", "nobody"),
            ("u", "", "nobody"),
            ("", "p", "nobody"),
            ("u", "pp", "nobody"),
            ("", "", "nobody"),
        ] {
            assert_eq!(judged(&auth, &shown(user, pass, "")), wanted);
        }
        auth.no_auth_user = Some("v".into());
        assert!(!auth.is_required());
        assert_eq!(judged(&auth, &shown("", "", "")), "v");
        assert_eq!(judged(&auth, &shown("u", "", "")), "nobody");
    }

    #[test]
    fn where_there_are_hashes_one_is_always_computed() {
        let mut auth = Auth::user("plain".into(), "p".into());
        let hash = format!("$2a$11${}", "x".repeat(53));
        auth.users.extend(Auth::user("hashed".into(), hash).users);
        for (user, pass, wanted) in [
            ("plain", "p", "plain"),
            ("plain", "q", "nobody by $2a$11$"),
            ("hashed", "p", "hashed by $2a$11$"),
            ("other", "p", "nobody by $2a$11$"),
        ] {
            assert_eq!(judged(&auth, &shown(user, pass, "")), wanted, "{user}");
        }
    }

    #[test]
    fn keys_are_proven_by_signatures() {
        let name = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
        let key = PublicKey::parse(name).expect("a key");
        let mut auth = Auth::user("u".into(), "p".into());
        let keyed = User::new(name.into(), Secret::Key(key));
        assert!(!auth.wants_nonce());
        let key_alone = ConnectOptions {
            nkey: name.into(),
            ..shown("u", "p", "")
        };
        // Where nobody has a key, keys mean nothing.
        assert_eq!(judged(&auth, &key_alone), "u");
        auth.users.push(Arc::new(keyed));
        assert!(auth.wants_nonce());
        assert_eq!(judged(&auth, &key_alone), "nobody");
        let signed = |nkey: &str, sig: String| ConnectOptions {
            nkey: nkey.into(),
            sig,
            ..ConnectOptions::default()
        };
        let right = judged(&auth, &signed(name, "A".repeat(86)));
        assert_eq!(right, format!("{name} by signature"));
        for (nkey, sig) in [
            ("UX", "A".repeat(86)),
            ("u", "A".repeat(86)),
            (name, "A".repeat(85)),
        ] {
            assert_eq!(judged(&auth, &signed(nkey, sig)), "nobody");
        }
        // And nobody is the key's owner by its name.
        assert_eq!(judged(&auth, &shown(name, "", "")), "nobody");
    }

    #[test]
    fn users_are_checked_together() {
        let mut auth = Auth::user("u".into(), "p".into());
        assert_eq!(auth.check(), Ok(()));
        auth.no_auth_user = Some("v".into());
        assert!(
            auth.check()
                .is_err_and(|what| what.contains("none of the users"))
        );
        auth.users.extend(Auth::user("u".into(), "q".into()).users);
        assert!(auth.check().is_err_and(|what| what.contains("twice")));
        for nothing in [
            Auth::token(String::new()),
            Auth::user("u".into(), String::new()),
            Auth::user(String::new(), "p".into()),
        ] {
            assert!(nothing.check().is_err_and(|what| what.contains("is empty")));
        }
        let auth = Auth::user("u".into(), "$2a$11$short".into());
        assert!(
            auth.check()
                .is_err_and(|what| what.contains("password of \"u\""))
        );
    }
}
