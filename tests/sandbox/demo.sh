#!/usr/bin/env bash
# The main job on the sandbox: commands in, Front called, results out. Ends by itself with 0;
# KEEP=1 leaves sandbox and connectors running until they are interrupted.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$PWD/build
work=$(mktemp -d)
pids=()

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2> /dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 0' INT TERM

# Waits for a line in a file; fails after 15 s and shows what is there.
await() {
    local file=$1 line=$2 i
    for ((i = 0; i < 300; i++)); do
        if grep -qs -- "$line" "$file"; then return; fi
        sleep 0.05
    done
    echo "demo: no '$line' in $(basename "$file") after 15 s; it ends with:" >&2
    tail -5 "$file" >&2
    return 1
}

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# One connector per command topic: Avro on the first, JSON on the second.
start_connector() { # FORMAT TOPIC; more settings from stdin
    cat > "$work/$1.conf" << END
front.url = $url
front.token = demo
front.timeout.ms = 2000
kafka.bootstrap.servers = $kafka
# The sandbox's Kafka is a mock without transactions and with slow rebalances.
delivery = at-least-once
kafka.consumer.session.timeout.ms = 6000
group.id = demo-$1
commands.topics = $2
commands.format = $1
status.listen = off
$(cat)
END
    "$bin/front-connector" run -c "$work/$1.conf" 2> "$work/$1.log" &
    pids+=($!)
}

# Sends one command, waits for its result and prints both. `send` ends with 1 when the
# outcome is not SUCCEEDED, which some of these are meant to be.
show() { # WHAT FORMAT ARGUMENTS...
    local what=$1 format=$2 status=0 word
    shift 2
    printf '\n%s\n  $ front-connector send' "$what"
    for word in "$@"; do
        case $word in
        *[\"\ ]*) printf " '%s'" "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    echo
    "$bin/front-connector" send -c "$work/$format.conf" --wait 15 "$@" > "$work/result" || status=$?
    if [ "$status" -gt 1 ]; then return "$status"; fi
    show_result
}

show_result() {
    python3 - "$work/result" << 'END'
import json, sys
result = json.load(open(sys.argv[1]))
error = result["error"] or {}
print(" ", *filter(None, (result[k] for k in ("outcome", "http_status", "resource_id"))))
if result["pages"]:
    print("  %(items)d items on %(pages)d page(s)" % result)
if error:
    print("  %(kind)s: %(message)s" % error)
text = result["response"] or ""
if text:
    print("  response: " + (text if len(text) <= 150 else text[:150] + "..."))
print("  from %(source_topic)s/%(source_partition)d@%(source_offset)d" % result)
END
}

# Sends a list of 250 conversations in the background; its pages are small and come slowly.
send_list() { # WHAT
    printf '\n%s\n  $ front-connector send list-conversations limit=25 max_items=250\n' "$1"
    "$bin/front-connector" send -c "$work/avro.conf" --wait 15 list-conversations limit=25 \
        max_items=250 > "$work/result" &
    sender=$!
}

show_list() {
    send_list "A list of ten pages, shown while it goes on by: front-connector jobs --watch"
    "$bin/front-connector" jobs -c "$work/avro.conf" --watch &
    pids+=($!)
    wait "$sender"
    kill "${pids[-1]}"
    wait "${pids[-1]}" || true # ended by the signal
    unset 'pids[-1]'
    show_result
    printf '  conversations on the topic front.conversations: '
    "$bin/front-connector" tail -c "$work/avro.conf" front.conversations -o beginning -e |
        python3 -c 'import json, sys; print(len({json.loads(line)["key"] for line in sys.stdin}))'
}

show_cancel() {
    local id='' i
    send_list "The same list, cancelled"
    for ((i = 0; i < 100 && ${#id} == 0; i++)); do
        id=$("$bin/front-connector" jobs -c "$work/avro.conf" 2> /dev/null |
            sed -n 's/  list-conversations .*//p')
    done
    printf '  $ front-connector jobs cancel %s\n' "$id"
    "$bin/front-connector" jobs -c "$work/avro.conf" cancel "$id" 2> /dev/null
    wait "$sender" || true # it is no success
    show_result
}

# An event's record, waited for, of those with these words in them.
show_event() { # ID DELIVERY
    local i
    for ((i = 0; i < 300; i++)); do
        "$bin/front-connector" tail -c "$work/avro.conf" events -o beginning -e > "$work/events"
        if python3 - "$work/events" "$1" "$2" << 'END'
import json, sys
file, event_id, delivery = sys.argv[1:]
for line in open(file):
    record = json.loads(line)
    event, headers = record["payload"], record["headers"]
    if event["id"] == event_id and event["delivery"] == delivery:
        print("  on %s: %s %s, delivery %s, origin %s, key %s" % (
            record["topic"], event["type"], event["id"], delivery, headers["origin"], record["key"]))
        sys.exit(0)
sys.exit(1)
END
        then return; fi
        sleep 0.1
    done
    echo "demo: no event $1 with delivery $2 after 30 s" >&2
    return 1
}

# The newest event that Front lists of a conversation.
newest_event() { # CONVERSATION
    python3 - "$url/conversations/$1/events?limit=1" << 'END'
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer demo"})
print(json.load(urllib.request.urlopen(request))["_results"][0]["id"])
END
}

show_events() {
    show "A tag on a conversation: Front's webhook says so, and that a call like ours did it" avro \
        add-conversation-tag conversation_id=cnv_3 'tag_ids:=["tag_2"]'
    show_event "$(newest_event cnv_3)" webhook
    printf '\nA message whose webhook is dropped on purpose: found in the list of events\n'
    printf '  $ front-sandbox trigger inbound --conversation cnv_2 --drop\n'
    "$bin/front-sandbox" trigger inbound --url "$url" --conversation cnv_2 --drop > /dev/null
    show_event "$(newest_event cnv_2)" healed
}

"$bin/front-sandbox" --port 0 --seed 1 --quota fixed:6000 --fill 250 --topics \
    front.commands:4,front.commands-json:4,front.results:4,front.dead-letters:4,front.jobs:4,front.conversations:4,front.events:4 \
    > "$work/sandbox" 2> "$work/sandbox.log" &
pids+=($!)
await "$work/sandbox" '"ready":true'
url=$(field url < "$work/sandbox")
kafka=$(field bootstrap < "$work/sandbox")
registry=$(field registry < "$work/sandbox")
start_connector avro front.commands << END
schemas.registry.url = $registry
schemas.register = true
# One topic has commands of many schemas.
schemas.subject.strategy = topic-record
webhooks.listen = 127.0.0.1:0
webhooks.app.keys = demo-key
events.heal.every.ms = 3000
events.heal.lag.ms = 0
END
start_connector json front.commands-json < /dev/null
await "$work/avro.log" group.assigned
await "$work/avro.log" webhooks.listen
await "$work/json.log" group.assigned
echo "Sandbox of Front at $url, its Kafka at $kafka, its schema registry at"
echo "$registry, two connectors running."

hooks=$(sed -n 's/.*webhooks.listen: .* port \([0-9]*\).*/\1/p' "$work/avro.log")
python3 - "$url/_sandbox/webhooks" "$hooks" << 'END'
import json, sys, urllib.request
url, port = sys.argv[1:]
webhook = {"kind": "app", "key": "demo-key", "url": f"http://127.0.0.1:{port}/webhooks/front/app"}
urllib.request.urlopen(url, json.dumps(webhook).encode())
END

show "A create, in the operation's own Avro record, by the schema registry" avro \
    create-tag name=Demo --typed
show "An update, as front.Command" avro update-conversation conversation_id=cnv_1 status=archived
show "A delete, as JSON" json delete-tag tag_id=tag_1
show "A list of one page" avro list-teammates
python3 - "$url/_sandbox/faults" << 'END'
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], b'{"operation": "list-conversations", "fault": "slow", "delay_ms": 300}')
END
show_list
show_cancel
show_events
show "A raw call" avro call method=GET path=/me
show "A bad command: refused, Front is not asked" avro \
    update-conversation conversation_id=cnv_1 statu=open --force
show "A reply that Front executes and never answers: in doubt, not sent again" avro \
    create-message-reply conversation_id=cnv_timeout body=Hello -H on-in-doubt=report

printf '\nWhat the schema registry has\n'
python3 - "$registry" << 'END'
import json, sys, urllib.parse, urllib.request
def ask(path):
    return json.load(urllib.request.urlopen(sys.argv[1] + path))
for subject in ask("/subjects"):
    print("  id %(id)2d  %(subject)s" % ask(f"/subjects/{urllib.parse.quote(subject)}/versions/latest"))
END

printf '\nWhat Front was asked\n'
python3 - "$url/_sandbox/requests" << 'END'
import itertools, json, sys, urllib.request
requests = json.load(urllib.request.urlopen(sys.argv[1]))
lines = ("  %-6s %-38s %-9s %s" % (r["method"], r["path"], r["status"] or "no answer",
                                   "executed" if r["executed"] else "not executed")
         for r in requests if not r["path"].endswith("/events"))
for line, same in itertools.groupby(lines):
    n = len(list(same))
    print(line + (", %d times" % n if n > 1 else ""))
print("  and the list of events, for what no webhook brought")
END
printf '  '
"$bin/front-sandbox" assert-once --url "$url" 2>&1

if [ "${KEEP:-0}" = 1 ]; then
    printf '\nStill running; settings: %s. Interrupt to end it.\n' "$work/avro.conf"
    wait
fi
