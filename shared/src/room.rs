//! Room for what a process has in hand of one kind of work, by number and by size, shared by the lanes that the work comes from.
//!
//! What a lane asks for is kept for it as long as the request stands, which is short where it asks for many. A lane that stood
//! idle asks for one message, for which nothing is kept, or idle lanes would keep everything. Invariant: never more in hand
//! than there is room for, but for one message of each lane.

use std::time::Duration;

use crate::domain::lane::Lane;
use crate::domain::shares;
use crate::places::{Place, Places};

/// How long a lane that gets few of the messages that it wants waits for more room, so as not to ask for each one by one.
const TOGETHER: Duration = Duration::from_millis(2);
/// Less than one in so many of what it wants is few.
const FEW: usize = 4;

/// Room that lanes share: none of them can have more than seven eighths. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Room {
    messages: Places<Lane>,
    kibibytes: Places<Lane>,
    /// What one lane alone may have in hand.
    alone: usize,
    /// The largest message there can be, in KiB.
    largest: usize,
}

/// What a lane may ask for.
#[derive(Debug)]
#[must_use = "what is kept is free again when this is dropped"]
pub struct Ask {
    room: Room,
    lane: Lane,
    messages: usize,
    /// Kept for messages that have not come, and for their size; nothing where it asks for one.
    kept: Option<(Vec<Place<Lane>>, Place<Lane>)>,
}

/// The room of a message in hand, free again when this is dropped.
#[derive(Debug)]
#[must_use = "the room is free again when this is dropped"]
pub struct Taken {
    _message: Place<Lane>,
    _kibibytes: Place<Lane>,
}

impl Room {
    /// For so many messages and bytes. `largest` is the size of the largest message there can be, with what comes beside its
    /// payload, in bytes.
    #[must_use]
    pub fn new(messages: usize, bytes: usize, largest: usize) -> Self {
        let largest = in_kibibytes(largest);
        let (alone, kibibytes) = (shares::alone(messages), Places::new(in_kibibytes(bytes).max(largest)));
        Self { messages: Places::new(messages), kibibytes, alone, largest }
    }

    /// How many messages one lane alone may have in hand.
    #[must_use]
    pub fn alone(&self) -> usize {
        self.alone
    }

    /// What a lane may ask for that wants so many messages, once it is its turn and there is room for one, however large that
    /// is; at once where it has nothing in hand. Whoever leaves before loses nothing but the turn.
    pub async fn ask(&self, lane: Lane, wanted: usize) -> Ask {
        let mut places = vec![one(&self.messages, lane, 1).await];
        let size = one(&self.kibibytes, lane, self.largest).await;
        self.more(lane, wanted, &mut places);
        if wanted > 1 && places.len() <= wanted / FEW {
            tokio::time::sleep(TOGETHER).await;
            self.more(lane, wanted, &mut places);
        }
        let messages = places.len();
        Ask { room: self.clone(), lane, messages, kept: (messages > 1).then_some((places, size)) }
    }

    fn more(&self, lane: Lane, wanted: usize, places: &mut Vec<Place<Lane>>) {
        let more = std::iter::from_fn(|| self.messages.try_take(&lane));
        places.extend(more.take(wanted.saturating_sub(places.len())));
    }
}

impl Ask {
    /// How many messages.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// How many bytes they may have together: always enough for the largest.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.room.largest * 1024
    }

    /// Takes a message of so many bytes: of the room that is kept, or beyond what there is.
    pub fn take(&mut self, bytes: usize) -> Taken {
        let (room, kibibytes) = (&self.room, in_kibibytes(bytes));
        let kept = self.kept.as_mut().and_then(|(places, size)| Some((places.pop()?, size.split(kibibytes))));
        let (message, kibibytes) = kept.unwrap_or_else(|| {
            (room.messages.take_anyway(&self.lane, 1), room.kibibytes.take_anyway(&self.lane, kibibytes))
        });
        Taken { _message: message, _kibibytes: kibibytes }
    }
}

/// Room for one message. What others have in hand may not end for long, so a lane that has nothing waits for none of it.
async fn one(places: &Places<Lane>, lane: Lane, weight: usize) -> Place<Lane> {
    if places.held_by(&lane) == 0 {
        return places.take_anyway(&lane, weight);
    }
    places.take_weighing(&lane, weight).await
}

fn in_kibibytes(bytes: usize) -> usize {
    bytes / 1024 + 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "room that is not had fails the test")]

    use futures_util::FutureExt as _;

    use super::*;

    const LARGEST: usize = 64 << 10;

    fn lanes() -> [Lane; 3] {
        let mut all = Lane::all(3);
        std::array::from_fn(|_| all.next().unwrap_or(Lane::of("", 1)))
    }

    /// Takes all that the lane may ask for, of this size each.
    async fn flood(room: &Room, lane: Lane, bytes: usize) -> Vec<Taken> {
        let (mut taken, mut wanted) = (Vec::new(), 1);
        while let Ok(mut ask) = tokio::time::timeout(Duration::from_secs(1), room.ask(lane, wanted)).await {
            let fit = (ask.bytes() / bytes.max(1)).clamp(1, ask.messages());
            taken.extend((0..fit).map(|_| ask.take(bytes)));
            wanted = ask.messages() * 2;
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_floods_leaves_room_to_others_by_number() {
        let [a, b, c] = lanes();
        let room = Room::new(64, 1 << 30, LARGEST);
        let held = [flood(&room, a, 1).await, flood(&room, b, 1).await, flood(&room, c, 1).await];
        assert_eq!(held.map(|held| held.len()), [56, 7, 1]);
        assert_eq!(room.alone(), 56);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_floods_leaves_room_to_others_by_size() {
        let [a, b, c] = lanes();
        let room = Room::new(1_000, 16 * LARGEST, LARGEST);
        let of_a = flood(&room, a, LARGEST).await;
        assert!((12..=15).contains(&of_a.len()), "{}", of_a.len());
        // Small ones of others find their way beside it, one after the other where there is no room for the largest.
        for lane in [b, c] {
            for _ in 0..100 {
                let mut ask = room.ask(lane, 1).now_or_never().expect("room for a lane that has nothing in hand");
                drop(ask.take(1));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_lanes_keep_nothing_and_are_asked_for_one_message_each() {
        let [a, b, c] = lanes();
        let room = Room::new(8, 2 * LARGEST, LARGEST);
        let mut idle = [room.ask(b, 1).await, room.ask(c, 1).await];
        let of_a = flood(&room, a, 1).await;
        assert_eq!(of_a.len(), 7, "as if it were alone");
        let [of_b, of_c] = idle.each_mut().map(|ask| ask.take(LARGEST));
        assert!(room.ask(b, 1).now_or_never().is_none(), "there is too much in hand");
        // Whatever the others do with theirs, one that is done with its own goes on, one by one.
        drop(of_b);
        let asked = room.ask(b, 1).now_or_never().expect("room for a lane that has nothing in hand");
        assert_eq!(asked.messages(), 1);
        drop((asked, of_a, of_c));
        let asked = room.ask(b, 100).await;
        assert_eq!((asked.messages(), asked.bytes() >= LARGEST), (7, true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_is_kept_and_free_again_when_it_does_not_come() {
        let [a, b, _] = lanes();
        let room = Room::new(8, 8 * LARGEST, LARGEST);
        let mut asked = room.ask(a, 100).await;
        assert_eq!(asked.messages(), 7);
        assert_eq!(room.ask(b, 100).await.messages(), 1);
        let came = asked.take(1);
        drop(asked);
        assert_eq!(room.ask(b, 100).await.messages(), 6, "one of a's is in hand");
        drop(came);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_whose_room_is_short_asks_for_several_at_once_all_the_same() {
        let [a, ..] = lanes();
        let room = Room::new(64, 1 << 30, LARGEST);
        let mut held = flood(&room, a, 1).await;
        let ask = tokio::spawn({
            let room = room.clone();
            async move { room.ask(a, 56).await.messages() }
        });
        tokio::task::yield_now().await;
        held.pop();
        tokio::time::sleep(TOGETHER / 2).await;
        held.truncate(50);
        assert_eq!(ask.await.ok(), Some(6));
    }
}
