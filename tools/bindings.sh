#!/bin/sh
# Makes src/ca_sys/bindings.rs from the headers of the installed epicscorelibs.
# usage: tools/bindings.sh PYTHON BINDGEN OUTPUT      (called by `make bindings` and `make check-bindings`)
set -eu
python=$1 bindgen=$2 output=$3

include=$("$python" -c 'import epicscorelibs.path; print(epicscorelibs.path.include_path)')
LIBCLANG_PATH=$("$python" -c 'import clang.native, os; print(os.path.dirname(clang.native.__file__))')
export LIBCLANG_PATH

# Only what src/ uses, so that a libca which lacks something else still loads (every listed symbol is required).
functions='ca_(context_create|context_destroy|attach_context|detach_context|current_context|context_status'
functions="$functions|create_channel|clear_channel|replace_access_rights_event|add_exception_event|replace_printf_handler"
functions="$functions|array_get_callback|array_put|array_put_callback|create_subscription|clear_subscription|flush_io"
functions="$functions|field_type|element_count|get_host_name|puser|read_access|write_access|state|version)"

# va_list differs from platform to platform, but everywhere a function receives it as one pointer-sized word.
# Layout tests are left out because `long` makes them differ on Windows: src/ca_sys/layout.rs has ours.
"$bindgen" src/ca_sys/wrapper.h --output "$output" \
    --dynamic-loading LibCa --dynamic-link-require-all \
    --allowlist-function "$functions" \
    --allowlist-type 'dbr_.*' \
    --allowlist-var '(CA_OP|DBE|MAX_ENUM|MAX_STRING|MAX_UNITS).*' \
    --blocklist-type '(__builtin_)?va_list|__va_list_tag|__gnuc_va_list' \
    --raw-line 'pub type __va_list_tag = ::std::os::raw::c_void;' \
    --wrap-unsafe-ops \
    --no-layout-tests --no-doc-comments --rust-target 1.85 --rust-edition 2024 --formatter rustfmt \
    -- -I"$include" -I"$include/os/Linux" -I"$include/compiler/gcc" -isystem "$(cc -print-file-name=include)"
