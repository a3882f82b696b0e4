//! Who may do what: roles in a dataset, scopes of tokens, and the rights that addresses ask for.
//! One table of meaning, [`allows`]; the web room only looks up which right an address needs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a person is in one dataset's team. Each role may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees the dataset and decides on samples.
    Annotator,
    /// Also settles what two people decided differently, and decides in bulk.
    Reviewer,
    /// Also imports, exports, starts jobs, sets policies and the team.
    Lead,
}

impl Role {
    pub const ALL: [Role; 3] = [Self::Annotator, Self::Reviewer, Self::Lead];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Annotator => "annotator",
            Self::Reviewer => "reviewer",
            Self::Lead => "lead",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == s)
    }
}

/// What a token may be used for. A token never gives more than its owner has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Read,
    Annotate,
    Import,
    Export,
    Jobs,
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 6] =
        [Self::Read, Self::Annotate, Self::Import, Self::Export, Self::Jobs, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Annotate => "annotate",
            Self::Import => "import",
            Self::Export => "export",
            Self::Jobs => "jobs",
            Self::Admin => "admin",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// What an address asks of who calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Nothing: sign-in, health, scripts and styles.
    Open,
    /// To be signed in; what is shown is only the caller's own.
    SignedIn,
    /// To see a dataset.
    View,
    /// To decide on samples.
    Annotate,
    /// To settle disagreements and decide in bulk.
    Adjudicate,
    Import,
    Export,
    /// To start and cancel jobs.
    Jobs,
    /// To set a dataset's policies and team, and to delete it.
    Manage,
    /// To make accounts.
    Admin,
}

impl Right {
    /// The least role in the dataset, and the scope a token needs. `None`: no dataset is involved.
    fn needs(self) -> (Option<Role>, Option<Scope>) {
        match self {
            Self::Open => (None, None),
            Self::SignedIn => (None, Some(Scope::Read)),
            Self::View => (Some(Role::Annotator), Some(Scope::Read)),
            Self::Annotate => (Some(Role::Annotator), Some(Scope::Annotate)),
            Self::Adjudicate => (Some(Role::Reviewer), Some(Scope::Annotate)),
            Self::Import => (Some(Role::Lead), Some(Scope::Import)),
            Self::Export => (Some(Role::Lead), Some(Scope::Export)),
            Self::Jobs => (Some(Role::Lead), Some(Scope::Jobs)),
            Self::Manage => (Some(Role::Lead), Some(Scope::Admin)),
            Self::Admin => (None, Some(Scope::Admin)),
        }
    }

    /// The least role in the dataset; `None`: no dataset is involved.
    pub fn role(self) -> Option<Role> {
        self.needs().0
    }

    /// What a token must be made for; `None`: nobody needs one.
    pub fn scope(self) -> Option<Scope> {
        self.needs().1
    }

    /// The address belongs to a dataset.
    pub fn of_dataset(self) -> bool {
        self.role().is_some()
    }
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// `None` while nobody has an account: whoever sits at this machine, author `local`.
    pub account: Option<Uuid>,
    /// What labels, reviews and jobs carry as their author.
    pub name: String,
    /// Lead of every dataset, and makes accounts.
    pub admin: bool,
    /// Only for tokens.
    pub scopes: Option<Vec<Scope>>,
}

impl Viewer {
    /// Whoever sits at this machine before the first account is made.
    pub fn local() -> Self {
        Self { account: None, name: "local".to_owned(), admin: true, scopes: None }
    }

    /// The account whose teams' datasets are all that is shown; `None`: everything is.
    pub fn limited_to(&self) -> Option<Uuid> {
        if self.admin { None } else { self.account }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody is signed in.
    SignIn,
    /// The dataset does not exist for this person.
    Stranger,
    /// The role is too small.
    Role(Role),
    /// Only admins.
    NotAdmin,
    /// The token lacks the scope.
    Scope(Scope),
}

/// Whether `viewer`, with `role` in the dataset concerned, has `right`.
///
/// # Errors
/// The first thing that is missing: sign-in, membership, role, scope.
pub fn allows(right: Right, viewer: Option<&Viewer>, role: Option<Role>) -> Result<(), Refusal> {
    if right == Right::Open {
        return Ok(());
    }
    let viewer = viewer.ok_or(Refusal::SignIn)?;
    let (least, scope) = right.needs();
    if let Some(least) = least
        && !viewer.admin
    {
        match role {
            None => return Err(Refusal::Stranger),
            Some(role) if role < least => return Err(Refusal::Role(least)),
            Some(_) => {}
        }
    }
    if right == Right::Admin && !viewer.admin {
        return Err(Refusal::NotAdmin);
    }
    match (scope, &viewer.scopes) {
        (Some(scope), Some(scopes)) if !scopes.contains(&scope) => Err(Refusal::Scope(scope)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(admin: bool, scopes: Option<&[Scope]>) -> Viewer {
        Viewer { account: Some(Uuid::nil()), name: "li".into(), admin, scopes: scopes.map(<[Scope]>::to_vec) }
    }

    #[test]
    fn roles_grow() {
        let li = person(false, None);
        for (right, least) in [
            (Right::View, Role::Annotator),
            (Right::Annotate, Role::Annotator),
            (Right::Adjudicate, Role::Reviewer),
            (Right::Import, Role::Lead),
            (Right::Export, Role::Lead),
            (Right::Jobs, Role::Lead),
            (Right::Manage, Role::Lead),
        ] {
            assert_eq!(allows(right, None, None), Err(Refusal::SignIn));
            assert_eq!(allows(right, Some(&li), None), Err(Refusal::Stranger), "{right:?}");
            for role in Role::ALL {
                let expected = if role >= least { Ok(()) } else { Err(Refusal::Role(least)) };
                assert_eq!(allows(right, Some(&li), Some(role)), expected, "{right:?} {role:?}");
            }
            assert_eq!(allows(right, Some(&person(true, None)), None), Ok(()));
        }
        assert_eq!(allows(Right::Admin, Some(&li), Some(Role::Lead)), Err(Refusal::NotAdmin));
        assert_eq!(allows(Right::Open, None, None), Ok(()));
    }

    #[test]
    fn a_token_gives_what_both_it_and_its_owner_may() {
        let reading = person(true, Some(&[Scope::Read]));
        assert_eq!(allows(Right::View, Some(&reading), None), Ok(()));
        assert_eq!(allows(Right::Annotate, Some(&reading), None), Err(Refusal::Scope(Scope::Annotate)));
        assert_eq!(allows(Right::Admin, Some(&reading), None), Err(Refusal::Scope(Scope::Admin)));
        let all = person(false, Some(&Scope::ALL));
        assert_eq!(allows(Right::Admin, Some(&all), None), Err(Refusal::NotAdmin));
        assert_eq!(allows(Right::View, Some(&all), None), Err(Refusal::Stranger));
    }

    #[test]
    fn words_round_trip() {
        assert!(Role::ALL.into_iter().all(|r| Role::parse(r.as_str()) == Some(r)));
        assert!(Scope::ALL.into_iter().all(|s| Scope::parse(s.as_str()) == Some(s)));
    }
}
