//! What an HTTP/2 client may cost. Every limit is set here, none is left to a library's default.

use std::time::Duration;

use h2::server::Builder;

use crate::snapshot::ListenerSettings;

/// Streams that a client may have open at once (SETTINGS_MAX_CONCURRENT_STREAMS).
const STREAMS: u32 = 100;
/// What a client may send on a stream, and on the connection, before Weir has passed it on.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The largest frame: RFC 9113, section 4.2, the smallest that may be asked for. Larger ones gain nothing behind such a window.
const FRAME: u32 = 16 * 1024;
/// A header list, decoded; smaller where the listener's heads are.
const HEADER_LIST: u32 = 16 * 1024;
/// The table of header compression, both ways.
const HEADER_TABLE: u32 = 4096;
/// What may wait to be sent on a stream.
const SEND_BUFFER: usize = 64 * 1024;
/// What DATA frames of less than 256 bytes may cost that wait to be passed on, each by what it is short of 256: windows count bytes,
/// and a frame costs memory besides. One more ends the connection. It is what the window of one stream holds of the smallest messages
/// there are, 5 bytes of gRPC, behind an endpoint that does not take them.
const SMALL_FRAMES: usize = 4 * 1024 * 1024;
/// Streams that the client has reset and that no task has looked at yet: one more ends the connection, which stops rapid
/// resets (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that were reset here because of the client's errors: one more ends the connection, which stops clients that make
/// the server reset (MadeYouReset, CVE-2025-8671).
const LOCAL_RESETS: usize = 256;
/// Streams reset here that are remembered, and for how long, so that frames under way for them are no errors.
const REMEMBERED_RESETS: usize = 50;
const REMEMBER_RESETS: Duration = Duration::from_secs(1);

/// Streams of a connection that a client may reset after they were taken, as long as they are not most of its streams: cancelling
/// is ordinary, a client that does little else costs the backend work that nobody waits for (CVE-2023-44487, paced).
pub(super) const CANCELLED: u32 = 100;

/// A server with these limits.
pub(super) fn builder(settings: &ListenerSettings) -> Builder {
    let header_list = u32::try_from(settings.max_header_bytes).unwrap_or(u32::MAX).min(HEADER_LIST);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(header_list)
        .header_table_size(HEADER_TABLE)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(SMALL_FRAMES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(LOCAL_RESETS))
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .reset_stream_duration(REMEMBER_RESETS)
        .enable_connect_protocol();
    builder
}
