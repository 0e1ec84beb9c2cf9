//! Heads that some server understands differently than another, or could hide such.

use super::{Head, refused};

pub(super) const HEADS: &[Head] = &[
    refused(
        "chunks_with_blanks_behind",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked \t\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_list_empty_last",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked,\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_list_empty_first",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: , chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "length_behind_fold_of_vertical_tab",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n\x0bfolded: y\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "length_behind_fold_of_no_break_space",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n\xa0folded: y\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "length_behind_fold_of_delete",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n\x7ffolded: y\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "length_behind_fold_of_next_line",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n\x85folded: y\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "close_behind_line_without_colon",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nnothing\r\nConnection: close\r\n\r\n",
    ),
    refused(
        "cl_te",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    ),
    refused(
        "te_cl",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_zero_cl",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_te",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_te_reversed",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_twice",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_chunked_twice_in_list",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_chunked_not_last",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_identity",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "te_unknown",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_in_quotes",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: \"chunked\"\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_with_parameter",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked;x=y\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_empty",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_empty_with_length",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "te_vertical_tab",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: \x0bchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_bare_cr_before",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: \rchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_nul_behind",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\0\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_no_break_space",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\xa0\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_blank_before_colon",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding : chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_tab_before_colon",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding\t: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_blank_before_name",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\n Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_folded_value",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:\r\n chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_folded_name",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\r\n Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_behind_bare_cr",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\rTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_behind_line_feed",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX: 1\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_of_old_version",
        b"POST /a HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "te_taken_off",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "cl_cl_different",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nContent-Length: 0\r\n\r\nabc",
    ),
    refused(
        "cl_cl_equal",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "cl_list",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3, 3\r\n\r\nabc",
    ),
    refused(
        "cl_plus",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: +3\r\n\r\nabc",
    ),
    refused(
        "cl_minus",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: -3\r\n\r\nabc",
    ),
    refused(
        "cl_zero_first",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 003\r\n\r\nabc",
    ),
    refused(
        "cl_hexadecimal",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0x3\r\n\r\nabc",
    ),
    refused(
        "cl_underscore",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1_0\r\n\r\n0123456789",
    ),
    refused(
        "cl_words",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3 3\r\n\r\nabc",
    ),
    refused(
        "cl_overflow",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 18446744073709551619\r\n\r\nabc",
    ),
    refused(
        "cl_empty",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length:\r\n\r\n",
    ),
    refused(
        "cl_blank_before_colon",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length : 3\r\n\r\nabc",
    ),
    refused(
        "cl_folded",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\t0\r\n\r\nabc",
    ),
    refused(
        "cl_no_break_space",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\xa0\r\n\r\nabc",
    ),
    refused(
        "cl_behind_line_without_colon",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nnothing\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "cl_behind_name_beyond_ascii",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX\xe9: 1\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "cl_behind_blank_in_name",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nX y: 1\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "cl_taken_off",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nConnection: Content-Length\r\n\r\nabc",
    ),
    refused(
        "host_twice",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
    ),
    refused(
        "host_twice_equal",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "host_blank_before_colon",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nHost : b.example\r\n\r\n",
    ),
    refused(
        "host_folded",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\n b.example\r\n\r\n",
    ),
    refused(
        "host_behind_fold",
        b"GET /a HTTP/1.1\r\nX: 1\r\n Host: b.example\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "host_first_line_blank",
        b"GET /a HTTP/1.1\r\n Host: b.example\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "host_list",
        b"GET /a HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n",
    ),
    refused(
        "host_with_user",
        b"GET /a HTTP/1.1\r\nHost: b.example@a.example\r\n\r\n",
    ),
    refused(
        "host_with_path",
        b"GET /a HTTP/1.1\r\nHost: a.example/b.example\r\n\r\n",
    ),
    refused(
        "host_with_nul",
        b"GET /a HTTP/1.1\r\nHost: a.example\0.b.example\r\n\r\n",
    ),
    refused(
        "host_of_another_address",
        b"GET /a HTTP/1.1\r\nHost: 192.0.2.8\r\n\r\n",
    ),
    refused(
        "host_taken_off",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close, Host\r\n\r\n",
    ),
    refused(
        "host_behind_bare_cr",
        b"GET /a HTTP/1.1\r\nX: 1\rHost: b.example\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "absolute_form_of_another_host",
        b"GET http://b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "absolute_form_with_user",
        b"GET http://b.example@a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "absolute_form_with_backslash",
        b"GET http://a.example\\@b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "target_without_slash",
        b"GET a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "target_with_blank",
        b"GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "target_with_tab",
        b"GET /a\tb HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "target_with_nul",
        b"GET /a\0b HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "two_blanks_in_line",
        b"GET  /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "blank_behind_version",
        b"GET /a HTTP/1.1 \r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "blank_before_method",
        b" GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "tabs_in_line",
        b"GET\t/a\tHTTP/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "version_next",
        b"GET /a HTTP/1.2\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "version_two",
        b"GET /a HTTP/2.0\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "version_in_small_letters",
        b"GET /a http/1.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "version_with_zeros",
        b"GET /a HTTP/01.1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "version_short",
        b"GET /a HTTP/1\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "no_version",
        b"GET /a\r\n",
    ),
    refused(
        "no_version_with_head",
        b"GET /a\r\nHost: a.example\r\n\r\n",
    ),
    refused(
        "no_version_line_feed_with_length",
        b"GET /a\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused(
        "line_ends_mixed",
        b"GET /a HTTP/1.1\r\nHost: a.example\nX: 1\r\n\r\n",
    ),
    refused(
        "head_ends_in_line_feeds",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: 1\n\nHost: b.example\r\n\r\n",
    ),
    refused(
        "head_ends_in_bare_crs",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\rX: 1\r\n\r\n",
    ),
    refused(
        "bare_cr_in_value",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\rb\r\n\r\n",
    ),
    refused(
        "nul_in_value",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\0b\r\n\r\n",
    ),
    refused(
        "nul_in_name",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX\0: a\r\n\r\n",
    ),
    refused(
        "two_crs_at_end",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nX: a\r\r\n\r\n",
    ),
    refused(
        "chunk_size_ends_in_line_feed",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_data_ends_in_line_feed",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
    ),
    refused(
        "chunk_last_in_line_feeds",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\n\n",
    ),
    refused(
        "chunk_extension_with_line_feed",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3;x\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_extension_with_bare_cr",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3;x\ry\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_extension_hides_a_chunk",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n4c\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_size_hexadecimal",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_size_plus",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_size_minus",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_size_underscore",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0_3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_size_blank_before",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_size_blank_behind",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_size_blank_before_extension",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3 ;x\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_size_overflows",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_size_empty",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n",
    ),
    refused(
        "chunk_size_other_letters",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3g\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_longer_than_said",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_extension_with_open_quote",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"a\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "chunk_trailer_host",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b.example\r\n\r\n",
    ),
    refused(
        "chunk_trailer_length",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    ),
    refused(
        "chunk_trailer_folded",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n Host: b.example\r\n\r\n",
    ),
    refused(
        "chunk_trailer_without_colon",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nnothing\r\n\r\n",
    ),
    refused(
        "chunk_trailer_ends_in_line_feed",
        b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\n\r\n",
    ),
    refused(
        "upgrade_with_folded_settings",
        b"GET /a HTTP/1.1\r\nHost: a.example\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n .b.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    ),
];
