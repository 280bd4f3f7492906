# readme.awk - the rows of README's table, of bench.jsonl:
#     awk -f bench/series.awk -f bench/readme.awk build/bench.jsonl
#
# Every figure is a median over the rounds; one that was not measured is "...".

function rate(workload, label,    value)
{
    value = median(workload, label, "rate")
    return !value ? "..." : value >= 999500 ? sprintf("%.1f million", value / 1e6) : thousands(value)
}

# Three digits that count.
function thousands(value,    digits)
{
    value = value >= 100000 ? int(value / 1000 + 0.5) * 1000 : value >= 10000 ? int(value / 100 + 0.5) * 100 \
        : int(value / 10 + 0.5) * 10
    digits = sprintf("%d", value)
    return length(digits) > 3 ? substr(digits, 1, length(digits) - 3) " " substr(digits, length(digits) - 2) : digits
}

function times(workload, field, ours, rival,    top, base)
{
    top = median(workload, ours, field)
    base = median(workload, rival, field)
    return top && base ? sprintf(top / base >= 10 ? "%.0f" : "%.1f", top / base) : "..."
}

function ms(workload, label, field,    value)
{
    value = median(workload, label, field)
    return value ? sprintf(value >= 10000 ? "%.0f" : value >= 1000 ? "%.1f" : "%.2f", value / 1000) : "..."
}

function slowest(label)
{
    return summarise("open", label, "open_ms") ? sprintf("%.2f s", high / 1000) : "..."
}

# A row with a rival.
function versus(what, workload, ours, rival, name)
{
    printf "| %s | %s | %s: %s | %s |\n", what, rate(workload, ours), name, rate(workload, rival),
           times(workload, "rate", ours, rival)
}

function asks(label)
{
    return ms("asks", label, "p50_us") " and " ms("asks", label, "p99_us")
}

END {
    print "| messages a second | ours | beside | times |"
    print "|---|---|---|---|"
    versus("10 000 counters, half of the messages from handlers", "counters", "ours",
           "lmdb mailbox, 1000 a transaction", "LMDB, mailbox table, 1 000 a transaction")
    versus("the same, 65 536 a transaction", "counters", "ours, 65536 a transaction",
           "lmdb cached, 65536 a transaction", "LMDB, states cached, 65 536 a transaction")
    versus("the same, 10 000 a transaction", "counters", "ours, 10000 a transaction",
           "lmdb cached, 10000 a transaction", "LMDB, states cached, 10 000 a transaction")
    versus("uniform over a million actors, 64-byte states", "uniform", "ours",
           "lmdb mailbox, 10000 a transaction", "LMDB, mailbox table, 10 000 a transaction")
    versus("the same", "uniform", "ours", "lmdb cached, 65536 a transaction",
           "LMDB, states cached, 65 536 a transaction")
    versus("the same, 1 KiB states", "uniform-1k", "ours", "lmdb mailbox, 10000 a transaction",
           "LMDB, mailbox table, 10 000 a transaction")
    versus("a ring of 10 000 actors", "ring", "ours", "caf", "CAF in memory, one thread")
    versus("1 024 threads, each waiting for each message", "senders", "ours", "lmdb cached",
           "LMDB with a group commit")
    versus("one client, waiting for each message", "latency", "ours", "lmdb", "LMDB, one put a transaction")
    versus("the same", "latency", "ours", "rocksdb", "RocksDB, one put a synced write")
    print "\n| | |\n|---|---|"
    printf "| send to durable at a tenth of the largest rate, a million actors, p50 and p99 | %s and %s ms |\n",
           ms("paced", "ours, at 10 % load", "p50_us"), ms("paced", "ours, at 10 % load", "p99_us")
    printf "| an ask beside a load of 10, 50, 80 %% of the largest rate, p50 and p99 | %s; %s; %s ms |\n",
           asks("at 10 % of the largest rate"), asks("at 50 %"), asks("at 80 %")
    printf "| the same beside senders that never stop | %s ms |\n", asks("senders that never stop")
    printf "| bytes written, uniform, against LMDB with a mailbox table | 1/%s |\n",
           times("uniform", "written_each", "lmdb mailbox, 10000 a transaction", "ours")
    printf "| open after `kill -9` with a full changelog: 100 000, 1 000 000, 4 000 000 actors | %s, %s, %s |\n",
           slowest("ours, 100000 actors"), slowest("ours, 1000000 actors"), slowest("ours, 4000000 actors")
    printf "| memory of an actor beside its 64-byte state | %s bytes |\n",
           summarise("memory", "ours", "bytes_each") ? sprintf("%d", middle) : "..."
}
