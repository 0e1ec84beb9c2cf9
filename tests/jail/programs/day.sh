# What an agent does all day, with the host $1; $2: where the test's programs are, $3: an empty folder, $4: a name that nobody
# else uses. Says of each what came of it. Ends when there is a file `stop` in its folder.
host=$1 programs=$2 own=$3 name=$4
export PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=$own TMPDIR=$own LC_ALL=C
cd "$own" || exit 1
exec 2>&1

git clone -q "http://$host:9180/git/small.git" work && cd work || exit 1
git checkout -q -b "$name" && echo "by $name" >mine && git add mine
git -c user.name=agent -c user.email=agent@localhost commit -qm mine && git push -q origin "$name"
git ls-remote --heads origin "$name" | grep -c "$(git rev-parse HEAD)"
cd ..

npm install --silent --no-audit --no-fund --fetch-retries=0 --registry "http://$host:9180/npm/" small && node -p 'require("small")'
python3 -m pip install -q --retries 0 --disable-pip-version-check --no-cache-dir --index-url "http://$host:9180/simple" \
  --trusted-host "$host" --target modules small && PYTHONPATH=modules python3 -c 'import small; print(small.WORDS)'
python3 "$programs/websocket.py" "$host" 9180

# A server of its own, which goes on when the shell that started it is gone.
cat >server.js <<'END'
require('http').createServer((_, answer) => answer.end('from its own server\n')).listen(3000, 'localhost', () => console.log('up'))
END
mkfifo up
sh -c 'setsid nohup node server.js >up 2>/dev/null &'
read -r _ <up
curl -sS -m 10 http://localhost:3000/

ssh="ssh -F none -p 9122 -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
$ssh "root@$host" echo over the agent outside
# It hides its memory, so notify can't know its sockets.
if ssh-agent -s >own-agent 2>/dev/null; then
  . ./own-agent >/dev/null
  ssh-add -q "$programs/key" && $ssh "root@$host" echo over its own agent
  ssh-agent -k >/dev/null
else
  echo no agent of its own
fi

until [ -e stop ]; do sleep 0.1; done
echo over
