//! The way back to the container, for datagrams: they leave in the name of the address that was
//! asked.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::sys::netns::NamespaceThread;
use crate::sys::socket;

/// Where sockets are made that only the gateway can have.
#[derive(Debug)]
pub struct Inside(Option<NamespaceThread>);

impl Inside {
    /// By this thread in the gateway. None: this process lives there itself.
    #[must_use]
    pub fn by(resident: Option<NamespaceThread>) -> Self {
        Self(resident)
    }

    /// A socket that sends to the container in the name of the address it wrote to; see
    /// [`socket::udp_answering`].
    ///
    /// # Errors
    /// What making it gives.
    pub fn udp_answering(&self, from: SocketAddr) -> io::Result<UdpSocket> {
        match &self.0 {
            None => socket::udp_answering(from),
            Some(resident) => resident.run(move || socket::udp_answering(from)),
        }
    }
}
