# table.awk - the table of bench.jsonl: awk -f bench/series.awk -f bench/table.awk build/bench.jsonl
#
# A group is one field of one workload, a line for each label.  Below it stand ratios of medians and
# values of our own, with the target beside each.  Targets say what we want, and are information: a missed
# one fails nothing.

function group(workload, field, unit, title)
{
    workloads[++group_count] = workload
    fields[group_count] = field
    units[group_count] = unit
    titles[group_count] = title
}

# Of the group named last.  `limit` 0: no target, the ratio is printed alone.
function ratio(ours, rival, sense, limit)
{
    aims[group_count, ++aim_count[group_count]] = ours
    rivals[group_count, aim_count[group_count]] = rival
    senses[group_count, aim_count[group_count]] = sense
    limits[group_count, aim_count[group_count]] = limit
}

# `which`: "median" or "max".
function own(ours, which, sense, limit)
{
    ratio(ours, "", sense, limit)
    whiches[group_count, aim_count[group_count]] = which
}

BEGIN {
    group("counters", "rate", 1, "counters: 10 000 actors, 64-byte states, half of the messages from handlers; messages a second")
    ratio("ours", "lmdb mailbox, 1000 a transaction", ">=", 12)
    ratio("ours", "lmdb mailbox, 10000 a transaction", ">=", 0)
    ratio("ours, 1000 a transaction", "lmdb mailbox, 1000 a transaction", ">=", 0)
    ratio("ours, 1000 a transaction", "lmdb cached, 1000 a transaction", ">=", 0)
    ratio("ours, 10000 a transaction", "lmdb cached, 10000 a transaction", ">=", 1)
    ratio("ours, 65536 a transaction", "lmdb cached, 65536 a transaction", ">=", 1)
    ratio("ours, 65536 a transaction", "rocksdb cached, 65536 a transaction", ">=", 0)
    ratio("ours, 65536 a transaction", "sqlite cached, 65536 a transaction", ">=", 0)
    group("counters", "cpu_ns", 1, "counters: processor time of the thread that runs the handlers; ns a message")
    own("ours --thread", "median", "<=", 170)
    ratio("ours --thread", "lmdb cached, 65536 a transaction", "<=", 0)
    group("counters", "cpu_all_ns", 1, "counters: processor time of all threads; ns a message")
    group("instructions", "instructions", 1, "counters: instructions a message of the thread that sends and drives (callgrind)")
    group("instructions", "in_turn", 1, "counters: instructions a message within its turn, the handler included")
    group("instructions-ring", "instructions", 1, "ring: instructions a message of the thread that drives")
    group("instructions-ring", "in_turn", 1, "ring: instructions a message within its turn")
    group("ring", "rate", 1, "ring: 10 000 actors, 1 000 tokens, ours durable, caf in memory; messages a second")
    ratio("ours", "caf", ">=", 3)
    group("uniform", "rate", 1, "uniform: 1 000 000 actors, 64-byte states; messages a second")
    ratio("ours", "lmdb mailbox, 10000 a transaction", ">=", 10)
    ratio("ours", "lmdb-writemap mailbox, 10000 a transaction", ">=", 8)
    ratio("ours", "lmdb cached, 65536 a transaction", ">=", 0)
    ratio("ours", "rocksdb cached, 65536 a transaction", ">=", 0)
    group("uniform", "written_each", 1 / 64, "written: bytes to disk for each message byte, in the runs of \"uniform\" (writemap: not seen here)")
    ratio("ours", "lmdb mailbox, 10000 a transaction", "<=", 0.1)
    group("uniform-1k", "rate", 1, "uniform-1k: 1 000 000 actors, 1 KiB states; messages a second")
    ratio("ours", "lmdb mailbox, 10000 a transaction", ">=", 2.5)
    ratio("ours", "lmdb cached, 65536 a transaction", ">=", 0)
    group("source", "rate", 1, "source: messages of an input that can be replayed; messages a second")
    ratio("ours, 1000 an advance", "ours, 1 an advance", ">=", 0.9)
    group("latency", "p50_us", 1, "latency: one client, one message at a time, send to durable; microseconds, p50")
    latencies()
    group("latency", "p99_us", 1, "latency: the same, p99")
    latencies()
    group("latency", "rate", 1, "latency: the same; messages a second of that one client")
    ratio("ours", "lmdb", ">=", 0)
    ratio("ours", "sqlite", ">=", 0)
    ratio("ours", "rocksdb", ">=", 0)
    group("cart", "rate", 1, "cart: one of five lines is counted, in a small map or in the struct; turns a second")
    ratio("ours, small map", "ours, struct", ">=", 0)
    group("map", "rate", 1, "map: one map of 1 000 000 entries, 64 of them counted a turn; entries a second")
    ratio("ours, large map", "lmdb direct, 65536 a transaction", ">=", 0)
    group("walk", "rate", 1, "walk: that map from its first entry to its last; entries a second")
    group("list", "rate", 1, "list: 64 elements are appended a turn; elements a second")
    group("queue", "rate", 1, "queue: the first entry of a map is taken out, early and late; turns a second")
    group("senders", "rate", 1, "senders: 1 024 threads that wait for each of their messages to be durable; messages a second")
    ratio("ours", "lmdb cached", ">=", 1.5)
    ratio("ours", "rocksdb cached", ">=", 0)
    group("paced", "p50_us", 0.001, "paced: 1 000 000 actors, send to durable while sweeps run, open loop; milliseconds, p50")
    group("paced", "p99_us", 0.001, "paced: the same, p99")
    own("ours, at 10 % load", "median", "<=", 8)
    group("paced", "max_us", 0.001, "paced: the same, the slowest of a round")
    group("asks", "p50_us", 0.001, "asks: 1 000 a second while others send, open loop; milliseconds, p50")
    group("asks", "p99_us", 0.001, "asks: the same, p99")
    group("asks", "load", 1, "asks: what the others sent; messages a second")
    group("transfer", "rate", 1, "transfer: one cent from one of 10 000 accounts to another (Styx publishes 30 000); transfers a second")
    own("ours, calls", "median", ">=", 500000)
    ratio("ours, calls", "ours, messages", ">=", 0)
    ratio("ours, calls", "lmdb direct, 10000 a transaction", ">=", 0)
    ratio("ours, calls", "lmdb cached, 10000 a transaction", ">=", 0)
    ratio("ours, calls --thread", "lmdb cached, 65536 a transaction", ">=", 0)
    group("transfer", "cpu_ns", 1, "transfer: processor time of the thread that runs the handlers; ns a transfer")
    group("timers", "rate", 1, "timers: 200 000 under way, set again by each turn, all with the same delay; fired a second")
    own("ours, tell", "median", ">=", 500000)
    group("timers", "cpu_ns", 1, "timers: processor time of the thread that runs the handlers; ns for each that was set and fired")
    group("timers-memory", "bytes_each", 1, "timers: growth of RssAnon for each that is pending, of ten million")
    own("ours, pending", "max", "<=", 1)
    group("inside", "p50_us", 1, "inside: one client that asks, with a call in the turn and without; microseconds, p50")
    ratio("ours, a call inside", "ours, none", "<=", 1.2)
    group("cache", "rate", 1, "cache: states of five times cache_bytes_max, 250 000 actors, 1 KiB states; messages a second")
    ratio("ours", "lmdb mailbox, 10000 a transaction", ">=", 1)
    group("cache", "rss_quarter", 1 / 1048576, "cache: memory (RssAnon) after a quarter of the messages; MiB")
    group("cache", "rss_end", 1 / 1048576, "cache: memory (RssAnon) at the end; MiB")
    group("open", "open_ms", 1, "open after kill -9 with a full changelog; milliseconds")
    own("ours, 100000 actors", "max", "<=", 1000)
    own("ours, 1000000 actors", "max", "<=", 1000)
    own("ours, 4000000 actors", "max", "<=", 1000)
    group("open", "first_ms", 1, "open: the same, until the first message is durable; milliseconds")
    group("memory", "bytes_each", 1, "memory: bytes of RssAnon for each actor in memory, beyond its 64-byte state")
    own("ours", "median", "<=", 200)
}

function latencies()
{
    ratio("ours", "lmdb", "<=", 1.4)
    ratio("ours, inline", "lmdb", "<=", 1.4)
    ratio("ours --thread", "lmdb", "<=", 1.4)
    ratio("ours, inline --thread", "lmdb", "<=", 1.4)
    ratio("ours", "rocksdb", "<=", 0)
}

function print_series(g, label,    line, unit)
{
    unit = units[g]
    line = sprintf("  %-43s %9s %7s", label, summarise(workloads[g], label, "messages") ? newest : "",
                   summarise(workloads[g], label, "commits") ? newest : "")
    if (fields[g] == "rate" && summarise(workloads[g], label, "rate_late") && middle)
        line = line sprintf(" %10s", figure(middle))
    else
        line = line sprintf(" %10s", "")
    if (!summarise(workloads[g], label, fields[g]))
        return
    print line sprintf(" %10s %10s %10s", figure(low * unit), figure(middle * unit), figure(high * unit))
}

function verdict(reached, sense, limit,    good)
{
    if (!limit)
        return ""
    good = sense == ">=" ? reached >= limit : reached <= limit
    met += good
    missed += !good
    return sprintf("target %s %s  %s", sense, limit, good ? "met" : "MISSED")
}

function print_aim(g, i,    ours, rival, reached)
{
    ours = aims[g, i]
    rival = rivals[g, i]
    if (!summarise(workloads[g], ours, fields[g]))
        return
    reached = whiches[g, i] == "max" ? high * units[g] : middle * units[g]
    if (rival == "") {
        printf "  = %8s  %s, %s  %s\n", figure(reached), ours, whiches[g, i], verdict(reached, senses[g, i], limits[g, i])
    } else if (summarise(workloads[g], rival, fields[g]) && middle) {
        reached /= middle * units[g]
        printf "  x %8.2f  %s / %s  %s\n", reached, ours, rival, verdict(reached, senses[g, i], limits[g, i])
    }
}

function print_group(g,    i)
{
    printf "\n%s\n", titles[g]
    printf "  %-43s %9s %7s %10s %10s %10s %10s\n", "", "messages", "commits", (fields[g] == "rate" ? "2nd half" : ""),
           "min", "median", "max"
    for (i = 1; i <= label_count[workloads[g]]; i++)
        print_series(g, labels[workloads[g], i])
    for (i = 1; i <= aim_count[g]; i++)
        print_aim(g, i)
}

END {
    for (each = 1; each <= group_count; each++)
        if (label_count[workloads[each]])
            print_group(each)
    print "\nx: the median of the first line / that of the second; min, median, max: over the rounds"
    print "2nd half: the median rate of the second half of a run; commits: of the last round"
    printf "targets  %d met, %d missed\n", met, missed
}
