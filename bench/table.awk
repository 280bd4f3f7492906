# table.awk - the table of bench.jsonl: awk -f bench/table.awk build/bench.jsonl
#
# Each line of JSON gives one or more samples.  A series is all samples of one group and label; its
# columns are over the rounds.  A group has one unit and one rival, whose median the others are divided
# by.  Targets say what our series should reach: a ratio of medians, or a value of its own; they are
# information, a missed one fails nothing.

BEGIN {
    # group, title and unit, rival, aims: "label what least|most limit; ..."
    group("counters", "counters: 10 000 actors, 64-byte states, half of the messages from handlers; messages a second",
          "lmdb, 1000 a transaction", "ours|ratio|least|50")
    group("ring", "ring: 10 000 actors, 1 000 tokens, ours durable, caf in memory; messages a second",
          "caf", "ours|ratio|least|3")
    group("uniform", "uniform: 1 000 000 actors, 64-byte states; messages a second",
          "lmdb, 10000 a transaction", "ours|ratio|least|10")
    group("uniform-1k", "uniform-1k: 1 000 000 actors, 1 KiB states; messages a second",
          "lmdb, 10000 a transaction", "ours|ratio|least|2;ours, log 1024 MiB|ratio|least|4")
    group("latency", "latency: one client, one message at a time, send to durable; microseconds, p50",
          "lmdb", each_latency("ratio|most|1.4"))
    group("latency-p99", "latency: the same, p99",
          "lmdb", each_latency("ratio|most|1.4"))
    group("senders", "senders: threads that wait for each of their messages to be durable; messages a second",
          "lmdb, 1 a transaction", "ours, 1024 senders|ratio|least|30")
    group("cache", "cache: states of five times cache_bytes_max, 250 000 actors, 1 KiB states; messages a second",
          "lmdb, 10000 a transaction", "ours|ratio|least|1")
    group("cache-memory", "cache: memory (RssAnon) of ours in that run; MiB",
          "at a quarter", "at the end|ratio|most|1.1")
    group("open", "open after kill -9 with a full changelog; milliseconds",
          "100000 actors", "100000 actors|max|most|1000;1000000 actors|max|most|1000;4000000 actors|max|most|1000")
    group("open-first", "open: the same, until the first message is durable; milliseconds",
          "100000 actors", "")
    group("written", "written: bytes to disk for each message byte, in the runs of \"uniform\"",
          "lmdb, 10000 a transaction", "ours|ratio|most|0.1")
    group("memory", "memory: bytes of RssAnon for each actor in memory, beyond its 64-byte state",
          "", "ours|median|most|200")
}

function each_latency(aim)
{
    return "ours|" aim ";ours, inline|" aim ";ours --thread|" aim ";ours, inline --thread|" aim
}

function group(name, title, against, aims,    i, n, one, part)
{
    groups[++group_count] = name
    titles[name] = title
    rival[name] = against
    n = split(aims, one, ";")
    for (i = 1; i <= n; i++) {
        split(one[i], part, "|")
        aim_of[name, part[1]] = part[2]
        sense_of[name, part[1]] = part[3]
        limit_of[name, part[1]] = part[4]
    }
}

# -- samples -----------------------------------------------------------------------------------------

function text(key)
{
    if (!match($0, "\"" key "\":\"[^\"]*"))
        return ""
    return substr($0, RSTART + length(key) + 4, RLENGTH - length(key) - 4)
}

function number(key)
{
    if (!match($0, "\"" key "\":[0-9.]*"))
        return 0
    return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0
}

function add(name, label, value,    series)
{
    series = name SUBSEP label
    if (!(series in runs))
        labels[name, ++label_count[name]] = label
    measured[series, ++runs[series]] = value
    messages[series] = number("messages")
    commits[series] = number("commits")
}

function add_rate(name, label)
{
    if (number("batch"))
        label = label ", " number("batch") " a transaction"
    add(name, label, number("rate"))
    if (number("rate_late"))
        late[name SUBSEP label, runs[name SUBSEP label]] = number("rate_late")
    if (name == "uniform")
        add("written", label, number("written") / (64 * number("messages")))
    if (name == "cache" && label == "ours") {
        add("cache-memory", "at a quarter", number("rss_quarter") / 1048576)
        add("cache-memory", "at the end", number("rss_end") / 1048576)
    }
}

{
    name = text("workload")
    label = text("program")
    if (name == "latency") {
        add("latency", label, number("p50_us"))
        add("latency-p99", label, number("p99_us"))
    } else if (name == "open") {
        add("open", number("actors") " actors", number("open_ms"))
        add("open-first", number("actors") " actors", number("first_ms"))
    } else if (name == "memory") {
        add("memory", label, number("bytes_each"))
    } else {
        if (!(name in titles))
            group(name, name ": messages a second", "", "")
        add_rate(name, label)
    }
}

# -- the table ---------------------------------------------------------------------------------------

# Sets low, middle and high of `samples` of a series.
function summarise(samples, series,    i, j, n, value)
{
    n = 0
    for (i = 1; i <= runs[series]; i++) {
        if (!((series, i) in samples))
            continue
        value = samples[series, i]
        for (j = n++; j > 0 && sorted[j] > value; j--)
            sorted[j + 1] = sorted[j]
        sorted[j + 1] = value
    }
    low = n ? sorted[1] : 0
    high = n ? sorted[n] : 0
    middle = !n ? 0 : n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function figure(value)
{
    return sprintf(value >= 10000 ? "%.0f" : value >= 100 ? "%.1f" : "%.2f", value)
}

# Of the series that was summarised last.
function verdict(name, label, ratio,    what, reached, limit, least)
{
    what = aim_of[name, label]
    if (what == "" || (what == "ratio" && !ratio))
        return ""
    reached = what == "ratio" ? ratio : what == "max" ? high : middle
    limit = limit_of[name, label]
    least = sense_of[name, label] == "least"
    return sprintf("%s%s %s%s  %s", what == "max" ? "max " : "", least ? ">=" : "<=", limit,
                   what == "ratio" ? "x" : "", (least ? reached >= limit : reached <= limit) ? "met" : \
                   least ? "below" : "above")
}

function print_series(name, label, base,    series, ratio, line)
{
    series = name SUBSEP label
    summarise(late, series)
    line = sprintf("%-27s %9s %8s %10s", label, messages[series] ? messages[series] : "",
                   commits[series] ? commits[series] : "", middle ? figure(middle) : "")
    summarise(measured, series)
    ratio = base ? middle / base : 0
    line = line sprintf(" %10s %10s %10s %8s  %s", figure(low), figure(middle), figure(high),
                        base ? sprintf(ratio < 10 ? "%.2f" : "%.1f", ratio) : "", verdict(name, label, ratio))
    sub(/ +$/, "", line)
    print line
}

function print_group(name,    i, base)
{
    printf "\n%s\n", titles[name]
    printf "%-27s %9s %8s %10s %10s %10s %10s %8s  %s\n", "", "messages", "commits", "2nd half", "min",
           "median", "max", "ratio", "target"
    summarise(measured, name SUBSEP rival[name])
    base = middle
    for (i = 1; i <= label_count[name]; i++)
        print_series(name, labels[name, i], base)
}

END {
    for (each = 1; each <= group_count; each++)
        if (label_count[groups[each]])
            print_group(groups[each])
    print "\nratio: the median of this line / that of the rival; min, median, max: over the rounds"
    print "2nd half: the median rate of the second half of a run; commits: of the last round"
}
