/// MPI as Swift can call it: its macros (`MPI_COMM_WORLD`, `MPI_BYTE`, …) as functions, and requests as pointers.
#ifndef ATTNLAB_CMPI_SHIM_H
#define ATTNLAB_CMPI_SHIM_H

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>

/// A message under way.
typedef struct {
  MPI_Request request;
} lab_mpi_request;

/// Starts MPI, if nobody has; only the thread that did so may call it. Errors come back as codes.
static inline int lab_mpi_start(void) {
  int is_on = 0, given = 0;
  int code = MPI_Initialized(&is_on);
  if (code == MPI_SUCCESS && !is_on) code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given);
  if (code == MPI_SUCCESS) code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  return code;
}

/// Ends MPI, after all messages.
static inline int lab_mpi_finish(void) {
  int is_off = 0;
  int code = MPI_Finalized(&is_off);
  return code == MPI_SUCCESS && !is_off ? MPI_Finalize() : code;
}

/// Ends all processes.
static inline void lab_mpi_abort(int exit_code) { MPI_Abort(MPI_COMM_WORLD, exit_code); }

static inline int lab_mpi_rank(int *rank) { return MPI_Comm_rank(MPI_COMM_WORLD, rank); }
static inline int lab_mpi_count(int *count) { return MPI_Comm_size(MPI_COMM_WORLD, count); }
static inline int lab_mpi_barrier(void) { return MPI_Barrier(MPI_COMM_WORLD); }

/// Begins to send; the bytes must stay until the request is done.
static inline int lab_mpi_send(const void *bytes, int count, int rank, int tag, lab_mpi_request *request) {
  return MPI_Isend(bytes, count, MPI_BYTE, rank, tag, MPI_COMM_WORLD, &request->request);
}

/// Begins to receive; the bytes must stay until the request is done.
static inline int lab_mpi_receive(void *bytes, int count, int rank, int tag, lab_mpi_request *request) {
  return MPI_Irecv(bytes, count, MPI_BYTE, rank, tag, MPI_COMM_WORLD, &request->request);
}

/// Waits until a request is done; `received`: the bytes that came.
static inline int lab_mpi_wait(lab_mpi_request *request, int *received) {
  MPI_Status status;
  int code = MPI_Wait(&request->request, &status);
  if (code == MPI_SUCCESS) code = MPI_Get_count(&status, MPI_BYTE, received);
  return code;
}

/// Lets messages go on.
static inline int lab_mpi_progress(void) {
  int found = 0;
  return MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &found, MPI_STATUS_IGNORE);
}

/// The text of a code, in memory that the caller frees.
static inline char *lab_mpi_text(int code) {
  int length = 0;
  char *text = (char *)calloc(MPI_MAX_ERROR_STRING + 1, 1);
  if (text) MPI_Error_string(code, text, &length);
  return text;
}

#endif
