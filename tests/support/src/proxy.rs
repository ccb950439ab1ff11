//! A wire to PostgreSQL that counts round trips, and breaks when told to.
//!
//! A *request* is what the client sends until the server sends something; a
//! *round trip* is a request that the server has begun to answer. What a client
//! pipelines is therefore one, and so is a farewell none. Both ends must be
//! without TLS for the count to mean statements: with it, its handshake counts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::background::Background;

/// A running proxy in front of one server.
pub struct Proxy {
    _server: Background,
    address: SocketAddr,
    wire: Arc<Wire>,
}

/// Where a connection is cut. Requests are counted from 1, over all connections
/// since the proxy started or was last [`Proxy::reset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never gets this request.
    BeforeRequest(u64),
    /// The server gets this request, the client never its answer.
    BeforeAnswer(u64),
    /// After so many bytes towards the server.
    AfterBytesToServer(u64),
    /// After so many bytes towards the client.
    AfterBytesToClient(u64),
}

/// What has passed since the proxy started or was last [`Proxy::reset`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were opened.
    pub connections: u64,
    /// Requests that were begun.
    pub requests: u64,
    /// Requests whose answer was begun.
    pub round_trips: u64,
    /// Bytes passed on to the server.
    pub bytes_to_server: u64,
    /// Bytes passed on to the client.
    pub bytes_to_client: u64,
}

impl Proxy {
    /// Starts a proxy in front of the server on `port` of this machine.
    ///
    /// # Errors
    ///
    /// It can't listen.
    pub fn start(port: u16) -> io::Result<Proxy> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let wire = Arc::new(Wire {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            traffic: Mutex::default(),
            behaviour: watch::Sender::new(Behaviour::default()),
        });
        let served = Arc::clone(&wire);
        let server = Background::start("proxy", async move {
            let Ok(listener) = TcpListener::from_std(listener) else {
                return;
            };
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&served).connect(client));
            }
        })?;
        Ok(Proxy {
            _server: server,
            address,
            wire,
        })
    }

    /// The port on 127.0.0.1 to connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What has passed.
    pub fn traffic(&self) -> Traffic {
        *self.wire.traffic()
    }

    /// Round trips that have passed: short for the one of [`Proxy::traffic`].
    pub fn round_trips(&self) -> u64 {
        self.traffic().round_trips
    }

    /// Counts from zero again and forgets the cut; latency and silence stay.
    pub fn reset(&self) {
        *self.wire.traffic() = Traffic::default();
        self.set_cut(None);
    }

    /// Cuts the connection that gets there first, once: new connections pass.
    pub fn set_cut(&self, cut: Option<Cut>) {
        self.wire
            .behaviour
            .send_modify(|behaviour| behaviour.cut = cut);
    }

    /// Holds everything back for so long, in each direction.
    pub fn set_latency(&self, latency: Duration) {
        self.wire
            .behaviour
            .send_modify(|behaviour| behaviour.latency = latency);
    }

    /// Passes nothing on while `silent`, and keeps connections open: a peer
    /// that vanished without a word.
    pub fn set_silent(&self, silent: bool) {
        self.wire
            .behaviour
            .send_modify(|behaviour| behaviour.silent = silent);
    }

    /// Passes nothing on any more of the connections that are open now, and keeps them
    /// open: what stood in between has forgotten them.
    pub fn forget_all(&self) {
        self.wire
            .behaviour
            .send_modify(|behaviour| behaviour.forgotten += 1);
    }

    /// Closes every new connection at once, as a port that nobody listens on
    /// does.
    pub fn set_refusing(&self, refusing: bool) {
        self.wire
            .behaviour
            .send_modify(|behaviour| behaviour.refusing = refusing);
    }

    /// Holds the request with this number back until [`Proxy::open_gate`], once.
    /// Requests are counted as for a [`Cut`].
    pub fn set_gate(&self, request: u64) {
        self.wire
            .behaviour
            .send_modify(|behaviour| behaviour.gate = Some(Gate::At(request)));
    }

    /// Waits until a request is held back.
    pub async fn gate_reached(&self) {
        let mut behaviour = self.wire.behaviour.subscribe();
        // The sender lives as long as we do.
        let _ = behaviour
            .wait_for(|now| now.gate == Some(Gate::Holding))
            .await;
    }

    /// Lets the request pass that is held back, or would have been. Its
    /// connection may have been closed by the other side since.
    pub fn open_gate(&self) {
        self.wire
            .behaviour
            .send_modify(|behaviour| behaviour.gate = None);
    }

    /// Cuts all connections that are open now.
    pub fn cut_all(&self) {
        self.wire
            .behaviour
            .send_modify(|behaviour| behaviour.generation += 1);
    }
}

/// How the wire behaves now.
#[derive(Debug, Clone, Copy, Default)]
struct Behaviour {
    cut: Option<Cut>,
    latency: Duration,
    silent: bool,
    refusing: bool,
    gate: Option<Gate>,
    /// Connections of an earlier generation are cut.
    generation: u64,
    /// Of connections of an earlier one nothing is passed on.
    forgotten: u64,
}

/// Where a request is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    At(u64),
    Holding,
}

struct Wire {
    target: SocketAddr,
    traffic: Mutex<Traffic>,
    behaviour: watch::Sender<Behaviour>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Wire {
    /// Serves one client until either end closes or the wire is cut.
    async fn connect(self: Arc<Wire>, client: TcpStream) {
        if self.behaviour.borrow().refusing {
            return;
        }
        let Ok(server) = TcpStream::connect(self.target).await else {
            return;
        };
        // Nagle's algorithm would hold back small messages and blur the times.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        self.traffic().connections += 1;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let last = Mutex::new(Direction::ToClient);
        let mut behaviour = self.behaviour.subscribe();
        let generation = behaviour.borrow().generation;
        tokio::select! {
            // Whichever ends first ends both: dropping all halves closes them.
            () = self.pass(Direction::ToServer, from_client, to_server, &last) => {}
            () = self.pass(Direction::ToClient, from_server, to_client, &last) => {}
            _ = behaviour.wait_for(|now| now.generation != generation) => {}
        }
    }

    /// Passes on what comes, until there is no more or the wire is cut.
    async fn pass(
        &self,
        direction: Direction,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        last: &Mutex<Direction>,
    ) {
        let mut behaviour = self.behaviour.subscribe();
        let known = behaviour.borrow().forgotten;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match from.read(&mut buffer).await {
                Ok(count) if count > 0 => count,
                Ok(_) | Err(_) => return,
            };
            if behaviour.borrow().forgotten != known {
                continue;
            }
            let latency = behaviour.borrow().latency;
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            if behaviour.wait_for(|now| !now.silent).await.is_err() {
                return;
            }
            let passed = self.count(direction, count, last);
            if direction == Direction::ToServer && self.is_at_gate() {
                let opened = behaviour.wait_for(|now| now.gate.is_none()).await;
                if opened.is_err() {
                    return;
                }
            }
            if to.write_all(&buffer[..passed]).await.is_err() || passed < count {
                return;
            }
        }
    }

    /// Counts a piece and says how much of it may pass: less than all is a cut.
    fn count(&self, direction: Direction, count: usize, last: &Mutex<Direction>) -> usize {
        let cut = self.behaviour.borrow().cut;
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = std::mem::replace(&mut *last, direction) != direction;
        let mut traffic = self.traffic();
        if direction == Direction::ToServer && turned {
            traffic.requests += 1;
        }
        let at_request = |n| turned && traffic.requests == n;
        let passed = match (direction, cut) {
            (Direction::ToServer, Some(Cut::BeforeRequest(n))) if at_request(n) => 0,
            (Direction::ToClient, Some(Cut::BeforeAnswer(n))) if at_request(n) => 0,
            (Direction::ToServer, Some(Cut::AfterBytesToServer(n))) => {
                room(n, traffic.bytes_to_server, count)
            }
            (Direction::ToClient, Some(Cut::AfterBytesToClient(n))) => {
                room(n, traffic.bytes_to_client, count)
            }
            _ => count,
        };
        match direction {
            Direction::ToServer => traffic.bytes_to_server += passed as u64,
            Direction::ToClient => {
                traffic.round_trips += u64::from(turned && passed > 0);
                traffic.bytes_to_client += passed as u64;
            }
        }
        if passed < count {
            // Once: whoever connects again shall get through.
            self.behaviour.send_modify(|behaviour| behaviour.cut = None);
        }
        passed
    }

    /// Whether what was counted last is the request to hold back: from now on it
    /// is, and no other.
    fn is_at_gate(&self) -> bool {
        let requests = self.traffic().requests;
        self.behaviour.send_if_modified(|behaviour| {
            let is_here = behaviour.gate == Some(Gate::At(requests));
            if is_here {
                behaviour.gate = Some(Gate::Holding);
            }
            is_here
        })
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of a piece fits below `limit`.
fn room(limit: u64, already: u64, count: usize) -> usize {
    let room = usize::try_from(limit.saturating_sub(already)).unwrap_or(usize::MAX);
    count.min(room)
}
