/* epoll, signals and wake-up descriptors for the one loop thread. Owns the epoll
 * descriptor, the signal descriptor and the eventfds; watched descriptors are their
 * owners'.
 *
 * Registrations are lazy: a descriptor that nobody wants to hear of stays in epoll until
 * it makes a noise, because curl asks for a kept connection and drops it again on every
 * request, and two epoll_ctl calls cost more than all the rest of it. Invariant:
 * `registered` is what epoll knows; what is wanted is never more than that. */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"

enum { EVENTS_AT_ONCE = 256, FDS_MAX = 1 << 20 };

struct watch {
    loop_fn *fn; /* NULL: not watched */
    void *arg;
    unsigned wanted, registered; /* LOOP_IN | LOOP_OUT */
    uint32_t generation; /* tells events of an earlier descriptor of this number */
    bool in_epoll;
    bool is_wake; /* an eventfd of ours */
};

struct loop {
    int epoll_fd;
    int signal_fd; /* -1: not caught */
    int signals;
    struct watch *watches; /* by descriptor */
    int n_watches;
};

static struct watch *watch_of(struct loop *lo, int fd);
static int reg(struct loop *lo, int fd, unsigned events);
static void unregister(struct loop *lo, int fd);
static void dispatch(struct loop *lo, const struct epoll_event *ev);
static void read_signals(void *arg, int fd, unsigned events);

struct loop *loop_new(struct err *e)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct loop *lo;

    if (fd < 0) {
        (void)err_set(e, ERR_SYSTEM, "epoll_create1: %s", strerror(errno));
        return NULL;
    }
    lo = mem_zalloc(sizeof(*lo));
    lo->epoll_fd = fd;
    lo->signal_fd = -1;
    return lo;
}

void loop_free(struct loop *lo)
{
    int fd;

    if (lo == NULL)
        return;
    for (fd = 0; fd < lo->n_watches; fd++)
        if (lo->watches[fd].is_wake)
            (void)close(fd);
    if (lo->signal_fd >= 0)
        (void)close(lo->signal_fd);
    (void)close(lo->epoll_fd);
    mem_free(lo->watches);
    mem_free(lo);
}

int loop_watch(struct loop *lo, int fd, unsigned events, loop_fn *fn, void *arg,
               struct err *e)
{
    struct watch *w = watch_of(lo, fd);

    if (w == NULL)
        return err_set(e, ERR_SYSTEM, "descriptor %d is out of range", fd);
    events &= LOOP_IN | LOOP_OUT;
    if (events != 0 && (events & ~w->registered) != 0 && reg(lo, fd, events) != 0)
        return err_set(e, ERR_SYSTEM, "epoll_ctl(%d): %s", fd, strerror(errno));
    w->fn = fn;
    w->arg = arg;
    w->wanted = events;
    return 0;
}

void loop_unwatch(struct loop *lo, int fd)
{
    if (fd < 0 || fd >= lo->n_watches)
        return;
    unregister(lo, fd);
    loop_forget(lo, fd);
}

void loop_forget(struct loop *lo, int fd)
{
    struct watch *w;

    if (fd < 0 || fd >= lo->n_watches)
        return;
    w = &lo->watches[fd];
    /* Removed by hand although closing does it: not when a child has inherited a copy. */
    unregister(lo, fd);
    *w = (struct watch){.generation = w->generation + 1};
}

int loop_catch_signals(struct loop *lo, struct err *e)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 ||
        sigaction(SIGPIPE, &ignore, NULL) != 0)
        return err_set(e, ERR_SYSTEM, "signals: %s", strerror(errno));
    lo->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (lo->signal_fd < 0)
        return err_set(e, ERR_SYSTEM, "signalfd: %s", strerror(errno));
    return loop_watch(lo, lo->signal_fd, LOOP_IN, read_signals, lo, e);
}

int loop_signals(const struct loop *lo)
{
    return lo->signals;
}

int loop_wake_fd(struct loop *lo, loop_fn *fn, void *arg, struct err *e)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "eventfd: %s", strerror(errno));
    if (loop_watch(lo, fd, LOOP_IN, fn, arg, e) != 0) {
        (void)close(fd);
        return -1;
    }
    lo->watches[fd].is_wake = true;
    return fd;
}

void loop_wake_up(int fd)
{
    uint64_t one = 1;

    /* Fails only when the counter is full, and then the loop is awake anyway. */
    if (write(fd, &one, sizeof(one)) < 0)
        return;
}

void loop_wait(struct loop *lo, int64_t timeout_ms)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int timeout = timeout_ms < 0 ? -1 : timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
    int n = epoll_wait(lo->epoll_fd, events, EVENTS_AT_ONCE, timeout);
    int i;

    for (i = 0; i < n; i++)
        dispatch(lo, &events[i]);
}

static struct watch *watch_of(struct loop *lo, int fd)
{
    int n = lo->n_watches > 0 ? lo->n_watches : 64;

    if (fd < 0 || fd >= FDS_MAX)
        return NULL;
    while (n <= fd)
        n *= 2;
    if (n > lo->n_watches) {
        lo->watches = mem_realloc(lo->watches, (size_t)n * sizeof(struct watch));
        memset(lo->watches + lo->n_watches, 0,
               (size_t)(n - lo->n_watches) * sizeof(struct watch));
        lo->n_watches = n;
    }
    return &lo->watches[fd];
}

/* Makes epoll know exactly `events` of fd. */
static int reg(struct loop *lo, int fd, unsigned events)
{
    struct watch *w = &lo->watches[fd];
    struct epoll_event ev = {.events = 0};
    int rc;

    if ((events & LOOP_IN) != 0)
        ev.events |= EPOLLIN;
    if ((events & LOOP_OUT) != 0)
        ev.events |= EPOLLOUT;
    ev.data.u64 = (uint64_t)w->generation << 32 | (uint32_t)fd;
    rc = epoll_ctl(lo->epoll_fd, w->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
    if (rc != 0 && errno == ENOENT) /* closed behind our back and opened again */
        rc = epoll_ctl(lo->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
    else if (rc != 0 && errno == EEXIST)
        rc = epoll_ctl(lo->epoll_fd, EPOLL_CTL_MOD, fd, &ev);
    if (rc != 0)
        return -1;
    w->in_epoll = true;
    w->registered = events;
    return 0;
}

static void unregister(struct loop *lo, int fd)
{
    struct watch *w = &lo->watches[fd];

    /* Fails when the descriptor is closed already, which has removed it. */
    if (w->in_epoll)
        (void)epoll_ctl(lo->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    w->in_epoll = false;
    w->registered = 0;
}

static void dispatch(struct loop *lo, const struct epoll_event *ev)
{
    int fd = (int)(uint32_t)ev->data.u64;
    struct watch *w = &lo->watches[fd];
    unsigned hit = 0;
    uint64_t count;

    if (w->generation != ev->data.u64 >> 32 || !w->in_epoll)
        return; /* of a descriptor closed earlier in this batch */
    if ((ev->events & EPOLLIN) != 0)
        hit |= LOOP_IN;
    if ((ev->events & EPOLLOUT) != 0)
        hit |= LOOP_OUT;
    hit &= w->wanted;
    if ((ev->events & (EPOLLERR | EPOLLHUP)) != 0 && w->wanted != 0)
        hit |= LOOP_ERR;
    if (hit == 0) {
        /* Noise nobody wants: now the registration is narrowed, else the loop would spin.
         */
        if (w->wanted == 0 || reg(lo, fd, w->wanted) != 0)
            unregister(lo, fd);
        return;
    }
    if (w->is_wake)
        while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
            continue;
    w->fn(w->arg, fd, hit);
}

static void read_signals(void *arg, int fd, unsigned events)
{
    struct loop *lo = arg;
    struct signalfd_siginfo info;

    (void)events;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        lo->signals++;
}
