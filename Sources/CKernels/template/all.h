// Every family of kernels, for the instruction set that the including isa/*.c has switched on.
#include "vector.h"

#include "product.h"

#include "softmax.h"

#include "tanh.h"

#include "energy.h"

#include "bias.h"

#include "forward.h"

#include "energy_backward.h"

#include "backward.h"

#include "calibrate.h"

#include "rows.h"

#include "elementwise.h"

#include "normalize.h"

#include "gemm.h"

#include "recurrent.h"

#include "chunk.h"

#include "scan.h"

#include "token.h"

#include "channels.h"

#include "gentle.h"

#include "select.h"

#include "convolve.h"

#include "depthwise.h"

#include "hash.h"

#include "dense.h"

#include "edges.h"

#include "bfloat16.h"

#include "bfloat16_backward.h"
