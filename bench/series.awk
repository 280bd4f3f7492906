# series.awk - what bench.jsonl holds, for table.awk and readme.awk, which say what they want of it.
#
# A series is one field of all lines with one workload and one label; its samples are over the rounds.
# A label is what the program calls itself, and how many messages share a transaction.

function text(key)
{
    if (!match($0, "\"" key "\":\"[^\"]*"))
        return ""
    return substr($0, RSTART + length(key) + 4, RLENGTH - length(key) - 4)
}

# "" where the line has none.
function number(key)
{
    if (!match($0, "\"" key "\":[0-9.]*"))
        return ""
    return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0
}

{
    label = text("program") (number("batch") ? ", " number("batch") " a transaction" : "")
    workload = text("workload")
    if (!((workload, label) in lines))
        labels[workload, ++label_count[workload]] = label
    line = ++lines[workload, label]
    for (i = split($0, pairs, ","); i > 0; i--)
        if (match(pairs[i], "\"[a-z0-9_]*\":[0-9]"))
            sample[workload, label, substr(pairs[i], RSTART + 1, RLENGTH - 4), line] = \
                substr(pairs[i], RSTART + RLENGTH - 1) + 0
}

# Sets low, middle, high and newest of a series; returns how many samples it has.
function summarise(workload, label, field,    i, j, n, value)
{
    n = 0
    for (i = 1; i <= lines[workload, label]; i++) {
        if (!((workload, label, field, i) in sample))
            continue
        newest = value = sample[workload, label, field, i]
        for (j = n++; j > 0 && sorted[j] > value; j--)
            sorted[j + 1] = sorted[j]
        sorted[j + 1] = value
    }
    low = n ? sorted[1] : 0
    high = n ? sorted[n] : 0
    middle = !n ? 0 : n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
    if (!n)
        newest = 0
    return n
}

function median(workload, label, field)
{
    summarise(workload, label, field)
    return middle
}

function figure(value)
{
    return sprintf(value >= 10000 ? "%.0f" : value >= 100 ? "%.1f" : "%.2f", value)
}
