//! ECA status codes and their texts.

/// The result of a Channel Access operation: a code of caerr.h (`ECA_NORMAL`, `ECA_TIMEOUT`, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub i32);

impl Status {
    pub const NORMAL: Status = Status(1);
    pub const TIMEOUT: Status = Status(80);
    pub const ALLOCMEM: Status = Status(48);
    pub const STRTOBIG: Status = Status(96);
    pub const BADTYPE: Status = Status(114);
    pub const INTERNAL: Status = Status(142);
    pub const GETFAIL: Status = Status(152);
    pub const PUTFAIL: Status = Status(160);
    pub const BADCOUNT: Status = Status(176);
    pub const BADSTR: Status = Status(186);
    pub const DISCONN: Status = Status(192);
    pub const BADMONID: Status = Status(242);
    pub const NOCACTX: Status = Status(264);
    pub const BADMASK: Status = Status(330);
    pub const EVDISALLOW: Status = Status(210);
    pub const IODONE: Status = Status(339);
    pub const IOINPROGRESS: Status = Status(347);
    pub const NOSEARCHADDR: Status = Status(392);
    pub const BADSYNCGRP: Status = Status(354);
    pub const NORDACCESS: Status = Status(368);
    pub const NOWTACCESS: Status = Status(376);
    pub const NOCONVERT: Status = Status(400);
    pub const BADCHID: Status = Status(410);
    pub const BADFUNCPTR: Status = Status(418);
    pub const ISATTACHED: Status = Status(424);
    pub const CHANDESTROY: Status = Status(440);
    pub const BADPRIORITY: Status = Status(450);
    pub const NOTTHREADED: Status = Status(458);

    pub fn is_normal(self) -> bool {
        self == Status::NORMAL
    }

    /// The code's text in caerr.h.
    pub fn message(self) -> &'static str {
        // The low three bits are the severity, the rest numbers the message.
        usize::try_from(self.0 >> 3)
            .ok()
            .and_then(|number| MESSAGES.get(number))
            .copied()
            .unwrap_or("Unknown Channel Access status")
    }
}

/// Texts by message number, as in caerr.h's order.
static MESSAGES: [&str; 61] = [
    "Normal successful completion",
    "Maximum simultaneous IOC connections exceeded",
    "Unknown internet host",
    "Unknown internet service",
    "Unable to allocate a new socket",
    "Unable to connect to internet host or service",
    "Unable to allocate additional dynamic memory",
    "Unknown IO channel",
    "Record field specified inappropriate for channel specified",
    "The requested data transfer is greater than available memory or EPICS_CA_MAX_ARRAY_BYTES",
    "User specified timeout on IO operation expired",
    "Sorry, that feature is planned but not supported at this time",
    "The supplied string is unusually large",
    "The request was ignored because the specified channel is disconnected",
    "The data type specifed is invalid",
    "Remote Channel not found",
    "Unable to locate all user specified channels",
    "Channel Access Internal Failure",
    "The requested local DB operation failed",
    "Channel read request failed",
    "Channel write request failed",
    "Channel subscription request failed",
    "Invalid element count requested",
    "Invalid string",
    "Virtual circuit disconnect",
    "Identical process variable names on multiple servers",
    "Request inappropriate within subscription (monitor) update callback",
    "Database value get for that channel failed during channel search",
    "Unable to initialize without the vxWorks VX_FP_TASK task option set",
    "Event queue overflow has prevented first pass event after event add",
    "Bad event subscription (monitor) identifier",
    "Remote channel has new network address",
    "New or resumed network connection",
    "Specified task isnt a member of a CA context",
    "Attempt to use defunct CA feature failed",
    "The supplied string is empty",
    "Unable to spawn the CA repeater thread- auto reconnect will fail",
    "No channel id match for search reply- search reply ignored",
    "Reseting dead connection- will try to reconnect",
    "Server (IOC) has fallen behind or is not responding- still waiting",
    "No internet interface with broadcast available",
    "Invalid event selection mask",
    "IO operations have completed",
    "IO operations are in progress",
    "Invalid synchronous group identifier",
    "Put callback timed out",
    "Read access denied",
    "Write access denied",
    "Requested feature is no longer supported",
    "Empty PV search address list",
    "No reasonable data conversion between client and server types",
    "Invalid channel identifier",
    "Invalid function pointer",
    "Thread is already attached to a client context",
    "Not supported by attached service",
    "User destroyed channel",
    "Invalid channel priority",
    "Preemptive callback not enabled - additional threads may not join context",
    "Client's protocol revision does not support transfers exceeding 16k bytes",
    "Virtual circuit connection sequence aborted",
    "Virtual circuit unresponsive",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_to_their_texts() {
        assert_eq!(Status::NORMAL.message(), "Normal successful completion");
        assert_eq!(Status::DISCONN.message(), "Virtual circuit disconnect");
        assert_eq!(Status(480).message(), "Virtual circuit unresponsive");
        assert_eq!(Status(488).message(), "Unknown Channel Access status");
        assert_eq!(Status(-1).message(), "Unknown Channel Access status");
    }
}
