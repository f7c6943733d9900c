//! Tokens for the kernel to hold, and what they stand for.
//!
//! A token is a place in the table and the place's generation, which counts how often it was given away. So a token
//! that outlives its entry finds nothing, whoever has the place now. A generation comes round after four thousand
//! million tenants of one place, all of them within one batch of events; that can't be.

use mio::Token;

/// A token is two halves: it needs 64 bits, which every machine has that the crate has a context switch for.
const _: () = assert!(usize::BITS == 64);

pub(super) struct Table<T> {
    places: Vec<Place<T>>,
    /// The first of the free places, linked through `Place::Free`.
    free: Option<u32>,
    len: usize,
    closed: bool,
}

struct Place<T> {
    generation: u32,
    tenant: Tenant<T>,
}

enum Tenant<T> {
    Free { next: Option<u32> },
    Taken(T),
}

impl<T> Table<T> {
    pub(super) fn new() -> Table<T> {
        Table { places: Vec::new(), free: None, len: 0, closed: false }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// `None` if the table is closed.
    pub(super) fn insert(&mut self, value: T) -> Option<Token> {
        if self.closed {
            return None;
        }
        self.len += 1;
        let tenant = Tenant::Taken(value);
        let Some(index) = self.free else {
            // The last two are left out: with the last generation they would make the reserved tokens.
            let index = u32::try_from(self.places.len()).ok().filter(|&index| index < u32::MAX - 1);
            let index = index.expect("a process has fewer descriptors than this");
            self.places.push(Place { generation: 0, tenant });
            return Some(token(index, 0));
        };
        let place = &mut self.places[index as usize];
        let Tenant::Free { next } = place.tenant else { unreachable!("the free list holds free places") };
        self.free = next;
        place.tenant = tenant;
        Some(token(index, place.generation))
    }

    pub(super) fn get(&self, token: Token) -> Option<&T> {
        let (index, generation) = parts(token);
        match self.places.get(index as usize)? {
            Place { generation: g, tenant: Tenant::Taken(value) } if *g == generation => Some(value),
            _ => None,
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| match &place.tenant {
            Tenant::Taken(value) => Some(value),
            Tenant::Free { .. } => None,
        })
    }

    pub(super) fn remove(&mut self, token: Token) -> Option<T> {
        self.get(token)?;
        let (index, generation) = parts(token);
        let place = &mut self.places[index as usize];
        place.generation = generation.wrapping_add(1);
        let tenant = std::mem::replace(&mut place.tenant, Tenant::Free { next: self.free });
        self.free = Some(index);
        self.len -= 1;
        match tenant {
            Tenant::Taken(value) => Some(value),
            Tenant::Free { .. } => None,
        }
    }

    /// Empties the table for good.
    pub(super) fn close(&mut self) -> Vec<T> {
        self.closed = true;
        self.free = None;
        self.len = 0;
        let taken = |place: Place<T>| match place.tenant {
            Tenant::Taken(value) => Some(value),
            Tenant::Free { .. } => None,
        };
        std::mem::take(&mut self.places).into_iter().filter_map(taken).collect()
    }
}

fn token(index: u32, generation: u32) -> Token {
    Token((generation as usize) << 32 | index as usize)
}

fn parts(Token(token): Token) -> (u32, u32) {
    (token as u32, (token >> 32) as u32)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_stale_token_finds_nothing() {
        let mut table = Table::new();
        let first = table.insert("a").unwrap();
        let other = table.insert("b").unwrap();
        assert_eq!(table.remove(first), Some("a"));
        let second = table.insert("c").unwrap();
        assert_ne!(first, second);
        assert_eq!(parts(first).0, parts(second).0, "the place is used again");
        assert_eq!((table.get(first), table.get(second), table.get(other)), (None, Some(&"c"), Some(&"b")));
        assert_eq!(table.remove(first), None);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_closed_table_is_empty_and_stays_so() {
        let mut table = Table::new();
        let a = table.insert(1).unwrap();
        let b = table.insert(2).unwrap();
        table.remove(a);
        assert_eq!(table.close(), [2]);
        assert_eq!((table.get(b), table.len()), (None, 0));
        assert_eq!((table.remove(b), table.insert(3)), (None, None));
    }
}
