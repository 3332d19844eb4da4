"""Where a request's body ends (RFC 9112, sections 2.2, 5 and 6): everything by which two parties could see two requests in one."""

from suite.case import Theme
from suite.origin import echo

theme = Theme("framing", "Request framing and smuggling")

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
BOTH = "RFC 9112 §6.3"
FIELDS = "RFC 9112 §5.1"
LENGTH = "RFC 9110 §8.6, RFC 9112 §6.3"
CODING = "RFC 9112 §6.1, §6.3"
CHUNK = "RFC 9112 §7.1"
LINES = "RFC 9112 §2.2"


def post(fields, body=b"", version=b"1.1"):
    return b"POST /p HTTP/" + version + b"\r\nHost: h.test\r\n" + fields + b"\r\n" + body


def refuse(name, source, demand, data, partial=False):
    """A case that must be refused; with `partial` the origin may have seen its beginning."""

    def run(t):
        t.refused(t.exchange(data), partial)

    theme.add(name, source, demand, run)


def refuse_or_one(name, source, demand, data, body=b"hello", closes=False):
    """A case that may be refused, or passed on as one clean request with this body."""

    def run(t):
        t.refused_or_one(t.exchange(data), body, closes)

    theme.add(name, source, demand, run)


def accept(name, source, demand, data, body=b"hello"):
    """A case that must be passed on, as one clean request with this body."""

    def run(t):
        seen = t.exchange(data)
        t.ok(seen)
        t.saw_one(body)

    theme.add(name, source, demand, run)


# --- Content-Length and Transfer-Encoding together ------------------------------------------------------------------------------

ALONE = "Content-Length beside Transfer-Encoding is refused, or read by the coding alone and the connection ended."
refuse_or_one("cl-te", BOTH, ALONE, post(b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED), b"", True)
refuse_or_one("te-cl", BOTH, ALONE,
    post(b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n"), SMUGGLED, True)
refuse_or_one("cl-te-agree", BOTH, ALONE, post(b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", CHUNKS), closes=True)
refuse_or_one("te-cl-zero", BOTH, ALONE, post(b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", CHUNKS), closes=True)
refuse_or_one("te-cl-other-case", BOTH, ALONE, post(b"tRANSFER-eNCODING: CHUNKED\r\ncONTENT-lENGTH: 3\r\n", CHUNKS), closes=True)
refuse_or_one("te-invalid-cl", BOTH, "An invalid Content-Length beside a coding is refused, or dropped and the connection ended.",
    post(b"Transfer-Encoding: chunked\r\nContent-Length: five\r\n", CHUNKS), closes=True)
refuse("cl-unknown-te", CODING, "A coding that is not chunked is refused, whatever Content-Length stands beside it.",
    post(b"Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n", b"hello"))

# --- Content-Length ------------------------------------------------------------------------------------------------------------

accept("cl", LENGTH, "A body with a length is passed on whole.", post(b"Content-Length: 5\r\n", b"hello"))
accept("cl-zero", LENGTH, "A length of zero is a request without a body.", post(b"Content-Length: 0\r\n"), b"")
accept("no-body", LENGTH, "A request without length and coding has no body.", post(b""), b"")
accept("cl-spaces", FIELDS, "Blanks around a value are not part of it.", post(b"Content-Length: \t 5 \t\r\n", b"hello"))
refuse_or_one("cl-leading-zeros", LENGTH, "A length with leading zeros is decimal, or refused.", post(b"Content-Length: 0005\r\n", b"hello"))
refuse("cl-twice", LENGTH, "Two different lengths are refused.", post(b"Content-Length: 5\r\nContent-Length: 47\r\n", b"hello" + SMUGGLED))
refuse("cl-twice-smaller", LENGTH, "Two different lengths are refused.", post(b"Content-Length: 47\r\nContent-Length: 5\r\n", b"hello" + SMUGGLED))
SAME = "The same length twice is refused, or passed on as one."
refuse_or_one("cl-twice-equal", LENGTH, SAME, post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"))
refuse_or_one("cl-list-equal", LENGTH, SAME, post(b"Content-Length: 5, 5\r\n", b"hello"))
refuse("cl-list", LENGTH, "A list of different lengths is refused.", post(b"Content-Length: 5, 6\r\n", b"hello!"))
INVALID = "A Content-Length that is not all digits is refused."
for name, value in {
    "plus": b"+5", "minus": b"-5", "hex": b"0x5", "exponent": b"5e0", "fraction": b"5.0", "inner-space": b"5 5",
    "empty": b"", "word": b"five", "semicolon": b"5;", "comma": b"5,", "superscript": b"\xb2", "digit-separator": b"1_0",
    "vertical-tab": b"\x0b5", "form-feed": b"5\x0c", "nul": b"5\x00", "no-break-space": b"5\xa0", "quotes": b'"5"',
}.items():  # fmt: skip
    refuse(f"cl-{name}", LENGTH, INVALID, post(b"Content-Length: " + value + b"\r\n", b"hello"))
HUGE = "A length that does not fit is refused, not wrapped round."
refuse("cl-2-63", LENGTH, HUGE, post(b"Content-Length: 9223372036854775808\r\n", b"hello"), partial=True)
refuse("cl-2-64-plus-5", LENGTH, HUGE, post(b"Content-Length: 18446744073709551621\r\n", b"hello" + SMUGGLED))
refuse("cl-2-32-plus-5", LENGTH, "A body that does not come whole is never passed on as whole.",
    post(b"Content-Length: 4294967301\r\n", b"hello" + SMUGGLED), partial=True)
refuse("cl-space-before-colon", FIELDS, "A blank between a name and its colon is refused with 400.", post(b"Content-Length : 5\r\n", b"hello"))
refuse("cl-tab-before-colon", FIELDS, "A blank between a name and its colon is refused with 400.", post(b"Content-Length\t: 5\r\n", b"hello"))
refuse("cl-truncated", "RFC 9112 §8", "A body that ends short of its length is never passed on as whole.",
    post(b"Content-Length: 50\r\n", b"hello"), partial=True)
refuse_or_one("cl-other-name", "RFC 3875 §4.1.18", "A name with an underscore is not Content-Length, on neither side.",
    post(b"Content-Length: 5\r\nContent_Length: 47\r\n", b"hello"))

# --- Transfer-Encoding ---------------------------------------------------------------------------------------------------------

accept("te", CHUNK, "A chunked body is passed on whole.", post(b"Transfer-Encoding: chunked\r\n", CHUNKS))
accept("te-case", "RFC 9112 §7", "The name of a coding has no case.", post(b"transfer-ENCODING: ChUnKeD\r\n", CHUNKS))
accept("te-blanks", FIELDS, "Blanks around a value are not part of it.", post(b"Transfer-Encoding: \t chunked \t\r\n", CHUNKS))
refuse_or_one("te-empty-element", "RFC 9110 §5.6.1", "Empty elements of a list mean nothing, or are refused.",
    post(b"Transfer-Encoding: , chunked\r\n", CHUNKS))
ONLY = "Where chunked is not the last coding the length is unknown: refused."
UNKNOWN = "A coding that the proxy does not undo is refused, never passed on."
for name, value, demand in [
    ("not-last", b"chunked, gzip", ONLY), ("identity", b"identity", ONLY), ("unknown", b"xchunked", ONLY),
    ("suffix", b"chunkedx", ONLY), ("quoted", b'"chunked"', ONLY), ("empty", b"", ONLY),
    ("vertical-tab", b"\x0bchunked", ONLY), ("vertical-tab-after", b"chunked\x0b", ONLY), ("nul", b"chunked\x00", ONLY),
    ("no-break-space", b"chunked\xa0", ONLY), ("space-inside", b"chun ked", ONLY), ("other-first", b"gzip, chunked", UNKNOWN),
    ("unknown-first", b"foo, chunked", UNKNOWN), ("semicolon", b"chunked;", ONLY), ("two-words", b"identity chunked", ONLY),
]:  # fmt: skip
    refuse(f"te-{name}", CODING, demand, post(b"Transfer-Encoding: " + value + b"\r\n", CHUNKS))
refuse_or_one("te-parameter", "RFC 9112 §7", "chunked has no parameters: refused, or the parameter dropped.",
    post(b"Transfer-Encoding: chunked;q=1\r\n", CHUNKS))
TWICE = "chunked is applied only once: refused, or undone once and passed on as chunked alone."
refuse_or_one("te-twice", CODING, TWICE, post(b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS))
refuse_or_one("te-two-fields", CODING, TWICE, post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKS))
refuse("te-second-unknown", CODING, ONLY, post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", CHUNKS))
refuse("te-second-identity", CODING, ONLY, post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKS))
refuse_or_one("te-http-1-0", "RFC 9112 §6.1", "A coding in HTTP/1.0 is faulty framing: refused, or the connection ended after it.",
    post(b"Transfer-Encoding: chunked\r\n", CHUNKS, b"1.0"), closes=True)
refuse_or_one("te-cl-http-1-0", "RFC 9112 §6.1", "A coding in HTTP/1.0 is faulty framing: refused, or the connection ended after it.",
    post(b"Connection: keep-alive\r\nContent-Length: 15\r\nTransfer-Encoding: chunked\r\n", CHUNKS + SMUGGLED, b"1.0"), closes=True)
refuse("te-space-before-colon", FIELDS, "A blank between a name and its colon is refused with 400.",
    post(b"Transfer-Encoding : chunked\r\n", CHUNKS))
refuse("te-tab-before-colon", FIELDS, "A blank between a name and its colon is refused with 400.",
    post(b"Transfer-Encoding\t: chunked\r\n", CHUNKS))
refuse("te-cl-space-before-colon", FIELDS, "A blank between a name and its colon is refused with 400.",
    post(b"Content-Length: 6\r\nTransfer-Encoding : chunked\r\n", b"0\r\n\r\n" + SMUGGLED))
refuse_or_one("te-other-name", "RFC 3875 §4.1.18", "A name with an underscore is not Transfer-Encoding, on neither side.",
    post(b"Content-Length: 5\r\nTransfer_Encoding: chunked\r\n", b"hello"))

# --- Lines and fields ----------------------------------------------------------------------------------------------------------

FOLD = "A folded line is refused, or the fold replaced by blanks."
refuse_or_one("fold", "RFC 9112 §5.2", FOLD, post(b"Content-Length: 5\r\nX-A: a\r\n b\r\n", b"hello"))
refuse_or_one("fold-te", "RFC 9112 §5.2", FOLD, post(b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS))
refuse_or_one("fold-te-tab", "RFC 9112 §5.2", FOLD, post(b"Transfer-Encoding:\r\n\tchunked\r\n", CHUNKS))
refuse_or_one("fold-hides-te", "RFC 9112 §5.2", "A folded line is no field of its own.",
    post(b"Content-Length: 5\r\nX-A: a\r\n Transfer-Encoding: chunked\r\n", b"hello"))
FIRST = "A line with leading blanks after the request line is refused or dropped."
refuse_or_one("first-line-blank", LINES, FIRST, b"POST /p HTTP/1.1\r\n X: y\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello")
refuse_or_one("first-line-te", LINES, FIRST,
    b"POST /p HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello")
LF = "A bare LF ends a line, for the whole message alike, or is refused; it is never passed on."


@theme.case("lf-hides-te", LINES, "A field behind a bare LF counts, and then stands beside Content-Length, or the request is refused.")
def _(t):
    seen = t.exchange(post(b"Content-Length: 6\r\nX: y\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED))
    t.refused_or_one(seen, b"", closes=True)


refuse_or_one("lf-only", LINES, LF, b"POST /p HTTP/1.1\nHost: h.test\nContent-Length: 5\n\nhello")
refuse_or_one("lf-ends-head", LINES, LF, b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\n\nhello")
CR = "A bare CR is refused, or replaced by a blank; it ends no line."
refuse_or_one("cr-hides-te", LINES, CR, post(b"Content-Length: 5\r\nX: y\rTransfer-Encoding: chunked\r\n", b"hello"))
refuse_or_one("cr-in-value", LINES, CR, post(b"Content-Length: 5\r\nX: a\rb\r\n", b"hello"))
refuse("cr-in-name", LINES, "A bare CR in a name is refused.", post(b"Content-Length: 5\r\nX\rY: a\r\n", b"hello"))
refuse("cr-ends-line", LINES, "A bare CR in the request line is refused.", b"POST /p HTTP/1.1\rHost: h.test\r\nContent-Length: 5\r\n\r\nhello")
refuse("cr-cr-lf", LINES, "CR CR LF is refused, or the first CR taken for a blank: never a head's end.",
    b"POST /p HTTP/1.1\r\nHost: h.test\r\r\n\r\r\nGET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n", partial=True)
refuse_or_one("nul-in-value", "RFC 9110 §5.5", "NUL in a value is refused, or replaced by a blank.", post(b"Content-Length: 5\r\nX: a\x00b\r\n", b"hello"))
refuse_or_one("control-in-value", "RFC 9110 §5.5", "Other control bytes in a value are refused or kept.",
    post(b"Content-Length: 5\r\nX: a\x01\x1b\x7fb\r\n", b"hello"))
NAME = "A name that is no token is refused, or its line dropped; it is never passed on."
for name, line in {
    "space": b"X Y: z", "nul": b"X\x00Y: z", "parenthesis": b"X(Y): z", "at": b"X@Y: z", "slash": b"X/Y: z", "obs-text": b"X\xe9: z",
    "empty": b": z", "no-colon": b"no colon here", "quotes": b'"X": z', "brackets": b"[X]: z",
}.items():  # fmt: skip
    refuse_or_one(f"name-{name}", FIELDS, NAME, post(b"Content-Length: 5\r\n" + line + b"\r\n", b"hello"))
refuse("name-nul-te", FIELDS, "A name with a NUL is not another name.", post(b"Transfer-Encoding\x00: chunked\r\n", CHUNKS))

# --- Chunks --------------------------------------------------------------------------------------------------------------------


def chunked(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


accept("chunk-many", CHUNK, "Chunks are one body.", chunked(b"1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n0\r\n\r\n"))
accept("chunk-hex", CHUNK, "Sizes are hexadecimal, in either case.", chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), b"0123456789" * 2)
accept("chunk-leading-zeros", CHUNK, "Sizes may have leading zeros.", chunked(b"0005\r\nhello\r\n0\r\n\r\n"))
accept("chunk-last-zeros", CHUNK, "The last chunk is one or more zeros.", chunked(b"5\r\nhello\r\n000\r\n\r\n"))
accept("chunk-empty", CHUNK, "A chunked body may be empty.", chunked(b"0\r\n\r\n"), b"")
IGNORE = "Chunk extensions that are not known are ignored."
accept("chunk-extension", "RFC 9112 §7.1.1", IGNORE, chunked(b"5;a=b;c\r\nhello\r\n0\r\n\r\n"))
accept("chunk-extension-quoted", "RFC 9112 §7.1.1", IGNORE, chunked(b'5;a="b;c, d"\r\nhello\r\n0;e\r\n\r\n'))
refuse_or_one("chunk-extension-blank", "RFC 9112 §7.1.1", "Blanks before an extension mean nothing, or are refused.",
    chunked(b"5 ; a=b\r\nhello\r\n0\r\n\r\n"))
refuse_or_one("chunk-size-trailing-blank", CHUNK, "Blanks after a size mean nothing, or are refused.", chunked(b"5 \r\nhello\r\n0\r\n\r\n"))
MALFORMED = "A malformed chunk ends the request: nothing is passed on as whole."
for name, body in {
    "size-sign": b"+5\r\nhello\r\n0\r\n\r\n", "size-minus": b"-5\r\nhello\r\n0\r\n\r\n", "size-0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size-word": b"G\r\nhello\r\n0\r\n\r\n", "size-empty": b"\r\nhello\r\n0\r\n\r\n", "size-underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "size-leading-blank": b" 5\r\nhello\r\n0\r\n\r\n", "size-nul": b"5\x00\r\nhello\r\n0\r\n\r\n", "size-semicolon-first": b";5\r\nhello\r\n0\r\n\r\n",
    "size-2-64-plus-5": b"10000000000000005\r\nhello\r\n0\r\n\r\n", "size-2-64-minus-1": b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "size-2-32-plus-5": b"100000005\r\nhello\r\n0\r\n\r\n", "lf-after-size": b"5\nhello\r\n0\r\n\r\n", "cr-after-size": b"5\rhello\r\n0\r\n\r\n",
    "cr-cr-lf-after-size": b"5\r\r\nhello\r\n0\r\n\r\n", "lf-after-data": b"5\r\nhello\n0\r\n\r\n", "no-end-of-data": b"5\r\nhello0\r\n\r\n",
    "long-data": b"5\r\nhello!\r\n0\r\n\r\n", "two-bytes-after-data": b"5\r\nhelloXX0\r\n\r\n", "lf-after-last": b"5\r\nhello\r\n0\n\r\n",
    "lf-in-extension": b"5;a\nhello\r\n0\r\n\r\n", "cr-in-extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
}.items():  # fmt: skip
    refuse(f"chunk-{name}", CHUNK, MALFORMED, chunked(body), partial=True)
refuse_or_one("chunk-nul-in-extension", CHUNK, "NUL in an extension is refused, or goes with the extension.", chunked(b"5;a\x00b\r\nhello\r\n0\r\n\r\n"))
refuse_or_one("chunk-lf-at-the-end", LINES, "A bare LF ends the trailer section, or is refused.", chunked(b"5\r\nhello\r\n0\r\n\n"))
refuse("chunk-truncated", "RFC 9112 §8", "A chunked body without its last chunk is never passed on as whole.", chunked(b"5\r\nhello\r\n"), partial=True)
refuse("chunk-no-final-line", CHUNK, "A chunked body without its final empty line is never passed on as whole.", chunked(b"5\r\nhello\r\n0\r\n"), partial=True)


@theme.case("chunk-no-final-line-smuggled", CHUNK, "What follows the last chunk without an empty line is no request but a malformed trailer.")
def _(t):
    seen = t.exchange(chunked(b"5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n"))
    t.refused_or_one(seen, b"hello")


@theme.case("chunk-trailers", "RFC 9112 §7.1.2", "Trailers are passed on as trailers or dropped, and end the body.")
def _(t):
    seen = t.exchange(chunked(b"5\r\nhello\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n"))
    t.ok(seen)
    request = t.saw_one(b"hello")
    t.check(request.trailer("x-t") in (None, b"1") and not request.has("x-t"), "the trailer became a header field")


TRAILER = "A trailer never becomes a header field: it is refused, dropped, or passed on as a trailer."
for name, line in {"cl": b"Content-Length: 50", "te": b"Transfer-Encoding: chunked", "host": b"Host: evil.test", "authorization": b"Authorization: x"}.items():

    def _(t, line=line):
        seen = t.exchange(chunked(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n"))
        request = t.refused_or_one(seen, b"hello")
        if request:
            key = line.split(b":")[0].decode()
            t.check(line.split(b": ")[1] not in request.all(key) or key == "Transfer-Encoding", f"{key} became a header field")

    theme.add(f"trailer-{name}", "RFC 9110 §6.5.1", TRAILER, _)
for name, line in {"no-colon": b"hello", "space-name": b"X Y: z", "space-before-colon": b"X : z", "lf": b"X: y\nZ: z", "cr": b"X: y\rZ", "nul": b"X: y\x00", "fold": b"X: y\r\n z"}.items():

    def _(t, line=line):
        t.refused_or_one(t.exchange(chunked(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n")), b"hello")

    theme.add(f"trailer-malformed-{name}", CHUNK, "A malformed trailer is refused or dropped, never passed on.", _)

# --- Several requests on a connection -------------------------------------------------------------------------------------------

NEXT = b"GET /second HTTP/1.1\r\nHost: h.test\r\n\r\n"
BAD = b"GET /bad HTTP/1.1\r\nHost: h.test\r\nBad Name: x\r\nContent-Length: x\r\n\r\n"


@theme.case("pipeline", "RFC 9112 §9.3.2", "Pipelined requests are answered in order, each once.")
def _(t):
    t.origin.behave(echo)
    seen = t.exchange(post(b"Content-Length: 3\r\n", b"one") + chunked(b"3\r\ntwo\r\n0\r\n\r\n") + post(b"Content-Length: 5\r\n", b"three"))
    t.ok(seen, 3)
    t.check([response.body for response in seen.responses] == [b"one", b"two", b"three"], "bodies are mixed up")
    t.settle()
    t.check(len(t.origin.requests) == 3, f"the origin saw {len(t.origin.requests)} requests")
    t.clean()


@theme.case("pipeline-after-error", "RFC 9112 §6.3", "After a request that is refused for its framing nothing more is read as a request.")
def _(t):
    t.refused(t.exchange(BAD + NEXT))


@theme.case("pipeline-error-last", "RFC 9112 §9.3.2", "Requests before a refused one are served, it is not.")
def _(t):
    seen = t.exchange(NEXT + BAD + NEXT)
    t.check(seen.statuses[:1] == [200] and len(seen.statuses) <= 2 and seen.ends(), f"answered {seen}")
    t.check(all(status >= 400 for status in seen.statuses[1:]), f"answered {seen}")
    t.saw_one(b"")


@theme.case("pipeline-after-close", "RFC 9112 §9.6", "After a request with Connection: close nothing more is read as a request.")
def _(t):
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n" + NEXT)
    t.ok(seen)
    t.check(seen.ends(), "the connection goes on")
    t.saw_one(b"")


@theme.case("pipeline-after-1-0", "RFC 9112 §9.3", "After an HTTP/1.0 request without keep-alive nothing more is read as a request.")
def _(t):
    seen = t.exchange(b"GET /p HTTP/1.0\r\nHost: h.test\r\n\r\n" + NEXT)
    t.ok(seen)
    t.check(seen.ends(), "the connection goes on")
    t.saw_one(b"")


@theme.case("pipeline-short-length", "RFC 9112 §6.3", "What follows a body's length is the next request, and refused if it is none.")
def _(t):
    seen = t.exchange(post(b"Content-Length: 3\r\n", b"hel{}") + NEXT)
    t.check(seen.statuses[:1] == [200] and len(seen.statuses) <= 2, f"answered {seen}")
    t.check(all(status >= 400 for status in seen.statuses[1:]), f"answered {seen}")
    t.settle()
    t.check(t.origin.requests[0].body == b"hel", f"the origin saw the body {t.origin.requests[0].body!r}")
    t.check(b"/second" not in t.origin.bytes[-300:] or len(t.origin.requests) == 1, "the garbage became a request")


@theme.case("get-with-length", "RFC 9110 §9.3.1", "A GET's body is passed on as its body or refused, never read as a request.")
def _(t):
    data = b"GET /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    t.refused_or_one(t.exchange(data), SMUGGLED)


@theme.case("get-with-chunks", "RFC 9110 §9.3.1", "A GET's chunked body is passed on as its body or refused, never read as a request.")
def _(t):
    data = b"GET /p HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n"
    t.refused_or_one(t.exchange(data), SMUGGLED)


@theme.case("head-with-length", "RFC 9110 §9.3.2", "A HEAD's body is passed on as its body or refused, never read as a request.")
def _(t):
    data = b"HEAD /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    t.refused_or_one(t.exchange(data, "HEAD"), SMUGGLED)


@theme.case("body-like-request", LENGTH, "A body that looks like a request is a body.")
def _(t):
    seen = t.exchange(post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED))
    t.ok(seen)
    t.saw_one(SMUGGLED)


@theme.case("split-everywhere", LINES, "A request that comes byte by byte is the same request.")
def _(t):
    client = t.client()
    data = post(b"Transfer-Encoding: chunked\r\n", b"5;x\r\nhello\r\n0\r\nX-T: 1\r\n\r\n")
    for byte in data:
        t.check(client.send(bytes([byte])), "the connection ended early")
    response = client.response()
    t.check(response and response.status == 200, "not answered 200")
    t.saw_one(b"hello")


@theme.case("leading-empty-lines", LINES, "Empty lines before a request line are skipped, or refused.")
def _(t):
    t.refused_or_one(t.exchange(b"\r\n\r\n" + post(b"Content-Length: 5\r\n", b"hello")), b"hello")
