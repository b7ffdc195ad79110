#!/usr/bin/env bash
# Ranks of MPI in network namespaces of their own, as on two machines: bash Tests/RankLab/namespaces.sh PROGRAM [ARGUMENTS]
# Each rank has its own loopback, its own address and its own host name; a pair of virtual Ethernet devices joins them, and Open
# MPI has nothing but TCP over it. Shared memory and the loopback, which hide errors of addresses, are out of reach.
# Where namespaces cannot be made (no root, a container without the right, no iproute2) it says so and succeeds.
set -euo pipefail
skip() { echo "namespaces: SKIPPED, $1"; exit 0; }
[ $# -ge 1 ] || { echo "namespaces: give the program that the ranks run" >&2; exit 2; }
command -v ip >/dev/null || skip "there is no ip (apt-get install iproute2)"
command -v mpirun >/dev/null || skip "there is no mpirun (apt-get install libopenmpi-dev openmpi-bin)"
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"

name=attnlab-$$
first=$name-0 second=$name-1
scratch=$(mktemp -d)
finish() {
  ip netns del "$first" 2>/dev/null || true
  ip netns del "$second" 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT
ip netns add "$first" 2>/dev/null && ip netns add "$second" 2>/dev/null || skip "network namespaces are not allowed here"
ip -n "$first" link add rank0 type veth peer name rank1 2>/dev/null || skip "virtual Ethernet devices are not allowed here"
ip -n "$first" link set rank1 netns "$second"
ip -n "$first" addr add 10.211.77.1/30 dev rank0
ip -n "$second" addr add 10.211.77.2/30 dev rank1
for end in 0 1; do
  ip -n "$name-$end" link set lo up
  ip -n "$name-$end" link set "rank$end" up
done

# How mpirun reaches the other machine: what ssh would do, with the namespace in its place.
cat >"$scratch/reach" <<AGENT
#!/usr/bin/env bash
host=\$1
shift
exec ip netns exec $second unshare --uts bash -c "hostname rank1 && \$*"
AGENT
chmod +x "$scratch/reach"

timeout 300 ip netns exec "$first" unshare --uts bash -c 'hostname rank0 && exec "$@"' _ \
  mpirun --allow-run-as-root --bind-to none --host 10.211.77.1:1,10.211.77.2:1 -n 2 \
  --mca plm rsh --mca plm_rsh_agent "$scratch/reach" --mca plm_rsh_no_tree_spawn 1 \
  --mca btl tcp,self --mca pml ob1 --mca btl_tcp_if_include 10.211.77.0/30 --mca oob_tcp_if_include 10.211.77.0/30 "$@"
sent=$(ip netns exec "$first" cat /sys/class/net/rank0/statistics/tx_bytes)
echo "namespaces: two ranks, $sent bytes from the first to the second" >&2
