# Run by a kernel of its own (User Mode Linux, its root this machine's file system, read-only) as its first process: a real
# NFS server, two hosts that mount one home from it by different versions of the protocol, and an issuer. What came of it
# is said in lines `@ NAME VALUE`; the test knows which there must be. HALLPASS names the program.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run NO_COLOR=1
umask 022
mount -t proc proc /proc
for place in /run /mnt /var/tmp /var/lib/nfs; do mount -t tmpfs tmpfs $place; done
ip link set lo up

say() { echo "@ $*"; }
finish() { poweroff -f; }

modules=/usr/lib/uml/modules/$(uname -r)
# What a module needs stands after it, the nearest first.
load() {
  line=$(grep "/$1.ko:" "$modules/modules.dep")
  last_first=""
  for needed in ${line#*:}; do last_first="$needed $last_first"; done
  for module in $last_first ${line%%:*}; do busybox insmod "$modules/$module" 2>/dev/null; done
}
for module in nfsd nfsv3 nfsv4; do load $module; done

# --- a file server
mount -t nfsd nfsd /proc/fs/nfsd
mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/sm /var/lib/nfs/sm.bak /mnt/export /mnt/a /mnt/b /mnt/squashed
touch /var/lib/nfs/etab /var/lib/nfs/rmtab /var/lib/nfs/state
mount -t tmpfs tmpfs /mnt/export
mkdir -m 0700 /mnt/export/ada
chown 1000 /mnt/export/ada
{
  rpcbind -w
  exportfs -o rw,sync,fsid=0,no_subtree_check,insecure,root_squash 127.0.0.0/8:/mnt/export
  # Nobody holds a lock from before this server started: no client has any to claim again.
  echo 1 >/proc/fs/nfsd/nfsv4leasetime
  echo 1 >/proc/fs/nfsd/nfsv4gracetime
  rpc.mountd
  rpc.nfsd 4
  rpc.statd --no-notify
  mount -t nfs -o vers=4.2,nosharecache,proto=tcp 127.0.0.1:/ /mnt/a
  mount -t nfs -o vers=3,nosharecache,proto=tcp,mountproto=tcp 127.0.0.1:/mnt/export /mnt/b
} >/run/server.log 2>&1
mounted=$(grep -c '^127.0.0.1:.* nfs' /proc/mounts)
say mounted "$mounted"
[ "$mounted" = 2 ] || { cat /run/server.log; finish; }

# --- an issuer
umask 077
# Where it was built, others may not look.
install -m 0755 "$HALLPASS" "$HALLPASS-main" /run
HALLPASS=/run/hallpass
"$HALLPASS" serve --data /run/server --listen 127.0.0.1:0 --local-approval --json >/run/serve.out 2>/run/serve.log &
admin() { "$HALLPASS" admin --data /run/server "$@"; }
# Waits until a pattern is in a file that is being written, and says what it caught.
await() {
  tries=0
  while [ $tries -lt 1200 ]; do
    found=$(sed -n "s/.*$2.*/\1/p" "$1" 2>/dev/null)
    [ -z "$found" ] || { echo "$found"; return; }
    tries=$((tries + 1))
    sleep 0.05
  done
}
issuer=$(await /run/serve.out '"url":"\([^"]*\)"')/acme
{
  admin org add acme --title Acme --administrator ada --administrator-name Ada
  admin client add notes-api --kind service --owner person:ada --new-key /run/notes-api.pem
  admin resource add https://notes.example --name Notes --owner person:ada --environment dev --server notes-api --scope notes:read
} >/run/admin.log 2>&1

# --- hosts: a name, a machine id, local folders and a mount of the home each. `twin` was made from the image of `a`, whose
# machine id was left in it.
new_host() { # NAME, whose machine id, whose mount
  mkdir -p -m 0777 "/run/$1/var-tmp"
  chmod 0755 "/run/$1"
  printf '%032x\n' "$(printf %d "'$2")" >"/run/$1/machine-id"
  chmod 0644 "/run/$1/machine-id"
  ln -s "/mnt/$3" "/run/$1/mount"
}
new_host a a a
new_host b b b
new_host twin a b
chmod 0755 /run
install -m 0600 -o 1000 /dev/null /run/passphrase
echo 'correct horse' >/run/passphrase
# On a host, as a user: on HOST UID COMMAND...
cat >/run/on <<'END'
host=$1 uid=$2
shift 2
hostname "host-$host"
mount --bind /run/$host/machine-id /etc/machine-id
mount --bind /run/$host/var-tmp /var/tmp
mount --bind "$(readlink /run/$host/mount)" /srv
cd /
export HOME=/srv/ada HALLPASS_STORE=passphrase HALLPASS_PASSPHRASE_FILE=/run/passphrase HALLPASS_HOST=own HALLPASS_NO_INPUT=1
exec setpriv --reuid "$uid" --clear-groups "$@"
END
on() { unshare --mount --uts sh /run/on "$@"; }
sign_in() {
  on "$1" "$2" "$HALLPASS" login "$issuer" --flow device --resource https://notes.example --scope notes:read --json \
    >"/run/login.$1" 2>"/run/login.$1.log" &
  login=$!
  code=$(await "/run/login.$1" '"user_code":"\([^"]*\)"')
  [ -z "$code" ] || admin approve "$code" --org acme --as ada >>/run/admin.log 2>&1
  wait $login
  came=$?
  [ $came = 0 ] || cat "/run/login.$1.log"
  say "sign-in-$1" $came
}
sign_in a 1000
sign_in b 1000
say records "$(find /mnt/export/ada -name '*.record' | wc -l)"

# --- they renew at once, each host with three, and one of them is killed. `a` and `twin` have one record between them, no
# local folder, and the file server's locks.
export HALLPASS
for host in a b twin; do
  for process in 1 2 3; do
    on $host 1000 "$HALLPASS" token --fresh >/run/token.$host.$process 2>/run/token.$host.$process.log &
    eval "pid_${host}_$process=$!"
  done
done
sleep 1
eval "kill -9 \$pid_a_3 \$pid_b_3 \$pid_twin_3"
failed=0
for host in a b twin; do
  for process in 1 2; do
    eval "wait \$pid_${host}_$process" || { failed=$((failed + 1)); cat /run/token.$host.$process.log; }
  done
done
say renewals-that-failed $failed
for host in a twin b; do
  on $host 1000 "$HALLPASS" token --fresh >/dev/null || say lost $host
  on $host 1000 "$HALLPASS" status --json >/run/status.$host
  say "stands-$host" "$(grep -o '"stands":[a-z]*' /run/status.$host | tr '\n' ' ')"
done
"$HALLPASS" ledger --data /run/server list --org acme --json >/run/ledger 2>/run/ledger.log || cat /run/ledger.log
say entries-of-renewals "$(grep -c '"refreshed"' /run/ledger)"
say entries-that-tell-of-theft "$(grep -c -E '"(copied|reused|cut)"' /run/ledger)"

# --- one goes, and the other stays
on b 1000 "$HALLPASS" logout >/dev/null 2>&1
say logout-b $?
on a 1000 "$HALLPASS" token >/dev/null
say token-a $?
on b 1000 "$HALLPASS" token >/dev/null 2>/run/token-b.log
say token-b $?
# --- the home goes from under a host that has it in its cache
on b 1000 rm -rf /srv/ada/.local
on a 1000 "$HALLPASS" token >/dev/null 2>/run/token-a.log
say token-of-a-home-that-is-gone $?
grep -q 'nobody is signed in' /run/token-a.log || cat /run/token-a.log

# --- root is nobody to the server
on a 0 "$HALLPASS" login "$issuer" --flow device --resource https://notes.example --json >/run/login.root 2>/run/login.root.log
say sign-in-of-root $?
say asked-of-root "$(grep -c user_code /run/login.root)"
say told-root "$(grep '^error' /run/login.root.log)"
finish
