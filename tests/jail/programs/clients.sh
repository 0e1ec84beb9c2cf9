# What clients of every kind get from the host $1, one after the other: each says what it got, and its status. What they
# print is the same wherever they run. $2: where the test's programs and its key are. $3: an empty folder.
host=$1 programs=$2 own=$3
export PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=$own TMPDIR=$own LC_ALL=C GIT_TERMINAL_PROMPT=0
export SSL_CERT_FILE=/etc/little-internet.pem NODE_EXTRA_CA_CERTS=/etc/little-internet.pem CURL_CA_BUNDLE=/etc/little-internet.pem
cd "$own" || exit 1

client() {
  printf '== %s\n' "$1"
  timeout 30 bash -c "$2" bash "$host" "$programs" </dev/null 2>&1 && printf '== done\n' || printf '== failed\n'
}

client curl 'curl -sS -m 10 http://$1/ && curl -sS -m 10 https://$1/'
client wget 'wget -q -T 10 -t 1 -O - http://$1/ && wget -q -T 10 -t 1 --ca-certificate=/etc/little-internet.pem -O - https://$1/'
client git 'git clone -q http://$1:9180/git/small.git small && cat small/file'
client npm 'npm view --fetch-retries=0 --registry http://$1:9180/npm/ small version description'
client pip 'python3 -m pip download -q --retries 0 --timeout 10 --no-deps --no-cache-dir --disable-pip-version-check \
  --index-url http://$1:9180/simple --trusted-host $1 -d pip small && ls pip'
client python 'python3 $2/clients.py $1'
client grpc 'python3 $2/call.py $1:9150'
client node 'node $2/clients.js $1'
client 'static go' '$2/go-static http://$1/ && $2/go-static https://$1/'
client 'go with libc' '$2/go-libc http://$1/ && $2/go-libc https://$1/'
client java 'java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp $2 Clients $1'
client musl '$2/musl $1:80'
client ssh 'ssh -F none -i $2/key -p 9122 -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
  -o LogLevel=ERROR root@$1 "echo over ssh"'
client nc 'printf "GET / HTTP/1.0\r\nHost: $1\r\nConnection: close\r\n\r\n" | nc -w 10 $1 80 | tail -n 1 | grep "^I am"'
client socat 'printf "GET / HTTP/1.0\r\nHost: $1\r\nConnection: close\r\n\r\n" | socat -t 10 - TCP:$1:80 | tail -n 1 | grep "^I am"'
client busybox 'set -o pipefail; busybox nslookup $1 | sort | grep . &&
  printf "GET / HTTP/1.0\r\nHost: $1\r\nConnection: close\r\n\r\n" | busybox nc $1 80 | tail -n 1 | grep "^I am"'
client apt-get 'mkdir -p apt/state/lists/partial apt/cache/archives/partial; : >apt/status
  echo "deb [trusted=yes] http://$1:9180/apt ./" >apt/sources.list
  from="-o Dir::Etc::SourceList=$PWD/apt/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State=$PWD/apt/state \
    -o Dir::Cache=$PWD/apt/cache -o Dir::State::status=$PWD/apt/status -o Acquire::Retries=0 -o Acquire::http::Timeout=10"
  apt-get -qq $from -o APT::Update::Error-Mode=any update && apt-cache $from show small'
client redis-cli 'redis-cli -h $1 -p 9179 ECHO "over redis" | grep "over redis"'
client psql '$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)/psql "host=$1 port=9132 user=postgres sslmode=disable connect_timeout=10" \
  -Atc "select 6 * 7"'
