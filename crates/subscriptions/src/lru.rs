//! Order of use: a doubly linked list over small integers, kept in one table.

/// No neighbour.
const NONE: u32 = u32::MAX;

/// Members in order of use. A number is a member at most once.
#[derive(Debug)]
pub(crate) struct Order {
    links: Vec<Link>,
    /// The least recently used.
    first: u32,
    /// The most recently used.
    last: u32,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
}

impl Order {
    pub(crate) const fn new() -> Self {
        Self {
            links: Vec::new(),
            first: NONE,
            last: NONE,
        }
    }

    /// Adds `member`, which is not in it, as the most recently used.
    pub(crate) fn push(&mut self, member: u32) {
        let at = member as usize;
        if at >= self.links.len() {
            let none = Link {
                before: NONE,
                after: NONE,
            };
            self.links.resize(at + 1, none);
        }
        self.links[at] = Link {
            before: self.last,
            after: NONE,
        };
        match self.last {
            NONE => self.first = member,
            last => self.links[last as usize].after = member,
        }
        self.last = member;
    }

    /// Takes `member` out, which is in it.
    pub(crate) fn remove(&mut self, member: u32) {
        let Link { before, after } = self.links[member as usize];
        match before {
            NONE => self.first = after,
            _ => self.links[before as usize].after = after,
        }
        match after {
            NONE => self.last = before,
            _ => self.links[after as usize].before = before,
        }
    }

    /// From the least recently used on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let mut at = self.first;
        core::iter::from_fn(move || {
            let member = at;
            if member == NONE {
                return None;
            }
            at = self.links[member as usize].after;
            Some(member)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_list_in_order_of_use(uses in proptest::collection::vec((0_u32..8, any::<bool>()), 0..60)) {
            let mut order = Order::new();
            let mut model: Vec<u32> = Vec::new();
            for (member, stays) in uses {
                if model.contains(&member) {
                    order.remove(member);
                    model.retain(|&other| other != member);
                }
                if stays {
                    order.push(member);
                    model.push(member);
                }
                prop_assert_eq!(order.iter().collect::<Vec<_>>(), model.clone());
            }
        }
    }
}
