//! Heads that pass: plain ones, and what is merely old or odd.

use super::{Head, passes};

pub(super) const HEADS: &[Head] = &[
    passes(
        "plain",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "length",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "length_zero",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n",
    ),
    passes(
        "length_of_get",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "chunks",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunks_in_capitals",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTRANSFER-ENCODING: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunks_of_get",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "coding_before_chunks",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunk_extension",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0;z\r\n\r\n",
    ),
    passes(
        "chunk_extension_with_quotes",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"a;b\"\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunk_size_with_zeros",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n00003\r\nabc\r\n000\r\n\r\n",
    ),
    passes(
        "chunk_size_in_small_letters",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    ),
    passes(
        "chunk_trailer",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    passes(
        "chunk_trailer_announced",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    passes(
        "fold_of_another_field",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n  folded\r\n\r\n",
    ),
    passes(
        "blank_before_colon_of_another_field",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX : 1\r\n\r\n",
    ),
    passes(
        "odd_name_of_another_field",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX[y]: 1\r\n\r\n",
    ),
    passes(
        "no_colon_last",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX-nothing\r\n\r\n",
    ),
    passes(
        "name_beyond_ascii_last",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX\xe9: 1\r\n\r\n",
    ),
    passes(
        "no_name_last",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\n: nothing\r\n\r\n",
    ),
    passes(
        "control_in_value",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\x01b\r\n\r\n",
    ),
    passes(
        "value_beyond_ascii",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: \xff\xe9\r\n\r\n",
    ),
    passes(
        "empty_value",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX:\r\n\r\n",
    ),
    passes(
        "leading_line_ends",
        b"\r\n\r\nGET /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "leading_line_feed_alone",
        b"\nGET /a HTTP/1.1\nHost: a.example\n\n",
    ),
    passes(
        "line_feeds_alone",
        b"GET /a HTTP/1.1\nHost: a.example\n\n",
    ),
    passes(
        "line_feeds_alone_with_length",
        b"POST /a HTTP/1.1\nHost: a.example\nContent-Length: 3\n\nabc",
    ),
    passes(
        "absolute_form",
        b"GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "absolute_form_with_port",
        b"GET http://a.example:80/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "absolute_form_in_capitals",
        b"GET HTTP://A.EXAMPLE/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "absolute_form_without_path",
        b"GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "absolute_form_with_query_alone",
        b"GET http://a.example?x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "absolute_form_without_host",
        b"GET http://a.example/x HTTP/1.1\r\n\r\n",
    ),
    passes(
        "options_of_server",
        b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "target_beyond_ascii",
        b"GET /caf\xe9 HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "target_with_odd_marks",
        b"GET /a|b{}^\"<>`?q=%zz HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "target_with_fragment",
        b"GET /a#b HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "target_with_scheme_in_query",
        b"GET /a?u=http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "unknown_method",
        b"PROPFIND /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "small_method",
        b"get /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "host_with_port",
        b"GET /a HTTP/1.1\r\nHost: a.example:81\r\n\r\n",
    ),
    passes(
        "host_in_capitals_with_dot",
        b"GET /a HTTP/1.1\r\nHOST: A.EXAMPLE.\r\n\r\n",
    ),
    passes(
        "host_with_blanks_around",
        b"GET /a HTTP/1.1\r\nHost: \t a.example \t\r\n\r\n",
    ),
    passes(
        "host_without_blank",
        b"GET /a HTTP/1.1\r\nHost:a.example\r\n\r\n",
    ),
    passes(
        "host_of_address",
        b"GET /a HTTP/1.1\r\nHost: 192.0.2.7\r\n\r\n",
    ),
    passes(
        "host_empty",
        b"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    ),
    passes(
        "no_host",
        b"GET /a HTTP/1.1\r\n\r\n",
    ),
    passes(
        "old_version",
        b"GET /a HTTP/1.0\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "old_version_without_host",
        b"GET /a HTTP/1.0\r\n\r\n",
    ),
    passes(
        "old_version_kept",
        b"GET /a HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n",
    ),
    passes(
        "old_version_kept_with_length",
        b"POST /a HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "old_version_kept_and_closed",
        b"GET /a HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive, close\r\n\r\n",
    ),
    passes(
        "closed",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
    ),
    passes(
        "closed_in_capitals",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: CLOSE\r\n\r\n",
    ),
    passes(
        "closed_in_second_line",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: x\r\nConnection: close\r\n\r\n",
    ),
    passes(
        "closed_in_list",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: x , ,close\r\n\r\n",
    ),
    passes(
        "kept_and_closed",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
    ),
    passes(
        "connection_of_another_field",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: X-Other\r\nX-Other: 1\r\n\r\n",
    ),
    passes(
        "proxy_connection",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nProxy-Connection: close\r\n\r\n",
    ),
    passes(
        "expects_to_go_on",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
    ),
    passes(
        "expects_to_go_on_with_chunks",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "expects_without_body",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n\r\n",
    ),
    passes(
        "upgrade_to_http2",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    ),
    passes(
        "upgrade_to_http2_with_length",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "upgrade_to_websocket",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ),
    passes(
        "forwarded_host",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Host: b.example\r\nForwarded: host=b.example\r\n\r\n",
    ),
    passes(
        "method_override",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
    ),
    passes(
        "underscored_length",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent_Length: 3\r\n\r\n",
    ),
    passes(
        "length_in_another_name",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX-Content-Length: 9\r\nContent-Lengths: 9\r\n\r\n",
    ),
    passes(
        "settings_of_http2_alone",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    ),
    passes(
        "preface_like_method",
        b"PRI /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "chunk_extension_with_blanks",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3; x = y\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunk_extension_without_name",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3;;\r\nabc\r\n0;\r\n\r\n",
    ),
    passes(
        "chunk_size_of_sixteen_digits",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000003\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunk_size_beyond_32_bits",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n100000003\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunk_size_beyond_63_bits",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n8000000000000003\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunk_size_largest",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunk_trailer_with_underscore",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent_Length: 5\r\n\r\n",
    ),
    passes(
        "length_beyond_32_bits",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4294967299\r\n\r\nabc",
    ),
    passes(
        "length_longest",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 999999999999999999\r\n\r\nabc",
    ),
    passes(
        "length_with_blanks_behind",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3 \t\r\n\r\nabc",
    ),
    passes(
        "chunks_without_blank",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "chunks_behind_tab",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:\tchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "te_list_without_blank",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip,chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "te_identity_before_chunks",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: identity, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "te_unknown_before_chunks",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: x-odd, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "te_unknown_ending_before_chunks",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "line_feeds_alone_with_chunks",
        b"POST /a HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "length_behind_fold",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n folded\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "length_behind_fold_of_blanks",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n \r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "length_behind_fold_of_tab",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n\t\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "length_behind_fold_with_colon",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n y: z\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "length_behind_form_feed_in_value",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\x0cContent-Length: 3\r\n\r\n",
    ),
    passes(
        "length_behind_next_line_in_value",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\x85Content-Length: 3\r\n\r\n",
    ),
    passes(
        "length_behind_group_separator_in_value",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\x1dContent-Length: 3\r\n\r\n",
    ),
    passes(
        "length_behind_no_name",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\n: x\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "length_behind_odd_name",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX[y]: x\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "length_behind_name_in_quotes",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\n\"X\": x\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "length_before_blank_before_colon",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nX : 1\r\n\r\nabc",
    ),
    passes(
        "length_before_line_without_colon",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nnothing\r\n\r\nabc",
    ),
    passes(
        "length_before_unix_from",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nFrom x\r\n\r\nabc",
    ),
    passes(
        "host_with_port_empty",
        b"GET /a HTTP/1.1\r\nHost: a.example:\r\n\r\n",
    ),
    passes(
        "host_with_long_port",
        b"GET /a HTTP/1.1\r\nHost: a.example:99999999999\r\n\r\n",
    ),
    passes(
        "host_with_underscore",
        b"GET /a HTTP/1.1\r\nHost: a_b.example\r\n\r\n",
    ),
    passes(
        "expects_something_else",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nExpect: nothing\r\n\r\nabc",
    ),
    passes(
        "expects_twice",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\nabc",
    ),
    passes(
        "expects_in_old_version",
        b"POST /a HTTP/1.0\r\nHost: a.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
    ),
    passes(
        "upgrade_to_websocket_with_length",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "upgrade_without_connection",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\n\r\n",
    ),
    passes(
        "upgrade_to_other",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: odd\r\n\r\n",
    ),
    passes(
        "upgrade_to_tls",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\n",
    ),
    passes(
        "delete_with_length",
        b"DELETE /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "delete_with_chunks",
        b"DELETE /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    passes(
        "options_with_length",
        b"OPTIONS /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passes(
        "post_without_length",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    passes(
        "connection_odd_close",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: xclosex\r\n\r\n",
    ),
    passes(
        "connection_close_with_parameter",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close;x\r\n\r\n",
    ),
    passes(
        "te_of_answers",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nTE: trailers, chunked\r\n\r\n",
    ),
    passes(
        "many_fields",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX-0: v\r\nX-1: v\r\nX-2: v\r\nX-3: v\r\nX-4: v\r\nX-5: v\r\nX-6: v\r\nX-7: v\r\nX-8: v\r\nX-9: v\r\nX-10: v\r\nX-11: v\r\nX-12: v\r\nX-13: v\r\nX-14: v\r\nX-15: v\r\nX-16: v\r\nX-17: v\r\nX-18: v\r\nX-19: v\r\nX-20: v\r\nX-21: v\r\nX-22: v\r\nX-23: v\r\nX-24: v\r\nX-25: v\r\nX-26: v\r\nX-27: v\r\nX-28: v\r\nX-29: v\r\n\r\n",
    ),
    passes(
        "upgrade_in_line_feeds",
        b"GET /a HTTP/1.1\nHost: a.example\nConnection: Upgrade, X-Other\nUpgrade: h2c\n\n",
    ),
    passes(
        "closed_in_line_feeds",
        b"GET /a HTTP/1.1\nHost: a.example\nConnection: close, X-Other\n\n",
    ),
];
