//! What a server's answer may be: of the type that was asked for, and with no more elements.
//!
//! libca hands on the type and the count that a server claims, and does not say how many bytes came with them. Honest
//! servers answer with what was asked for, or with less. So a claim that goes beyond is a failure, before a byte of it is
//! read. `docs/hostile.rst` says what that leaves open.

use super::channel::Channel;
use super::dbr::DbrType;
use super::status::Status;
use crate::ca_sys::event_handler_args;

/// What libca keeps ready for every message at the least (its MAX_TCP): so much can be read, whatever has been sent.
#[cfg(test)]
const ALWAYS_THERE: usize = 16 * 1024;

/// What libca was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub dbr_type: DbrType,
    /// 0: as many as there are.
    pub count: usize,
}

impl Asked {
    /// The number of elements that the answer holds, or why it is none. `held` gives how many the channel may have.
    pub(super) fn check(
        self,
        args: &event_handler_args,
        held: impl FnOnce() -> usize,
    ) -> Result<usize, Status> {
        let status = Status(args.status);
        if !status.is_normal() {
            return Err(status);
        }
        #[allow(clippy::useless_conversion)] // c_long has 32 bits on Windows
        let same_type = i64::from(args.type_) == i64::from(self.dbr_type.number());
        if !same_type || args.dbr.is_null() {
            return Err(Status::BADTYPE);
        }
        let most = if self.count == 0 { held() } else { self.count };
        match usize::try_from(args.count) {
            Ok(count) if count <= most => Ok(count),
            _ => Err(Status::BADCOUNT),
        }
    }

    pub(super) fn check_for(
        self,
        args: &event_handler_args,
        channel: &Channel,
    ) -> Result<usize, Status> {
        self.check(args, || channel.element_count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::c_long;

    fn claim(type_: i32, count: c_long, status: i32) -> event_handler_args {
        event_handler_args {
            usr: std::ptr::null_mut(),
            chid: std::ptr::null_mut(),
            type_: type_.into(),
            count,
            dbr: std::ptr::dangling::<u64>().cast(),
            status,
        }
    }

    fn asked(count: usize) -> Asked {
        Asked {
            dbr_type: DbrType::CHAR,
            count,
        }
    }

    fn checked(asked: Asked, args: &event_handler_args) -> Result<usize, Status> {
        asked.check(args, || 7)
    }

    #[test]
    fn what_was_asked_for_or_less_is_taken() {
        for count in [0, 1, 5] {
            assert_eq!(checked(asked(5), &claim(4, count, 1)), Ok(count as usize));
        }
        for count in [0, 1, 7] {
            assert_eq!(checked(asked(0), &claim(4, count, 1)), Ok(count as usize));
        }
    }

    #[test]
    fn more_or_another_type_is_refused() {
        assert_eq!(checked(asked(5), &claim(4, 6, 1)), Err(Status::BADCOUNT));
        assert_eq!(checked(asked(0), &claim(4, 8, 1)), Err(Status::BADCOUNT));
        assert_eq!(checked(asked(5), &claim(4, -1, 1)), Err(Status::BADCOUNT));
        assert_eq!(checked(asked(5), &claim(5, 5, 1)), Err(Status::BADTYPE));
        assert_eq!(checked(asked(5), &claim(-1, 5, 1)), Err(Status::BADTYPE));
        let mut nothing = claim(4, 5, 1);
        nothing.dbr = std::ptr::null();
        assert_eq!(checked(asked(5), &nothing), Err(Status::BADTYPE));
    }

    #[test]
    fn the_servers_own_failure_comes_first() {
        assert_eq!(checked(asked(5), &claim(9, 99, 152)), Err(Status::GETFAIL));
        assert_eq!(checked(asked(5), &claim(4, 5, -3)), Err(Status(-3)));
    }

    proptest! {
        #[test]
        fn nothing_beyond_passes(
            number in 0i64..39, count in 0usize..100_000, type_: i32, claimed: i32, status: i32, held: u32,
        ) {
            let asked = Asked { dbr_type: DbrType::new(number).unwrap(), count };
            if let Ok(taken) = asked.check(&claim(type_, claimed.into(), status), || held as usize) {
                prop_assert_eq!(i64::from(type_), number);
                prop_assert_eq!(taken as i64, i64::from(claimed));
                prop_assert!(taken <= count || count == 0 && taken <= held as usize);
            }
        }
    }

    #[test]
    fn single_values_of_every_type_are_always_there() {
        for number in 0..39 {
            let size = DbrType::new(number).unwrap().size(1).unwrap();
            assert!(size <= ALWAYS_THERE);
        }
    }
}
