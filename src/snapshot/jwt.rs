//! Verified tokens: providers with their keys, and what each route does.

use std::{collections::BTreeMap, sync::Arc};

use super::Resources;
use crate::{
    config::model,
    policy::jwt::{Algorithm, Provider, RouteJwt, TokenSource, Trust},
    types::Name,
};

/// Providers by name.
pub(super) type Providers = BTreeMap<Name, Arc<Provider>>;

/// Every provider whose keys are there.
pub(super) fn providers(config: &model::Config, resources: &Resources) -> Providers {
    let providers = config.jwt.iter().filter_map(|(name, provider)| {
        let keys = Arc::clone(resources.token_keys.get(name)?);
        Some((name.clone(), Arc::new(Provider::new(name.clone(), trust(provider), keys))))
    });
    providers.collect()
}

/// What the route does with tokens.
pub(super) fn route(route: &model::Route, providers: &Providers) -> Result<Option<Box<RouteJwt>>, String> {
    let Some(jwt) = &route.jwt else { return Ok(None) };
    let provider = providers.get(&jwt.provider);
    let provider = provider.ok_or_else(|| format!("there are no keys of jwt provider `{}`", jwt.provider))?;
    Ok(Some(Box::new(RouteJwt {
        provider: Arc::clone(provider),
        required: jwt.required,
        forward: jwt.forward,
        claims: jwt
            .claims
            .iter()
            .map(|(header, claim)| (header.as_str().into(), claim.as_str().into()))
            .collect(),
    })))
}

fn trust(provider: &model::JwtProvider) -> Trust {
    let sources = provider.token.iter().map(|source| match source {
        model::TokenSource::Header(name) => TokenSource::Header(name.as_str().into()),
        model::TokenSource::Cookie(name) => TokenSource::Cookie(name.as_str().into()),
        model::TokenSource::Query(name) => TokenSource::Query(name.as_str().into()),
    });
    let algorithm =
        |word: &String| word.parse::<Algorithm>().expect("the key table lists algorithms that are known");
    Trust {
        sources: sources.collect(),
        issuer: provider.issuer.clone(),
        audience: provider.audience.clone(),
        algorithms: provider.algorithms.iter().map(algorithm).collect(),
        leeway_secs: provider.leeway.as_secs(),
    }
}
