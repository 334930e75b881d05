//! Who may open a session.

use midge_proto::ConnectOptions;

/// What CONNECT has to show.
#[derive(Clone, Default)]
pub enum Auth {
    /// Nothing: everybody may enter.
    #[default]
    Open,
    /// This token.
    Token(String),
    /// This user and password.
    User {
        /// The name.
        user: String,
        /// The password, in plain text.
        pass: String,
    },
}

impl Auth {
    /// Whether CONNECT must carry credentials.
    pub fn is_required(&self) -> bool {
        !matches!(self, Auth::Open)
    }

    pub(crate) fn admits(&self, options: &ConnectOptions) -> bool {
        match self {
            Auth::Open => true,
            Auth::Token(token) => same(token, &options.auth_token),
            Auth::User { user, pass } => {
                // Both are compared, so that the time taken does not tell
                // which of them was wrong.
                same(user, &options.user) & same(pass, &options.pass)
            }
        }
    }
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

    #[test]
    fn only_the_right_credentials_enter() {
        let mut options = ConnectOptions::default();
        assert!(Auth::Open.admits(&options));
        assert!(!Auth::Token("t".into()).admits(&options));
        options.auth_token = "t".into();
        assert!(Auth::Token("t".into()).admits(&options));
        let auth = Auth::User {
            user: "u".into(),
            pass: "p".into(),
        };
        for (user, pass, admitted) in [
            ("u", "p", true),
            ("u", "", false),
            ("", "p", false),
            ("u", "pp", false),
        ] {
            options.user = user.into();
            options.pass = pass.into();
            assert_eq!(auth.admits(&options), admitted, "{user} {pass}");
        }
    }
}
