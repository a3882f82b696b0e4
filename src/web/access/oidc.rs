//! OpenID Connect, the protocol: authorization code flow with PKCE, state and nonce. What is told of a
//! person is believed only after the provider's signature, issuer, audience, age and nonce were checked
//! (by the `openidconnect` library).
//!
//! The provider's description and keys are read anew for each sign-in: there are few, and a provider that
//! changes its keys needs no restart here.

use std::pin::Pin;
use std::time::Duration;

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata};
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse,
};

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest accepted answer of the provider, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// Path that the provider sends the browser back to.
pub(crate) const CALLBACK: &str = "/sign-in/oidc/callback";

/// Why the provider did not vouch for anybody. The words are for the log; they hold no secret.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {why}")]
pub(crate) struct OidcError {
    doing: &'static str,
    why: String,
}

/// Where the browser is sent, and what is kept until it comes back.
pub(crate) struct Departure {
    pub(crate) url: String,
    pub(crate) nonce: String,
    pub(crate) pkce_verifier: String,
}

/// Whom the provider vouches for.
pub(crate) struct Person {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// What they might be called here, best first.
    pub(crate) names: Vec<String>,
}

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("an answer of more than {MAX_ANSWER} bytes")]
    TooLong,
    #[error(transparent)]
    Answer(#[from] openidconnect::http::Error),
}

fn failed<E: std::error::Error>(doing: &'static str) -> impl Fn(E) -> OidcError {
    move |error| {
        // the library says only the outermost part itself
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(e) = cause {
            why = format!("{why}: {e}");
            cause = e.source();
        }
        OidcError { doing, why }
    }
}

/// Requests to the provider, which the operator chose: so it may well be in a private network.
struct Http(reqwest::Client);

impl Http {
    fn new() -> Result<Self, OidcError> {
        crate::outbound::plain()
            .timeout(TIMEOUT)
            .build()
            .map(Self)
            .map_err(failed("the client cannot be set up"))
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut answer = self.0.execute(request.try_into()?).await?;
        let mut out = openidconnect::http::Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            out = out.header(name, value);
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await? {
            if body.len() + part.len() > MAX_ANSWER {
                return Err(HttpError::TooLong);
            }
            body.extend_from_slice(&part);
        }
        Ok(out.body(body)?)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Reads the provider's description and keys.
async fn client(config: &Config, http: &Http) -> Result<Client, OidcError> {
    let oidc = &config.oidc;
    let issuer = IssuerUrl::new(oidc.issuer.clone()).map_err(failed("oidc.issuer"))?;
    let metadata = CoreProviderMetadata::discover_async(issuer, http)
        .await
        .map_err(failed("the provider cannot be asked about itself"))?;
    let secret = oidc.client_secret.expose().map(|s| ClientSecret::new(s.to_owned()));
    let here = match config.server.public_url.as_str() {
        "" => format!("http://{}", config.server.bind),
        url => url.to_owned(),
    };
    let back = RedirectUrl::new(format!("{here}{CALLBACK}")).map_err(failed("server.public_url"))?;
    Ok(CoreClient::from_provider_metadata(metadata, ClientId::new(oidc.client_id.clone()), secret)
        .set_redirect_uri(back))
}

/// Where to send the browser; `state` comes back with it.
///
/// # Errors
/// The provider does not answer, or describes itself as another one.
pub(crate) async fn depart(config: &Config, state: String) -> Result<Departure, OidcError> {
    let http = Http::new()?;
    let client = client(config, &http).await?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, _, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || CsrfToken::new(state),
            Nonce::new_random,
        )
        .add_scopes(["profile", "email"].map(|s| Scope::new(s.to_owned())))
        .set_pkce_challenge(challenge)
        .url();
    Ok(Departure { url: url.into(), nonce: nonce.secret().clone(), pkce_verifier: verifier.secret().clone() })
}

/// Whom the provider vouches for with this code.
///
/// # Errors
/// The code is not accepted, or what came is not signed by the provider for us and this sign-in.
pub(crate) async fn arrive(
    config: &Config,
    code: String,
    nonce: String,
    pkce_verifier: String,
) -> Result<Person, OidcError> {
    let http = Http::new()?;
    let client = client(config, &http).await?;
    let tokens = client
        .exchange_code(AuthorizationCode::new(code))
        .map_err(failed("the provider has no token endpoint"))?
        .set_pkce_verifier(PkceCodeVerifier::new(pkce_verifier))
        .request_async(&http)
        .await
        .map_err(failed("the code was not accepted"))?;
    let id_token = tokens
        .id_token()
        .ok_or(OidcError { doing: "the tokens", why: "there is no ID token among them".into() })?;
    let claims = id_token
        .claims(&client.id_token_verifier(), &Nonce::new(nonce))
        .map_err(failed("the ID token cannot be believed"))?;
    let english = claims.name().and_then(|n| n.get(None)).map(|n| n.to_string());
    let names =
        [claims.preferred_username().map(|n| n.to_string()), english, claims.email().map(|e| e.to_string())];
    Ok(Person {
        issuer: claims.issuer().to_string(),
        subject: claims.subject().to_string(),
        names: names.into_iter().flatten().collect(),
    })
}
