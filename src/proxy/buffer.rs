//! Buffers: bounded, reused, and only held while there is something in them.
//!
//! An idle connection has none: it waits for readiness first and takes a buffer then. That is what keeps 20,000 idle
//! connections small.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// The size of a buffer: a usual body with its head in one read, a large one in few. Two of them, one for each
/// direction, stay in the second-level cache.
pub(super) const SIZE: usize = 128 * 1024;
/// How many spare buffers of a size a worker keeps.
const SPARE: usize = 128;

/// Bytes read and not yet used: those from `start` to `end` of `data`. What lies before `start` may still be in use (a
/// request's head is, until its response is done).
#[derive(Debug, Default)]
pub(super) struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
    /// Reading starts over here when all is used: the length of the head that is kept.
    base: usize,
    /// How often something was read into it.
    fills: u64,
    /// Counts its memory as in use.
    lent: Option<Lent>,
    /// Used bytes up to so many after `base` stay, to be read again; 0 once there were more.
    kept: usize,
}

/// Memory that is in use, for as long as this lives.
#[derive(Debug)]
struct Lent(Rc<Cell<usize>>);

/// A place in a buffer to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    start: usize,
    end: usize,
    fills: u64,
}

/// A worker's spare memory.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    lent: Rc<Cell<usize>>,
    spare: RefCell<Vec<Vec<u8>>>,
    outgoing: RefCell<Vec<Vec<u8>>>,
}

// === impl Buffer ===

impl Buffer {
    /// The bytes that are there and not used.
    pub(super) fn unread(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// Everything from the start of the memory to the last byte read: what a head's slots mark places in.
    pub(super) fn all(&self) -> &[u8] {
        &self.data[..self.end]
    }

    /// Bytes at a range counted from the start of [`unread`](Self::unread).
    pub(super) fn unread_at(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.data[self.start + range.start..self.start + range.end]
    }

    /// Room for more bytes.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        &mut self.data[self.end..]
    }

    /// `count` bytes were read into the room.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
        self.fills += 1;
    }

    /// `count` unread bytes are used.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "only bytes that were read can be used");
        if self.start == self.end && self.end - self.base > self.kept {
            self.kept = 0;
            self.start = self.base;
            self.end = self.base;
        }
    }

    /// From here on, used bytes stay as long as there are not more than `limit`.
    pub(super) fn keep(&mut self, limit: usize) {
        self.kept = limit;
    }

    /// The first `len` bytes are a head that stays; the rest is unread.
    pub(super) fn keep_head(&mut self, len: usize) {
        self.base = len;
        self.start = len;
    }

    /// What lies before the unread bytes is no longer needed: what is unread moves to the front.
    pub(super) fn release_head(&mut self) {
        self.data.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.base = 0;
        self.kept = 0;
    }

    /// Whether no further byte fits.
    pub(super) fn is_full(&self) -> bool {
        self.end == self.data.len()
    }

    /// How many bytes fit in all.
    pub(super) fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Whether there is memory at all.
    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Whether all that was read is used.
    pub(super) fn is_drained(&self) -> bool {
        self.start == self.end
    }

    /// The place of the unread bytes.
    pub(super) fn mark(&self) -> Mark {
        Mark { start: self.start, end: self.end, fills: self.fills }
    }

    /// Whether the bytes that were unread at `mark` are all there: nothing has been read since that may have overwritten
    /// them, or they were kept.
    pub(super) fn can_rewind(&self, mark: Mark) -> bool {
        self.kept > 0 || self.fills == mark.fills
    }

    /// The bytes that were unread at `mark`, and what came after them; `None` when they are gone.
    pub(super) fn kept(&self, mark: Mark) -> Option<&[u8]> {
        let end = if self.kept == 0 { mark.end } else { self.end };
        self.can_rewind(mark).then(|| &self.data[mark.start..end])
    }

    /// Makes the bytes that were unread at `mark` unread again, and what came after them; false when they are gone.
    pub(super) fn rewind(&mut self, mark: Mark) -> bool {
        if !self.can_rewind(mark) {
            return false;
        }
        if self.kept == 0 {
            self.end = mark.end;
        }
        self.start = mark.start;
        true
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

// === impl BufferPool ===

impl BufferPool {
    /// Buffers that have memory now.
    pub(super) fn in_use(&self) -> usize {
        self.lent.get()
    }

    /// Gives an empty buffer its memory, if it has none.
    pub(super) fn provide(&self, buffer: &mut Buffer) {
        if buffer.is_empty() {
            buffer.data = self.spare.borrow_mut().pop().unwrap_or_else(|| vec![0; SIZE]);
            self.lent.set(self.lent.get() + 1);
            buffer.lent = Some(Lent(Rc::clone(&self.lent)));
        }
    }

    /// Takes the memory of a buffer back that has nothing in it, neither a head that is kept nor unread bytes.
    pub(super) fn reclaim_if_drained(&self, buffer: &mut Buffer) {
        if buffer.end == 0 && !buffer.is_empty() {
            let fills = buffer.fills;
            self.reclaim(buffer);
            buffer.fills = fills;
        }
    }

    /// Makes the buffer at least `limit` bytes large.
    pub(super) fn grow_to(&self, buffer: &mut Buffer, limit: usize) {
        if buffer.data.len() < limit {
            buffer.data.resize(limit, 0);
        }
    }

    /// Takes a buffer's memory back. What is unread in it is lost.
    pub(super) fn reclaim(&self, buffer: &mut Buffer) {
        let data = std::mem::take(buffer).data;
        self.recycle(data);
    }

    fn recycle(&self, data: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if data.len() == SIZE && spare.len() < SPARE {
            spare.push(data);
        }
    }

    /// An empty vector for bytes to be sent.
    pub(super) fn take_outgoing(&self) -> Vec<u8> {
        self.outgoing.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    /// Takes such a vector back.
    pub(super) fn put_outgoing(&self, mut bytes: Vec<u8>) {
        let mut spares = self.outgoing.borrow_mut();
        if spares.len() < SPARE && bytes.capacity() <= SIZE {
            bytes.clear();
            spares.push(bytes);
        }
    }
}
