//! A name server that answers as it is told (RFC 1035, section 4).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

/// What a name server says.
#[derive(Debug, Clone)]
pub(crate) enum Zone {
    /// Addresses by name, with a time to live in seconds; a name that is not here does not exist.
    Names(BTreeMap<&'static str, (Vec<IpAddr>, u32)>),
    /// SERVFAIL.
    Failure,
    /// Nothing.
    Silence,
}

/// A name server over UDP on loopback.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<Mutex<usize>>,
}

// === impl NameServer ===

impl NameServer {
    pub(crate) fn saying(zone: Zone) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (zone, asked) = (Arc::new(Mutex::new(zone)), Arc::<Mutex<usize>>::default());
        let (shared, count) = (Arc::clone(&zone), Arc::clone(&asked));
        thread::spawn(move || {
            let mut question = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                *count.lock().unwrap() += 1;
                if let Some(answer) = answer(&question[..length], &shared.lock().unwrap()) {
                    drop(socket.send_to(&answer, from));
                }
            }
        });
        Self { address, zone, asked }
    }

    pub(crate) fn say(&self, zone: Zone) {
        *self.zone.lock().unwrap() = zone;
    }

    /// Questions up to now.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

impl Zone {
    pub(crate) fn of(name: &'static str, addresses: &[&str], ttl: u32) -> Self {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Self::Names([(name, (addresses, ttl))].into())
    }
}

fn answer(question: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let (id, mut rest) = (&question[..2], &question[12..]);
    let mut labels = Vec::new();
    while let Some(length) = rest.first().filter(|length| **length > 0) {
        let (label, after) = rest[1..].split_at(usize::from(*length));
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        rest = after;
    }
    let kind = u16::from_be_bytes([rest[1], rest[2]]);
    let asked = &question[12..question.len() - rest.len() + 5];
    let none = (Vec::new(), 0);
    let (code, (addresses, ttl)) = match zone {
        Zone::Silence => return None,
        Zone::Failure => (2, &none),
        Zone::Names(names) => names.get(labels.join(".").as_str()).map_or((3, &none), |known| (0, known)),
    };
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(ip), 1) => Some(ip.octets().to_vec()),
            (IpAddr::V6(ip), 28) => Some(ip.octets().to_vec()),
            _ => None,
        })
        .collect();
    let count = u16::try_from(records.len()).unwrap();
    // A response, recursion desired and available; one question, no other sections.
    let mut out = [id, &[0x81, 0x80 | code, 0, 1], &count.to_be_bytes(), &[0; 4], asked].concat();
    for record in records {
        // The name is where the question has it.
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(ttl.to_be_bytes());
        out.extend(u16::try_from(record.len()).unwrap().to_be_bytes());
        out.extend(record);
    }
    Some(out)
}
