/* What `make bindings` feeds to bindgen: Channel Access's public C API. */
#include <cadef.h>
#include <caerr.h>
#include <caeventmask.h>
#include <db_access.h>
