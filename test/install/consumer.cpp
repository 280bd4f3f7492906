// consumer.cpp - the same from C++11, with what C++ adds: handlers are lambdas, and may throw
// through us.
#include <statefun.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace {

struct counter {
    std::uint64_t total;
};

sf_type make_counter_type()
{
    sf_type type = SF_TYPE("install/counter");
    type.state_size = sizeof(counter);
    type.attempts_max = 1;
    type.handler = [](sf_turn *turn) {
        auto *self = static_cast<counter *>(sf_state(turn));
        if (sf_is(sf_msg(turn), "throw")) {
            self->total = 1000000; // must be undone
            throw std::runtime_error("from a handler");
        }
        self->total += *static_cast<const std::uint32_t *>(sf_body(turn, sizeof(std::uint32_t)));
        return 0;
    };
    return type;
}

int send_all(sf_runtime *rt)
{
    for (std::uint32_t amount = 1; amount <= 100; amount++)
        if (sf_send(rt, sf_addr("install/counter", "c"), "add", SF_OF(amount)) < 0)
            return -1;
    return sf_run_until_idle(rt);
}

// The exception comes out of the driver, its turn never happened, and the runtime goes on.
bool survives_an_exception(sf_runtime *rt)
{
    if (sf_send(rt, sf_addr("install/counter", "c"), "throw", SF_NONE) < 0)
        return false;
    try {
        sf_run_until_idle(rt);
    } catch (const std::runtime_error &) {
        return sf_run_until_idle(rt) == 0;
    }
    return false;
}

int look(sf_runtime *rt, std::uint64_t *out_total)
{
    sf_view *view;
    int rc = sf_view_open(rt, &view);
    if (rc < 0)
        return rc;
    sf_bytes state = sf_view_state(view, sf_addr("install/counter", "c"));
    if (state.size == sizeof(counter))
        std::memcpy(out_total, state.data, sizeof *out_total);
    else
        rc = -1;
    sf_view_close(view);
    return rc;
}

} // namespace

int main(int argc, char **argv)
{
    static const sf_type counter_type = make_counter_type();
    sf_options options = SF_OPTIONS();
    sf_runtime *rt = nullptr;
    std::uint64_t total = 0;
    bool failed = argc != 2 || sf_version() != SF_VERSION ||
                  sf_runtime_open(argv[1], &options, &rt) < 0 ||
                  sf_register(rt, &counter_type, nullptr) < 0 || !survives_an_exception(rt) ||
                  send_all(rt) < 0 || look(rt, &total) < 0;
    if (failed)
        std::fprintf(stderr, "consumer: %s\n", sf_errmsg());
    failed |= sf_runtime_close(rt) < 0;
    std::printf("%llu\n", static_cast<unsigned long long>(total));
    return failed;
}
