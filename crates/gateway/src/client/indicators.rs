//! Indicators of a client of the stream.

use std::sync::Arc;

use strikewire_fanout::{Message, SubId};
use strikewire_leases::Subscriber;
use tokio::sync::oneshot;

use super::StreamClient;
use crate::hub::{Held, HubCommand, socket_name};
use crate::{Error, IndicatorLease, IndicatorWant};

impl StreamClient {
    /// Streams indicators, and keeps each of them alive for `who` until the subscription or
    /// the socket ends, or `who` lets go of it in another way; that takes a heartbeat now and
    /// then. `ack` makes the message that goes to the client before the first value; it is
    /// given the leases in the order in which they were asked for.
    ///
    /// # Errors
    ///
    /// When something that is wanted is unknown or cannot be computed, `who` holds too much,
    /// or the client has too many subscriptions. Then it holds none of them.
    ///
    /// # Cancel safety
    ///
    /// The subscription may or may not have been made.
    pub async fn subscribe_indicators(
        &mut self,
        who: &Subscriber,
        wants: &[IndicatorWant],
        ack: impl Fn(SubId, &[IndicatorLease]) -> Message,
    ) -> Result<SubId, Error> {
        let (client, run) = (self.id, self.gateway.run());
        // From here on the end of this client lets go of whatever it leased.
        let socket = self.socket.get_or_insert_with(|| socket_name(run, client));
        let socket = Arc::clone(socket);
        self.must_have_room().await?;
        let sub = self.next_sub();
        let indicators = self.gateway.indicators();
        let leases = indicators.subscribe(who, Some(&socket), wants).await?;
        let told = self.gateway.tell_hub(HubCommand::Values {
            client,
            socket: Arc::clone(&socket),
            sub,
            held: Held {
                who: who.clone(),
                keys: leases.iter().map(|it| (it.key.clone(), it.value)).collect(),
            },
            ack: ack(sub, &leases),
        });
        if !told {
            return Err(Error::Stopping);
        }
        // What was let go of before the hub knew whom to tell.
        let mut keys: Vec<_> = leases.into_iter().map(|lease| lease.key).collect();
        keys.retain(|key| !indicators.holds(who, &socket, key));
        if !keys.is_empty() {
            self.gateway.tell_hub(HubCommand::Released {
                socket,
                who: who.clone(),
                keys,
                detail: "let go of by another request",
            });
        }
        Ok(sub)
    }

    /// For whom its subscriptions hold indicators, each once.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn subscribers(&self) -> Vec<Subscriber> {
        if self.socket.is_none() {
            return Vec::new();
        }
        let client = self.id;
        self.ask_hub(|reply| HubCommand::Subscribers { client, reply })
            .await
            .unwrap_or_default()
    }

    /// Says that `who` still wants some indicators, whoever subscribed them; whether each is
    /// alive.
    ///
    /// # Errors
    ///
    /// When it cannot be said.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been said.
    pub async fn heartbeat(
        &self,
        who: &Subscriber,
        wants: &[IndicatorWant],
    ) -> Result<Vec<bool>, Error> {
        self.gateway.indicators().heartbeat(who, wants).await
    }

    /// Says that everything that this client subscribed of indicators is still wanted; what
    /// that is, and whether it is alive.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been said.
    pub async fn heartbeat_all(&self) -> Vec<(IndicatorWant, bool)> {
        match &self.socket {
            Some(socket) => self.gateway.indicators().heartbeat_socket(socket).await,
            None => Vec::new(),
        }
    }

    /// Ends a subscription of indicators, and lets go of what no other one of this client
    /// holds; false if it is not one of indicators.
    pub(super) async fn unsubscribe_indicators(&self, sub: SubId) -> Result<bool, Error> {
        let Some(socket) = &self.socket else {
            return Ok(false);
        };
        let client = self.id;
        let Some(Held { who, keys }) = self
            .ask_hub(|reply| HubCommand::EndValues { client, sub, reply })
            .await?
        else {
            return Ok(false);
        };
        let keys: Vec<_> = keys.into_iter().map(|(key, _)| key).collect();
        let indicators = self.gateway.indicators();
        indicators.release_held(&who, socket, &keys).await;
        Ok(true)
    }

    /// Refuses a client that has as many subscriptions as it may have. One that never had
    /// indicators is left to the owner, who counts all others.
    pub(super) async fn must_have_room(&self) -> Result<(), Error> {
        if self.socket.is_none() {
            return Ok(());
        }
        let (client, most) = (self.id, self.most);
        let held = self
            .ask_hub(|reply| HubCommand::CountSubs { client, reply })
            .await?;
        if held < most {
            return Ok(());
        }
        Err(Error::TooManySubscriptions { held, most })
    }

    async fn ask_hub<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> HubCommand,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        if !self.gateway.tell_hub(command(reply)) {
            return Err(Error::Stopping);
        }
        answer.await.map_err(|_| Error::Stopping)
    }
}
