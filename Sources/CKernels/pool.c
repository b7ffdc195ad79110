// Helpers that wait for work: waking a thread takes longer than a small product.
#include "CKernels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define RELAX() _mm_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX()
#endif

enum { MOST_HELPERS = 1023, ROUNDS = 1500 };

/// Who may hand out work; helpers that exist.
static atomic_flag owned = ATOMIC_FLAG_INIT;
static int32_t helpers;
/// The number of the work, times 1024, and how many more helpers may begin it.
static _Atomic uint64_t offered;
/// Helpers up to this number may.
static _Atomic int32_t invited;
static void (*job)(void *, int32_t);
static void *job_context;
/// Helpers that have done with it.
static _Atomic int32_t finished;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static _Atomic int32_t sleepers;
static _Atomic int32_t owner_sleeps;

/// What a helper knows of itself: its number from 1 on, and that of the work that it did last.
typedef struct {
  int32_t own;
  uint64_t last;
} helper;

/// Begins the work on offer, unless it is none of this helper's or it has done it: whether it does.
static int claim(helper *self) {
  uint64_t seen = atomic_load(&offered);
  while (seen % 1024 > 0 && seen / 1024 != self->last && self->own <= atomic_load(&invited))
    if (atomic_compare_exchange_weak(&offered, &seen, seen - 1)) {
      self->last = seen / 1024;
      return 1;
    }
  return 0;
}

static void *help(void *number) {
  helper self = {.own = (int32_t)(intptr_t)number};
  for (;;) {
    int begins = 0;
    for (int i = 0; i < ROUNDS && !(begins = claim(&self)); i++) RELAX();
    if (!begins) {
      pthread_mutex_lock(&mutex);
      atomic_fetch_add(&sleepers, 1);
      while (!claim(&self)) pthread_cond_wait(&more, &mutex);
      atomic_fetch_sub(&sleepers, 1);
      pthread_mutex_unlock(&mutex);
    }
    job(job_context, self.own);
    atomic_fetch_add(&finished, 1);
    if (atomic_load(&owner_sleeps)) {
      pthread_mutex_lock(&mutex);
      pthread_cond_signal(&done);
      pthread_mutex_unlock(&mutex);
    }
  }
  return NULL;
}

/// Whether there are so many helpers, after making those that lack.
static int has(int32_t wanted) {
  while (helpers < wanted) {
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0) return 0;
    // As large as a main thread's: kernels keep tiles on it.
    pthread_attr_setstacksize(&attributes, (size_t)8 << 20);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    const int refused = pthread_create(&thread, &attributes, help, (void *)(intptr_t)(helpers + 1));
    pthread_attr_destroy(&attributes);
    if (refused) return 0;
    helpers++;
  }
  return 1;
}

int32_t attn_pool_run(int32_t workers, void (*work)(void *context, int32_t worker), void *context) {
  const int32_t wanted = workers - 1;
  if (wanted < 1 || wanted > MOST_HELPERS || workers > attn_processor_count()) return 0;
  if (atomic_flag_test_and_set(&owned)) return 0;
  if (!has(wanted)) {
    atomic_flag_clear(&owned);
    return 0;
  }
  job = work;
  job_context = context;
  atomic_store(&finished, 0);
  atomic_store(&invited, wanted);
  const uint64_t number = atomic_load(&offered) / 1024 + 1;
  atomic_store(&offered, number * 1024 + (uint64_t)wanted);
  if (atomic_load(&sleepers) > 0) {
    pthread_mutex_lock(&mutex);
    pthread_cond_broadcast(&more);
    pthread_mutex_unlock(&mutex);
  }
  work(context, 0);
  const int32_t begun = wanted - (int32_t)(atomic_exchange(&offered, number * 1024) % 1024);
  for (int i = 0; i < ROUNDS && atomic_load(&finished) < begun; i++) RELAX();
  if (atomic_load(&finished) < begun) {
    pthread_mutex_lock(&mutex);
    atomic_store(&owner_sleeps, 1);
    while (atomic_load(&finished) < begun) pthread_cond_wait(&done, &mutex);
    atomic_store(&owner_sleeps, 0);
    pthread_mutex_unlock(&mutex);
  }
  atomic_flag_clear(&owned);
  return 1;
}
