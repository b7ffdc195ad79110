// Times one of ggml's CPU operations of attention on given numbers, and writes what it computed.
//
// The source of ggml comes with the source package of llama-cpp-python (vendor/llama.cpp/ggml). Its CPU library alone, with cmake:
//
//     pip download --no-deps --no-binary llama-cpp-python llama-cpp-python, unpacked; in its vendor/llama.cpp/ggml an empty ggml.pc.in
//     cmake -S ggml -B build -DCMAKE_BUILD_TYPE=Release -DGGML_BUILD_TESTS=OFF -DGGML_BUILD_EXAMPLES=OFF
//     cmake --build build --target ggml-cpu
//     g++ -std=c++17 -O2 -I ggml/include ggml_ops.cpp -o ggml_ops -L build/src -lggml-cpu -lggml-base -Wl,-rpath,$PWD/build/src
//
// Then: time_peers.py --ggml ./ggml_ops. By hand:
//
//     ggml_ops gated-delta DIR --heads 8 --n 4096 --d 64 --threads 2 --repeats 5 [--token] [--key-heads 8] [--type f16]
//
// DIR has operands as raw float32, NAME.f32. Of recurrences `q`, `k`, `v` are [n, heads, d], `g` [n, heads, 1 or d], `beta` [n, heads];
// `gla` has the decays themselves in `g`, the others their logarithms; `ssm-scan` has `step` [n, heads] before its softplus and `rate`
// [heads]. `flash` is one row over a cache: `q` [heads, d], `k` and `v` [key heads, n, d]. With --token a recurrence first makes its
// state of n - 1 tokens, then the last one alone is timed. The output goes to DIR/o.f32; printed is JSON, seconds of every repeat after
// a warm one. A token's repeat is as many computations as last 2 ms, divided.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "ggml-cpu.h"
#include "ggml.h"

struct Options {
  std::string op, folder;
  int64_t heads = 8, keyHeads = 0, n = 4096, d = 64;
  int threads = 1, repeats = 3;
  bool token = false, half = false;
};

static void fail(const std::string& message) {
  fprintf(stderr, "ggml_ops: %s\n", message.c_str());
  exit(2);
}

static Options parse(int count, char** words) {
  if (count < 3) fail("usage: ggml_ops gated-delta|gla|ssm-scan|flash DIR --heads H --n N --d D --threads T --repeats R");
  Options options;
  options.op = words[1];
  options.folder = words[2];
  for (int i = 3; i < count; ++i) {
    std::string word = words[i];
    if (word == "--token") {
      options.token = true;
      continue;
    }
    if (i + 1 == count) fail(word + " needs a value");
    std::string value = words[++i];
    if (word == "--heads") options.heads = std::stoll(value);
    else if (word == "--key-heads") options.keyHeads = std::stoll(value);
    else if (word == "--n") options.n = std::stoll(value);
    else if (word == "--d") options.d = std::stoll(value);
    else if (word == "--threads") options.threads = std::stoi(value);
    else if (word == "--repeats") options.repeats = std::stoi(value);
    else if (word == "--type") options.half = value == "f16";
    else fail("unknown option " + word);
  }
  if (!options.keyHeads) options.keyHeads = options.heads;
  return options;
}

/// The numbers of DIR/NAME.f32.
static std::vector<float> numbers(const Options& options, const std::string& name, int64_t expected) {
  std::ifstream file(options.folder + "/" + name + ".f32", std::ios::binary);
  std::vector<float> values(expected);
  if (!file.read(reinterpret_cast<char*>(values.data()), expected * sizeof(float))) fail("cannot read " + name + ".f32");
  return values;
}

/// Operands of a recurrence, all tokens of them.
struct Operands {
  std::vector<float> q, k, v, g, beta;
  int64_t channels = 1;  // of g
};

static Operands readOperands(const Options& options) {
  const int64_t rows = options.n * options.heads;
  Operands operands;
  operands.q = numbers(options, "q", rows * options.d);
  operands.k = numbers(options, "k", rows * options.d);
  operands.v = numbers(options, "v", rows * options.d);
  if (options.op == "ssm-scan") {
    operands.g = numbers(options, "step", rows);
    operands.beta = numbers(options, "rate", options.heads);
    return operands;
  }
  std::ifstream file(options.folder + "/g.f32", std::ios::binary | std::ios::ate);
  operands.channels = int64_t(file.tellg()) / int64_t(sizeof(float)) / rows;
  operands.g = numbers(options, "g", rows * operands.channels);
  if (options.op == "gated-delta") operands.beta = numbers(options, "beta", rows);
  return operands;
}

/// A graph of one operation with the memory it needs.
struct Graph {
  ggml_context* context;
  ggml_cgraph* graph = nullptr;
  ggml_tensor* result = nullptr;
  ggml_cplan plan;
  std::vector<uint8_t> work;

  explicit Graph(size_t bytes) {
    ggml_init_params parameters = {bytes + (size_t(16) << 20), nullptr, false};
    context = ggml_init(parameters);
    if (!context) fail("no memory");
  }

  ggml_tensor* tensor(const float* values, int64_t a, int64_t b, int64_t c, ggml_type type = GGML_TYPE_F32) {
    ggml_tensor* x = ggml_new_tensor_4d(context, type, a, b, c, 1);
    if (type == GGML_TYPE_F16) ggml_fp32_to_fp16_row(values, static_cast<ggml_fp16_t*>(x->data), a * b * c);
    else memcpy(x->data, values, a * b * c * sizeof(float));
    return x;
  }

  void finish(ggml_tensor* output, int threads, ggml_threadpool* pool) {
    result = output;
    graph = ggml_new_graph(context);
    ggml_build_forward_expand(graph, result);
    plan = ggml_graph_plan(graph, threads, pool);
    work.resize(plan.work_size + 64);
    plan.work_data = work.data();
  }

  void compute() {
    if (ggml_graph_compute(graph, &plan) != GGML_STATUS_SUCCESS) fail("the graph failed");
  }
};

/// The graph of tokens first ..< first + count of a recurrence behind a state, [heads, d, d].
static Graph recurrence(
    const Options& options, const Operands& operands, int64_t first, int64_t count, const std::vector<float>& state,
    ggml_threadpool* pool) {
  const int64_t h = options.heads, d = options.d, c = operands.channels;
  Graph graph((5 * count * h * d + count * h * c + count * h + 3 * h * d * d) * sizeof(float));
  auto rows = [&](const std::vector<float>& x, int64_t width) { return x.data() + first * h * width; };
  ggml_tensor* q = graph.tensor(rows(operands.q, d), d, h, count);
  ggml_tensor* k = graph.tensor(rows(operands.k, d), d, h, count);
  ggml_tensor* v = graph.tensor(rows(operands.v, d), d, h, count);
  ggml_tensor* result = nullptr;
  if (options.op == "gated-delta") {
    ggml_tensor* g = graph.tensor(rows(operands.g, c), c, h, count);
    ggml_tensor* beta = graph.tensor(rows(operands.beta, 1), 1, h, count);
    result = ggml_gated_delta_net(graph.context, q, k, v, g, beta, graph.tensor(state.data(), d, d, h), 1);
  } else if (options.op == "gla") {
    ggml_tensor* g = graph.tensor(rows(operands.g, c), c, h, count);
    ggml_tensor* s = graph.tensor(state.data(), d * d * h, 1, 1);
    result = ggml_gated_linear_attn(graph.context, k, v, q, g, s, 1 / std::sqrt(float(d)));
  } else {
    ggml_tensor* step = graph.tensor(rows(operands.g, 1), h, count, 1);
    ggml_tensor* rate = graph.tensor(operands.beta.data(), 1, h, 1);
    ggml_tensor* ids = ggml_new_tensor_1d(graph.context, GGML_TYPE_I32, 1);
    *static_cast<int32_t*>(ids->data) = 0;
    result = ggml_ssm_scan(graph.context, graph.tensor(state.data(), d, d, h), v, step, rate, k, q, ids, 1);
  }
  graph.finish(result, options.threads, pool);
  return graph;
}

static Graph flash(const Options& options, ggml_threadpool* pool) {
  const int64_t d = options.d, n = options.n, kept = options.keyHeads * n * d;
  const ggml_type type = options.half ? GGML_TYPE_F16 : GGML_TYPE_F32;
  Graph graph((2 * kept + 3 * options.heads * d) * sizeof(float));
  ggml_tensor* q = graph.tensor(numbers(options, "q", options.heads * d).data(), d, 1, options.heads);
  ggml_tensor* k = graph.tensor(numbers(options, "k", kept).data(), d, n, options.keyHeads, type);
  ggml_tensor* v = graph.tensor(numbers(options, "v", kept).data(), d, n, options.keyHeads, type);
  ggml_tensor* o = ggml_flash_attn_ext(graph.context, q, k, v, nullptr, 1 / std::sqrt(float(d)), 0, 0);
  graph.finish(o, options.threads, pool);
  return graph;
}

static double seconds(Graph& graph, int times) {
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) graph.compute();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / times;
}

int main(int count, char** words) {
  const Options options = parse(count, words);
  if (options.op != "gated-delta" && options.op != "gla" && options.op != "ssm-scan" && options.op != "flash")
    fail("unknown operation " + options.op);
  ggml_cpu_init();
  ggml_threadpool_params parameters = ggml_threadpool_params_default(options.threads);
  ggml_threadpool* pool = ggml_threadpool_new(&parameters);
  const int64_t rows = options.token || options.op == "flash" ? 1 : options.n;
  Graph graph = [&] {
    if (options.op == "flash") return flash(options, pool);
    const Operands operands = readOperands(options);
    std::vector<float> state(options.heads * options.d * options.d, 0);
    if (!options.token) return recurrence(options, operands, 0, options.n, state, pool);
    Graph past = recurrence(options, operands, 0, options.n - 1, state, pool);
    past.compute();
    const float* behind = static_cast<float*>(past.result->data) + (options.n - 1) * options.heads * options.d;
    state.assign(behind, behind + state.size());
    ggml_free(past.context);
    return recurrence(options, operands, options.n - 1, 1, state, pool);
  }();
  const double warm = seconds(graph, 1);
  const int times = rows == 1 ? std::max(1, int(0.002 / std::max(warm, 1e-6))) : 1;
  if (rows == 1) seconds(graph, times);
  std::string list;
  for (int i = 0; i < options.repeats; ++i) list += (i ? ", " : "") + std::to_string(seconds(graph, times) * 1e6);
  std::ofstream out(options.folder + "/o.f32", std::ios::binary);
  out.write(static_cast<const char*>(graph.result->data), rows * options.heads * options.d * sizeof(float));
  if (!out) fail("cannot write o.f32");
  printf("{\"ggml\": \"%s\", \"microseconds\": [%s]}\n", ggml_version(), list.c_str());
  ggml_threadpool_free(pool);
  ggml_free(graph.context);
}
