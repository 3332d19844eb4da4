//! HTTP as bytes: heads, headers, body framing. A codec, without sockets, clocks or opinions.
//!
//! The data plane speaks HTTP/1.1 itself (docs/adr/0001-own-http1-data-path.md says why): what is matched is what is
//! forwarded, byte for byte, and a head is never copied into maps of its own. HTTP/2 messages, which the crate `h2` reads, are
//! laid out in the same form by `translate`.

pub mod body;
pub mod chunked;
pub mod date;
pub mod framing;
pub mod grpc;
pub mod head;
pub mod headers;
pub mod target;
mod translate;
pub mod view;

pub use body::BodyDecoder;
pub use framing::Framing;
pub use head::{HeadError, HeadLimits, Progress, RequestHead, ResponseHead, Upgrade, Version};
pub use headers::{HeaderList, Headers, Known, Slot};
pub use target::{Target, TargetError};
pub use view::RequestView;
