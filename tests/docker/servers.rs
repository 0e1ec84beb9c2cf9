//! Real servers and clients, as Debian has them: the same with plain runc and with ours.
//!
//! The servers run in the little internet, at the allowed host's address, in containers that share
//! this machine's programs and not its files. The policy `servers` lets some be reached by name and
//! some by address.

use std::time::Duration;

use test_support::bed::{Bed, unique};
use test_support::command::wait_for_within;
use test_support::docker::{Container, IMAGE};
use test_support::harness::Test;
use test_support::hosts::{ALLOWED, DENIED, RESOLVER};

use crate::side_by_side::same;

/// Each with the program that not every system may have.
pub(crate) const TESTS: &[(&str, Test)] = &[
    (
        "pg_createcluster",
        ("postgresql_by_name_with_and_without_tls", postgresql),
    ),
    ("mariadbd", ("mariadb_by_name", mariadb)),
    (
        "redis-server",
        ("redis_by_name_with_and_without_tls", redis),
    ),
    ("postfix", ("postfix_takes_a_message_by_name", postfix)),
    ("vsftpd", ("ftp_by_name_is_passive", ftp)),
    ("sshd", ("ssh_by_name", ssh)),
    (
        "haproxy",
        ("haproxys_default_checks_by_address", haproxy_checks),
    ),
    ("nginx", ("nginx_by_name", nginx_by_name)),
    (
        "squid",
        ("a_company_proxy_by_address_opens_what_it_opens", squid),
    ),
    ("nghttpd", ("http_2_in_clear_text_by_address", h2c)),
    ("nginx", ("docker_over_tcp_by_address", docker_by_address)),
    ("nginx", ("docker_over_tcp_by_name", docker_by_name)),
];

/// This machine's programs, in the bed's image.
pub(crate) const PROGRAMS: [&str; 2] = ["-v", "/machine/usr:/usr:ro"];

/// Users that servers want to be.
const USERS: &str = "mkdir -p /var/lib /var/log /var/spool /run /etc
    echo root::0:0::/root:/bin/sh >/etc/passwd
    id=100; for user in postgres sshd ftp nobody postfix proxy mysql; do
        echo $user:x:$id:$id::/tmp:/bin/sh >>/etc/passwd; echo $user:x:$id: >>/etc/group; id=$((id + 1)); done
    echo nogroup:x:65534: >>/etc/group; echo postdrop:x:200: >>/etc/group\n";

/// A key and a certificate of its own, for servers that want some.
const CERTIFICATE: &str = "printf '[req]\ndistinguished_name = name\n[name]\n' >/tmp/openssl.cnf
    openssl req -config /tmp/openssl.cnf -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=allowed.test \
    -keyout /tmp/key.pem -out /tmp/certificate.pem 2>/dev/null\n";

/// Starts a server in the little internet; returns when it listens on the port.
pub(crate) fn serve<'bed>(
    bed: &'bed Bed,
    flags: &[&str],
    port: u16,
    script: &str,
) -> Container<'bed> {
    let common = [
        // Some end with their first child where they are process 1.
        "--init",
        "--cap-add",
        "SYS_ADMIN",
        "--security-opt",
        "seccomp=unconfined",
        "--network",
        "host",
        "-v",
        "/run/netns:/run/netns",
    ];
    let script = format!("set -e\n{USERS}{script}");
    let container = bed.start_with(
        "runc",
        &[&common[..], &PROGRAMS, flags].concat(),
        &["nsenter", "--net=/run/netns/internet", "sh", "-c", &script],
    );
    let knock = format!("exec 3<>/dev/tcp/{}/{port}", ALLOWED.v4);
    let knock = ["nsenter", "--net=/run/netns/internet", "bash", "-c", &knock];
    wait_for_within(
        Duration::from_secs(40),
        &format!("the server on port {port}"),
        || {
            let said = container.docker("logs");
            assert_eq!(
                container.inspect("{{.State.Running}}"),
                "true",
                "the server ended: {}{}",
                said.stdout,
                said.stderr
            );
            bed.exec(&knock).code == 0
        },
    );
    container
}

/// What a client's script prints, with and without the filter.
#[track_caller]
fn says(bed: &Bed, script: &str, text: &str) {
    let said = same(bed, "boundary-servers", &PROGRAMS, script);
    assert_eq!(said.trim(), text);
}

fn postgresql(bed: &Bed) {
    let script = format!(
        "{CERTIFICATE} chown postgres /tmp/*.pem
        as='setpriv --reuid=postgres --regid=postgres --clear-groups'; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
        $as $bin/initdb --no-sync --auth=trust /tmp/data >/dev/null
        echo 'host all all all trust' >>/tmp/data/pg_hba.conf
        exec $as $bin/postgres -D /tmp/data -p 5433 -h {} -k /tmp -c ssl=on -c ssl_cert_file=/tmp/certificate.pem \
            -c ssl_key_file=/tmp/key.pem",
        ALLOWED.v4
    );
    let _server = serve(bed, &[], 5433, &script);
    for how in [
        "sslmode=disable",
        "sslmode=require",
        "sslmode=require sslsni=0",
    ] {
        let script = format!(
            "$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)/psql 'host=allowed.test port=5433 user=postgres {how}' -Atc \
             \"select 6 * 7, ssl from pg_stat_ssl where pid = pg_backend_pid()\""
        );
        let tls = if how == "sslmode=disable" { "f" } else { "t" };
        says(bed, &script, &format!("42|{tls}"));
    }
}

fn mariadb(bed: &Bed) {
    let script = format!(
        "mkdir /tmp/data; exec mariadbd --no-defaults --user=root --datadir=/tmp/data --skip-grant-tables --skip-innodb \
         --default-storage-engine=MyISAM --bind-address={} --port=3306 --socket=/tmp/socket",
        ALLOWED.v4
    );
    let _server = serve(bed, &[], 3306, &script);
    says(
        bed,
        "mariadb --no-defaults -h allowed.test -N -B -e 'select 6 * 7'",
        "42",
    );
}

fn redis(bed: &Bed) {
    let script = format!(
        "{CERTIFICATE} exec redis-server --save '' --dir /tmp --bind {} --port 6379 --tls-port 6380 --protected-mode no \
         --tls-cert-file /tmp/certificate.pem --tls-key-file /tmp/key.pem --tls-auth-clients no",
        ALLOWED.v4
    );
    let _server = serve(bed, &[], 6379, &script);
    let tls = "--tls --insecure -p 6380";
    for how in ["-p 6379", tls, &format!("{tls} --sni allowed.test")] {
        says(
            bed,
            &format!("redis-cli -h allowed.test {how} ping"),
            "PONG",
        );
    }
}

fn postfix(bed: &Bed) {
    let script = format!(
        "mkdir -p /etc/postfix /var/spool/postfix /var/lib/postfix; touch /etc/services; cd /var/spool/postfix
        mkdir active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace
        chown postfix -- * /var/lib/postfix; chown root pid
        cat >/etc/postfix/main.cf <<'END'
compatibility_level = 3.6
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
inet_interfaces = loopback-only
mynetworks = 0.0.0.0/0
inet_protocols = ipv4
myhostname = allowed.test
mydestination = allowed.test
local_recipient_maps =
alias_maps =
maillog_file = /dev/stdout
END
        sed 's/^smtp  *inet/{0}:25 inet/' /usr/share/postfix/master.cf.dist >/etc/postfix/master.cf
        exec /usr/lib/postfix/sbin/master -d",
        ALLOWED.v4
    );
    let _server = serve(bed, &[], 25, &script);
    let script = "printf 'Subject: hello\\r\\n\\r\\nhello\\r\\n' | curl -sS -m 20 --mail-from me@example.test \
        --mail-rcpt root@allowed.test -T - smtp://allowed.test/me && echo taken";
    says(bed, script, "taken");
}

fn ftp(bed: &Bed) {
    let script = format!(
        "mkdir -p /run/vsftpd/empty; echo 'a file' >/srv/file
        printf '%s\\n' listen=YES listen_address={} background=NO anonymous_enable=YES anon_root=/srv \
            pasv_min_port=30000 pasv_max_port=30009 secure_chroot_dir=/run/vsftpd/empty seccomp_sandbox=NO >/tmp/conf
        exec vsftpd /tmp/conf",
        ALLOWED.v4
    );
    let _server = serve(bed, &[], 21, &script);
    says(
        bed,
        "for way in --ftp-skip-pasv-ip --disable-epsv; do curl -sS -m 20 $way ftp://allowed.test/file; done",
        "a file\na file",
    );
}

fn ssh(bed: &Bed) {
    let script = format!(
        "mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f /tmp/key
        exec /usr/sbin/sshd -D -e -f /dev/null -h /tmp/key -p 2222 -o ListenAddress={} -o PermitRootLogin=yes -o UsePAM=no \
            -o PermitEmptyPasswords=yes",
        ALLOWED.v4
    );
    let _server = serve(bed, &[], 2222, &script);
    says(
        bed,
        "echo forty two | ssh -q -o StrictHostKeyChecking=no -p 2222 root@allowed.test 'tr a-z A-Z'",
        "FORTY TWO",
    );
}

/// An nginx in the little internet; `serves` is its configuration's main part.
fn nginx<'bed>(bed: &'bed Bed, flags: &[&str], port: u16, serves: &str) -> Container<'bed> {
    let script = format!(
        "mkdir -p /var/log/nginx
        cat >/tmp/conf <<'END'
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root; daemon off; error_log stderr; pid /tmp/pid;
events {{ }}
{serves}
END
        exec nginx -e stderr -c /tmp/conf"
    );
    serve(bed, flags, port, &script)
}

/// What makes it tell what it was asked, on a port.
fn telling(port: u16) -> String {
    format!(
        "http {{ access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
         uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
         server {{ listen {}:{port}; location / {{ return 200 \"$request_method $uri\\n\"; }} }} }}",
        ALLOWED.v4
    )
}

fn nginx_by_name(bed: &Bed) {
    let _server = nginx(bed, &[], 8090, &telling(8090));
    says(
        bed,
        "curl -sS -m 10 http://allowed.test:8090/a http://allowed.test:8090/b",
        "GET /a\nGET /b",
    );
}

/// `option httpchk`, as it comes; whether a server is up, a small frontend tells.
fn haproxy_checks(bed: &Bed) {
    let _server = nginx(bed, &[], 8091, &telling(8091));
    let script = format!(
        "cat >/tmp/conf <<'END'
defaults
  mode http
  timeout connect 2s
  timeout client 2s
  timeout server 2s
frontend up
  bind 127.0.0.1:8000
  http-request return status 200 content-type text/plain string up if {{ nbsrv(servers) ge 1 }}
  http-request return status 503 content-type text/plain string down
backend servers
  option httpchk
  default-server inter 300ms fall 1 rise 1
  server one {}:8091 check
END
        haproxy -D -f /tmp/conf; sleep 3; curl -sS http://127.0.0.1:8000/",
        ALLOWED.v4
    );
    says(bed, &script, "up");
}

fn squid(bed: &Bed) {
    let script = format!(
        "mkdir -p /etc/squid; touch /etc/squid/squid.conf /etc/hosts
        cat >/tmp/conf <<'END'
http_port {}:3128
http_access allow all
dns_nameservers {}
cache deny all
access_log none
cache_log /tmp/log
pid_filename /tmp/pid
coredump_dir /tmp
visible_hostname proxy.test
cache_effective_user proxy
netdb_filename none
pinger_enable off
END
        exec squid -N -d 1 -f /tmp/conf",
        ALLOWED.v4, RESOLVER.v4
    );
    let _server = serve(bed, &[], 3128, &script);
    let script = format!(
        "export http_proxy=http://{0}:3128 https_proxy=http://{0}:3128
        curl -sS -m 20 http://denied.test/; curl -ksS -m 20 https://denied.test/",
        ALLOWED.v4
    );
    let said = same(bed, "boundary-servers", &PROGRAMS, &script);
    let who = format!("I am {} at ", DENIED.name);
    assert_eq!(said.matches(&who).count(), 2, "{said}");
}

/// What gRPC without TLS is made of.
fn h2c(bed: &Bed) {
    let script = format!(
        "echo 'by http/2' >/srv/file; exec nghttpd --no-tls -d /srv -a {} 8092",
        ALLOWED.v4
    );
    let _server = serve(bed, &[], 8092, &script);
    says(
        bed,
        &format!("nghttp http://{}:8092/file", ALLOWED.v4),
        "by http/2",
    );
}

/// The bed's Docker on a port, and a client of it in a container.
fn docker_over_tcp(bed: &Bed, host: &str, port: u16) {
    let socket = format!("{}:/docker.sock", bed.path("docker.sock").display());
    let stream = format!(
        "stream {{ server {{ listen {0}:{port}; proxy_pass unix:/docker.sock; proxy_half_close on; }} }}",
        ALLOWED.v4
    );
    let _server = nginx(bed, &["-v", &socket], port, &stream);
    let other = bed.start_with("runc", &[], &["sleep", "600"]);
    let name = unique("inner");
    let script = format!(
        "export DOCKER_HOST=tcp://{host}:{port}; docker version >/dev/null && docker ps -q --filter name={0} | wc -l
        docker exec {0} echo exec; echo interactive | timeout 20 docker exec -i {0} cat
        echo attached | timeout 20 docker run --rm -i --name {name} --runtime runc {IMAGE} cat",
        other.name
    );
    says(bed, &script, "1\nexec\ninteractive\nattached");
}

fn docker_by_address(bed: &Bed) {
    docker_over_tcp(bed, &ALLOWED.v4.to_string(), 2376);
}

fn docker_by_name(bed: &Bed) {
    docker_over_tcp(bed, ALLOWED.name, 2375);
}
