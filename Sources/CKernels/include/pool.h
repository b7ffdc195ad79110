#ifndef ATTNLAB_POOL_H
#define ATTNLAB_POOL_H
#include <stdint.h>

/// Runs work(context, worker) on the calling thread, as worker 0, and on up to `workers` − 1 helpers that wait for it: once
/// each, as workers 1, 2, … The same thread is the same worker in every work, so it finds in its cache what it left there. A
/// helper that has not begun when the caller's own call returns is not waited for, and does not begin any more.
///
/// Helpers look for work for some 50 µs before they sleep, so loops that follow one another closely find them awake.
/// Returns 0, and has run nothing, where helpers are at work for somebody else (a call from within such work too), where
/// there are fewer processors than workers, or where the system gives no thread.
int32_t attn_pool_run(int32_t workers, void (*work)(void *context, int32_t worker), void *context);
#endif
