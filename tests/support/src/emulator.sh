# Has a program run as in Lambda: an unprivileged user, a read-only root but for
# /tmp. In mount and process namespaces of its own, which end with it.
# $1: what /var/task holds; $2: AWS's emulator; $3...: its arguments.
set -eu
task=$1 emulator=$2
shift 2
mkdir -p "$task.var/task" "$task.var/runtime"
cp "$emulator" "$task.var/runtime/aws-lambda-rie"
mount --bind "$task" "$task.var/task"
mount --rbind "$task.var" /var
mount -t tmpfs -o mode=1777,size=512m tmpfs /tmp
while read -r _ point _ options _; do
    case "$point,$options," in
    /tmp,* | *,ro,*) ;;
    *)
        # What lies below one of the new mounts can't be reached any more.
        if [ -e "$point" ]; then mount -o remount,bind,ro "$point"; fi
        ;;
    esac
done </proc/self/mounts
cd /var/task
# Lambda's own user and group. Who changes it has to ask for its end anew.
exec setpriv --pdeathsig KILL --reuid 993 --regid 990 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
    /var/runtime/aws-lambda-rie "$@"
