//! `weir explain`: which backend a request would get, and why.

use std::{collections::BTreeMap, net::IpAddr};

use clap::Args;
use hyper::Method;

use super::{
    Exit, Failure,
    client::{Call, segment},
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
};
use crate::admin::api::types::{ExplainRequest, Explanation, HeaderValues};

const EXAMPLES: &str = "\
Examples:
  weir explain shop -H 'x-user: 42'
  weir explain shop --cookie plan=beta --ip 203.0.113.9 --path /cart --method POST
  weir explain shop -H 'x-user: 42' --output name      the backend only";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
        let explanation: Explanation = self.remote.send(Call::new(Method::POST, path).json(&request))?;
        self.remote.output.print(&explanation)
    }
}

/// A header field as curl takes it.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `NAME: VALUE`")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

impl Answer for Explanation {
    fn screen(&self, view: &View) -> Screen {
        let arrow = if view.look.unicode { "→" } else { "->" };
        let mut by = self.reason.clone();
        if let Some(rule) = &self.rule {
            by += &format!(" {rule}");
        }
        if let Some(bucket) = self.bucket {
            by += &format!(", bucket {bucket}");
        }
        if let Some(region) = &self.region {
            by += &format!(", region {region}");
        }
        let backend = view.look.bold(self.backend.as_str());
        let (route, revision) = (&self.route, self.revision.0);
        let cookie = if self.sets_cookie { "; the response sets the assignment cookie" } else { "" };
        let mut lines = vec![format!("{route} {arrow} {backend}   by {by}   rev {revision}{cookie}")];
        let width = self.steps.iter().map(|step| step.step.chars().count()).max().unwrap_or(0);
        for step in &self.steps {
            let line = format!("  {:<width$}  {:<7}  {}", step.step, step.result, step.detail);
            lines.push(output::clean(&line));
        }
        match &self.matched_route {
            Some(matched) if matched == route => {}
            Some(matched) => {
                lines.push(format!("note: such a request goes to route {matched}, not {route}"));
            }
            None => lines.push("note: no route matches such a request; it is answered 404".to_owned()),
        }
        Screen::of(lines)
    }

    fn names(&self) -> Vec<String> {
        vec![self.backend.to_string()]
    }
}
