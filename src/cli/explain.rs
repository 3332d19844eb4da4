//! `weir explain`: which backend a request would get, and why.

use std::{collections::BTreeMap, net::IpAddr};

use clap::Args;
use hyper::Method;

use super::{
    Exit, Failure, Format, Remote,
    client::{Call, block_on, segment},
    output::{self, Look},
};
use crate::admin::api::types::{ExplainRequest, Explanation, HeaderValues};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The route
    route: String,
    /// A header field; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// A cookie; may be given several times
    #[arg(long = "cookie", value_name = "NAME=VALUE")]
    cookies: Vec<String>,
    /// The client's address
    #[arg(long = "ip", value_name = "ADDRESS", default_value = "127.0.0.1")]
    client_ip: IpAddr,
    /// The method
    #[arg(long, default_value = "GET")]
    method: String,
    /// The path, with the query
    #[arg(long, default_value = "/")]
    path: String,
    /// The host
    #[arg(long, default_value = "")]
    host: String,
    #[command(flatten)]
    remote: Remote,
}

// === impl Explain ===

impl Explain {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let client = self.remote.client()?;
        let mut headers: BTreeMap<String, HeaderValues> = BTreeMap::new();
        for (name, value) in self.headers {
            headers.entry(name).or_default().0.push(value);
        }
        if !self.cookies.is_empty() {
            headers.entry("cookie".to_owned()).or_default().0.push(self.cookies.join("; "));
        }
        let request = ExplainRequest {
            method: self.method,
            path: self.path,
            host: self.host,
            headers,
            client_ip: self.client_ip,
        };
        let path = format!("/v1/routes/{}/explain", segment(&self.route));
        let explanation: Explanation = block_on(client.send(Call::new(Method::POST, path).json(&request)))?;
        match self.remote.output {
            Format::Json => output::print_json(&explanation)?,
            Format::Table => output::print(&render(&explanation, Look::of_stdout()))?,
        }
        Ok(Exit::Done)
    }
}

/// A header field as curl takes it.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `NAME: VALUE`")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn render(explanation: &Explanation, look: Look) -> String {
    let arrow = if look.unicode { "→" } else { "->" };
    let mut by = explanation.reason.clone();
    if let Some(rule) = &explanation.rule {
        by += &format!(" {rule}");
    }
    if let Some(bucket) = explanation.bucket {
        by += &format!(", bucket {bucket}");
    }
    if let Some(region) = &explanation.region {
        by += &format!(", region {region}");
    }
    let backend = look.bold(explanation.backend.as_str());
    let (route, revision) = (&explanation.route, explanation.revision.0);
    let cookie = if explanation.sets_cookie { "; the response sets the assignment cookie" } else { "" };
    let mut text = format!("{route} {arrow} {backend}   by {by}   rev {revision}{cookie}\n");
    let width = explanation.steps.iter().map(|step| step.step.chars().count()).max().unwrap_or(0);
    for step in &explanation.steps {
        text += &format!("  {:<width$}  {:<7}  {}\n", step.step, step.result, step.detail);
    }
    match &explanation.matched_route {
        Some(matched) if matched == route => {}
        Some(matched) => text += &format!("note: such a request goes to route {matched}, not {route}\n"),
        None => text += "note: no route matches such a request; it is answered 404\n",
    }
    text
}
