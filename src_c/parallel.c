/* Threads and scratch memory: the only file that knows of OpenMP, and the only one that allocates.
 *
 * Fork safety: a child of a process whose OpenMP team is alive inherits the team's locks without its
 * threads and would hang in its first parallel region. Before a fork the team is therefore put down
 * with omp_pause_resource_all (OpenMP 5.0; the next region builds it anew). Where the runtime has no
 * such call, or refuses because the fork comes from inside a region, the child computes serially. */
#include <stdlib.h>

#include "fastconv.h"
#include "platform.h"

#ifdef _OPENMP
/* Declared here and not from omp.h, where omp_pause_resource_all may be missing or not weak. */
extern int omp_get_max_threads(void);
extern int omp_get_num_threads(void);
extern int omp_get_thread_num(void);
#endif

#if defined(_OPENMP) && !defined(_WIN32)
#include <pthread.h>
#define FC_FORK_SAFETY 1

extern int omp_pause_resource_all(int kind) FC_WEAK; /* 2 is omp_pause_hard */

static int team_survives_fork, serial;

static void before_fork(void)
{
    team_survives_fork = !omp_pause_resource_all || omp_pause_resource_all(2) != 0;
}
static void in_child(void) { serial = serial || team_survives_fork; }

FC_AT_LOAD static void install_fork_handlers(void)
{
    pthread_atfork(before_fork, NULL, in_child);
}
#endif

int fc_openmp_max_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 0;
#endif
}

/* One scratch area is kept for the next call: fresh pages cost more than many a call computes. */
enum { SCRATCH_KEPT_BYTES = 16 << 20, SCRATCH_ALIGNMENT = 64 };

struct scratch {
    size_t size;
    char *start; /* aligned */
};
static void *volatile kept_scratch;

static struct scratch *take_scratch(size_t size)
{
    struct scratch *area = FC_EXCHANGE_POINTER(&kept_scratch, NULL);
    if (area && area->size >= size)
        return area;
    free(area);
    area = size < SIZE_MAX / 2 ? malloc(sizeof *area + SCRATCH_ALIGNMENT - 1 + size) : NULL;
    if (area) {
        const uintptr_t first = (uintptr_t)(area + 1) + SCRATCH_ALIGNMENT - 1;
        area->size = size;
        area->start = (char *)(first - first % SCRATCH_ALIGNMENT);
    }
    return area;
}

static void give_scratch_back(struct scratch *area)
{
#ifndef FC_ADDRESS_SANITIZER /* which sees an overrun of a fresh area of exact size */
    if (area->size <= SCRATCH_KEPT_BYTES)
        area = FC_EXCHANGE_POINTER(&kept_scratch, area);
#endif
    free(area);
}

/* Parts of equal size but for one unit; each thread computes one part. */
static void run_part(const struct fc_algorithm *algorithm, const void *params, ptrdiff_t units,
                     int part, int parts, char *scratch)
{
    const ptrdiff_t size = units / parts, rest = units % parts;
    const ptrdiff_t begin = part * size + FC_MIN(part, rest);
    algorithm->run(params, begin, begin + size + (part < rest), scratch);
}

int fc_run(const struct fc_algorithm *algorithm, const void *params, int threads)
{
    const ptrdiff_t units = algorithm->units(params);
    assert(units > 0 && threads > 0);
    /* In whole lines (layout.h), so two threads never write to one. */
    const size_t bytes = algorithm->scratch(params);
    struct scratch *area = NULL;
    char *start = NULL;

    if (threads > units)
        threads = units > 1 ? (int)units : 1;
#ifndef _OPENMP
    threads = 1;
#endif
#ifdef FC_FORK_SAFETY
    if (serial)
        threads = 1;
#endif
    if (bytes) {
        area = bytes < SIZE_MAX / 2 / (size_t)threads ? take_scratch(bytes * (size_t)threads) : NULL;
        if (!area)
            return -1;
        start = area->start;
    }
#ifdef _OPENMP
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        {
            /* The runtime may grant fewer threads than were asked for. */
            const int team = omp_get_num_threads();
            for (int part = omp_get_thread_num(); part < threads; part += team)
                run_part(algorithm, params, units, part, threads, start + (size_t)part * bytes);
        }
    } else
#endif
        run_part(algorithm, params, units, 0, 1, start);
    if (area)
        give_scratch_back(area);
    return 0;
}
