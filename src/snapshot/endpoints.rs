//! Where a backend runs: the file's endpoints lowered to addresses.

use crate::{
    config::model::{Backend, EndpointTarget},
    types::Address,
};

/// One address of a backend and its weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) address: Address,
    pub(super) weight: u32,
}

/// The addresses of a backend, in file order.
pub(super) fn members(backend: &Backend) -> Vec<Member> {
    let members = backend.endpoints.iter().map(|endpoint| {
        let address = match &endpoint.target {
            EndpointTarget::Address(address) => Address::Tcp(*address),
            EndpointTarget::Unix(path) => Address::Unix(path.clone()),
        };
        Member { address, weight: endpoint.weight }
    });
    members.collect()
}
