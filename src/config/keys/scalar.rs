//! The kinds of single values: how they are called, what they look like, and the pattern of the schema.

/// A single value in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Scalar {
    /// `true` or `false`.
    Bool,
    /// `true` and nothing else.
    True,
    /// A whole number.
    Integer { min: u64, max: u64 },
    /// A duration of at least so many milliseconds.
    Duration { min: u64 },
    /// A number of bytes.
    Size { min: u64, max: u64 },
    /// A percentage, `0%` to `100%`.
    Percent,
    /// A share in percent, with its sign or without.
    Share,
    /// A multiple of something, at least one.
    Multiple,
    /// A quantile above 0 and below 1.
    Quantile,
    /// The word for what a gate measures.
    Metric,
    /// A limit of a metric, in its unit.
    Limit,
    /// A multiple, or a difference of rates.
    Tolerance,
    /// The address of a web service.
    Url,
    /// A Prometheus query, perhaps of several lines.
    Query,
    /// A place in a JSON document.
    Pointer,
    /// A repository of GitHub.
    Repository,
    /// So many in a unit of time.
    Rate,
    /// A relative weight.
    Weight,
    /// The name of something in the file.
    Name,
    /// A network, a single address, or `unix`.
    Cidr,
    /// An address to listen on.
    Bind,
    /// An address or unix socket to listen on.
    Listen,
    /// An address to connect to.
    Address,
    /// A name to look up, and a port.
    HostPort,
    /// The path of a unix socket.
    SocketPath,
    /// The permissions of a file.
    FileMode,
    /// A header's name.
    HeaderName,
    /// A cookie's name.
    CookieName,
    /// A query parameter's name.
    QueryName,
    /// A path to match.
    Path,
    /// The target of a probe: a path, perhaps with a query.
    Target,
    /// A cookie's Path attribute.
    CookiePath,
    /// A regular expression.
    Regex,
    /// A host of a route, perhaps with a wildcard.
    Host,
    /// A host without wildcard.
    Domain,
    /// A Host header's value.
    Authority,
    /// A method.
    Method,
    /// A status or a range of them.
    Status,
    /// A file or folder.
    File,
    /// `stdout`, `off` or a file.
    LogTarget,
    /// Any text, the empty one included.
    Text,
    /// The same with lines.
    Body,
    /// Any text but the empty one.
    Word,
}

// === impl Scalar ===

impl Scalar {
    /// What it is called in the reference, and what one looks like.
    pub(in crate::config) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Bool => ("boolean", "true"),
            Self::True => ("`true`", "true"),
            Self::Integer { .. } => ("number", "5"),
            Self::Duration { .. } => ("duration", "5s"),
            Self::Size { .. } => ("size", "32KiB"),
            Self::Percent => ("percentage", "2%"),
            Self::Share => ("share in percent", "5"),
            Self::Multiple => ("multiple", "1.5"),
            Self::Quantile => ("quantile", "0.99"),
            Self::Metric => ("metric", "error_rate"),
            Self::Limit => ("limit", "1%"),
            Self::Tolerance => ("tolerance", "1.25x"),
            Self::Url => ("web address", "https://checks.internal/kpi"),
            Self::Query => ("Prometheus query", "sum(orders_failed)"),
            Self::Pointer => ("JSON pointer", "/kpi/errors"),
            Self::Repository => ("repository", "example/shop"),
            Self::Rate => ("rate", "100/s"),
            Self::Weight => ("weight", "95"),
            Self::Name => ("name", "shop"),
            Self::Cidr => ("network", "10.0.0.0/8"),
            Self::Bind => ("address to listen on", "127.0.0.1:8080"),
            Self::Listen => ("address to listen on", "127.0.0.1:8080"),
            Self::Address => ("address", "10.1.0.11:8080"),
            Self::HostPort => ("name and port", "canary.internal:8080"),
            Self::SocketPath => ("path of a unix socket", "/run/reports.sock"),
            Self::FileMode => ("file mode", "0660"),
            Self::HeaderName => ("header name", "X-User-Id"),
            Self::CookieName => ("cookie name", "uid"),
            Self::QueryName => ("query parameter name", "page"),
            Self::Path => ("path", "/shop"),
            Self::Target => ("path", "/healthz"),
            Self::CookiePath => ("cookie path", "/shop"),
            Self::Regex => ("regular expression", "v[0-9]+"),
            Self::Host => ("host", "shop.example.com"),
            Self::Domain => ("domain", "example.com"),
            Self::Authority => ("Host header", "shop.example.com"),
            Self::Method => ("method", "GET"),
            Self::Status => ("status or range", "200-299"),
            Self::File => ("file name", "/var/lib/weir"),
            Self::LogTarget => ("`stdout`, `off` or file name", "stdout"),
            Self::Text | Self::Word => ("text", "beta"),
            Self::Body => ("text, with lines", "hello"),
        }
    }

    /// One value, quoted for a message.
    pub(super) fn example(self) -> String {
        format!("`{}`", self.words().1)
    }

    /// What is expected, with an example.
    pub(in crate::config) fn expected(self) -> String {
        match self {
            Self::Bool => "`true` or `false`".to_owned(),
            Self::True => "`true`".to_owned(),
            Self::LogTarget => "`stdout`, `off` or a file such as `/var/log/weir.log`".to_owned(),
            Self::Address | Self::Bind | Self::Listen => format!("an address such as {}", self.example()),
            _ => format!("a {} such as {}", self.words().0, self.example()),
        }
    }

    /// The pattern that its text matches as a whole, in the syntax that ECMA-262 and crate `regex` share; `None` for
    /// what is no text, or any text. What a pattern cannot say (does a regex compile?) the decoder checks.
    pub(in crate::config) fn pattern(self) -> Option<&'static str> {
        Some(match self {
            Self::Duration { .. } => "^[0-9]+(ms|s|m|h|d)$",
            Self::Size { .. } => "^[0-9]+(B|KB|KiB|MB|MiB|GB|GiB)?$",
            Self::Percent | Self::Share => r"^(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)%$",
            Self::Multiple => r"^[0-9]{1,4}(\.[0-9]{1,6})?x$",
            Self::Metric => {
                r"^(error_rate|success_rate|availability|request_rate|retry_rate|reset_rate|latency_p[0-9]{1,5}(\.[0-9]{1,3})?)$"
            }
            Self::Limit => {
                r"^([0-9]+(ms|s|m|h|d)|(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)%|(1000000|[1-9][0-9]{0,5})/[smhd])$"
            }
            Self::Tolerance => r"^([0-9]{1,4}(\.[0-9]{1,6})?x|(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)%)$",
            Self::Url => r"^https?://[!-~]+$",
            Self::Query => "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]+$",
            Self::Pointer => "^(/[^\\u0000-\\u001f\\u007f]*)?$",
            Self::Repository => r"^[A-Za-z0-9_.\-]+/[A-Za-z0-9_.\-]+$",
            Self::Rate => "^(1000000|[1-9][0-9]{0,5})/[smhd]$",
            Self::Name => r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}$",
            Self::Cidr => r"^(unix|[0-9A-Fa-f:.]+(/[0-9]{1,3})?)$",
            Self::Bind => r"^(localhost|[0-9.]+|\[[0-9A-Fa-f:.]+\])?:[0-9]{1,5}$",
            Self::Listen => {
                r"^((localhost|[0-9.]+|\[[0-9A-Fa-f:.]+\])?:[0-9]{1,5}|unix:/[^\u0000-\u001f\u007f]{1,99})$"
            }
            Self::HostPort => r"^[A-Za-z0-9_\-]{1,63}(\.[A-Za-z0-9_\-]{1,63})*\.?:[0-9]{1,5}$",
            Self::SocketPath => "^/[^\\u0000-\\u001f\\u007f]{1,99}$",
            Self::FileMode => "^0?[0-7]{3}$",
            Self::Address => r"^(localhost|[0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$",
            Self::HeaderName | Self::CookieName => r"^[!#$%&'*+.^_`|~0-9A-Za-z\-]+$",
            Self::Path => r#"^/[!"$->@-~]*$"#,
            Self::Target => r#"^/[!"$-~]*$"#,
            Self::CookiePath => "^/[!-:<-~]*$",
            Self::Host => r"^(\*\.)?[A-Za-z0-9_\-]{1,63}(\.[A-Za-z0-9_\-]{1,63})*$",
            Self::Domain => r"^[A-Za-z0-9_\-]{1,63}(\.[A-Za-z0-9_\-]{1,63})*$",
            Self::Authority => r"^([A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$",
            Self::Method => r"^[!#$%&'*+.^_`|~0-9A-Z\-]+$",
            Self::Status => "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$",
            Self::LogTarget => "^(stdout|off|.*/.*)$",
            Self::QueryName | Self::File | Self::Regex | Self::Word => "^[^\\u0000-\\u001f\\u007f]+$",
            Self::Text => "^[^\\u0000-\\u001f\\u007f]*$",
            Self::Body => "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]*$",
            Self::Bool | Self::True | Self::Integer { .. } | Self::Weight | Self::Quantile => return None,
        })
    }
}
