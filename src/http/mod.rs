//! HTTP/1.1 as bytes: heads, headers, body framing. A codec, without sockets, clocks or opinions.
//!
//! The data plane speaks HTTP/1.1 itself (docs/adr/0001-own-http1-codec.md says why): what is matched is what is forwarded,
//! byte for byte, and a head is never copied into maps of its own.

pub mod headers;
pub mod view;

pub use headers::{HeaderList, Headers, Known, Slot};
pub use view::RequestView;
