//! What is written to the channels of a group: the values of all of them, in one piece of memory.

use crate::protocol::dbr::DbrType;

/// The value that is written to one channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub dbr_type: DbrType,
    pub count: usize,
    /// Where the value's bytes begin.
    start: usize,
    pub size: usize,
}

/// The values that are written to the channels of a group, in the order of the channels.
#[derive(Default)]
pub struct Items {
    bytes: Vec<u8>,
    items: Vec<Option<Item>>,
}

impl Items {
    pub fn for_channels(number: usize) -> Items {
        Items {
            bytes: Vec::with_capacity(number * 8),
            items: Vec::with_capacity(number),
        }
    }

    /// Adds the next channel's value: `count` elements of a type, which `append` adds to the bytes. They must have that type's
    /// size.
    pub fn add<E>(
        &mut self,
        dbr_type: DbrType,
        count: usize,
        append: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        append(&mut self.bytes)?;
        let size = self.bytes.len() - start;
        // A value that is too short is not sent: the backend would read beyond it.
        let whole = dbr_type.size(count).is_some_and(|needed| needed <= size);
        self.items.push(whole.then_some(Item {
            dbr_type,
            count,
            start,
            size,
        }));
        Ok(())
    }

    /// The next channel is sent nothing.
    pub fn skip(&mut self) {
        self.items.push(None);
    }

    pub(super) fn get(&self, index: usize) -> Option<(Item, &[u8])> {
        let item = (*self.items.get(index)?)?;
        Some((item, self.bytes.get(item.start..item.start + item.size)?))
    }

    /// Bytes of all values.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_short_is_not_sent() {
        let mut items = Items::for_channels(4);
        let two = |bytes: &mut Vec<u8>| {
            bytes.extend([1, 2]);
            Ok::<(), ()>(())
        };
        items.add(DbrType::DOUBLE, 1, two).unwrap();
        items.add(DbrType::CHAR, 2, two).unwrap();
        // This empties an array.
        items.add(DbrType::CHAR, 0, |_| Ok::<(), ()>(())).unwrap();
        items.skip();
        assert!(items.get(0).is_none());
        assert_eq!(items.get(1).unwrap().1, [1, 2]);
        assert!(items.get(2).unwrap().1.is_empty());
        assert!(items.get(3).is_none() && items.get(4).is_none());
        assert_eq!(items.add(DbrType::CHAR, 1, |_| Err("no")), Err("no"));
    }
}
