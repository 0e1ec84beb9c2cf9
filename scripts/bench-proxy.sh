# shellcheck shell=bash
# What `scripts/bench proxy` measures: HTTPS whose requests are judged by method and path, through our gateway and through others
# that intercept, all in the place between a client and its server. Sourced by scripts/bench, whose bed, client and server it uses.
#
# All verify the server's certificate, show the client one of their own, and let pass what the rule allows. Each is made fast where
# its defaults aren't. coder/boundary is measured where CODER_BOUNDARY names a checkout of its source and `go` can build that: only
# its proxy, with its rules, TLS and record, without what needs other modules.

INTERCEPTORS=(ours haproxy mitmproxy)
# Of scripts/bench's measures.
INTERCEPTED=(0 1 2 3 4)

measure_proxy() {
  local measure place reached
  TITLE+=([mitmproxy]=mitmproxy [boundary]=coder/boundary)
  start_server
  start_ours
  start_interceptors
  start_in_docker direct runc
  for place in direct "${INTERCEPTORS[@]}"; do answers "$place" || { explain "$place" >&2; exit 1; }; done
  for _ in $(seq "$1"); do
    for measure in "${INTERCEPTED[@]}"; do
      for place in direct "${INTERCEPTORS[@]}"; do
        reached=$(visit_intercepted "$place" "$measure") || { explain "$place" >&2; exit 1; }
        note "$place" "https-$measure" "$reached"
      done
    done
  done
  proxy_report "$1"
}

proxy_report() {
  local measure place
  printf '\n| HTTPS, intercepted, of direct in the same round: median of %s (least-most) |' "$1"
  for measure in "${INTERCEPTED[@]}"; do printf ' %s |' "${MEASURES[$measure]#* * * }"; done
  printf '\n|---|---|---|---|---|---|\n'
  for place in "${INTERCEPTORS[@]}"; do intercepted_row "${TITLE[$place]}" ratio "$place"; done
  intercepted_row 'direct, itself' absolute direct
}

# intercepted_row TITLE CELL PLACE
intercepted_row() {
  local measure
  printf '| %s |' "$1"
  for measure in "${INTERCEPTED[@]}"; do printf ' %s |' "$("$2" "$3" "https-$measure")"; done
  echo
}

# visit_intercepted PLACE MEASURE: as `visit`. coder/boundary ends each connection after an answer, and sends none before it has all
# of it: it is asked for long answers that end, each on a connection of its own.
visit_intercepted() {
  local what connections field
  read -r what connections field _ <<<"${MEASURES[$2]}"
  case $1-$what in
    boundary-kept) what=new ;;
    boundary-bulk) what=parts ;;
  esac
  load "$1" "${HTTPS[$1]}" "$NAME" https "$what" "$connections" 1 2>"$DIR/load.log" | cut -d ' ' -f "$field"
}

# answers PLACE: whether a request gets there within 10 seconds. Programs that were just started need some.
answers() {
  local until=$((SECONDS + 10))
  until load "$1" "${HTTPS[$1]}" "$NAME" https new 1 0.1 >/dev/null 2>"$DIR/load.log"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

explain() {
  echo "no answer through $1: $(cat "$DIR/load.log")"
  cat "$DIR/$1.log" 2>/dev/null || true
}

# Each peer has an address of its own in a namespace between the client's and the server's, and there the server's port.
start_interceptors() {
  make_peers
  in_bed ip -n peers address add 10.88.1.3/24 dev inside
  certify shown.crt shown.key
  cat "$DIR/shown.crt" "$DIR/shown.key" >"$DIR/shown.pem"
  # What the peers take the server's name for.
  echo "$SERVER $NAME" >"$DIR/hosts"
  start_haproxy
  start_mitmproxy
  if [ -n "${CODER_BOUNDARY:-}" ]; then
    start_boundary
    INTERCEPTORS+=(boundary)
  fi
}

start_haproxy() {
  cat >"$DIR/haproxy-intercepting.cfg" <<END
global
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend https
  bind 10.88.1.1:8443 ssl crt $DIR/shown.pem
  http-request deny unless { method GET } { path / /bulk }
  use_backend https if { ssl_fc_sni -i $NAME }
backend https
  http-reuse always
  server server $SERVER:8443 ssl verify required ca-file $DIR/certificate.pem verifyhost $NAME sni str($NAME)
END
  in_bed nsenter --net=/run/netns/peers haproxy -D -f "$DIR/haproxy-intercepting.cfg"
  place haproxy /run/netns/client '' 10.88.1.1:8443
}

# Long answers pass as they come: by default, none begins before it has ended.
start_mitmproxy() {
  in_peers "exec mitmdump --quiet --set confdir=$DIR/mitmproxy --mode reverse:https://$NAME:8443 --listen-host 10.88.1.3 \
    --listen-port 8443 --certs $DIR/shown.pem --set ssl_verify_upstream_trusted_ca=$DIR/certificate.pem --set stream_large_bodies=64k" \
    >"$DIR/mitmproxy.log" 2>&1 </dev/null &
  place mitmproxy /run/netns/client '' 10.88.1.3:8443
}

# It listens on all addresses, so it has a namespace of its own.
start_boundary() {
  build_boundary
  in_bed sh -e -c '
    ip netns add boundary
    ip -n client link add eth1 type veth peer name inside netns boundary
    ip -n boundary link add outside type veth peer name boundary0 netns internet
    ip -n client address add 10.88.3.2/24 dev eth1; ip -n boundary address add 10.88.3.1/24 dev inside
    ip -n boundary address add 10.88.4.2/24 dev outside; ip -n internet address add 10.88.4.1/24 dev boundary0
    ip -n client link set eth1 up; ip -n boundary link set inside up
    ip -n boundary link set outside up; ip -n internet link set boundary0 up
    ip -n boundary route add default via 10.88.4.1'
  mkdir "$DIR/boundary-ca"
  NAMESPACE=boundary in_peers "exec env SSL_CERT_FILE=$DIR/certificate.pem $DIR/boundary/bench 8443 $DIR/boundary-ca \
    'method=GET domain=$NAME path=/,/bulk,/part'" >"$DIR/boundary.log" 2>&1 </dev/null &
  place boundary /run/netns/client '' 10.88.3.1:8443
}

# in_peers COMMAND: where the server's name is known.
in_peers() {
  in_bed nsenter --net="/run/netns/${NAMESPACE:-peers}" unshare --mount sh -c "mount --bind $DIR/hosts /etc/hosts; $1"
}

# Of its sources, the packages that its proxy is made of.
build_boundary() {
  local sources=$DIR/boundary one
  mkdir -p "$sources"/{audit,config}
  cp -r "$CODER_BOUNDARY"/{proxy,rulesengine,tls} "$sources/"
  for one in log_auditor request sequence; do cp "$CODER_BOUNDARY/audit/$one.go" "$sources/audit/"; done
  find "$sources" -name '*_test.go' -delete
  printf 'module github.com/coder/boundary\n\ngo 1.25\n' >"$sources/go.mod"
  cat >"$sources/config/config.go" <<'END'
package config

const (
	CAKeyName                = "ca-key.pem"
	CACertName               = "ca-cert.pem"
	SessionIDHeaderName      = "X-Session-Id"
	SequenceNumberHeaderName = "X-Sequence-Number"
)

type SessionCorrelationConfig struct{}
END
  # As its own nsjail_manager/parent.go makes it.
  cat >"$sources/main.go" <<'END'
package main

import (
	"log"
	"log/slog"
	"os"
	"strconv"

	"github.com/coder/boundary/audit"
	"github.com/coder/boundary/proxy"
	"github.com/coder/boundary/rulesengine"
	"github.com/coder/boundary/tls"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	certificates := must(tls.NewCertificateManager(tls.Config{Logger: logger, ConfigDir: os.Args[2], Uid: os.Getuid(), Gid: os.Getgid()}))
	server := proxy.NewProxyServer(proxy.Config{
		HTTPPort:   must(strconv.Atoi(os.Args[1])),
		RuleEngine: rulesengine.NewRuleEngine(must(rulesengine.ParseAllowSpecs(os.Args[3:])), logger),
		Auditor:    audit.NewLogAuditor(logger),
		Logger:     logger,
		TLSConfig:  must(certificates.SetupTLSAndWriteCACert()),
	})
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	select {}
}
END
  (cd "$sources" && GOTOOLCHAIN=local CGO_ENABLED=0 go build -o bench .) || die "can't build coder/boundary: its sources ask for Go 1.25"
}
