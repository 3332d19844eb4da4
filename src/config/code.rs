//! The codes of everything that can be wrong with a control file.
//!
//! A code is a promise: scripts and search engines find it, so it never changes its meaning and is never used again once
//! it is gone. `E00xx` is about reading the file, `E01xx` about what the file as a whole means, `W02xx` warns. The table
//! in docs/configuration.md is written from the one here.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// What is wrong, as a stable code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as it is printed, e.g. `E0107`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// One line on what it means, in Markdown.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The file cannot be read.
    Unreadable = "E0001";
    /// The file is larger than 4 MiB.
    FileTooLarge = "E0002";
    /// The file is not UTF-8.
    NotUtf8 = "E0003";
    /// The file is not YAML; nothing after that place was read.
    Syntax = "E0004";
    /// A tab indents a line; YAML takes spaces only.
    Tab = "E0005";
    /// The file holds more than one YAML document.
    SeveralDocuments = "E0006";
    /// Maps and lists are nested more than 32 deep.
    TooDeep = "E0007";
    /// Anchors and aliases stand for more than 10,000 nodes, or an alias stands inside of what it names.
    AliasLimit = "E0008";
    /// The file holds nothing.
    Empty = "E0009";
    /// A key stands twice in one map.
    DuplicateKey = "E0010";
    /// A part of YAML that Weir does not take: tags, merge keys, keys that are no plain text.
    YamlFeature = "E0011";
    /// A value of another type than the key takes.
    WrongType = "E0020";
    /// A key that must be there is missing.
    MissingKey = "E0021";
    /// None, or more than one, of keys of which exactly one must be there; or keys that contradict each other.
    Choice = "E0022";
    /// A list or map that must not be empty.
    EmptyList = "E0023";
    /// A key of another name: renamed, or named so elsewhere. The message has the name to use.
    RenamedKey = "E0030";
    /// A key that does not exist there.
    UnknownKey = "E0031";
    /// A key or word that a later version of Weir has.
    NotAvailable = "E0032";
    /// Not a duration such as `500ms`, `5s`, `2m`, `1h`, `30d`, or outside of what the key takes.
    Duration = "E0040";
    /// Not a size such as `32KiB`, or outside of what the key takes.
    Size = "E0041";
    /// Not a percentage from `0%` to `100%` with at most three decimals.
    Percent = "E0042";
    /// Not a network such as `10.0.0.0/8`, or one with bits set behind its prefix.
    Cidr = "E0043";
    /// Not an address such as `10.1.0.11:8080`.
    Address = "E0044";
    /// Not a name: 1 to 63 letters, digits, `-`, `_`, `.`, beginning with a letter or digit.
    Name = "E0045";
    /// A regular expression that does not compile, or is too large when compiled.
    Regex = "E0046";
    /// Not a weight: a number from 0 to 1,000,000 with at most six decimals.
    Weight = "E0047";
    /// A number outside of what the key takes.
    Range = "E0048";
    /// A word that the key does not know.
    Word = "E0049";
    /// Not the name of a header, cookie or query parameter.
    FieldName = "E0050";
    /// Not a path: begins with `/`, printable ASCII, without `?` and `#`.
    Path = "E0051";
    /// Not a host: labels of letters, digits, `-` and `_`, with `*.` at most in front.
    Host = "E0052";
    /// Not a method, in upper case.
    Method = "E0053";
    /// Not a status such as `204` or a range such as `200-299`.
    Status = "E0054";
    /// A text that is empty, too long, or not of the form that the key takes.
    Text = "E0055";
    /// Not a rate such as `100/s`, or outside of 1 to 1,000,000 in a second, minute, hour or day.
    Rate = "E0056";
    /// Not the address of a web service: `http://` or `https://`, a host, and no secret in it.
    Url = "E0057";
    /// Not a multiple such as `1.5` or `1.2x`, 1 to 1000.
    Multiple = "E0058";
    /// Not a limit: a percentage, a duration, a rate or a number.
    Limit = "E0059";
    /// A name of a backend that does not exist.
    UnknownBackend = "E0101";
    /// A name of a segment that does not exist.
    UnknownSegment = "E0102";
    /// Two listeners, routes, rules of one route, or gates or hooks of one plan with the same name.
    DuplicateName = "E0103";
    /// An endpoint stands twice in one backend.
    DuplicateEndpoint = "E0104";
    /// Two listeners, or a listener and the admin API, bind the same address.
    DuplicateBind = "E0105";
    /// A backend stands twice in one split.
    DuplicateShare = "E0106";
    /// All weights of a split are zero.
    ZeroWeights = "E0107";
    /// No backend of a split is `active` with a weight above zero.
    NothingActive = "E0108";
    /// Segments use each other in a circle.
    SegmentCycle = "E0109";
    /// A split over more than 64 backends.
    TooManyShares = "E0110";
    /// `same_site: none` without `secure: true`; browsers drop such a cookie.
    InsecureCookie = "E0111";
    /// The admin API on an address that is not loopback, without authentication or in the clear.
    OpenAdmin = "E0112";
    /// Two routes that match exactly the same requests.
    SameMatch = "E0113";
    /// `mode: pin` without the assignment cookie, which is what remembers the backend.
    PinWithoutCookie = "E0114";
    /// Segments that use segments that use segments …, more than 32 deep.
    SegmentDepth = "E0115";
    /// A protocol that needs TLS where there is none, or that is in the clear where there is TLS.
    Protocol = "E0116";
    /// A name where the number of a user must stand.
    UserNumber = "E0117";
    /// What is said of a socket does not go with its kind.
    Socket = "E0120";
    /// What is said of a health check does not go with what it asks.
    HealthCheck = "E0121";
    /// A rule about a header that belongs to one connection, frames the message, or is Weir's own.
    ReservedHeader = "E0140";
    /// A status that is no redirect: 301, 302, 303, 307 and 308 are.
    NoRedirect = "E0141";
    /// A redirect that changes nothing, which sends clients in a circle.
    RedirectCircle = "E0142";
    /// A redirect of the matched prefix on a route that does not match by prefix.
    NoPrefix = "E0143";
    /// A body with a status that has none: 204, 205, 304.
    NoBody = "E0144";
    /// Rules on a route that answers itself, without a backend.
    NoSplit = "E0145";
    /// No origin as browsers send it: scheme, host and port.
    CorsOrigin = "E0146";
    /// Cross-origin rules that are open to everybody and allow credentials.
    CorsCredentials = "E0147";
    /// A fault that neither delays nor aborts.
    NoFault = "E0148";
    /// A mirror on a route that answers itself, which sends nothing on.
    NothingToMirror = "E0149";
    /// A status below 400 among those that are sent again; it is no failure.
    RetryStatus = "E0150";
    /// Pauses between attempts that begin above what they may grow to.
    Backoff = "E0151";
    /// A name of a jwt provider that does not exist.
    UnknownJwtProvider = "E0160";
    /// A claim is asked for on a route that verifies no token.
    ClaimWithoutToken = "E0161";
    /// A header that is to carry a claim, and something else as well.
    ClaimHeader = "E0162";
    /// A name of a notification that does not exist.
    UnknownNotification = "E0170";
    /// A rollout on a route that does not split between its baseline and its canary.
    RolloutBackends = "E0171";
    /// A rollout with neither `steps` nor `preset`.
    NoSteps = "E0172";
    /// A step that cannot be made: one that does nothing, or bakes without everything.
    Step = "E0173";
    /// A gate without a limit, or with one that does not go with what it measures.
    GateLimit = "E0174";
    /// A key of a gate that does not go with what it looks at.
    GateKey = "E0175";
    /// A time without steps whose cron expression or time zone is none.
    FreezeTime = "E0176";
    /// Routes of one group whose steps differ.
    RolloutGroup = "E0177";
    /// A duration or chance in a rollout outside of what it can be.
    RolloutRange = "E0178";
    /// A backend that no route uses.
    UnusedBackend = "W0201";
    /// A segment that nothing uses.
    UnusedSegment = "W0202";
    /// A rule behind one that always applies.
    UnreachableRule = "W0203";
    /// A route whose requests are all taken by routes before it.
    ShadowedRoute = "W0204";
    /// A backend whose endpoints may show any certificate.
    Unverified = "W0205";
    /// `shield: true` on a route with one backend, which nobody can shield.
    ShieldAlone = "W0210";
    /// `cors` on a route that takes no OPTIONS, which preflights are.
    PreflightElsewhere = "W0211";
    /// A jwt provider that no route names.
    UnusedJwtProvider = "W0220";
    /// A first step that gives the canary more than 5 %.
    FirstStep = "W0230";
    /// A step that gives the canary less than one before it.
    StepDown = "W0231";
    /// A last step that does not give the canary everything.
    EndsShort = "W0232";
    /// A rollout that nothing judges.
    NoGates = "W0233";
    /// Steps that last longer than the deadline.
    DeadlineShort = "W0234";
    /// A step that ends at once, in which gates see nothing.
    NoHold = "W0235";
    /// A notification that no rollout names.
    UnusedNotification = "W0236";
}

impl Code {
    /// Whether it only warns.
    #[must_use]
    pub fn is_warning(self) -> bool {
        self.as_str().starts_with('W')
    }
}
