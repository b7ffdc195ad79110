#!/usr/bin/env bash
# A Slurm of one's own on this machine, for a script that sources this: munged, slurmctld and slurmd with ports, sockets and folders
# of their own, which end with the script. Sets $scratch, a folder that is removed then, and goes there.
# Where something is missing the script ends here, with success, and says so.
for needed in munged slurmctld slurmd sbatch scontrol; do
  command -v $needed >/dev/null || { echo "slurm: SKIPPED, there is no $needed (apt-get install slurm-wlm munge)"; exit 0; }
done
[ "$(id -u)" -eq 0 ] || { echo "slurm: SKIPPED, the daemons need root"; exit 0; }
RANDOM=${SEED:-$$}
echo "slurm: seed ${SEED:-$$}"

scratch=$(mktemp -d)
chmod 755 "$scratch"
daemons=()
finish() {
  code=$?
  scancel --user root >/dev/null 2>&1 || true
  for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${daemons[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ $code -ne 0 ]; then
    echo "slurm: failed; the end of the logs:" >&2
    tail -n 15 "$scratch"/*.log "$scratch"/*/logs/*.out >&2 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap finish EXIT
# --- the daemons
mkdir "$scratch/state" "$scratch/spool" "$scratch/munge"
chmod 700 "$scratch/munge"
head -c 1024 /dev/urandom >"$scratch/munge/key"
chmod 400 "$scratch/munge/key"
munged --foreground --force --key-file="$scratch/munge/key" --socket="$scratch/munge.socket" --num-threads=2 \
  --pid-file="$scratch/munge/pid" --seed-file="$scratch/munge/seed" --log-file="$scratch/munge/log" >"$scratch/munged.log" 2>&1 &
daemons+=($!)
host=$(hostname -s)
port=$((20000 + RANDOM % 20000))
export SLURM_CONF=$scratch/slurm.conf
cat >"$SLURM_CONF" <<CONF
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$scratch/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0,bf_interval=2
StateSaveLocation=$scratch/state
SlurmdSpoolDir=$scratch/spool
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.pid
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000
PartitionName=short Nodes=$host Default=YES MaxTime=01:00:00 State=UP OverSubscribe=NO
CONF
# More processors than there are, so that four tasks run at once.
echo "SlurmdParameters=config_overrides" >>"$SLURM_CONF"
slurmctld -D -c >"$scratch/slurmctld.log" 2>&1 &
daemons+=($!)
slurmd -D -N "$host" >"$scratch/slurmd.log" 2>&1 &
daemons+=($!)
for _ in $(seq 100); do
  [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && break
  sleep 0.2
done
[ "$(sinfo -h -o %t)" = idle ] || { echo "slurm: the node did not come up" >&2; exit 1; }
echo "slurm: $(sinfo --version) runs"

left() { squeue -h -r -j "$1" 2>/dev/null | wc -l; }
# Waits until no job is left.
drain() { while [ "$(squeue -h | wc -l)" -gt 0 ]; do sleep 0.5; done; }
cd "$scratch"
