//! Header fields as slices of the buffer they arrived in.
//!
//! A parsed head is one buffer and a list of [`Slot`]s into it. Each slot remembers whether its name is one that a rule
//! is about ([`Known`]), so that the rules match on an enum instead of comparing names again and again.

/// Where one header field lies in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub(super) name_start: u32,
    pub(super) value_start: u32,
    pub(super) value_len: u32,
    pub(super) name_len: u16,
    pub(super) known: Known,
}

/// Header names that some rule of the data plane is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Cookie`
    Cookie,
    /// `Expect`
    Expect,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// `Host`
    Host,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Authenticate`
    ProxyAuthenticate,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `TE`
    Te,
    /// `traceparent` (W3C Trace Context)
    Traceparent,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `X-Forwarded-Client-Cert`: who the client is by its certificate
    XForwardedClientCert,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Port`
    XForwardedPort,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-Id`
    XRequestId,
    /// `X-Weir-Override`: a signed override, which ends here whoever sends it
    XWeirOverride,
    /// Any other name that begins with `X-Weir-`: Weir's own, never taken from an untrusted peer
    XWeir,
    /// Any other name
    Other,
}

/// The header fields of one message, in the order they arrived, with their names' case kept.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    buffer: &'a [u8],
    slots: &'a [Slot],
}

/// Header fields with a buffer of their own: for tests, `explain` and messages that Weir makes.
#[derive(Debug, Clone, Default)]
pub struct HeaderList {
    buffer: Vec<u8>,
    slots: Vec<Slot>,
}

// === impl Known ===

impl Known {
    /// Which known name this is, ASCII case ignored (RFC 9110, section 5.1).
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name.len() {
            2 if is("te") => Self::Te,
            4 if is("host") => Self::Host,
            6 if is("cookie") => Self::Cookie,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            7 if is("trailer") => Self::Trailer,
            9 if is("forwarded") => Self::Forwarded,
            9 if is("x-real-ip") => Self::XRealIp,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::KeepAlive,
            11 if is("traceparent") => Self::Traceparent,
            12 if is("x-request-id") => Self::XRequestId,
            14 if is("content-length") => Self::ContentLength,
            15 if is("x-forwarded-for") => Self::XForwardedFor,
            15 if is("x-weir-override") => Self::XWeirOverride,
            16 if is("x-forwarded-host") => Self::XForwardedHost,
            16 if is("x-forwarded-port") => Self::XForwardedPort,
            16 if is("proxy-connection") => Self::ProxyConnection,
            17 if is("x-forwarded-proto") => Self::XForwardedProto,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            18 if is("proxy-authenticate") => Self::ProxyAuthenticate,
            19 if is("proxy-authorization") => Self::ProxyAuthorization,
            23 if is("x-forwarded-client-cert") => Self::XForwardedClientCert,
            8.. if name[..7].eq_ignore_ascii_case(b"x-weir-") => Self::XWeir,
            _ => Self::Other,
        }
    }
}

// === impl Slot ===

impl Slot {
    /// Which known header this is.
    #[must_use]
    pub fn known(&self) -> Known {
        self.known
    }

    /// The field's name, as received.
    #[must_use]
    pub fn name<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        &buffer[self.name_start as usize..][..usize::from(self.name_len)]
    }

    /// The field's value without the white space around it.
    #[must_use]
    pub fn value<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        &buffer[self.value_start as usize..][..self.value_len as usize]
    }
}

// === impl Headers ===

impl<'a> Headers<'a> {
    /// The fields that `slots` mark in `buffer`.
    #[must_use]
    pub fn new(buffer: &'a [u8], slots: &'a [Slot]) -> Self {
        Self { buffer, slots }
    }

    /// No fields.
    #[must_use]
    pub fn empty() -> Self {
        Self { buffer: &[], slots: &[] }
    }

    /// All fields: name, value, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.slots.iter().map(move |slot| (slot.name(self.buffer), slot.value(self.buffer)))
    }

    /// All fields with the known header that each is.
    pub fn iter_known(self) -> impl Iterator<Item = (Known, &'a [u8], &'a [u8])> {
        self.slots.iter().map(move |slot| (slot.known, slot.name(self.buffer), slot.value(self.buffer)))
    }

    /// The values of every field of this name, in order; ASCII case is ignored.
    pub fn all<'n>(self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.slots
            .iter()
            .filter(move |slot| {
                usize::from(slot.name_len) == name.len()
                    && slot.name(self.buffer).eq_ignore_ascii_case(name.as_bytes())
            })
            .map(move |slot| slot.value(self.buffer))
    }

    /// The value of the first field of this name; ASCII case is ignored.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The values of every field that is the known header `known`, in order.
    pub fn known(self, known: Known) -> impl Iterator<Item = &'a [u8]> {
        self.slots.iter().filter(move |slot| slot.known == known).map(move |slot| slot.value(self.buffer))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.slots.is_empty()
    }

    /// The values of the cookie `name`, over all `Cookie` fields, in order (RFC 6265, section 5.4). Pairs are split at
    /// `;`, white space around them is ignored, names are compared with their case.
    pub fn cookies<'n>(self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.slots
            .iter()
            .filter(|slot| slot.known == Known::Cookie)
            .flat_map(move |slot| pairs(slot.value(self.buffer)))
            .filter_map(move |pair| {
                let pair = pair.trim_ascii();
                let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                Some(value)
            })
    }
}

/// What lies between the semicolons.
fn pairs(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let end = memchr::memchr(b';', value);
        rest = end.map(|end| &value[end + 1..]);
        Some(&value[..end.unwrap_or(value.len())])
    })
}

// === impl HeaderList ===

impl HeaderList {
    /// A list of these fields, in order.
    #[must_use]
    pub fn from_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let mut list = Self::default();
        for (name, value) in pairs {
            list.push(name, value.as_bytes());
        }
        list
    }

    /// Adds a field at the end. A name above 65,535 bytes is cut there.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
        self.slots.push(Slot {
            name_start: offset(self.buffer.len()),
            value_start: offset(self.buffer.len() + name.len()),
            value_len: offset(value.len()),
            name_len: u16::try_from(name.len()).unwrap_or(u16::MAX),
            known: Known::of(name),
        });
        self.buffer.extend_from_slice(name);
        self.buffer.extend_from_slice(value);
    }

    /// The fields.
    #[must_use]
    pub fn view(&self) -> Headers<'_> {
        Headers::new(&self.buffer, &self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_cookie() {
        let list = HeaderList::from_pairs([
            ("Host", "a"),
            ("X-User", "1"),
            ("cookie", "a=1; weir=x; b = 2"),
            ("x-user", "2"),
            ("COOKIE", "weir=y;;weird=3"),
            ("X-Weir-Backend", "canary"),
            ("x-weir-OVERRIDE", "signed"),
        ]);
        let headers = list.view();
        assert_eq!(headers.get("X-USER"), Some(&b"1"[..]));
        assert_eq!(headers.all("x-user").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(headers.cookies("weir").collect::<Vec<_>>(), [b"x", b"y"]);
        assert_eq!(headers.cookies("b").count(), 0);
        assert_eq!(headers.known(Known::XWeir).count(), 1);
        assert_eq!(headers.known(Known::XWeirOverride).next(), Some(&b"signed"[..]));
        assert_eq!(headers.get("absent"), None);
    }
}
