//! Numbers of Channel Access that programs see.

/// The changes that a subscription reports (caeventmask.h).
pub const DBE_VALUE: u32 = 1;
pub const DBE_LOG: u32 = 2;
pub const DBE_ALARM: u32 = 4;
pub const DBE_PROPERTY: u32 = 8;

/// Operations, as in the `op` of handlers' arguments (cadef.h).
pub const CA_OP_GET: u32 = 0;
pub const CA_OP_PUT: u32 = 1;
pub const CA_OP_ADD_EVENT: u32 = 3;
pub const CA_OP_CONN_UP: u32 = 6;
pub const CA_OP_CONN_DOWN: u32 = 7;

/// The states of a channel (channel_state in cadef.h).
pub const CS_NEVER_CONN: u32 = 0;
pub const CS_PREV_CONN: u32 = 1;
pub const CS_CONN: u32 = 2;
pub const CS_CLOSED: u32 = 3;
