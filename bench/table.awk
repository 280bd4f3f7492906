# table.awk - the table of bench.jsonl: awk -f bench/table.awk build/bench.jsonl
#
# A series is all lines of one workload, program and batch; its columns are over the rounds.  `times`
# is the median of our series (no batch) divided by that of the line, for latencies the median of the
# line divided by that of LMDB.

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

function add(series, value)
{
    if (!(series in runs))
        order[++series_count] = series
    measured[series, ++runs[series]] = value
    workload[series] = text("workload")
    program[series] = text("program")
    batch[series] = number("batch")
    actors[series] = number("actors")
    state[series] = number("state")
    messages[series] = number("messages")
    commits[series] = number("commits")
}

# Sets low, middle and high.
function summarise(series,    i, j, n, value)
{
    n = runs[series]
    for (i = 1; i <= n; i++) {
        value = measured[series, i]
        for (j = i - 1; j > 0 && sorted[j] > value; j--)
            sorted[j + 1] = sorted[j]
        sorted[j + 1] = value
    }
    low = sorted[1]
    high = sorted[n]
    middle = n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function median(series)
{
    if (!(series in runs))
        return 0
    summarise(series)
    return middle
}

function heading(title)
{
    printf "\n%s\n", title
    printf "%-30s %9s %8s %11s %11s %11s %8s\n", "", "messages", "commits", "min", "median", "max", "times"
}

function print_rate(series,    ours, label)
{
    ours = median(workload[series] SUBSEP "ours" SUBSEP 0)
    summarise(series)
    label = program[series] (batch[series] ? ", " batch[series] " a transaction" : "")
    printf "%-30s %9d", label, messages[series]
    printf " %8d %11.0f %11.0f %11.0f", commits[series], low, middle, high
    printf ours ? " %8.2f\n" : "\n", ours / middle
}

function print_latency(series,    part, bare)
{
    split(series, part, SUBSEP)
    bare = median("latency" SUBSEP "lmdb" SUBSEP 1 SUBSEP part[4])
    summarise(series)
    printf "%-30s %9d", program[series] ", " part[4], messages[series]
    printf " %8s %11.1f %11.1f %11.1f", "", low, middle, high
    printf bare ? " %8.2f\n" : "\n", middle / bare
}

function title(series)
{
    if (workload[series] == "latency")
        return "latency: one client, one message at a time, send to durable; microseconds"
    return workload[series] ": " actors[series] " actors, " state[series] "-byte states, " \
           "64-byte messages; messages a second"
}

function print_workload(name,    i, series)
{
    for (i = 1; i <= series_count; i++) {
        series = order[i]
        if (workload[series] != name)
            continue
        if (!headed[name]++)
            heading(title(series))
        if (name == "latency")
            print_latency(series)
        else
            print_rate(series)
    }
}

{
    series = text("workload") SUBSEP text("program") SUBSEP number("batch")
    if (text("workload") == "latency") {
        add(series SUBSEP "p50", number("p50_us"))
        add(series SUBSEP "p99", number("p99_us"))
    } else {
        add(series, number("rate"))
    }
}

END {
    for (each = 1; each <= series_count; each++)
        if (!(workload[order[each]] in headed))
            print_workload(workload[order[each]])
    print "\ntimes: of rates, ours / this; of latencies, this / lmdb; of the medians over the rounds"
}
