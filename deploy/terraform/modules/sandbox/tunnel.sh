#!/usr/bin/env bash
# Forwards a local port to the sandbox's database, through the bastion, by AWS
# Systems Manager Session Manager: no public address, no open port, no SSH key.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tunnel.sh --endpoint HOST [--remote-port PORT] [--local-port PORT]
                 [--bastion INSTANCE | --namespace NAME]

  -e, --endpoint     the database's host name, as `terraform output db_config` has it
  -r, --remote-port  the database's port (5432)
  -l, --local-port   the port on this machine (5432)
  -b, --bastion      the bastion's instance, as `terraform output bastion_id` has it
  -n, --namespace    look for a running instance with the name NAME-bastion instead
                     (sym-postgres-sandbox)
  -h, --help         show this

It needs the AWS CLI version 2, its Session Manager plugin, and credentials that
may `ssm:StartSession` with the bastion. The region is the AWS CLI's own.

Then, in another terminal, with the certificate checked against the database's
own name (global-bundle.pem is Amazon's, for all regions):
  psql "host=HOST hostaddr=127.0.0.1 port=5432 dbname=app user=sandbox_admin sslmode=verify-full sslrootcert=global-bundle.pem"
TEXT
}

# What was wrong, and what to do.
fail() {
  printf 'tunnel.sh: %s\n' "$@" >&2
  exit 1
}

endpoint=''
remote_port=5432
local_port=5432
bastion=''
namespace='sym-postgres-sandbox'

while (($# > 0)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    -e | --endpoint | -r | --remote-port | -l | --local-port | -b | --bastion | -n | --namespace)
      (($# > 1)) || fail "\`$1\` needs a value after it; \`tunnel.sh --help\` shows how."
      case $1 in
        -e | --endpoint) endpoint=$2 ;;
        -r | --remote-port) remote_port=$2 ;;
        -l | --local-port) local_port=$2 ;;
        -b | --bastion) bastion=$2 ;;
        -n | --namespace) namespace=$2 ;;
      esac
      shift 2
      ;;
    *)
      fail "\`$1\` is none of its options; \`tunnel.sh --help\` shows them."
      ;;
  esac
done

[[ -n $endpoint ]] || fail "name the database with \`--endpoint\`: \`terraform output db_config\` has its host."
# It becomes JSON: nothing but what host names are made of.
[[ $endpoint =~ ^[A-Za-z0-9.-]+$ ]] || fail "\`$endpoint\` is no host name: leave out the port and everything else."
for port in "$remote_port" "$local_port"; do
  if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then
    fail "\`$port\` is no port: take a number from 1 to 65535."
  fi
done

command -v aws >/dev/null || fail "there is no \`aws\`: install the AWS CLI version 2."
command -v session-manager-plugin >/dev/null ||
  fail "the AWS CLI lacks its Session Manager plugin: install \`session-manager-plugin\`."
if (exec 3<>"/dev/tcp/127.0.0.1/$local_port") 2>/dev/null; then
  fail "port $local_port on this machine is in use: choose another with \`--local-port\`."
fi
aws sts get-caller-identity >/dev/null ||
  fail "the AWS CLI has no credentials that work (its words are above): log in, for example with \`aws sso login\`, or set AWS_PROFILE."

if [[ -z $bastion ]]; then
  bastion=$(aws ec2 describe-instances \
    --filters "Name=tag:Name,Values=$namespace-bastion" Name=instance-state-name,Values=running \
    --query 'Reservations[0].Instances[0].InstanceId' --output text) ||
    fail "the bastion can't be looked for (AWS's words are above): name it with \`--bastion\`."
  [[ -n $bastion && $bastion != None ]] ||
    fail "there is no running instance with the name \`$namespace-bastion\` in this region: check AWS_REGION, or name it with \`--bastion\`."
fi

# An instance that has just started takes a minute or two to register.
status=$(aws ssm describe-instance-information \
  --filters "Key=InstanceIds,Values=$bastion" \
  --query 'InstanceInformationList[0].PingStatus' --output text) ||
  fail "Session Manager can't be asked about \`$bastion\` (AWS's words are above): you need ssm:DescribeInstanceInformation."
[[ $status == Online ]] ||
  fail "\`$bastion\` is not connected to Session Manager ($status): if it has just started, try again in two minutes; otherwise look at its endpoints and its role."

printf 'Forwarding 127.0.0.1:%s to %s:%s through %s. Ctrl-C ends it.\n' \
  "$local_port" "$endpoint" "$remote_port" "$bastion" >&2
exec aws ssm start-session \
  --target "$bastion" \
  --document-name AWS-StartPortForwardingSessionToRemoteHost \
  --parameters "{\"host\":[\"$endpoint\"],\"portNumber\":[\"$remote_port\"],\"localPortNumber\":[\"$local_port\"]}"
