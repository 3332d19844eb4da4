#!/bin/sh
# Rolls a version out and waits for what becomes of it. For any pipeline; the two beside it use it.
#
#   release.sh start VERSION     starts the rollout of the route and waits
#   release.sh approve ID        agrees to the next step of a rollout that waits for that, and waits on
#   release.sh wait ID           waits on, such as after a timeout
#
# From the environment:
#   ROUTE          the route, `shop` if nothing else is said
#   TIMEOUT        how long to wait, 2h if nothing else is said
#   REASON         why, for the audit: the address of the build
#   REPORT         where everything that is known of the rollout goes, rollout-report.json if nothing else is said
#   WEIR_SERVER, and WEIR_TOKEN or WEIR_TOKEN_FILE: the admin API, and a token that may do it; read by weir itself
#
# Ends with the exit code of weir: 0 promoted, 3 rolled back, aborted or superseded, 5 not over in time (it goes on),
# 8 somebody has to agree; 1, 2, 6 and 7 say that it could not be asked for.
set -u

ROUTE=${ROUTE:-shop}
TIMEOUT=${TIMEOUT:-2h}
REASON=${REASON:-pipeline}
REPORT=${REPORT:-rollout-report.json}

say() {
    printf '%s\n' "release: $*" >&2
}

usage() {
    say "usage: release.sh start VERSION | approve ID | wait ID"
    exit 2
}

# Later steps of a GitHub workflow read what is written here.
output() {
    if [ -n "${GITHUB_OUTPUT:-}" ]; then
        printf '%s\n' "$1" >> "$GITHUB_OUTPUT"
    fi
}

[ $# -eq 2 ] && [ -n "$2" ] || usage

case $1 in
    start)
        id=$(weir rollout start "$ROUTE" --version "$2" --reason "$REASON" --output name) || exit $?
        say "rollout $id of $2 on $ROUTE has begun"
        ;;
    approve)
        id=$2
        weir rollout approve "$id" --reason "$REASON" --output name > /dev/null || exit $?
        say "agreed to the next step of $id"
        ;;
    wait)
        id=$2
        ;;
    *)
        usage
        ;;
esac

printf '%s\n' "$id" > rollout-id
output "rollout=$id"

weir rollout wait "$id" --timeout "$TIMEOUT"
code=$?
output "code=$code"

if ! weir rollout report "$id" > "$REPORT"; then
    say "there is no report: see above"
fi

case $code in
    0) say "$id is promoted" ;;
    3) say "$id did not get through; all users are on the old version. Why is above and in $REPORT" ;;
    5) say "$id is not over after $TIMEOUT and goes on; 'release.sh wait $id' waits again" ;;
    8) say "$id waits for somebody to agree: 'release.sh approve $id', or 'weir rollout reject $id'" ;;
    *) say "nobody knows how $id is: weir ended with $code. It goes on without this pipeline" ;;
esac
exit "$code"
